"""The triggers: each parses its input, calls a function in `shared`, and returns the response.

Imports in this file make the cold start slower. So each trigger imports what only it needs when it
is called.
"""

import os
import time
from datetime import UTC
from typing import TYPE_CHECKING

import azure.functions as func

from shared.app import Application
from shared.core import telemetry
from shared.handlers import health as health_route
from shared.handlers import join_links as join_link_routes
from shared.handlers.responses import HttpResponse, negotiated
from shared.queues.client import DELIVERIES, DELIVERIES_POISON, POISON, REQUESTS

if TYPE_CHECKING:
    from shared.queues.messages import QueueMessage

telemetry.configure_logging()
application = Application(os.environ)
app = func.FunctionApp()
CALLERS = (
    func.AuthLevel.ANONYMOUS  # the host checks no key: the app checks the callers' tokens
    if application.callers_sign_in
    else func.AuthLevel.FUNCTION
)


@app.function_name("join_link")
@app.route("join-link", methods=["POST"], auth_level=CALLERS)
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Resolve one meeting."""
    return _response(req, join_link_routes.join_link(application, req.headers, req.get_body()))


@app.function_name("join_links")
@app.route("join-links", methods=["POST"], auth_level=CALLERS)
def join_links(req: func.HttpRequest) -> func.HttpResponse:
    """Resolve up to 100 meetings."""
    return _response(req, join_link_routes.join_links(application, req.headers, req.get_body()))


@app.function_name("request_join_link")
@app.route("join-link-requests", methods=["POST"], auth_level=CALLERS)
def request_join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Put one request on the queue."""
    return _response(
        req, join_link_routes.request_join_link(application, req.headers, req.get_body())
    )


@app.function_name("connection")
@app.route("connection", methods=["GET"], auth_level=CALLERS)
def connection(req: func.HttpRequest) -> func.HttpResponse:
    """Say whether the caller's key or token is valid for the routes above."""
    return _response(req, join_link_routes.connection(application, req.headers))


@app.function_name("webhooks")
@app.route("webhooks/{source}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def webhook(req: func.HttpRequest) -> func.HttpResponse:
    """Accept a booking event. The app checks its signature instead of a key."""
    from shared.handlers import webhooks  # noqa: PLC0415 - see above

    source = req.route_params["source"]
    return _response(req, webhooks.receive(application, source, req.headers, req.get_body()))


@app.function_name("health")
@app.route("health", methods=["GET", "HEAD"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """Say whether the app has loaded and its settings are valid."""
    return _response(req, health_route.health(application))


@app.function_name("diagnostics")
@app.route("diagnostics", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def diagnostics(req: func.HttpRequest) -> func.HttpResponse:
    """Run the diagnostics, also with invalid settings."""
    from shared.diagnostics import api  # noqa: PLC0415 - see above

    return _response(req, api.run(application, req.headers, req.get_body()))


@app.function_name("diagnostics_page")
@app.route("diagnostics", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def diagnostics_page(req: func.HttpRequest) -> func.HttpResponse:
    """Give the page that asks for the key, and runs and shows the diagnostics."""
    from shared.diagnostics import api  # noqa: PLC0415 - see above

    return _response(req, api.page(application))


if application.settings_error is None:
    # With invalid settings no queue trigger is registered, so messages stay on the queue.
    @app.function_name("join_link_requests")
    @app.queue_trigger("message", REQUESTS, "AzureWebJobsStorage")
    def join_link_requests(message: func.QueueMessage) -> None:
        """Resolve the meeting of one queue message."""
        from shared.handlers import queue_messages  # noqa: PLC0415 - see above

        queue_messages.process(application.services(), _queue_message(message))

    @app.function_name("join_link_requests_poison")
    @app.queue_trigger("message", POISON, "AzureWebJobsStorage")
    def join_link_requests_poison(message: func.QueueMessage) -> None:
        """Make a dead letter of a message that the host has moved to the poison queue."""
        from shared.handlers import queue_messages  # noqa: PLC0415 - see above

        queue_messages.process_poison(application.services(), _queue_message(message))

    @app.function_name("join_link_deliveries")
    @app.queue_trigger("message", DELIVERIES, "AzureWebJobsStorage")
    def join_link_deliveries(message: func.QueueMessage) -> None:
        """Post one outcome to one destination."""
        from shared.handlers import deliveries  # noqa: PLC0415 - see above

        deliveries.process(application.services(), _queue_message(message))

    @app.function_name("join_link_deliveries_poison")
    @app.queue_trigger("message", DELIVERIES_POISON, "AzureWebJobsStorage")
    def join_link_deliveries_poison(message: func.QueueMessage) -> None:
        """Make a dead letter of a delivery that the host has moved to the poison queue."""
        from shared.handlers import deliveries  # noqa: PLC0415 - see above

        deliveries.process_poison(application.services(), _queue_message(message))


def _queue_message(message: func.QueueMessage) -> "QueueMessage":
    from shared.queues.messages import QueueMessage  # noqa: PLC0415 - see above

    inserted = message.insertion_time
    return QueueMessage(
        body=message.get_body(),
        message_id=message.id or "",
        dequeue_count=message.dequeue_count or 1,
        inserted_on=inserted.replace(tzinfo=inserted.tzinfo or UTC).timestamp()
        if inserted
        else time.time(),
    )


def _response(req: func.HttpRequest, answer: HttpResponse) -> func.HttpResponse:
    answer = negotiated(answer, req.headers)
    return func.HttpResponse(
        answer.body,
        status_code=answer.status,
        headers=dict(answer.headers),
        mimetype=answer.headers["Content-Type"],
    )
