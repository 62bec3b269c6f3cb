"""The use case: from a request to its join link, in as few calls to Graph as it takes.

Both ids given: 1. A Teams link or a join meeting id: 2. A user principal name as well: 3. What was
found is remembered for an hour, so that the next request for it takes 1 again. Join links
themselves are never remembered.
"""

import threading
import time
from collections.abc import Callable, Sequence

from cachetools import TTLCache

from shared import errors, fixes, graph_calls
from shared.appointments import JoinLink, JoinRequest
from shared.budget import Budget
from shared.errors import Fault
from shared.graph import Graph, Journey
from shared.graph_calls import Steps
from shared.identifiers import is_guid
from shared.teams_links import TeamsLink, derive_meeting_id, parse_teams_link, what_it_is_instead

REMEMBER_SECONDS = 3600
REMEMBER_AT_MOST = 10_000

_NOT_THERE = (errors.MeetingNotFound, errors.MeetingIdMalformed)


class Memory:
    """What Graph found lately: positive answers only, bounded, safe for many threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._found: TTLCache[tuple[str, ...], str] = TTLCache(
            REMEMBER_AT_MOST, REMEMBER_SECONDS, timer=clock
        )

    def recall(self, *key: str) -> str | None:
        """Give what was found under this key in the last hour."""
        with self._lock:
            return self._found.get(key)

    def keep(self, *key: str, value: str) -> str:
        """Remember a finding, and hand it on."""
        with self._lock:
            self._found[key] = value
        return value

    def forget(self, *key: str) -> None:
        """Drop what has turned out to be no longer so."""
        with self._lock:
            self._found.pop(key, None)


class Resolver:
    """Turns requests into join links."""

    def __init__(self, *, graph: Graph, memory: Memory, derive_meeting_id: bool = False) -> None:
        self._graph = graph
        self._memory = memory
        self._derive = derive_meeting_id

    def resolve(self, request: JoinRequest, *, budget: Budget) -> JoinLink:
        """Find the organizer and the meeting, then ask for the link.

        Raises:
            ServiceError: in the end everything in `errors` that Graph or the caller can cause.
        """
        return self._graph.travel(self._steps(request, budget.notes), budget=budget)

    def resolve_together(
        self, requests: Sequence[tuple[JoinRequest, Budget]]
    ) -> list[JoinLink | Exception]:
        """Resolve many in as few trips to Graph as it takes, and give each its own outcome.

        Args:
            requests: with budgets that end at the same moment.
        """
        journeys = [
            Journey(steps=self._steps(request, budget.notes), budget=budget)
            for request, budget in requests
        ]
        self._graph.travel_together(journeys)
        return [journey.result() for journey in journeys]

    def _steps(self, request: JoinRequest, notes: list[str]) -> Steps[JoinLink]:
        if request.online_meeting_id is not None:
            refuse_what_is_no_meeting_id(request.online_meeting_id)
        link = parse_teams_link(request.join_web_url) if request.join_web_url else None
        user_id = yield from self._organizer(request, link, notes)
        try:
            return (yield from self._steps_for(user_id, request, link))
        except (errors.UserNotFound, *_NOT_THERE):
            self._memory.forget("meeting", user_id, _reference(request))
            if request.user_id is not None:
                self._memory.forget("user", request.user_id.lower())
            raise

    def _steps_for(
        self, user_id: str, request: JoinRequest, link: TeamsLink | None
    ) -> Steps[JoinLink]:
        if request.online_meeting_id is not None:
            return (yield from _join_link(user_id, request.online_meeting_id, request))
        if (guess := self._guess(user_id, request, link)) is not None:
            try:
                return (yield from _join_link(user_id, guess, request))
            except _NOT_THERE as not_there:
                self._memory.forget("meeting", user_id, _reference(request))
                try:
                    return (yield from self._look_up(user_id, request, link))
                except errors.LookupNotPermitted:
                    # Who derives ids may do without the permission to look them up.
                    raise not_there from None
        return (yield from self._look_up(user_id, request, link))

    def _look_up(
        self, user_id: str, request: JoinRequest, link: TeamsLink | None
    ) -> Steps[JoinLink]:
        found = yield from find_meeting(user_id, request, link)
        meeting_id = self._memory.keep("meeting", user_id, _reference(request), value=found)
        return (yield from _join_link(user_id, meeting_id, request))

    def _organizer(
        self, request: JoinRequest, link: TeamsLink | None, notes: list[str]
    ) -> Steps[str]:
        from_link = link.organizer_id if link else None
        given = request.user_id
        if given is not None and not is_guid(given):
            key = ("user", given.lower())
            given = self._memory.recall(*key) or self._memory.keep(
                *key, value=(yield graph_calls.user(user_principal_name=given))
            )
        if given and from_link and given.lower() != from_link.lower():
            notes.append("organizer_differs_from_link")
        organizer = given or from_link
        if organizer is None:  # JoinRequest lets none of these through
            raise errors.InvalidRequest("The organizer is missing.")
        return organizer

    def _guess(self, user_id: str, request: JoinRequest, link: TeamsLink | None) -> str | None:
        """Give the meeting's id without a call: remembered, or worked out of a long link."""
        remembered = self._memory.recall("meeting", user_id, _reference(request))
        if remembered is None and self._derive and link and link.thread_id:
            return derive_meeting_id(
                organizer_id=link.organizer_id or user_id, thread_id=link.thread_id
            )
        return remembered


def find_meeting(user_id: str, request: JoinRequest, link: TeamsLink | None) -> Steps[str]:
    """Look an organizer's meeting up by its Teams link, or by the number that people type.

    Raises:
        MeetingNotFound: if Graph knows it by neither.
    """
    join_meeting_id = request.join_meeting_id
    if link is not None:
        try:
            return (
                yield graph_calls.meeting_by_join_web_url(user_id=user_id, join_web_url=link.url)
            )
        except errors.MeetingNotFound:
            if link.join_meeting_id is None:
                raise
        join_meeting_id = link.join_meeting_id
    if join_meeting_id is None:  # JoinRequest lets none of these through
        raise errors.InvalidRequest("The meeting is missing.")
    return (
        yield graph_calls.meeting_by_join_meeting_id(
            user_id=user_id, join_meeting_id=join_meeting_id
        )
    )


def _join_link(user_id: str, meeting_id: str, request: JoinRequest) -> Steps[JoinLink]:
    url = yield graph_calls.join_link(
        user_id=user_id, meeting_id=meeting_id, language=request.language
    )
    return JoinLink(
        user_id=user_id, online_meeting_id=meeting_id, virtual_appointment_join_web_url=url
    )


def _reference(request: JoinRequest) -> str:
    return request.join_web_url or request.join_meeting_id or ""


def refuse_what_is_no_meeting_id(meeting_id: str) -> None:
    """Spare Graph a call for what plainly is something else.

    Raises:
        MeetingIdMalformed: saying what it is.
    """
    if instead := what_it_is_instead(meeting_id):
        raise errors.MeetingIdMalformed(
            f"The onlineMeetingId is {instead}, not an online meeting's id.",
            fix=fixes.MEETING_ID,
            faults=[Fault("/onlineMeetingId", f"This is {instead}.")],
        )
