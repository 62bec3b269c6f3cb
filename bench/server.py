"""The far end of every measurement: Graph over TLS and a managed identity endpoint, in one process.

`python -m bench.server CERTIFICATE` prints its addresses as JSON, answers every GET at once (or
after a delay that it is told) with a join link, and counts. It does as little as it can: what is
measured is on the other end.
"""

import asyncio
import base64
import json
import signal
import ssl
import sys
import time
from functools import partial
from urllib.parse import parse_qs, urlsplit

LIFETIME = 86_400  # seconds that a token lives
LINK = (
    "https://visit.teams.microsoft.com/webrtc-svc/api/route"
    "?tid=a796be92-0000-4000-8000-000000000001&convId=19:meeting_=True"
)
GRAPH_BODY = json.dumps(
    {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Edm.String", "value": LINK}
)
GRAPH_HEAD = (
    "HTTP/1.1 200 OK\r\n"
    "Cache-Control: no-cache\r\n"
    "Content-Type: application/json;odata.metadata=minimal;odata.streaming=true;charset=utf-8\r\n"
    "Vary: Accept-Encoding\r\n"
    "Strict-Transport-Security: max-age=31536000\r\n"
    "request-id: 0f1c6c2b-0000-4000-8000-000000000002\r\n"
    "client-request-id: 0f1c6c2b-0000-4000-8000-000000000003\r\n"
    'x-ms-ags-diagnostic: {"ServerInfo":{"DataCenter":"West Europe","Slice":"E","Ring":"5"}}\r\n'
    "OData-Version: 4.0\r\n"
    "Date: Mon, 01 Jun 2026 08:00:00 GMT\r\n"
    f"Content-Length: {len(GRAPH_BODY)}\r\n\r\n"
)
GRAPH_ANSWER = (GRAPH_HEAD + GRAPH_BODY).encode("ascii")


class Counts:
    """What has been asked for since the start, and how long Graph thinks."""

    def __init__(self) -> None:
        self.graph = self.connections = self.tokens = 0
        self.delay = 0.0


class Connection(asyncio.Protocol):
    """Answers one GET after the other; none of them has a body."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it: over TLS, a handshake has just ended."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - TCP's and TLS's are
        self._transport = transport
        if transport.get_extra_info("sslcontext") is not None:
            self._counts.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._received += data
        while (head := self._received.partition(b"\r\n\r\n"))[1]:
            self._received = head[2]
            self._answer(head[0].split(b" ", 2)[1].decode("ascii"))

    def _answer(self, target: str) -> None:
        raise NotImplementedError

    def _send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


class Graph(Connection):
    """A join link, whatever the path."""

    def _answer(self, target: str) -> None:
        del target
        self._counts.graph += 1
        if self._counts.delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self._counts.delay, self._send, GRAPH_ANSWER)
        else:
            self._send(GRAPH_ANSWER)


class Control(Connection):
    """The identity endpoint; `/delay?seconds=` sets Graph's delay, `/counts` gives the counts."""

    def _answer(self, target: str) -> None:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/delay":
            self._counts.delay = float(query["seconds"])
        answer: dict[str, object] = dict(vars(self._counts))
        if url.path == "/msi/token":
            self._counts.tokens += 1
            answer = token(query["resource"])
        body = json.dumps(answer).encode("ascii")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._send(f"{head}\r\n\r\n".encode("ascii") + body)


def token(resource: str) -> dict[str, object]:
    """Give an access token as App Service does; its claims are sound, its signature is none."""
    expires = int(time.time()) + LIFETIME
    claims = {"aud": resource, "exp": expires, "roles": ["VirtualAppointment.Read.All"]}
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return {
        "access_token": text + "." + "x" * 342,  # as long as a real signature
        "expires_on": str(expires),
        "resource": resource,
        "token_type": "Bearer",
    }


async def serve(certificate: str) -> None:
    """Listen on two free loopback ports until whoever started this closes its standard input."""
    counts = Counts()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    graph = await loop.create_server(
        partial(Graph, counts), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    control = await loop.create_server(partial(Control, counts), "127.0.0.1", 0, backlog=1024)
    ports = [server.sockets[0].getsockname()[1] for server in (graph, control)]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it says when it ends
    asyncio.run(serve(sys.argv[1]))
