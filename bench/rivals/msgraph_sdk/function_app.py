"""Microsoft's own library, as its documentation shows it, with one client for the process."""

import asyncio
import json
import logging
import os

import azure.functions as func
from azure.identity.aio import ManagedIdentityCredential
from kiota_authentication_azure.azure_identity_authentication_provider import (
    AzureIdentityAuthenticationProvider,
)
from msgraph import GraphRequestAdapter, GraphServiceClient

for name in ("azure", "msal", "httpx", "httpcore"):  # as for the others
    logging.getLogger(name).setLevel(logging.WARNING)
app = func.FunctionApp()
ROOT = os.environ["GRAPH_ROOT"]
provider = AzureIdentityAuthenticationProvider(
    ManagedIdentityCredential(),
    scopes=["https://graph.microsoft.com/.default"],
    allowed_hosts=["127.0.0.1"],
)
adapter = GraphRequestAdapter(provider)
adapter.base_url = f"{ROOT}/v1.0"
client = GraphServiceClient(request_adapter=adapter)
results = None


@app.function_name("join_link")
@app.route("join-link", methods=["POST"])
async def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Ask Graph for the link and hand it on."""
    return func.HttpResponse(await _resolve(req.get_json()), mimetype="application/json")


@app.function_name("join_link_requests")
@app.queue_trigger("message", "join-link-requests", "AzureWebJobsStorage")
async def join_link_requests(message: func.QueueMessage) -> None:
    """Ask Graph for the link and put it on the queue of results."""
    from azure.storage.queue import QueueClient  # noqa: PLC0415 - only this function needs it

    global results  # noqa: PLW0603 - one client for the process
    results = results or QueueClient.from_connection_string(
        os.environ["AzureWebJobsStorage"], "join-link-results"
    )
    answer = await _resolve(message.get_json())
    await asyncio.to_thread(results.send_message, answer)


async def _resolve(wanted: dict[str, str]) -> str:
    meeting = client.users.by_user_id(wanted["userId"]).online_meetings.by_online_meeting_id(
        wanted["onlineMeetingId"]
    )
    answer = await meeting.get_virtual_appointment_join_web_url.get()
    return json.dumps({"virtualAppointmentJoinWebUrl": answer.value})
