"""What the worker itself costs: functions that call nobody."""

import azure.functions as func

app = func.FunctionApp()
ANSWER = '{"virtualAppointmentJoinWebUrl": "https://visit.teams.microsoft.com/"}'


@app.function_name("join_link")
@app.route("join-link", methods=["POST"])
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Read the request and answer."""
    req.get_json()
    return func.HttpResponse(ANSWER, mimetype="application/json")


@app.function_name("join_link_requests")
@app.queue_trigger("message", "join-link-requests", "AzureWebJobsStorage")
def join_link_requests(message: func.QueueMessage) -> None:
    """Read the message; the host deletes it."""
    message.get_json()
