"""urllib3 alone: one TLS context, one pool as large as the calls, its public `urlopen`."""

import json
import logging
import os
import ssl
from urllib.parse import quote

import azure.functions as func
import urllib3
from azure.identity import ManagedIdentityCredential

for name in ("azure", "msal"):  # as for the others
    logging.getLogger(name).setLevel(logging.WARNING)
app = func.FunctionApp()
CONTEXT = ssl.create_default_context(capath=os.environ["SSL_CERT_DIR"])
credential = ManagedIdentityCredential()
pool = urllib3.connection_from_url(os.environ["GRAPH_ROOT"], ssl_context=CONTEXT, maxsize=32)


@app.function_name("join_link")
@app.route("join-link", methods=["POST"])
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Ask Graph for the link and hand it on."""
    wanted = req.get_json()
    token = credential.get_token("https://graph.microsoft.com/.default").token
    answer = pool.urlopen(
        "GET",
        f"/v1.0/users/{quote(wanted['userId'], safe='')}"
        f"/onlineMeetings/{quote(wanted['onlineMeetingId'], safe='')}"
        "/getVirtualAppointmentJoinWebUrl",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
        retries=False,
    )
    link = answer.json()["value"]
    return func.HttpResponse(
        json.dumps({"virtualAppointmentJoinWebUrl": link}), mimetype="application/json"
    )
