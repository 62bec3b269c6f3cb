"""The main use case: resolves a request to its join link, with as few calls to Graph as possible.

| The request has | Calls |
|---|---|
| the organizer's object id and the meeting id | 1 |
| a Teams link or a join meeting id | 2 |
| a sign-in name as well | 3 |
| a mail address as well | 4 |

A Teams link that Graph does not find in the form that Teams stores takes up to two calls more.
Object ids and meeting ids are cached for an hour, so the next request for the same meeting takes
one call. Join links are never cached.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from copy import replace
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cachetools import TTLCache

from shared.core import errors, remediation
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import Retry
from shared.core.identifiers import classify_non_meeting_id, is_guid
from shared.core.strict_json import Document, FieldError
from shared.graph import error_mapping
from shared.graph import requests as graph_requests
from shared.graph.client import MAX_TRIES, GraphClient, PendingRequest
from shared.graph.error_mapping import Operation
from shared.graph.requests import Call, Steps
from shared.identity.bearer_tokens import Caller
from shared.meetings.authorization import authorize
from shared.meetings.models import (
    Alternatives,
    Correlation,
    JoinLink,
    JoinRequest,
    Outcome,
    combine,
)

if TYPE_CHECKING:
    from shared.meetings.teams_links import TeamsLink

REMEMBER_SECONDS = 3600
REMEMBER_AT_MOST = 10_000

MOST_LOOKUPS = 6
"""The most lookups for one request, and the most refused calls for its link, however many
references and organizers it has."""

_SPENT = "lookups_spent"
_NOT_THERE = (errors.MeetingNotFound, errors.MeetingIdMalformed)
_UNUSABLE = (
    errors.NotFound,
    errors.NotPermitted,
    errors.MeetingIdMalformed,
    errors.UserAmbiguous,
    errors.GraphRefused,
)
"""Errors after which another reference or organizer is tried."""


class Cache:
    """The ids that Graph has found in the last hour. It is bounded and thread-safe."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._found: TTLCache[tuple[str, ...], str] = TTLCache(
            REMEMBER_AT_MOST, REMEMBER_SECONDS, timer=clock
        )

    def get(self, *key: str) -> str | None:
        """Give the id under this key. None: it is not cached."""
        with self._lock:
            return self._found.get(key)

    def set(self, *key: str, value: str) -> str:
        """Cache an id, and return it."""
        with self._lock:
            self._found[key] = value
        return value

    def discard(self, *key: str) -> None:
        """Remove an id that Graph no longer finds."""
        with self._lock:
            self._found.pop(key, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One of several requests that `attempt_all` tries."""

    document: Document = field(repr=False)
    correlation: Correlation
    stats: RequestStats


class Resolver:
    """Resolves requests to join links, for HTTP, the queue and webhooks alike.

    Args:
        graph: the client of Microsoft Graph.
        cache: the ids that were found.
        derive_meeting_id: whether to compute meeting ids from long links (DERIVE_MEETING_ID).
        tenant_id: the app's own tenant; None where only its tokens say it.
    """

    def __init__(
        self,
        *,
        graph: GraphClient,
        cache: Cache,
        derive_meeting_id: bool = False,
        tenant_id: str | None = None,
    ) -> None:
        self._graph = graph
        self._cache = cache
        self._derive = derive_meeting_id
        self._own_tenant_id = tenant_id

    def attempt(
        self,
        document: Document,
        correlation: Correlation,
        *,
        deadline: Deadline,
        stats: RequestStats,
        max_tries: int = MAX_TRIES,
        caller: Caller | None = None,
        alternatives: Alternatives = (),
    ) -> Outcome:
        """Try to resolve a request. This raises nothing: an error is in the outcome.

        Args:
            document: the request as it was read.
            correlation: the request's id and context.
            deadline: the moment by which the outcome must be there.
            stats: counts the calls, and keeps the ids of the last one.
            max_tries: how often each call to Graph may be tried.
            caller: the owner of the token that came with the request, if any.
            alternatives: other references and organizers to try. Only the app itself makes them,
                from a booking event.
        """
        ended: JoinLink | Exception
        try:
            request = _read(document, correlation, caller)
            if alternatives:
                request = replace(request, alternatives=_combined(document, alternatives))
            ended = self.resolve(request, deadline=deadline, stats=stats, max_tries=max_tries)
        except Exception as error:  # noqa: BLE001 - every request gets an outcome
            ended = error
        return Outcome.of(correlation, ended)

    def attempt_all(
        self, attempts: Sequence[Attempt], *, deadline: Deadline, caller: Caller | None = None
    ) -> list[Outcome]:
        """Try to resolve several requests. Give their outcomes in order. This raises nothing."""
        ended: dict[int, JoinLink | Exception] = {}
        requests: dict[int, tuple[JoinRequest, RequestStats]] = {}
        for place, each in enumerate(attempts):
            try:
                request = _read(each.document, each.correlation, caller)
            except Exception as error:  # noqa: BLE001 - as above; the other requests go on
                ended[place] = error
            else:
                requests[place] = (request, each.stats)
        try:
            results = self.resolve_many(list(requests.values()), deadline=deadline)
        except Exception as error:  # noqa: BLE001 - as above
            results = [error] * len(requests)
        ended.update(zip(requests, results, strict=True))
        return [Outcome.of(each.correlation, ended[place]) for place, each in enumerate(attempts)]

    def resolve(
        self,
        request: JoinRequest,
        *,
        deadline: Deadline,
        stats: RequestStats,
        max_tries: int = MAX_TRIES,
    ) -> JoinLink:
        """Find the organizer and the meeting, then ask for the link.

        Args:
            request: a valid and authorized request.
            deadline: the moment by which the link must be there.
            stats: counts the calls, and keeps the ids of the last one.
            max_tries: how often each call to Graph may be tried.

        Raises:
            ServiceError: any error in `errors` that Graph or the caller can cause.
        """
        return self._graph.execute(
            self._resolve_any(request, stats.notes),
            deadline=deadline,
            stats=stats,
            max_tries=max_tries,
            on_behalf_of=request.on_behalf_of,
        )

    def resolve_many(
        self, requests: Sequence[tuple[JoinRequest, RequestStats]], *, deadline: Deadline
    ) -> list[JoinLink | Exception]:
        """Resolve several requests in as few batches as possible: each to its link or error."""
        pending = [
            PendingRequest(
                steps=self._resolve_any(request, stats.notes),
                deadline=deadline,
                stats=stats,
                on_behalf_of=request.on_behalf_of,
            )
            for request, stats in requests
        ]
        self._graph.execute_many(pending)
        return [each.outcome() for each in pending]

    def _resolve_any(self, request: JoinRequest, notes: list[str]) -> Steps[JoinLink]:
        """Resolve a request, or the first of its alternatives that can be resolved."""
        if not request.alternatives:
            return (yield from self._resolve_one(request, notes))
        limit = _CallLimit(notes)
        failures: list[errors.ServiceError] = []
        tried: set[object] = set()
        for number, each in enumerate((request, *request.alternatives)):
            organizer, meeting = each.user_id, _meeting(each)
            if tried & {organizer, meeting, (organizer, meeting)}:
                continue
            tried.add((organizer, meeting))
            try:
                link = yield from limit.apply(self._resolve_one(each, notes))
            except _UNUSABLE as error:
                failures.append(error)
                if isinstance(error, (errors.UserNotFound, errors.UserAmbiguous)):
                    tried.add(organizer)
                elif isinstance(error, errors.MeetingIdMalformed):
                    tried.add(meeting)
            else:
                if number:
                    notes.append("alternative_used")
                return link
        raise min(failures, key=_report_order)

    def _resolve_one(self, request: JoinRequest, notes: list[str]) -> Steps[JoinLink]:
        """Resolve one request, without its alternatives: the organizer first, then the link."""
        if request.online_meeting_id is not None:
            validate_meeting_id(request.online_meeting_id)
        try:
            user_id = yield from self._organizer(request, notes)
            return (yield from self._resolve_for_organizer(user_id, request))
        except (errors.NotFound, errors.MeetingNotAccessible) as error:
            if self._is_of_another_tenant(request.link):
                notes.append("tenant_differs_from_link")
                raise _of_another_tenant(error) from None
            raise

    def _resolve_for_organizer(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
        """Find the meeting and ask for its link. Discard cached ids that Graph no longer finds."""
        try:
            return (yield from self._ask_for_link(user_id, request))
        except (errors.UserNotFound, *_NOT_THERE):
            self._cache.discard(*_key(user_id, request))
            if request.user_id is not None:
                self._cache.discard("user", request.user_id.lower())
            raise

    def _ask_for_link(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
        """Ask for the link with the meeting's id: the given one, else a guess, else looked up."""
        if request.online_meeting_id is not None:
            return (yield from _join_link(user_id, request.online_meeting_id, request))
        if (guess := self._guess(user_id, request)) is not None:
            try:
                return (yield from _join_link(user_id, guess, request))
            except _NOT_THERE as not_there:
                self._cache.discard(*_key(user_id, request))
                try:
                    return (yield from self._look_up(user_id, request))
                except errors.LookupNotPermitted:
                    # With DERIVE_MEETING_ID the app may lack the permission to look up meetings.
                    raise not_there from None
        return (yield from self._look_up(user_id, request))

    def _look_up(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
        """Look up the meeting's id, cache it, and ask for the link."""
        if request.link is None:  # JoinRequest lets none of these through
            raise errors.InvalidRequest("The meeting is missing.")
        found = yield from find_meeting(
            user_id,
            request.link,
            tenant_id=self._tenant_id,
            as_person=request.on_behalf_of is not None,
        )
        meeting_id = self._cache.set(*_key(user_id, request), value=found)
        return (yield from _join_link(user_id, meeting_id, request))

    def _organizer(self, request: JoinRequest, notes: list[str]) -> Steps[str]:
        from_link = request.link.organizer_id if request.link else None
        given = request.user_id
        if given is not None and not is_guid(given):
            key = ("user", given.lower())
            given = self._cache.get(*key) or self._cache.set(
                *key, value=(yield from find_user(given))
            )
        elif given is not None:
            given = given.lower()  # as Entra writes object ids, and caches know them
        if given and from_link and given.lower() != from_link:
            notes.append("organizer_differs_from_link")
        organizer = given or from_link
        if organizer is None:  # JoinRequest lets none of these through
            raise errors.InvalidRequest("The organizer is missing.")
        return organizer

    def _guess(self, user_id: str, request: JoinRequest) -> str | None:
        """Give the meeting's id without a call: from the cache, or computed from a long link."""
        remembered = self._cache.get(*_key(user_id, request))
        link = request.link
        if remembered is None and self._derive and link and link.thread_id and not link.in_channel:
            # Imported only with a link, as in `models`.
            from shared.meetings.teams_links import derive_meeting_id  # noqa: PLC0415

            return derive_meeting_id(
                organizer_id=link.organizer_id or user_id, thread_id=link.thread_id
            )
        return remembered

    def _tenant_id(self) -> str | None:
        return self._own_tenant_id or self._graph.tenant_id

    def _is_of_another_tenant(self, link: "TeamsLink | None") -> bool:
        if link is None or link.tenant_id is None:
            return False
        own = self._tenant_id()
        return own is not None and own.lower() != link.tenant_id


def _read(document: Document, correlation: Correlation, caller: Caller | None) -> JoinRequest:
    """Read a request, and check that its caller may make it.

    Raises:
        InvalidRequest: if the document is not a valid request.
        Forbidden: if the caller may not ask for this meeting.
    """
    from_person = caller is not None and caller.is_person
    request = JoinRequest.from_document(
        document, request_id=correlation.request_id, from_person=from_person
    )
    if caller is None:  # a function key, a signature or the queue: any organizer's meeting
        return request
    return authorize(request, caller)


def _combined(document: Document, alternatives: Alternatives) -> tuple[JoinRequest, ...]:
    """Make a request of each alternative. Invalid ones are left out."""
    requests = []
    for each in itertools.islice(combine(document, alternatives), 1, None):
        try:
            requests.append(JoinRequest.from_document(each, request_id=""))
        except errors.InvalidRequest:
            continue
    return tuple(requests)


class _CallLimit:
    """Limits the calls of one request with alternatives.

    Lookups and refused calls for the link are counted apart, so that an alternative with both ids
    is tried even if the others took all lookups.

    Args:
        notes: the request's notes, which say that a call was not allowed.
    """

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._lookups = self._links = MOST_LOOKUPS

    def apply(self, steps: Steps[JoinLink]) -> Steps[JoinLink]:
        """Pass on the calls of a request while the limit allows them.

        Raises:
            MeetingNotFound: if it does not.
        """
        advance: Callable[[], Call] = partial(next, steps)
        while True:
            try:
                call = advance()
            except StopIteration as end:
                link: JoinLink = end.value
                return link
            gets_link = call.operation is Operation.JOIN_LINK
            if (self._links if gets_link else self._lookups) <= 0:
                if _SPENT not in self._notes:
                    self._notes.append(_SPENT)
                raise errors.MeetingNotFound(
                    f"The meeting was not found in {MOST_LOOKUPS} lookups.",
                    fix="The booking names more organizers and references than the app tries. Give "
                    "the source a mapping that puts the right ones first.",
                )
            if not gets_link:
                self._lookups -= 1
            try:
                answer = yield call
            except errors.ServiceError as error:
                if gets_link:
                    self._links -= 1
                advance = partial(steps.throw, error)
            else:
                advance = partial(steps.send, answer)


def _report_order(error: errors.ServiceError) -> int:
    """Give an error's place among several, of which the first is reported.

    What an operator can fix comes first, then what may pass, then what stays as it is. An unknown
    user comes after the other errors of its kind, because the meeting itself was not looked for.
    """
    kinds = (Retry.OPERATOR, Retry.FEW, Retry.NEVER)
    place = 2 * kinds.index(error.retry)
    return place + 1 if isinstance(error, errors.UserNotFound) else place


def _meeting(request: JoinRequest) -> object:
    return request.online_meeting_id or _key("", request)


def find_user(name: str) -> Steps[str]:
    """Look up a user by sign-in name, and if nobody has it, by mail address.

    An object id is looked up only once, since it is not a mail address.

    Raises:
        UserNotFound: if there is no such user, or the app may not look up mail addresses.
        UserAmbiguous: if several users have the mail address.
    """
    try:
        return (yield graph_requests.user(user_principal_name=name))
    except errors.UserNotFound:
        if is_guid(name):
            raise
        return (yield graph_requests.user_by_mail(mail=name))


def find_meeting(
    user_id: str,
    link: "TeamsLink",
    *,
    tenant_id: Callable[[], str | None],
    as_person: bool = False,
) -> Steps[str]:
    """Look up an organizer's meeting by its Teams link or its join meeting id.

    Args:
        user_id: the organizer's object id.
        link: what was read from the Teams link or the join meeting id.
        tenant_id: gives the organizer's tenant; None before the first token is there.
        as_person: whether Graph is asked on the organizer's behalf.

    Raises:
        MeetingNotFound: if no lookup finds the meeting.
    """
    asked: list[Call] = []
    missed = error_mapping.meeting_not_found()
    while call := next(
        (
            each
            for each in _lookups(user_id, link, tenant_id, as_person=as_person)
            if each not in asked
        ),
        None,
    ):
        asked.append(call)
        try:
            return (yield call)
        except errors.MeetingNotFound as error:
            missed = error
    raise missed


def _lookups(
    user_id: str, link: "TeamsLink", tenant_id: Callable[[], str | None], *, as_person: bool
) -> list[Call]:
    """Give the calls that may find the meeting, the likeliest first."""
    tenant = link.tenant_id or (None if link.has_only_number else tenant_id())
    by_link = [
        graph_requests.meeting_by_join_web_url(
            user_id=user_id, join_web_url=url, as_person=as_person
        )
        for url in link.lookups(organizer_id=user_id, tenant_id=tenant)
    ]
    if link.join_meeting_id is None:
        return by_link
    by_number = graph_requests.meeting_by_join_meeting_id(
        user_id=user_id, join_meeting_id=link.join_meeting_id, as_person=as_person
    )
    # Teams stores short links with their passcode. Without it only the number finds the meeting.
    number_alone = link.has_only_number and link.passcode is None
    return [by_number, *by_link] if number_alone else [*by_link, by_number]


def _join_link(user_id: str, meeting_id: str, request: JoinRequest) -> Steps[JoinLink]:
    url = yield graph_requests.join_link(
        user_id=user_id,
        meeting_id=meeting_id,
        language=request.language,
        as_person=request.on_behalf_of is not None,
    )
    return JoinLink(
        user_id=user_id, online_meeting_id=meeting_id, virtual_appointment_join_web_url=url
    )


def _key(user_id: str, request: JoinRequest) -> tuple[str, ...]:
    """Give a meeting's key in the cache, which is the same for each of its links.

    What is found on behalf of a person is cached apart from what the app finds, so that neither
    gets what only the other may look up.
    """
    asked_as = "app" if request.on_behalf_of is None else "person"
    return ("meeting", asked_as, user_id, *(request.link.meeting if request.link else ()))


def _of_another_tenant(error: errors.ServiceError) -> errors.ServiceError:
    """Add to an error that the meeting is in another tenant, where this app cannot find it."""
    return type(error)(
        f"{error.detail} Its Teams link was made in another organization's tenant.",
        fix="This app can ask only for meetings of its own tenant. The organizer of a meeting in "
        "another tenant has to get its join link there.",
        graph_request_id=error.graph_request_id,
    )


def validate_meeting_id(meeting_id: str) -> None:
    """Check a meeting id before Graph is called.

    Raises:
        MeetingIdMalformed: if it clearly is something else. The detail says what it is.
    """
    if instead := classify_non_meeting_id(meeting_id):
        raise errors.MeetingIdMalformed(
            f"The onlineMeetingId is {instead}, not an online meeting's id.",
            fix=remediation.MEETING_ID,
            field_errors=[FieldError("/onlineMeetingId", f"This is {instead}.")],
        )
