"""A program that takes deliveries, as strict as a receiver should be."""

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
    """One delivery that was taken.

    Attributes:
        id: Its `webhook-id`.
        event: What was posted.
    """

    id: str
    event: dict[str, Any] = field(repr=False)


class Receiver(StandIn):
    """Takes what is signed with its secret, by the verifier that Standard Webhooks publish.

    Args:
        secret: As `whsec_…`.
        path: The path and query that it answers to.
        tls: The certificate that it shows; plain HTTP without.

    Attributes:
        secret: What it verifies with from now on.
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
        """Where deliveries are to be posted."""
        return f"{self._scheme}://localhost:{self.port}{self._path}"

    @property
    def taken(self) -> Sequence[Taken]:
        """What it has taken, in order; a delivery that came twice is there twice."""
        with self._lock:
            return list(self._taken)

    def respond(self, request: Request) -> Response:
        """Take a delivery."""
        if request.target != self._path:
            raise RefusedError(404, "", "")
        if request.method != "POST":
            raise RefusedError(405, "", "")
        if request.headers.get("content-type") != "application/json":
            raise RefusedError(415, "", "")
        if any(name in request.headers for name in _NEVER_SENT):
            raise RefusedError(400, "", "what belongs to somebody else was sent")
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
        """An answer with a status, and with whatever headers were asked for."""
        return Response(error.status, headers=error.headers)
