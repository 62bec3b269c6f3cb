"""The faults of Graph. `faults` has those of any service."""

import json
from dataclasses import dataclass, replace

from dev.stand_ins.faults import Status
from dev.stand_ins.stand_in import Exchange


def throttle(retry_after: str | None = "10") -> Status:
    """Answer 429.

    Args:
        retry_after: The Retry-After header: seconds, also with decimals, an HTTP date, or None
            for an answer without one.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Status(429, "TooManyRequests", "Please retry again later.", headers)


def unavailable(status: int = 503, *, retry_after: str | None = None) -> Status:
    """Answer 503 or 504.

    Args:
        status: 503, or 504 for a gateway's timeout.
        retry_after: As for `throttle`.
    """
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    codes = {503: "ServiceUnavailable", 504: "GatewayTimeout"}
    return Status(status, codes.get(status, "UnknownError"), "", headers)


@dataclass(frozen=True)
class WrongShape:
    """Answer each request with 200 and this JSON value."""

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
