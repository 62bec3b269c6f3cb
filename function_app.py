"""The triggers: parse, call, answer. What they do is in `shared`."""

import os

import azure.functions as func

from shared import http_api, queue_processing, telemetry
from shared.application import Application
from shared.http_answers import HttpAnswer
from shared.queues import REQUESTS

telemetry.quiet_libraries()
application = Application(os.environ)
app = func.FunctionApp()


@app.function_name("join_link")
@app.route("join-link", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Resolve one meeting."""
    return _response(http_api.join_link(application, req.headers, req.get_body()))


@app.function_name("health")
@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the trigger's
    """Say whether the app has loaded and its settings are valid."""
    return _response(http_api.health(application))


if application.settings_error is None:
    # With faulty settings there is no trigger, so that messages wait untouched.
    @app.function_name("join_link_requests")
    @app.queue_trigger("message", REQUESTS, "AzureWebJobsStorage")
    def join_link_requests(message: func.QueueMessage) -> None:
        """Resolve the meeting of one queue message."""
        queue_processing.process(
            application.services(), message.get_body(), dequeue_count=message.dequeue_count or 1
        )


def _response(answer: HttpAnswer) -> func.HttpResponse:
    return func.HttpResponse(
        answer.body,
        status_code=answer.status,
        headers=dict(answer.headers),
        mimetype=answer.headers["Content-Type"],
    )
