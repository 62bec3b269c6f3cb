"""The server of all measurements: Graph, Entra, an identity endpoint, and a receiver.

`python -m bench.server CERTIFICATE KEYS` prints its URLs as JSON, answers at once (or after a
given delay), and counts. KEYS is the file with the keys that Entra publishes. It checks
nothing and does little, because its clients are measured.
"""

import asyncio
import base64
import json
import signal
import ssl
import sys
import time
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

LIFETIME = 86_400  # seconds, a token's lifetime
LINK = (
    "https://visit.teams.microsoft.com/webrtc-svc/api/route"
    "?tid=a796be92-0000-4000-8000-000000000001&convId=19:meeting_=True"
)
GRAPH_BODY = json.dumps(
    {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Edm.String", "value": LINK}
)
GRAPH_HEADERS = (
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
)


def graph_answer(body: str) -> bytes:
    """Write a whole response of Graph."""
    return f"{GRAPH_HEADERS}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")


GRAPH_ANSWER = graph_answer(GRAPH_BODY)


class Counts:
    """The requests since the start, and the delay of Graph and the receiver."""

    def __init__(self) -> None:
        self.graph = self.connections = self.tokens = self.exchanges = self.deliveries = 0
        self.delay = 0.0


class Connection(asyncio.Protocol):
    """Answers one request after the other. A request with a body has a Content-Length."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection. With TLS, its handshake has just ended."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - true of TCP and TLS
        self._transport = transport
        if transport.get_extra_info("sslcontext") is not None:
            self._counts.connections += 1

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            method, target, _ = head.split(b" ", 2)
            length = 0 if method == b"GET" else _length(head)
            if len(rest) < length:
                return
            self._received = rest[length:]
            if method == b"GET":
                self._get(target.decode("ascii"))
            else:
                self._post(target.decode("ascii"), head, rest[:length])

    def _get(self, target: str) -> None:
        raise NotImplementedError

    def _post(self, target: str, head: bytes, body: bytes) -> None:
        raise NotImplementedError

    def _send(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


class Graph(Connection):
    """A join link for each path, several for a batch, and 200 for a signed delivery."""

    def _get(self, target: str) -> None:
        del target
        self._counts.graph += 1
        self._send_later(GRAPH_ANSWER)

    def _post(self, target: str, head: bytes, body: bytes) -> None:
        if target.endswith("/$batch"):
            ids = [request["id"] for request in json.loads(body)["requests"]]
            self._counts.graph += len(ids)
            link = json.loads(GRAPH_BODY)
            responses = [{"id": each, "status": 200, "headers": {}, "body": link} for each in ids]
            self._send_later(graph_answer(json.dumps({"responses": responses})))
        else:
            self._counts.deliveries += b"\r\nwebhook-signature:" in head.lower()
            self._send_later(GRAPH_ANSWER)

    def _send_later(self, answer: bytes) -> None:
        if self._counts.delay:
            asyncio.get_running_loop().call_later(self._counts.delay, self._send, answer)
        else:
            self._send(answer)


class Control(Connection):
    """The identity endpoint and Entra. `/delay?seconds=` and `/counts` control the bench."""

    def __init__(self, counts: Counts, keys: bytes) -> None:
        super().__init__(counts)
        self._keys = keys

    def _get(self, target: str) -> None:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/discovery/v2.0/keys"):
            self._send_json(self._keys)
        elif url.path == "/msi/token":
            self._counts.tokens += 1
            self._send_json(json.dumps(token(query["resource"])).encode("ascii"))
        else:
            if url.path == "/delay":
                self._counts.delay = float(query["seconds"])
            self._send_json(json.dumps(vars(self._counts)).encode("ascii"))

    def _post(self, target: str, head: bytes, body: bytes) -> None:
        """Exchange a person's token, as Entra's token endpoint does."""
        del target, head, body
        self._counts.exchanges += 1
        answer = {
            "token_type": "Bearer",
            "scope": "https://graph.microsoft.com/VirtualAppointment.Read",
            "expires_in": LIFETIME,
            "access_token": token("https://graph.microsoft.com")["access_token"],
        }
        self._send_json(json.dumps(answer).encode("ascii"))

    def _send_json(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._send(f"{head}\r\n\r\n".encode("ascii") + body)


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n", 1)[0])


def token(resource: str) -> dict[str, object]:
    """Give an access token in App Service's format. Its claims are valid, its signature is not."""
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


async def serve(certificate: str, keys: bytes) -> None:
    """Listen on two free loopback ports until standard input is closed."""
    counts = Counts()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    graph = await loop.create_server(
        partial(Graph, counts), "127.0.0.1", 0, ssl=context, backlog=1024
    )
    control = await loop.create_server(partial(Control, counts, keys), "127.0.0.1", 0, backlog=1024)
    ports = [server.sockets[0].getsockname()[1] for server in (graph, control)]
    print(json.dumps(ports), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]).read_bytes()))
