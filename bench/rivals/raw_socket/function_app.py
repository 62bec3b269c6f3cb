"""The floor: a kept TLS connection for each thread, and HTTP written and read by hand."""

import json
import os
import socket
import ssl
import threading
import time
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

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
    link = json.loads(_get(path))["value"]
    return func.HttpResponse(
        json.dumps({"virtualAppointmentJoinWebUrl": link}), mimetype="application/json"
    )


def _get(path: str) -> bytes:
    if not hasattr(_mine, "socket"):
        plain = socket.create_connection((ROOT.hostname, ROOT.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _mine.socket = CONTEXT.wrap_socket(plain, server_hostname=ROOT.hostname)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {ROOT.netloc}\r\nAccept: application/json\r\n"
        f"Authorization: Bearer {_token()}\r\n\r\n"
    )
    _mine.socket.sendall(head.encode("ascii"))
    received = b""
    while b"\r\n\r\n" not in received:
        received += _mine.socket.recv(65536)
    head_bytes, _, body = received.partition(b"\r\n\r\n")
    length = int(head_bytes.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += _mine.socket.recv(65536)
    return body


def _token() -> str:
    with _lock:
        token, expires = _tokens.get("graph", ("", 0.0))
        if time.time() > expires - 300:
            url = (
                os.environ["IDENTITY_ENDPOINT"]
                + "?api-version=2019-08-01&resource=https://graph.microsoft.com"
            )
            header = {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}
            with urlopen(Request(url, headers=header)) as answer:  # noqa: S310 - the platform's own
                given = json.load(answer)
            token, expires = given["access_token"], float(given["expires_on"])
            _tokens["graph"] = token, expires
        return token
