"""What a Teams link says by itself."""

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.meetings.teams_links import (
    NotATeamsLink,
    derive_meeting_id,
    parse_teams_link,
)

TENANT = "10000000-0000-4000-8000-000000000001"
ORGANIZER = "30000000-0000-4000-8000-000000000003"
THREAD = "19:meeting_NDg2OTY@thread.v2"
SHORT = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"
HOSTS = ["teams.microsoft.com", "teams.cloud.microsoft", "teams.live.com"]


def long_link(*, context: object = None, thread: str = quote(THREAD, safe="")) -> str:
    """Write a long Teams link."""
    context = {"Tid": TENANT, "Oid": ORGANIZER} if context is None else context
    query = quote(context if isinstance(context, str) else json.dumps(context), safe="")
    return f"https://teams.microsoft.com/l/meetup-join/{thread}/0?context={query}"


@pytest.mark.parametrize(
    "thread",
    [
        quote(THREAD, safe=""),
        quote(THREAD, safe="").lower(),
        THREAD,
        "19%3ameeting_NDg2OTY@thread.v2",
    ],
)
def test_a_long_link_names_the_organizer_and_the_thread(thread: str) -> None:
    """However its thread is encoded."""
    link = parse_teams_link(long_link(thread=thread))
    assert link.organizer_id == ORGANIZER
    assert (link.thread_id or "").lower() == THREAD.lower()
    assert not link.is_short


def test_a_channel_meeting_has_a_long_link_too() -> None:
    """Its thread is on another server, and a message follows."""
    thread = "19:abc@thread.tacv2"
    url = long_link(thread=quote(thread, safe="")).replace("/0?", "/1690000000000?")
    assert parse_teams_link(url).thread_id == thread


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("tail", ["", "/", "?p=AbC", "?p=a&x=y#z"])
def test_a_short_link_names_the_join_meeting_id_only(host: str, tail: str) -> None:
    """On each host of the global cloud."""
    link = parse_teams_link(f"https://{host}/meet/2345678901234{tail}")
    assert link.is_short
    assert link.join_meeting_id == "2345678901234"
    assert link.organizer_id is None
    assert link.thread_id is None


@pytest.mark.parametrize("url", [SHORT, long_link(), long_link(thread="19%3ameeting'x+y%20z")])
def test_a_link_is_kept_exactly_as_it_came(url: str) -> None:
    """Graph finds a meeting by the exact stored link only."""
    assert parse_teams_link(url).url == url


@pytest.mark.parametrize(
    "context",
    ["", "not json", "[]", "1", '"text"', "{}", '{"Oid":1}', '{"Oid":"anna"}', "[" * 900, "null"],
)
def test_a_long_link_with_a_broken_context_has_no_organizer(context: str) -> None:
    """It is a Teams link all the same: somebody else may name the organizer."""
    assert parse_teams_link(long_link(context=context)).organizer_id is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://teams.microsoft.com/meet/2345678901234", "https"),
        ("teams.microsoft.com/meet/2345678901234", "https"),
        ("javascript:alert(1)", "https"),
        ("https://", "host"),
        ("https://[", "web address"),
        ("https://teams.microsoft.com:99999/meet/2345678901234", "web address"),
        ("https://teams.microsoft.com:8443/meet/2345678901234", "port"),
        ("https://a@teams.microsoft.com/meet/2345678901234", "user name"),
        ("https://teams.microsoft.com@evil.example/meet/2345678901234", "user name"),
        ("https://evil.example/meet/2345678901234", "host"),
        ("https://teams.microsoft.com.evil.example/meet/2345678901234", "host"),
        ("https://xteams.microsoft.com/meet/2345678901234", "host"),
        ("https://gov.teams.microsoft.us/meet/2345678901234", "global cloud"),
        ("https://teams.microsoftonline.cn/meet/2345678901234", "global cloud"),
        ("https://nam02.safelinks.protection.outlook.com/?url=x", "mail security"),
        ("https://visit.teams.microsoft.com/webrtc-svc/api/route", "already"),
        ("https://teams.microsoft.com/", "not a meeting"),
        ("https://teams.microsoft.com/meet/", "not a meeting"),
        ("https://teams.microsoft.com/meet/12", "not a meeting"),
        ("https://teams.microsoft.com/meet/abcdefghijk", "not a meeting"),
        ("https://teams.microsoft.com/l/channel/19%3aabc/General", "not a meeting"),
        ("https://teams.microsoft.com/l/meetup-join/", "not a meeting"),
    ],
)
def test_what_is_no_meetings_link_is_refused_with_the_reason(url: str, why: str) -> None:
    """In words that a person can act on."""
    with pytest.raises(NotATeamsLink, match=why):
        parse_teams_link(url)


@given(st.one_of(st.text(), st.text().map(lambda text: f"https://teams.microsoft.com/{text}")))
def test_any_text_is_a_teams_link_or_is_refused(text: str) -> None:
    """No other exception, and what is one is kept as it came."""
    try:
        link = parse_teams_link(text)
    except NotATeamsLink:
        return
    assert link.url == text


@pytest.mark.parametrize(
    "form", ["https://evil.example/{}", "https://teams.microsoft.com/{}", "{}"]
)
def test_a_refusal_quotes_nothing_of_the_link(form: str) -> None:
    """It ends in an answer and in a log."""
    with pytest.raises(NotATeamsLink) as raised:
        parse_teams_link(form.format("canary"))
    assert "canary" not in str(raised.value)


def test_a_link_is_not_shown() -> None:
    """A Teams link opens a meeting."""
    assert "2345678901234" not in repr(parse_teams_link(SHORT))
    assert "meeting_" not in repr(parse_teams_link(long_link()))


def test_a_meeting_id_is_worked_out_of_organizer_and_thread() -> None:
    """The widely used form: base64 of 1*{organizer}*0**{thread}."""
    meeting_id = derive_meeting_id(organizer_id=ORGANIZER, thread_id=THREAD)
    assert base64.b64decode(meeting_id).decode() == f"1*{ORGANIZER}*0**{THREAD}"
