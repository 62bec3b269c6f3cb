"""Trips to Microsoft Graph: one call as it is, or up to 20 in a batch. None is made twice."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import batched

from shared import batch
from shared.connections import ConnectionLost, TimeSpent
from shared.graph_calls import Call
from shared.http_wire import Answer, AnswerTooLarge
from shared.identifiers import make_request_id
from shared.identity import Token
from shared.transport import Transport

_USER_AGENT = "virtual-appointment-join-link/1"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call met: an answer, or the exception that stands for there being none."""

    client_request_id: str
    met: Answer | Exception = field(repr=False)


class Trips:
    """Carries calls to Graph.

    Args:
        base: Graph's root and version.
        transport: the way there.
    """

    def __init__(self, *, base: str, transport: Transport) -> None:
        self._base = base
        self._transport = transport

    def make(self, calls: Sequence[Call], token: Token, *, deadline: float) -> list[Reply]:
        """Make each call once, in as few trips as it takes, and give its reply in order.

        Args:
            calls: none of them twice.
            token: for Graph.
            deadline: of `time.monotonic`.
        """
        trips = list(batched(calls, batch.LARGEST, strict=False))
        if len(trips) == 1:
            return self._trip(trips[0], token, deadline)
        # At the same time: one after the other, five trips could spend the time of all.
        with ThreadPoolExecutor(len(trips), thread_name_prefix="graph-trip") as pool:
            replies = pool.map(lambda trip: self._trip(trip, token, deadline), trips)
            return [reply for trip in replies for reply in trip]

    def _trip(self, calls: Sequence[Call], token: Token, deadline: float) -> list[Reply]:
        ids = [make_request_id() for _ in calls]
        items = [
            batch.Item(path=call.path, headers=_headers(call, client_request_id))
            for call, client_request_id in zip(calls, ids, strict=True)
        ]
        met: Sequence[Answer | Exception]
        try:
            if len(items) == 1:
                met = [self._get(items[0], token, deadline)]
            else:
                met = self._batch(items, token, deadline)
        except (ConnectionLost, TimeSpent, AnswerTooLarge) as error:
            met = [error] * len(items)
        return [Reply(*pair) for pair in zip(ids, met, strict=True)]

    def _get(self, item: batch.Item, token: Token, deadline: float) -> Answer:
        headers = {**_authorization(token), **item.headers}
        return self._transport.get(self._base + item.path, headers=headers, deadline=deadline)

    def _batch(
        self, items: Sequence[batch.Item], token: Token, deadline: float
    ) -> Sequence[Answer | Exception]:
        headers = {
            **_authorization(token),
            "Accept": _JSON,
            "Content-Type": _JSON,
            "client-request-id": make_request_id(),
        }
        envelope = self._transport.post(
            f"{self._base}/$batch", headers=headers, body=batch.write(items), deadline=deadline
        )
        return batch.read(envelope, count=len(items))


def _authorization(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.value}", "User-Agent": _USER_AGENT}


def _headers(call: Call, client_request_id: str) -> Mapping[str, str]:
    headers = {"Accept": _JSON, "client-request-id": client_request_id}
    return headers if call.language is None else {**headers, "Accept-Language": call.language}
