"""A program that receives deliveries and checks them strictly."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import standardwebhooks

from dev.stand_ins.certificates import TlsFiles
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn

_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_NEVER_SENT = ("authorization", "x-functions-key", "cookie", "x-identity-header")


@dataclass(frozen=True)
class Taken:
    """One delivery that was accepted.

    Attributes:
        id: Its `webhook-id`.
        event: The posted event.
    """

    id: str
    event: dict[str, Any] = field(repr=False)


class Receiver(StandIn):
    """Accepts deliveries signed with its secret, by the verifier that Standard Webhooks publish.

    Args:
        secret: As `whsec_…`.
        path: The path and query of its URL.
        tls: Its certificate, or None for plain HTTP.

    Attributes:
        secret: The secret for later deliveries.
    """

    def __init__(
        self, *, secret: str, path: str = "/hooks/links?tenant=7", tls: TlsFiles | None = None
    ) -> None:
        super().__init__(name="receiver", tls=tls)
        self.secret = secret
        self._path = path
        self._scheme = "http" if tls is None else "https"
        self._lock = threading.Lock()
        self._taken: list[Taken] = []

    @property
    def url(self) -> str:
        """The URL for deliveries."""
        return f"{self._scheme}://localhost:{self.port}{self._path}"

    @property
    def taken(self) -> Sequence[Taken]:
        """The accepted deliveries in order. A repeated delivery is there twice."""
        with self._lock:
            return list(self._taken)

    def respond(self, request: Request) -> Response:
        """Accept a delivery."""
        if request.target != self._path:
            raise RefusedError(404, "", "")
        if request.method != "POST":
            raise RefusedError(405, "", "")
        if request.headers.get("content-type") != "application/json":
            raise RefusedError(415, "", "")
        if any(name in request.headers for name in _NEVER_SENT):
            raise RefusedError(400, "", "a delivery must not have such a header")
        headers = {name: request.headers.get(name, "") for name in _HEADERS}
        try:
            standardwebhooks.Webhook(self.secret).verify(request.body, headers)
        except standardwebhooks.WebhookVerificationError as error:
            raise RefusedError(401, "", str(error)) from error
        event = json.loads(request.body)
        if set(event) != {"type", "timestamp", "data"}:
            raise RefusedError(400, "", "this is no event")
        with self._lock:
            self._taken.append(Taken(headers["webhook-id"], event))
        return Response.json(200, {"taken": True})

    def refuse(self, request: Request, error: RefusedError) -> Response:  # noqa: ARG002 - a status is all it says
        """An answer with a status and the given headers."""
        return Response(error.status, headers=error.headers)
