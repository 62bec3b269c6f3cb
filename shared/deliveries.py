"""Messages as the host gives them out, and what can be read of each, however broken it is."""

import logging
from dataclasses import dataclass, field

from shared import messages
from shared.appointments import correlation
from shared.errors import Fault, InvalidRequest
from shared.failures import describe
from shared.messages import Incoming, Undecodable
from shared.strict_json import Document, Json

MAX_DEQUEUE_COUNT = 5
"""How often the host gives out a message: the figure of host.json."""

_logger = logging.getLogger("virtual_appointment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message as the host gives it out.

    Attributes:
        body: Its text.
        message_id: The queue's id of it.
        dequeue_count: How often it was given out, this time included.
        inserted_on: When it was put on the queue, in seconds since the epoch.
    """

    body: bytes = field(repr=False)
    message_id: str
    dequeue_count: int
    inserted_on: float

    @property
    def is_last(self) -> bool:
        """Whether the host gives up on the message if this time fails."""
        return self.dequeue_count >= MAX_DEQUEUE_COUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What can be read of a message.

    Attributes:
        incoming: What was decoded; without a request where nothing could be.
        request_id: The request's id; empty where there is none to be found.
        context: The request's context.
        undecodable: Why nothing could be decoded.
    """

    incoming: Incoming
    request_id: str
    context: Json = field(default=None, repr=False)
    undecodable: InvalidRequest | None = None


def read(body: bytes) -> Reading:
    """Read a message as far as it goes. Raises nothing."""
    try:
        incoming = messages.decode(body)
        request_id, context = correlation(
            incoming.document, default_request_id=incoming.default_request_id
        )
        return Reading(incoming=incoming, request_id=request_id, context=context)
    except Undecodable as error:
        request_id, detail = error.request_id or "", str(error)
    except Exception as unforeseen:  # noqa: BLE001 - no message may poison its own burial
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400 - a traceback may quote it
        request_id, detail = "", "The message could not be read; the log says where."
    nothing = Document(None, (Fault("", detail),))
    return Reading(
        incoming=Incoming(document=nothing, default_request_id=request_id),
        request_id=request_id,
        undecodable=InvalidRequest(detail),
    )
