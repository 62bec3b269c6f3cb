"""requests with care: one TLS context, a pool as large as the calls, nothing of the environment."""

import json
import logging
import os
import ssl
from typing import Any
from urllib.parse import quote

import azure.functions as func
import requests
from azure.identity import ManagedIdentityCredential
from requests.adapters import HTTPAdapter

for name in ("azure", "msal"):  # as for the others
    logging.getLogger(name).setLevel(logging.WARNING)
app = func.FunctionApp()
ROOT = os.environ["GRAPH_ROOT"]
CONTEXT = ssl.create_default_context(capath=os.environ["SSL_CERT_DIR"])


class OneContext(HTTPAdapter):
    """Gives every connection the one context."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        """Hand the context to the pools."""
        super().init_poolmanager(*args, ssl_context=CONTEXT, **kwargs)

    def cert_verify(self, *_: object) -> None:
        """Do nothing: the bundle would be read into the context for each connection."""


credential = ManagedIdentityCredential()
session = requests.Session()
session.trust_env = False
session.mount("https://", OneContext(pool_maxsize=32))


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
