"""What goes wrong with Graph in particular; `faults` holds what goes wrong with any service."""

import json
from dataclasses import dataclass, replace

from dev.stand_ins.faults import Status
from dev.stand_ins.stand_in import Exchange


def throttle(retry_after: str | None = "10") -> Status:
    """Throttled.

    Args:
        retry_after: The Retry-After header: seconds, also with decimals, an HTTP date, or None
            for an answer without one.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Status(429, "TooManyRequests", "Please retry again later.", headers)


def unavailable(status: int = 503, *, retry_after: str | None = None) -> Status:
    """Out of service.

    Args:
        status: 503, or 504 for a gateway that has waited too long.
        retry_after: As for `throttle`.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    codes = {503: "ServiceUnavailable", 504: "GatewayTimeout"}
    return Status(status, codes.get(status, "UnknownError"), "", headers)


@dataclass(frozen=True)
class WrongShape:
    """Answer 200 with this JSON value, whatever was asked."""

    value: object

    def __call__(self, exchange: Exchange) -> None:
        """Answer with it."""
        answer = exchange.respond()
        exchange.send(replace(answer, status=200, body=json.dumps(self.value).encode()))


@dataclass(frozen=True)
class Link:
    """Give this as the join link."""

    text: str | None

    def __call__(self, exchange: Exchange) -> None:
        """Answer with it."""
        context = "https://graph.microsoft.com/v1.0/$metadata#Edm.String"
        WrongShape({"@odata.context": context, "value": self.text})(exchange)


NULL_LINK = Link(None)
MISSING_VALUE = WrongShape(
    {"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#Edm.String"}
)
