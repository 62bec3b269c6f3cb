"""The same packages as this app's, as one uses them without a second thought."""

import json
import logging
import os
from urllib.parse import quote

import azure.functions as func
import requests
from azure.identity import ManagedIdentityCredential

for name in ("azure", "msal"):  # a line or two for each call would cost it more still
    logging.getLogger(name).setLevel(logging.WARNING)
app = func.FunctionApp()
ROOT = os.environ["GRAPH_ROOT"]
credential = ManagedIdentityCredential()
session = requests.Session()


@app.function_name("join_link")
@app.route("join-link", methods=["POST"])
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Ask Graph for the link and hand it on."""
    wanted = req.get_json()
    token = credential.get_token("https://graph.microsoft.com/.default").token
    answer = session.get(
        f"{ROOT}/v1.0/users/{quote(wanted['userId'], safe='')}"
        f"/onlineMeetings/{quote(wanted['onlineMeetingId'], safe='')}"
        "/getVirtualAppointmentJoinWebUrl",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    answer.raise_for_status()
    link = answer.json()["value"]
    return func.HttpResponse(
        json.dumps({"virtualAppointmentJoinWebUrl": link}), mimetype="application/json"
    )
