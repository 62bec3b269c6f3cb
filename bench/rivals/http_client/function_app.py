"""The standard library: a kept http.client connection for each thread, the token by hand."""

import http.client
import json
import os
import ssl
import threading
import time
from urllib.parse import quote, urlsplit

import azure.functions as func

app = func.FunctionApp()
ROOT = urlsplit(os.environ["GRAPH_ROOT"])
CONTEXT = ssl.create_default_context(capath=os.environ["SSL_CERT_DIR"])
_lock = threading.Lock()
_tokens: dict[str, tuple[str, float]] = {}
_mine = threading.local()


@app.function_name("join_link")
@app.route("join-link", methods=["POST"])
def join_link(req: func.HttpRequest) -> func.HttpResponse:
    """Ask Graph for the link and hand it on."""
    wanted = req.get_json()
    path = (
        f"/v1.0/users/{quote(wanted['userId'], safe='')}"
        f"/onlineMeetings/{quote(wanted['onlineMeetingId'], safe='')}"
        "/getVirtualAppointmentJoinWebUrl"
    )
    if not hasattr(_mine, "connection"):
        _mine.connection = http.client.HTTPSConnection(
            ROOT.hostname or "", ROOT.port, context=CONTEXT
        )
    headers = {"Authorization": f"Bearer {_token()}", "Accept": "application/json"}
    _mine.connection.request("GET", path, headers=headers)
    link = json.load(_mine.connection.getresponse())["value"]
    return func.HttpResponse(
        json.dumps({"virtualAppointmentJoinWebUrl": link}), mimetype="application/json"
    )


def _token() -> str:
    with _lock:
        token, expires = _tokens.get("graph", ("", 0.0))
        if time.time() > expires - 300:
            endpoint = urlsplit(os.environ["IDENTITY_ENDPOINT"])
            connection = http.client.HTTPConnection(endpoint.hostname or "", endpoint.port)
            connection.request(
                "GET",
                f"{endpoint.path}?api-version=2019-08-01&resource=https://graph.microsoft.com",
                headers={"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]},
            )
            given = json.load(connection.getresponse())
            connection.close()
            token, expires = given["access_token"], float(given["expires_on"])
            _tokens["graph"] = token, expires
        return token
