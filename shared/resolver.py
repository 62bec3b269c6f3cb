"""The use case: from a request to its join link, in as few calls to Graph as it takes.

Both ids given: 1. A Teams link or a join meeting id: 2. A user principal name as well: 3. What was
found is remembered for an hour, so that the next request for it takes 1 again. Join links
themselves are never remembered.
"""

import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from shared import errors, fixes
from shared.appointments import JoinLink, JoinRequest
from shared.budget import Budget
from shared.errors import Fault
from shared.graph import Graph
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
        if request.online_meeting_id is not None:
            _refuse_what_is_no_meeting_id(request.online_meeting_id)
        link = parse_teams_link(request.join_web_url) if request.join_web_url else None
        user_id = self._organizer(request, link, budget)
        try:
            return self._resolve_for(user_id, request, link, budget)
        except (errors.UserNotFound, *_NOT_THERE):
            self._memory.forget("meeting", user_id, _reference(request))
            if request.user_id is not None:
                self._memory.forget("user", request.user_id.lower())
            raise

    def _resolve_for(
        self, user_id: str, request: JoinRequest, link: TeamsLink | None, budget: Budget
    ) -> JoinLink:
        if request.online_meeting_id is not None:
            return self._join_link(user_id, request.online_meeting_id, request, budget)
        if (guess := self._guess(user_id, request, link)) is not None:
            try:
                return self._join_link(user_id, guess, request, budget)
            except _NOT_THERE:
                self._memory.forget("meeting", user_id, _reference(request))
        meeting_id = self._memory.keep(
            "meeting",
            user_id,
            _reference(request),
            value=self._find_meeting(user_id, request, link, budget),
        )
        return self._join_link(user_id, meeting_id, request, budget)

    def _organizer(self, request: JoinRequest, link: TeamsLink | None, budget: Budget) -> str:
        from_link = link.organizer_id if link else None
        given = request.user_id
        if given is not None and not is_guid(given):
            key = ("user", given.lower())
            given = self._memory.recall(*key) or self._memory.keep(
                *key, value=self._graph.user(user_principal_name=given, budget=budget)
            )
        if given and from_link and given.lower() != from_link.lower():
            budget.notes.append("organizer_differs_from_link")
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

    def _find_meeting(
        self, user_id: str, request: JoinRequest, link: TeamsLink | None, budget: Budget
    ) -> str:
        join_meeting_id = request.join_meeting_id
        if link is not None:
            try:
                return self._graph.meeting_by_join_web_url(
                    user_id=user_id, join_web_url=link.url, budget=budget
                )
            except errors.MeetingNotFound:
                if link.join_meeting_id is None:
                    raise
            join_meeting_id = link.join_meeting_id
        if join_meeting_id is None:  # JoinRequest lets none of these through
            raise errors.InvalidRequest("The meeting is missing.")
        return self._graph.meeting_by_join_meeting_id(
            user_id=user_id, join_meeting_id=join_meeting_id, budget=budget
        )

    def _join_link(
        self, user_id: str, meeting_id: str, request: JoinRequest, budget: Budget
    ) -> JoinLink:
        url = self._graph.join_link(
            user_id=user_id, meeting_id=meeting_id, language=request.language, budget=budget
        )
        return JoinLink(
            user_id=user_id, online_meeting_id=meeting_id, virtual_appointment_join_web_url=url
        )


def _reference(request: JoinRequest) -> str:
    return request.join_web_url or request.join_meeting_id or ""


def _refuse_what_is_no_meeting_id(meeting_id: str) -> None:
    if instead := what_it_is_instead(meeting_id):
        raise errors.MeetingIdMalformed(
            f"The onlineMeetingId is {instead}, not an online meeting's id.",
            fix=fixes.MEETING_ID,
            faults=[Fault("/onlineMeetingId", f"This is {instead}.")],
        )
