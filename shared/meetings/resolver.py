"""The use case: from a request to its join link, in as few calls to Graph as it takes.

Both ids given: 1. A Teams link or a join meeting id: 2. A sign-in name as well: 3, and 4 where it
is a mail address instead. A link that is not found as Teams writes it takes up to two more. What
was found is remembered for an hour, so that the next request for it takes 1 again. Join links
themselves are never remembered.
"""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from copy import replace
from dataclasses import dataclass, field
from functools import partial

from cachetools import TTLCache

from shared.core import errors, remediation
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import Retry
from shared.core.field_errors import FieldError
from shared.core.identifiers import classify_non_meeting_id, is_guid
from shared.core.strict_json import Document
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
from shared.meetings.teams_links import TeamsLink, derive_meeting_id

REMEMBER_SECONDS = 3600
REMEMBER_AT_MOST = 10_000

MOST_LOOKUPS = 6
"""For one request, however many references and organizers it has."""

_NOT_THERE = (errors.MeetingNotFound, errors.MeetingIdMalformed)
_UNUSABLE = (
    errors.NotFound,
    errors.NotPermitted,
    errors.MeetingIdMalformed,
    errors.UserAmbiguous,
    errors.GraphRefused,
)
"""What another reference or organizer may help against."""


class Cache:
    """What Graph found lately: positive answers only, bounded, safe for many threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._found: TTLCache[tuple[str, ...], str] = TTLCache(
            REMEMBER_AT_MOST, REMEMBER_SECONDS, timer=clock
        )

    def get(self, *key: str) -> str | None:
        """Give what was found under this key in the last hour."""
        with self._lock:
            return self._found.get(key)

    def set(self, *key: str, value: str) -> str:
        """Remember a finding, and hand it on."""
        with self._lock:
            self._found[key] = value
        return value

    def discard(self, *key: str) -> None:
        """Drop a finding that is no longer true."""
        with self._lock:
            self._found.pop(key, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One of several requests that are tried together."""

    document: Document = field(repr=False)
    correlation: Correlation
    stats: RequestStats


class Resolver:
    """Turns requests into join links, whoever sent them: HTTP, the queue and webhooks.

    Args:
        graph: whom to ask.
        cache: what was found.
        derive_meeting_id: whether to work meeting ids out of long links.
        tenant_id: the app's own; None where only its tokens say it.
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
        """Try to resolve a request. Raises nothing: what goes wrong is in the outcome.

        Args:
            document: the request as it was read.
            correlation: its id and context.
            deadline: when the answer has to be there.
            stats: what it has cost.
            max_tries: how often each call to Graph may be made.
            caller: whose token came with it, if any.
            alternatives: what to try in place of the request's own reference and organizer. Only
                the app itself makes them.
        """
        ended: JoinLink | Exception
        try:
            request = _read(document, correlation, caller)
            if alternatives:
                request = replace(request, alternatives=_combined(document, alternatives))
            ended = self.resolve(request, deadline=deadline, stats=stats, max_tries=max_tries)
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            ended = error
        return Outcome.of(correlation, ended)

    def attempt_all(
        self, attempts: Sequence[Attempt], *, deadline: Deadline, caller: Caller | None = None
    ) -> list[Outcome]:
        """Try to resolve requests, each with an outcome of its own, in order. Raises nothing."""
        ended: dict[int, JoinLink | Exception] = {}
        requests: dict[int, tuple[JoinRequest, RequestStats]] = {}
        for place, each in enumerate(attempts):
            try:
                request = _read(each.document, each.correlation, caller)
            except Exception as error:  # noqa: BLE001 - as above; and the others go on
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
            request: what is asked for.
            deadline: when the answer has to be there.
            stats: what it has cost.
            max_tries: how often each call to Graph may be made.

        Raises:
            ServiceError: in the end everything in `errors` that Graph or the caller can cause.
        """
        return self._graph.execute(
            self._in_turn(request, stats.notes),
            deadline=deadline,
            stats=stats,
            max_tries=max_tries,
            on_behalf_of=request.on_behalf_of,
        )

    def resolve_many(
        self, requests: Sequence[tuple[JoinRequest, RequestStats]], *, deadline: Deadline
    ) -> list[JoinLink | Exception]:
        """Resolve many in as few batches as it takes, and give each its link or its error."""
        pending = [
            PendingRequest(
                steps=self._in_turn(request, stats.notes),
                deadline=deadline,
                stats=stats,
                on_behalf_of=request.on_behalf_of,
            )
            for request, stats in requests
        ]
        self._graph.execute_many(pending)
        return [each.outcome() for each in pending]

    def _in_turn(self, request: JoinRequest, notes: list[str]) -> Steps[JoinLink]:
        """Resolve a request, or the next of its alternatives where it turns out unusable."""
        if not request.alternatives:
            return (yield from self._steps(request, notes))
        lookups = _Lookups()
        failures: list[errors.ServiceError] = []
        tried: set[object] = set()
        for number, each in enumerate((request, *request.alternatives)):
            organizer, meeting = each.user_id, _meeting(each)
            if tried & {organizer, meeting, (organizer, meeting)}:
                continue
            if lookups.left <= 0:
                notes.append("lookups_spent")
                break
            tried.add((organizer, meeting))
            try:
                link = yield from lookups.count(self._steps(each, notes))
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
        raise min(failures, key=_hope)

    def _steps(self, request: JoinRequest, notes: list[str]) -> Steps[JoinLink]:
        if request.online_meeting_id is not None:
            validate_meeting_id(request.online_meeting_id)
        try:
            user_id = yield from self._organizer(request, notes)
            return (yield from self._remembering_steps(user_id, request))
        except (errors.NotFound, errors.MeetingNotAccessible) as error:
            if self._is_of_another_tenant(request.link):
                notes.append("tenant_differs_from_link")
                raise _of_another_tenant(error) from None
            raise

    def _remembering_steps(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
        try:
            return (yield from self._steps_for(user_id, request))
        except (errors.UserNotFound, *_NOT_THERE):
            self._cache.discard(*_key(user_id, request))
            if request.user_id is not None:
                self._cache.discard("user", request.user_id.lower())
            raise

    def _steps_for(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
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
                    # Who derives ids may do without the permission to look them up.
                    raise not_there from None
        return (yield from self._look_up(user_id, request))

    def _look_up(self, user_id: str, request: JoinRequest) -> Steps[JoinLink]:
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
        if given and from_link and given.lower() != from_link:
            notes.append("organizer_differs_from_link")
        organizer = given or from_link
        if organizer is None:  # JoinRequest lets none of these through
            raise errors.InvalidRequest("The organizer is missing.")
        return organizer

    def _guess(self, user_id: str, request: JoinRequest) -> str | None:
        """Give the meeting's id without a call: remembered, or worked out of a long link."""
        remembered = self._cache.get(*_key(user_id, request))
        link = request.link
        if remembered is None and self._derive and link and link.thread_id and not link.in_channel:
            return derive_meeting_id(
                organizer_id=link.organizer_id or user_id, thread_id=link.thread_id
            )
        return remembered

    def _tenant_id(self) -> str | None:
        return self._own_tenant_id or self._graph.tenant_id

    def _is_of_another_tenant(self, link: TeamsLink | None) -> bool:
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
    """Make requests of alternatives; an invalid one is left out."""
    requests = []
    for each in itertools.islice(combine(document, alternatives), 1, None):
        try:
            requests.append(JoinRequest.from_document(each, request_id=""))
        except errors.InvalidRequest:
            continue
    return tuple(requests)


class _Lookups:
    """Counts what is looked up for one request, and ends it."""

    def __init__(self) -> None:
        self.left = MOST_LOOKUPS

    def count(self, steps: Steps[JoinLink]) -> Steps[JoinLink]:
        """Go through steps as long as look-ups are left; an id that leads nowhere counts as one.

        Raises:
            MeetingNotFound: if none are left.
        """
        go_on: Callable[[], Call] = partial(next, steps)
        while True:
            try:
                call = go_on()
            except StopIteration as end:
                link: JoinLink = end.value
                return link
            is_lookup = call.operation is not Operation.JOIN_LINK
            if is_lookup and self.left <= 0:
                raise errors.MeetingNotFound(
                    f"The meeting was not found in {MOST_LOOKUPS} look-ups.",
                    fix="The booking names more organizers and references than can be tried. Give "
                    "the source a mapping that names the right ones first.",
                )
            self.left -= is_lookup
            try:
                go_on = partial(steps.send, (yield call))
            except errors.ServiceError as error:
                self.left -= not is_lookup
                go_on = partial(steps.throw, error)


def _hope(error: errors.ServiceError) -> tuple[int, bool]:
    """Order errors by what may still come of them: first what an operator can fix."""
    order = (Retry.OPERATOR, Retry.FEW, Retry.NEVER)
    return order.index(error.retry), isinstance(error, errors.UserNotFound)


def _meeting(request: JoinRequest) -> object:
    return request.online_meeting_id or _key("", request)


def find_user(name: str) -> Steps[str]:
    """Look a user up by the name to sign in with and, if nobody has it, by the mail address.

    An object id finds whose it is, or nobody.

    Raises:
        UserNotFound: if nobody is found, or may be looked up by mail.
        UserAmbiguous: if several users have the address.
    """
    try:
        return (yield graph_requests.user(user_principal_name=name))
    except errors.UserNotFound:
        if is_guid(name):
            raise
        return (yield graph_requests.user_by_mail(mail=name))


def find_meeting(
    user_id: str,
    link: TeamsLink,
    *,
    tenant_id: Callable[[], str | None],
    as_person: bool = False,
) -> Steps[str]:
    """Look an organizer's meeting up by its Teams link, or by the number that people type.

    Args:
        user_id: the organizer's object id.
        link: what is known of the meeting.
        tenant_id: gives the organizer's tenant, once it is known: the first token says it.
        as_person: whether Graph is asked on the organizer's behalf.

    Raises:
        MeetingNotFound: if Graph knows it by none of these.
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
    user_id: str, link: TeamsLink, tenant_id: Callable[[], str | None], *, as_person: bool
) -> list[Call]:
    """Give the calls that may find a meeting, the likeliest first."""
    tenant = link.tenant_id or (None if link.is_short else tenant_id())
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
    # Teams stores no short link without what follows the number: then the number is all there is.
    number_alone = link.is_short and link.passcode is None
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
    """Name a meeting in the cache: the same for each of its links.

    What a person found is for nobody else, and not for the app either.
    """
    asked_as = "app" if request.on_behalf_of is None else "person"
    return ("meeting", asked_as, user_id, *(request.link.meeting if request.link else ()))


def _of_another_tenant(error: errors.ServiceError) -> errors.ServiceError:
    """Tell why a meeting of somebody else's cannot be found here."""
    return type(error)(
        f"{error.detail} Its Teams link was made in another organization's tenant than this app's.",
        fix="This app asks for meetings of its own tenant. Who organizes a meeting in another one "
        "has to get its join link there.",
        graph_request_id=error.graph_request_id,
    )


def validate_meeting_id(meeting_id: str) -> None:
    """Spare Graph a call for what plainly is something else.

    Raises:
        MeetingIdMalformed: saying what it is.
    """
    if instead := classify_non_meeting_id(meeting_id):
        raise errors.MeetingIdMalformed(
            f"The onlineMeetingId is {instead}, not an online meeting's id.",
            fix=remediation.MEETING_ID,
            field_errors=[FieldError("/onlineMeetingId", f"This is {instead}.")],
        )
