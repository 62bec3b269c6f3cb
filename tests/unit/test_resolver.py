"""Resolving a request to its join link, with as few calls to Graph as possible."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import quote, unquote

import pytest

from shared.core import errors
from shared.core.deadline import Deadline, RequestStats
from shared.meetings import resolver
from shared.meetings.models import JoinRequest
from shared.meetings.resolver import REMEMBER_AT_MOST, REMEMBER_SECONDS, Cache, Resolver
from shared.meetings.teams_links import TeamsLink, derive_meeting_id, parse_teams_link
from tests.unit.fake_graph import LINK, FakeGraph
from tests.unit.fake_identity import Clock
from tests.unit.scripted_server import answer

USER = "3abcdef0-0000-4000-8000-000000000003"
OTHER = "40000000-0000-4000-8000-000000000004"
UPN = "anna@clinic.example"
NUMBER = "2345678901234"
SHORT = f"https://teams.microsoft.com/meet/{NUMBER}?p=AbC"
THREAD = "19:meeting_x@thread.v2"
TENANT = "10000000-0000-4000-8000-000000000001"
LONG = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0"
    f"?context=%7b%22Tid%22%3a%22{TENANT}%22%2c%22Oid%22%3a%22{USER}%22%7d"
)
DECODED = unquote(LONG)
DERIVED = derive_meeting_id(organizer_id=USER, thread_id=THREAD)
BY_ID = JoinRequest(request_id="r", user_id=USER, online_meeting_id="M1")
BY_SHORT_LINK = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(SHORT))
BY_LONG_LINK = JoinRequest(request_id="r", link=parse_teams_link(LONG))
BY_NUMBER = JoinRequest(request_id="r", user_id=USER, link=TeamsLink(join_meeting_id=NUMBER))
BY_UPN_AND_LINK = JoinRequest(request_id="r", user_id=UPN, link=parse_teams_link(SHORT))


GONE = answer(
    404, b'{"error":{"code":"NotFound","message":"3004: Specified meeting is not found"}}'
)
NO_SUCH_USER = answer(404, b'{"error":{"code":"UnknownError","message":""}}')
MALFORMED = answer(400, b'{"error":{"code":"BadRequest","message":"Meeting Id is corrupted."}}')
NO_POLICY = answer(403, b'{"error":{"code":"Forbidden","message":"No application access policy"}}')
BUSY = answer(429, headers={"Retry-After": "60"})


@pytest.fixture
def graph() -> Iterator[FakeGraph]:
    """A Graph with one user and one meeting, found by each of its references."""
    with FakeGraph(
        users={UPN: USER},
        meetings={SHORT: "M1", LONG: "M1", NUMBER: "M1"},
        links={"M1": LINK},
    ) as graph:
        yield graph


@pytest.fixture
def clock() -> Clock:
    """The cache's clock."""
    return Clock()


@pytest.fixture
def plain(graph: FakeGraph, clock: Clock) -> Resolver:
    """A resolver as it is by default."""
    return Resolver(graph=graph.client(), cache=Cache(clock=clock))


@pytest.fixture
def deriving(graph: FakeGraph, clock: Clock) -> Resolver:
    """A resolver with DERIVE_MEETING_ID=true."""
    return Resolver(graph=graph.client(), cache=Cache(clock=clock), derive_meeting_id=True)


def calls_for(resolver: Resolver, request: JoinRequest) -> int:
    """Resolve, and count the calls to Graph."""
    stats = RequestStats()
    assert (
        resolver.resolve(
            request, deadline=Deadline(seconds=10), stats=stats
        ).virtual_appointment_join_web_url
        == LINK
    )
    return stats.graph_calls


@pytest.mark.parametrize(
    ("request_", "first"),
    [(BY_ID, 1), (BY_SHORT_LINK, 2), (BY_LONG_LINK, 2), (BY_NUMBER, 2), (BY_UPN_AND_LINK, 3)],
)
def test_each_kind_of_request_takes_so_many_calls_and_one_when_all_is_cached(
    plain: Resolver, request_: JoinRequest, first: int
) -> None:
    """One with both ids, two with a Teams link or a number, three with a sign-in name as well."""
    assert calls_for(plain, request_) == first
    assert calls_for(plain, request_) == 1


def test_a_user_principal_name_with_a_meeting_id_takes_two_calls(plain: Resolver) -> None:
    """And one if the user is cached, in any case of the name."""
    request = JoinRequest(request_id="r", user_id=UPN, online_meeting_id="M1")
    shouted = JoinRequest(request_id="r", user_id=UPN.upper(), online_meeting_id="M1")
    assert calls_for(plain, request) == 2
    assert calls_for(plain, shouted) == 1


def test_the_result_names_the_organizer_and_the_meeting_that_were_found(plain: Resolver) -> None:
    """By their ids in Graph."""
    answer = plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert (answer.user_id, answer.online_meeting_id) == (USER, "M1")


def test_an_object_id_in_capitals_is_the_same_organizer(plain: Resolver) -> None:
    """The cache knows it, and the result has it as Entra writes it."""
    shouted = replace(BY_NUMBER, user_id=USER.upper())
    assert calls_for(plain, BY_NUMBER) == 2
    assert calls_for(plain, shouted) == 1
    answer = plain.resolve(shouted, deadline=Deadline(seconds=10), stats=RequestStats())
    assert answer.user_id == USER


def test_a_join_link_is_never_cached(plain: Resolver, graph: FakeGraph) -> None:
    """So a new link is given out at once."""
    calls_for(plain, BY_SHORT_LINK)
    graph.links["M1"] = f"{LINK}&new"
    answer = plain.resolve(BY_SHORT_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert answer.virtual_appointment_join_web_url == f"{LINK}&new"


def test_the_organizer_of_a_long_link_is_taken_from_it(plain: Resolver, graph: FakeGraph) -> None:
    """Without a `userId`, and without a note in the event."""
    stats = RequestStats()
    plain.resolve(BY_LONG_LINK, deadline=Deadline(seconds=10), stats=stats)
    assert graph.calls == [("by url", USER, LONG), ("link", USER, "M1")]
    assert stats.notes == []


def test_a_given_organizer_wins_over_the_links(plain: Resolver, graph: FakeGraph) -> None:
    """The event notes the difference."""
    request = JoinRequest(request_id="r", user_id=OTHER, link=parse_teams_link(LONG))
    stats = RequestStats()
    assert plain.resolve(request, deadline=Deadline(seconds=10), stats=stats).user_id == OTHER
    assert graph.calls == [("by url", OTHER, LONG), ("link", OTHER, "M1")]
    assert stats.notes == ["organizer_differs_from_link"]


@pytest.mark.parametrize("given", [USER.upper(), UPN])
def test_the_same_organizer_written_otherwise_does_not_differ(plain: Resolver, given: str) -> None:
    """In upper case, or as a user principal name."""
    stats = RequestStats()
    plain.resolve(
        JoinRequest(request_id="r", user_id=given, link=parse_teams_link(LONG)),
        deadline=Deadline(seconds=10),
        stats=stats,
    )
    assert stats.notes == []


def test_a_short_link_that_finds_nothing_is_tried_by_its_number(
    plain: Resolver, graph: FakeGraph
) -> None:
    """The meeting is cached under the link."""
    del graph.meetings[SHORT]
    assert calls_for(plain, BY_SHORT_LINK) == 3
    assert graph.calls[:2] == [("by url", USER, SHORT), ("by number", USER, NUMBER)]
    assert calls_for(plain, BY_SHORT_LINK) == 1


def test_a_link_as_it_came_is_tried_after_the_form_in_which_teams_stores_links(
    plain: Resolver, graph: FakeGraph
) -> None:
    """It is not known how Graph compares links.

    This costs a call only if the first finds nothing.
    """
    request = JoinRequest(request_id="r", link=parse_teams_link(DECODED))
    assert calls_for(plain, request) == 2
    graph.meetings = {DECODED: "M1"}
    graph.calls.clear()
    other = JoinRequest(request_id="r", user_id=OTHER, link=parse_teams_link(DECODED))
    assert calls_for(plain, other) == 3
    assert graph.calls[:2] == [("by url", OTHER, LONG), ("by url", OTHER, DECODED)]


def test_a_found_meeting_is_cached_for_each_form_of_its_link(plain: Resolver) -> None:
    """They all lead to one meeting."""
    calls_for(plain, BY_LONG_LINK)
    again = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(DECODED))
    assert calls_for(plain, again) == 1


FORMS = {
    "long": (LONG, 1),
    "long, decoded": (DECODED, 2),
    "short": (SHORT, 2),
    "short, with more": (f"{SHORT}&anon=true", 3),
    "short, nothing after the number": (f"https://teams.microsoft.com/meet/{NUMBER}", 2),
    "a number in a text": ("Meeting ID: 234 567 890 123 4", 1),
    "both": (f"{LONG} {SHORT}", 3),
    "both, with more": (f"{DECODED} {SHORT}&anon=true", 3),
}


@pytest.mark.parametrize(("text", "most"), FORMS.values(), ids=FORMS)
def test_a_meeting_that_is_not_found_takes_so_many_lookups(
    plain: Resolver, graph: FakeGraph, text: str, most: int
) -> None:
    """One more for a long link, two more for a short one."""
    graph.meetings.clear()
    request = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(text))
    with pytest.raises(errors.MeetingNotFound):
        plain.resolve(request, deadline=Deadline(seconds=10), stats=RequestStats())
    assert len(graph.calls) == len(set(graph.calls)) == most


@pytest.mark.parametrize("text", [text for text, _ in FORMS.values() if "234" in text])
@pytest.mark.parametrize("stored", [LONG, SHORT, NUMBER])
def test_a_meeting_is_found_by_each_form_of_its_links(
    plain: Resolver, graph: FakeGraph, text: str, stored: str
) -> None:
    """The number is tried last."""
    graph.meetings = {stored: "M1", NUMBER: "M1"}
    request = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(text))
    assert calls_for(plain, request) <= 4


NO_IDS = ["\ud800", ".", "..", "", " ", "a b", "a\nb", "x" * 1025]


@pytest.mark.parametrize("found", NO_IDS)
def test_a_malformed_id_from_graph_is_unexpected(
    plain: Resolver, graph: FakeGraph, found: str
) -> None:
    """For a meeting and a user. It is not used or cached."""
    graph.meetings[NUMBER], graph.users[UPN] = found, found

    for _ in range(2):
        for request in (BY_NUMBER, JoinRequest(request_id="r", user_id=UPN, online_meeting_id="M")):
            with pytest.raises(errors.GraphUnexpected) as raised:
                plain.resolve(request, deadline=Deadline(seconds=10), stats=RequestStats())
            assert "id" in raised.value.detail

    assert {call[0] for call in graph.calls} == {"by number", "user"}
    assert len(graph.calls) == 4


@pytest.mark.parametrize(
    "text", [f"https://teams.microsoft.com/meet/{NUMBER}", "Meeting ID: 234 567 890 123 4"]
)
def test_a_number_alone_is_looked_up_as_one(plain: Resolver, graph: FakeGraph, text: str) -> None:
    """Teams stores no link without a passcode, so a lookup by link would find nothing."""
    request = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(text))
    assert calls_for(plain, request) == 2
    assert graph.calls[0] == ("by number", USER, NUMBER)


def test_only_not_found_leads_to_another_lookup(plain: Resolver, graph: FakeGraph) -> None:
    """Another error says more than the next lookup would."""
    graph.may_look_up = False
    request = JoinRequest(request_id="r", user_id=USER, link=parse_teams_link(f"{SHORT}&x=y"))
    with pytest.raises(errors.LookupNotPermitted):
        plain.resolve(request, deadline=Deadline(seconds=10), stats=RequestStats())
    assert len(graph.calls) == 1


def test_after_a_user_who_is_not_found_nothing_else_is_tried(
    plain: Resolver, graph: FakeGraph
) -> None:
    """No meeting is looked up, and nothing is cached."""
    graph.users.clear()
    for _ in range(2):
        with pytest.raises(errors.UserNotFound):
            plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert graph.calls == [("user", UPN), ("mail", UPN)] * 2


MAIL = "dr.anna@clinic.example"
BY_MAIL = JoinRequest(request_id="r", user_id=MAIL, link=parse_teams_link(SHORT))


def test_a_mail_address_is_one_call_more_than_a_sign_in_name(
    plain: Resolver, graph: FakeGraph
) -> None:
    """It is looked up if the name finds nobody, and cached for each case of its letters."""
    graph.mailboxes = {MAIL: [USER]}
    assert calls_for(plain, BY_MAIL) == 4
    assert graph.calls[:2] == [("user", MAIL), ("mail", MAIL)]
    assert calls_for(plain, replace(BY_MAIL, user_id=MAIL.upper())) == 1


def test_a_mail_address_of_two_users_is_ambiguous(plain: Resolver, graph: FakeGraph) -> None:
    """Nothing is cached."""
    graph.mailboxes = {MAIL: [USER, OTHER]}
    with pytest.raises(errors.UserAmbiguous) as raised:
        plain.resolve(BY_MAIL, deadline=Deadline(seconds=10), stats=RequestStats())
    assert "object id" in (raised.value.fix or "")
    graph.mailboxes = {MAIL: [USER]}
    assert calls_for(plain, BY_MAIL) == 4


def test_a_refused_lookup_by_mail_is_user_not_found(plain: Resolver, graph: FakeGraph) -> None:
    """It is not proven which permission it needs."""
    graph.may_look_up = False
    with pytest.raises(errors.UserNotFound) as raised:
        plain.resolve(BY_MAIL, deadline=Deadline(seconds=10), stats=RequestStats())
    assert "User.Read.All" in (raised.value.fix or "")


FOREIGN = JoinRequest(request_id="r", link=parse_teams_link(LONG.replace(TENANT, OTHER)))


@pytest.mark.parametrize("configured", [None, TENANT, TENANT.upper()])
def test_the_error_says_that_a_meeting_is_of_another_tenant(
    graph: FakeGraph, configured: str | None
) -> None:
    """By the tenant in the settings, else the one in the app's own token."""
    resolver = Resolver(graph=graph.client(), cache=Cache(), tenant_id=configured)
    stats = RequestStats()
    with pytest.raises(errors.MeetingNotFound) as raised:
        resolver.resolve(FOREIGN, deadline=Deadline(seconds=10), stats=stats)
    assert "another organization's tenant" in raised.value.detail
    assert OTHER not in f"{raised.value.detail} {raised.value.fix}"
    assert "tenant_differs_from_link" in stats.notes


def test_a_link_of_another_tenant_is_looked_up(graph: FakeGraph) -> None:
    """If Graph finds the meeting, the link is given."""
    graph.meetings[FOREIGN.link.url if FOREIGN.link else ""] = "M1"
    resolver = Resolver(graph=graph.client(), cache=Cache(), tenant_id=TENANT)
    assert calls_for(resolver, FOREIGN) == 2


@pytest.mark.parametrize("request_", [BY_LONG_LINK, BY_SHORT_LINK, BY_NUMBER, BY_ID])
def test_nothing_is_said_of_tenants_where_the_link_names_none_or_this_one(
    graph: FakeGraph, request_: JoinRequest
) -> None:
    """It would mislead people."""
    graph.meetings.clear()
    graph.links.clear()
    resolver = Resolver(graph=graph.client(), cache=Cache(), tenant_id=TENANT)
    with pytest.raises(errors.MeetingNotFound) as raised:
        resolver.resolve(request_, deadline=Deadline(seconds=10), stats=RequestStats())
    assert "tenant" not in raised.value.detail


def test_a_link_without_its_tenant_is_completed_with_the_apps_own(
    graph: FakeGraph,
) -> None:
    """It is known after the first response, and then the stored form can be written."""
    bare = f"{LONG.partition('?')[0]}?context=%7b%22Oid%22%3a%22{USER}%22%7d"
    request = JoinRequest(request_id="r", link=parse_teams_link(bare))
    cold = Resolver(graph=graph.client(), cache=Cache())
    assert calls_for(cold, request) == 3
    assert graph.calls[:2] == [("by url", USER, bare), ("by url", USER, LONG)]
    configured = Resolver(graph=graph.client(), cache=Cache(), tenant_id=TENANT)
    assert calls_for(configured, request) == 2


def test_an_empty_lookup_is_not_cached(plain: Resolver, graph: FakeGraph) -> None:
    """Graph does not find a new meeting at once."""
    number = graph.meetings.pop(NUMBER)
    with pytest.raises(errors.MeetingNotFound):
        plain.resolve(BY_NUMBER, deadline=Deadline(seconds=10), stats=RequestStats())
    graph.meetings[NUMBER] = number
    assert calls_for(plain, BY_NUMBER) == 2


@pytest.mark.parametrize(
    "meeting_id", ["AAMkADAwATM0MDAAMS0=", THREAD, SHORT, "234 567 890 123", quote(THREAD, safe="")]
)
@pytest.mark.parametrize("user", [USER, UPN])
def test_a_text_that_is_clearly_no_meeting_id_is_refused_without_a_call(
    plain: Resolver, graph: FakeGraph, user: str, meeting_id: str
) -> None:
    """The error says what it is."""
    request = JoinRequest(request_id="r", user_id=user, online_meeting_id=meeting_id)
    with pytest.raises(errors.MeetingIdMalformed) as raised:
        plain.resolve(request, deadline=Deadline(seconds=10), stats=RequestStats())
    assert graph.calls == []
    assert [field_error.pointer for field_error in raised.value.field_errors] == [
        "/onlineMeetingId"
    ]
    assert meeting_id not in f"{raised.value.detail} {raised.value.fix}"


def test_a_cached_meeting_that_is_gone_is_looked_up_again(
    plain: Resolver, graph: FakeGraph
) -> None:
    """In the same request, because the meeting may have been created again."""
    calls_for(plain, BY_SHORT_LINK)
    graph.links = {"M2": LINK}
    graph.meetings[SHORT] = "M2"
    assert calls_for(plain, BY_SHORT_LINK) == 3
    assert calls_for(plain, BY_SHORT_LINK) == 1


def test_a_meeting_that_is_gone_is_removed_from_the_cache_even_if_the_lookup_fails(
    plain: Resolver, graph: FakeGraph
) -> None:
    """The next request looks the meeting up first."""
    calls_for(plain, BY_SHORT_LINK)
    graph.links = {"M2": LINK}
    graph.lookup_failures = [answer(500)] * 4
    with pytest.raises(errors.GraphUnavailable):
        plain.resolve(BY_SHORT_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    graph.meetings[SHORT] = "M2"
    assert calls_for(plain, BY_SHORT_LINK) == 2


def test_ids_that_graph_no_longer_finds_are_removed_from_the_cache(
    plain: Resolver, graph: FakeGraph
) -> None:
    """The meeting and the user are looked up again."""
    calls_for(plain, BY_UPN_AND_LINK)
    graph.failures = [GONE, GONE]
    with pytest.raises(errors.MeetingNotFound):
        plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert calls_for(plain, BY_UPN_AND_LINK) == 3


def test_a_user_whom_graph_no_longer_finds_is_removed_from_the_cache(
    plain: Resolver, graph: FakeGraph
) -> None:
    """The name may belong to another account by then."""
    calls_for(plain, BY_UPN_AND_LINK)
    graph.failures = [NO_SUCH_USER]
    graph.users[UPN] = OTHER
    with pytest.raises(errors.UserNotFound):
        plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert (
        plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats()).user_id
        == OTHER
    )


@pytest.mark.parametrize(
    ("failure", "error"), [(BUSY, errors.GraphThrottled), (NO_POLICY, errors.AccessPolicyMissing)]
)
def test_found_ids_are_cached_even_if_graph_refuses_the_link(
    plain: Resolver, graph: FakeGraph, failure: bytes, error: type[errors.ServiceError]
) -> None:
    """The next try asks only for the link."""
    graph.failures = [failure]
    with pytest.raises(error):
        plain.resolve(BY_UPN_AND_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert calls_for(plain, BY_UPN_AND_LINK) == 1


def test_the_cache_is_separate_for_each_organizer(plain: Resolver) -> None:
    """The same link is looked up for each organizer."""
    calls_for(plain, BY_SHORT_LINK)
    other = JoinRequest(request_id="r", user_id=OTHER, link=parse_teams_link(SHORT))
    assert calls_for(plain, other) == 2


def test_an_id_is_cached_for_an_hour(plain: Resolver, clock: Clock) -> None:
    """Using it does not make it longer."""
    calls_for(plain, BY_UPN_AND_LINK)
    clock.now += REMEMBER_SECONDS - 1
    assert calls_for(plain, BY_UPN_AND_LINK) == 1
    clock.now += 1
    assert calls_for(plain, BY_UPN_AND_LINK) == 3
    assert REMEMBER_SECONDS == 3600


def test_the_cache_is_bounded() -> None:
    """The oldest id is removed first."""
    memory = Cache(clock=Clock())
    for number in range(REMEMBER_AT_MOST + 1):
        memory.set("user", str(number), value="x")
    assert memory.get("user", "0") is None
    assert memory.get("user", "1") == "x"
    assert memory.get("user", str(REMEMBER_AT_MOST)) == "x"
    assert resolver.REMEMBER_AT_MOST == 10_000


def test_many_threads_may_use_the_cache_at_once(plain: Resolver) -> None:
    """A cache with expiry changes while it is read."""
    with ThreadPoolExecutor(32) as threads:
        counts = list(threads.map(lambda _: calls_for(plain, BY_UPN_AND_LINK), range(500)))
    assert counts[-1] == 1


def test_a_meeting_id_is_derived_where_that_is_switched_on(
    deriving: Resolver, graph: FakeGraph
) -> None:
    """From a long link, without a lookup."""
    graph.links = {DERIVED: LINK}
    assert calls_for(deriving, BY_LONG_LINK) == 1
    assert graph.calls == [("link", USER, DERIVED)]


def test_a_meeting_id_is_not_derived_by_default(plain: Resolver, graph: FakeGraph) -> None:
    """The format is not documented."""
    calls_for(plain, BY_LONG_LINK)
    assert graph.calls[0] == ("by url", USER, LONG)


def test_a_short_link_has_nothing_to_derive_from(deriving: Resolver) -> None:
    """It is looked up."""
    assert calls_for(deriving, BY_SHORT_LINK) == 2


@pytest.mark.parametrize("failure", [GONE, MALFORMED])
def test_a_derived_id_that_is_wrong_is_followed_by_the_lookup(
    deriving: Resolver, graph: FakeGraph, failure: bytes
) -> None:
    """The next request uses the id that the lookup found."""
    graph.failures = [failure]
    assert calls_for(deriving, BY_LONG_LINK) == 3
    assert calls_for(deriving, BY_LONG_LINK) == 1
    assert [call[0] for call in graph.calls] == ["link", "by url", "link", "link"]
    assert graph.calls[-1] == ("link", USER, "M1")


def test_no_meeting_id_is_derived_for_a_meeting_in_a_channel(
    deriving: Resolver, graph: FakeGraph
) -> None:
    """Several meetings share its thread, so the id could be another meeting's."""
    url = LONG.replace("/0?", "/1690000000000?")
    graph.meetings = {url: "M1"}
    assert calls_for(deriving, JoinRequest(request_id="r", link=parse_teams_link(url))) == 2
    assert graph.calls[0] == ("by url", USER, url)


def test_a_derived_id_that_is_refused_is_not_followed_by_the_lookup(
    deriving: Resolver, graph: FakeGraph
) -> None:
    """Only not found and malformed show that the id may be wrong."""
    graph.failures = [NO_POLICY]
    with pytest.raises(errors.AccessPolicyMissing):
        deriving.resolve(BY_LONG_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
    assert len(graph.calls) == 1


def test_with_derived_ids_the_lookups_permission_is_not_needed(
    deriving: Resolver, graph: FakeGraph
) -> None:
    """Then the error is that the meeting is not found, not that a role is missing."""
    graph.failures = [GONE]
    graph.may_look_up = False
    with pytest.raises(errors.MeetingNotFound):
        deriving.resolve(BY_LONG_LINK, deadline=Deadline(seconds=10), stats=RequestStats())
