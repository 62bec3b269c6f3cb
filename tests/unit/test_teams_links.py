"""Reading Teams links in pasted text."""

import base64
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.meetings import teams_links
from shared.meetings.teams_links import (
    MAX_LENGTH,
    MAX_LINK_LENGTH,
    Cause,
    NotATeamsLink,
    TeamsLink,
    derive_meeting_id,
    parse_join_meeting_id,
    parse_teams_link,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "teams_links.json").read_text("utf-8"))
THREAD, ORGANIZER, TENANT = VECTORS["thread"], VECTORS["organizer"], VECTORS["tenant"]
NUMBER, PASSCODE = VECTORS["number"], VECTORS["passcode"]
LONG, SHORT = VECTORS["long"], VECTORS["short"]
OTHER = "40000000-0000-4000-8000-000000000004"
CHANNEL = "19:0ecebe659e1f4bb68fdf80e469a032e8@thread.tacv2"
READ = {
    "long": TeamsLink(thread_id=THREAD, message_id="0", organizer_id=ORGANIZER, tenant_id=TENANT),
    "short": TeamsLink(join_meeting_id=NUMBER, passcode=PASSCODE),
    "number": TeamsLink(join_meeting_id=NUMBER),
    "both": TeamsLink(
        thread_id=THREAD,
        message_id="0",
        organizer_id=ORGANIZER,
        tenant_id=TENANT,
        join_meeting_id=NUMBER,
        passcode=PASSCODE,
    ),
}
TO_ASK = {"long": [LONG], "short": [SHORT], "number": [], "both": [SHORT, LONG]}


def texts(*, readable: bool) -> list[object]:
    """Give the texts that lead to the meeting, or those that lead to none."""
    return [
        pytest.param(each["text"], each["reads"], id=f"{each['reads']}: {each['name']}")
        for each in VECTORS["texts"]
        if (each["reads"] in READ) is readable
    ]


def cause_of(text: str) -> Cause:
    """Read a text without a meeting, and give the reason."""
    with pytest.raises(NotATeamsLink) as raised:
        parse_teams_link(text)
    return raised.value.cause


@pytest.mark.parametrize(("text", "reads"), texts(readable=True))
def test_a_meeting_is_read_from_each_form_of_pasted_link(text: str, reads: str) -> None:
    """Spelled, decoded, rewritten and surrounded in many ways, it is the same meeting."""
    link, expected = parse_teams_link(text), READ[reads]
    # A recap names no message: there is none outside of channels.
    assert replace(link, message_id=expected.message_id) == expected
    assert link.meeting == expected.meeting


@pytest.mark.parametrize(("text", "reads"), texts(readable=True))
def test_graph_is_asked_for_the_link_as_teams_writes_it(text: str, reads: str) -> None:
    """That form comes first for each pasted text. The link as it came is at most the second."""
    to_ask = parse_teams_link(text).lookups(organizer_id=OTHER, tenant_id=None)
    expected = TO_ASK[reads]
    assert to_ask[: len(expected)] == expected
    assert len(to_ask) <= 2


@pytest.mark.parametrize(("text", "reads"), texts(readable=True))
def test_only_the_link_is_kept_and_it_reads_the_same(text: str, reads: str) -> None:
    """Nothing else of the text is kept."""
    link = parse_teams_link(text)
    assert (
        link.url.split()
        == {
            "long": [LONG],
            "short": [SHORT],
            "number": [f"https://teams.microsoft.com/meet/{NUMBER}"],
            "both": [LONG, SHORT],
        }[reads]
    )
    assert parse_teams_link(link.url).url == link.url
    assert parse_teams_link(link.url).meeting == link.meeting


@pytest.mark.parametrize(("text", "reads"), texts(readable=False))
def test_a_text_without_a_meeting_is_refused_with_the_cause(text: str, reads: str) -> None:
    """A person can act on the cause."""
    assert cause_of(text) is Cause[reads]


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (Cause.PERSONAL, "Personal accounts have no virtual appointments"),
        (Cause.EVENT, "registration page"),
        (Cause.US_GOVERNMENT, "global cloud only"),
        (Cause.CHINA, "global cloud only"),
        (Cause.JOIN_LINK, "already is"),
        (Cause.OTHER_PRODUCT, "another product"),
        (Cause.NOT_A_MEETING, "not a meeting"),
        (Cause.NO_TEAMS_LINK, "mail security"),
        (Cause.NO_LINK, "no link"),
        (Cause.SEVERAL_MEETINGS, "several meetings"),
        (Cause.TOO_LONG, "8,192"),
    ],
)
def test_each_cause_has_its_own_text(cause: Cause, says: str) -> None:
    """A person can act on it."""
    assert says in str(NotATeamsLink(cause))
    assert sum(says in other.value for other in Cause) <= 2


def test_of_several_causes_the_most_useful_is_reported() -> None:
    """A link to a help page explains nothing."""
    assert cause_of("https://aka.ms/Help https://teams.live.com/meet/2345678901234") is (
        Cause.PERSONAL
    )
    assert cause_of(f"https://aka.ms/Help https://gov.teams.microsoft.us/meet/{NUMBER}") is (
        Cause.US_GOVERNMENT
    )


def test_a_meeting_in_a_channel_is_identified_by_its_message() -> None:
    """All meetings of a channel share its thread."""
    one, other = (
        LONG.replace(
            "19%3ameeting_NDg2OTYxMzctYWFhYS00YmJi%40thread.v2", "19%3ax%40thread.tacv2"
        ).replace("/0?", f"/{message}?")
        for message in ("1690000000000", "1690000000001")
    )
    link = parse_teams_link(one)
    assert (link.thread_id, link.message_id) == ("19:x@thread.tacv2", "1690000000000")
    assert link.url == one
    assert link.in_channel
    assert not READ["long"].in_channel
    assert link.meeting != parse_teams_link(other).meeting
    assert cause_of(f"{one} {other}") is Cause.SEVERAL_MEETINGS


@pytest.mark.parametrize(
    "context",
    ["", "not json", "[]", "1", '"text"', "{}", '{"Oid":1}', '{"Oid":"anna"}', "[" * 900, "null"],
)
def test_a_long_link_with_a_broken_context_has_no_organizer(context: str) -> None:
    """It is still a Teams link. The request may name the organizer."""
    link = parse_teams_link(f"{LONG.partition('?')[0]}?context={context}")
    assert (link.thread_id, link.organizer_id, link.tenant_id) == (THREAD, None, None)
    assert not link.has_only_number


def test_the_page_before_a_meeting_names_the_thread_alone() -> None:
    """The web client's address there has no organizer."""
    link = parse_teams_link(f"https://teams.microsoft.com/_#/pre-join-calling/{THREAD}")
    assert (link.thread_id, link.message_id, link.organizer_id) == (THREAD, "0", None)


def test_missing_parts_of_a_long_link_are_filled_in() -> None:
    """From the given organizer and the app's own tenant."""
    start = LONG.partition("?")[0]
    tenant_alone = f"{start}?context=%7b%22Tid%22%3a%22{TENANT}%22%7d"
    link = parse_teams_link(tenant_alone)
    assert link.url == tenant_alone
    assert link.lookups(organizer_id=ORGANIZER, tenant_id=OTHER) == [LONG, tenant_alone]
    bare = parse_teams_link(start)
    assert bare.lookups(organizer_id=ORGANIZER, tenant_id=TENANT) == [LONG, start]
    assert bare.lookups(organizer_id=ORGANIZER, tenant_id=None) == [start]


@pytest.mark.parametrize(
    "given",
    [
        LONG.replace("microsoft.com", "cloud.microsoft").replace("teams.teams", "teams"),
        LONG.replace("%3a", "%3A"),
        LONG + "&anon=true",
        SHORT + "&anon=true",
        f"https://teams.microsoft.com/l/meetup-join/{THREAD}/0",
    ],
)
def test_the_link_as_it_came_is_asked_for_after_the_stored_form(given: str) -> None:
    """Graph may have stored it in that form."""
    to_ask = parse_teams_link(f"<{given}>").lookups(organizer_id=ORGANIZER, tenant_id=TENANT)
    assert to_ask == [SHORT if "/meet/" in given else LONG, given]


def test_a_link_that_looks_stored_is_asked_for_as_it_came() -> None:
    """Even with a context that this app would not write."""
    given = LONG.replace("%7d", "%2c%22role%22%3a%22a%22%7d")
    to_ask = parse_teams_link(given).lookups(organizer_id=ORGANIZER, tenant_id=TENANT)
    assert to_ask == [given, LONG]


def test_an_apostrophe_is_a_part_of_a_link_unless_the_link_began_with_one() -> None:
    """HTML and programs' lists put links between apostrophes."""
    odd = LONG.replace("_NDg2", "_O'Brien")
    link = parse_teams_link(f"{odd}&x='y'.")
    assert (link.thread_id or "").startswith("19:meeting_O'Brien")
    assert link.given == (f"{odd}&x='y",)
    assert parse_teams_link(f"['{LONG}','{LONG}']") == READ["long"]


@pytest.mark.parametrize(
    "given",
    [
        LONG.replace(".com/l/", ".com/_#/l/"),
        LONG.replace("https:", "http:"),
        LONG + "&x=" + "x" * MAX_LINK_LENGTH,
        LONG + "&x=...",
    ],
)
def test_a_link_that_graph_cannot_have_stored_is_not_asked_for(given: str) -> None:
    """That call would find nothing."""
    assert parse_teams_link(given).lookups(organizer_id=ORGANIZER, tenant_id=TENANT) == [LONG]


def test_links_of_two_meetings_are_refused() -> None:
    """The app cannot know which one is meant."""
    assert cause_of(f"{LONG} {LONG.replace('NDg2', 'AAAA')}") is Cause.SEVERAL_MEETINGS
    assert cause_of(f"{SHORT} {SHORT.replace('234567', '987654')}") is Cause.SEVERAL_MEETINGS


def test_what_white_space_separates_is_joined_only_if_that_completes_the_link() -> None:
    """It may as well be the end of the link, and then what follows is not its part."""
    number = SHORT.partition("?")[0]
    other = f"{number}\n567?p=abc"
    assert parse_teams_link(f"{SHORT}\nx") == READ["short"]
    assert parse_teams_link(f"{number}\n567 people") == READ["number"]
    assert parse_teams_link(f"{number} 567 people") == READ["number"]
    assert parse_teams_link(SHORT.replace("567", "567 ")) == READ["number"]
    assert parse_teams_link(LONG.replace("NDg2", "NDg2 ")) == READ["long"]
    assert parse_teams_link(other) == TeamsLink(join_meeting_id=f"{NUMBER}567")
    start, context = LONG.split("?")
    assert parse_teams_link(f"{start}\n?{context}") == READ["long"]
    without_organizer = parse_teams_link(f"{start}\nSee you on Monday")
    assert (without_organizer.thread_id, without_organizer.organizer_id) == (THREAD, None)


def test_a_text_is_read_up_to_its_limit() -> None:
    """A longer one is refused."""
    assert parse_teams_link(LONG.rjust(MAX_LENGTH)) == READ["long"]
    assert cause_of(LONG.rjust(MAX_LENGTH + 1)) is Cause.TOO_LONG
    assert MAX_LENGTH == 8192


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1, max_size=200))
def test_the_longest_names_make_no_link_that_is_too_long(name: str) -> None:
    """Even if each character of a thread has to be escaped."""
    link = TeamsLink(
        thread_id=f"19:{name:=^200}@thread.v2",
        message_id="1" * 20,
        organizer_id=ORGANIZER,
        tenant_id=TENANT,
        join_meeting_id="1" * 20,
        passcode="x" * 2000,
    )
    assert len(link.url) <= MAX_LINK_LENGTH
    assert link.url.startswith("https://teams.microsoft.com/l/meetup-join/19%3a")
    assert len(replace(link, thread_id=None).url) <= MAX_LINK_LENGTH


def test_a_passcode_is_read_completely_or_not_at_all() -> None:
    """A part of it would be wrong."""
    start = SHORT.partition("?")[0]
    assert parse_teams_link(f"{start}?p={'x' * 1999}").url == f"{start}?p={'x' * 1999}"
    assert parse_teams_link(f"{start}?p={'x' * 2500}").url == start


PIECES = st.sampled_from(
    [
        *(
            "https://",
            "http:",
            "msteams:",
            "//",
            "/",
            "?",
            "#",
            "&amp;",
            "&",
            ";",
            "=",
            "%25",
            "%2F",
        ),
        *(
            "teams.microsoft.com",
            "teams.live.com",
            "evil.example",
            "@",
            ":443",
            "\\",
            "{",
            "}",
            '"',
        ),
        *("/l/meetup-join/", "/meet/", "/dl/launcher/", "/_#", "url=", "coords=", "context=", "p="),
        *(
            "https://a.safelinks.protection.outlook.com/?url=",
            "https://urldefense.com/v3/__",
            "__;",
        ),
        *(
            "https://www.google.com/url?q=",
            "*",
            "**A",
            "!",
            THREAD,
            ORGANIZER,
            NUMBER,
            "Oid",
            "Tid",
        ),
        *("&#58;", "&lt;", " ", "\n", "\u200b", "Meeting ID:", "JTdC", LONG, SHORT),
    ]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception is raised, and only Teams links of the same meeting are made."""
    try:
        link = parse_teams_link(text)
    except NotATeamsLink:
        return
    assert parse_teams_link(link.url).meeting == link.meeting
    assert len(link.url) <= MAX_LINK_LENGTH
    for url in [*link.url.split(), *link.lookups(organizer_id=OTHER, tenant_id=OTHER)]:
        assert url.lower().startswith(
            ("https://teams.microsoft.com", "https://teams.cloud.microsoft")
        )


@pytest.mark.parametrize(
    "form",
    [
        "https://evil.example/{}",
        "https://teams.microsoft.com/{}",
        "https://teams.live.com/{}",
        "https://a.safelinks.protection.outlook.com/?url={}",
        "{}",
    ],
)
def test_a_refusal_quotes_nothing_of_the_link(form: str) -> None:
    """It reaches a response and the log."""
    with pytest.raises(NotATeamsLink) as raised:
        parse_teams_link(form.format("canary"))
    assert "canary" not in str(raised.value)


def test_a_link_is_not_shown() -> None:
    """A Teams link opens a meeting."""
    for text in (LONG, SHORT):
        shown = repr(parse_teams_link(text))
        assert not any(part in shown for part in (THREAD, NUMBER, PASSCODE, "teams.microsoft"))


HARMLESS = "We look forward to seeing you on Monday at ten in room three. "
HOSTILE = [
    *("https://", "https://{", "https://a ", "http", "//", "https%25253a%25252f", "msteams:/x "),
    *("&amp;", "&amp;amp;amp;", "&lt;", "&#x", "&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\\u0026"),
    *(
        "https://x/{aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "https://zoom.us/ ",
        ": 1 2 3 ",
        ":    ",
        "meeting: ",
    ),
    *("https://teams.microsoft.com/ ", " teams.microsoft.com/", "teams.", f"{LONG} ", f"{SHORT} "),
    *(
        "https://teams.microsoft.com/meet/123456 ",
        "https://a.safelinks.protection.outlook.com/?url=",
    ),
    *("é", "\u200b", "123456789#", ": 123456789012345678901", "\\", "\\\n", "\n", "\r\n ", "> "),
    *("\\n", "\\\\n", "\\r\\n> "),
    *(
        "=3D",
        '=3D"',
        "=\r\n",
        "DESCRIPTION:\n",
        "BEGIN:V\n ",
        "\nhttps://teams.microsoft.com/meet/1",
    ),
]
HOSTILE_AFTER_A_START = [
    (start, piece)
    for start, pieces in {
        "https://": ("a.", "a"),
        "https://teams.microsoft.com/": ("%25", "%41", "%ff", "%25252525", "/", "#/", "&url=?"),
        "https://teams.microsoft.com/l/meetup-join/": ("19:a", "19:a@thread.", "/"),
        f"https://teams.microsoft.com/l/meetup-join/{THREAD}/0?context=": (
            "Oid:",
            "Oid++",
            "{}",
            "{",
        ),
        f"https://teams.microsoft.com/meet/{NUMBER}?p=": ("-", "?p="),
        "https://teams.microsoft.com/l/meetingrecap?": ("threadId=", "threadId=19:", "threadId++"),
        "https://teams.microsoft.com/light-meetings/launch?": ("coords=", "&coords", "&"),
        "https://teams.microsoft.com/light-meetings/launch?coords=": ("JSUl", "b3Jn"),
        "https://teams.microsoft.com/dl/launcher/?": ("&url=?", "url=#/"),
        "https://a.safelinks.protection.outlook.com/": ("?url", "?url=%2568"),
        "https://urldefense.com/v3/__": ("*", "**_", "__;", "__;a"),
        "https://urldefense.proofpoint.com/v2/url?u=": ("-25", "-"),
        "https://protect.checkpoint.com/v2/": ("___", "_", "a"),
        "https://secure-web.cisco.com/": ("/", "%2F", "a"),
        "https://a.protection.sophos.com/": ("?u=", "?u=JSUl"),
        "\\n": ("\\\\", "\\_"),
    }.items()
    for piece in pieces
]


def cost(text: str) -> float:
    """Measure the least processor time of several readings, in seconds."""
    times = []
    for _ in range(4):
        started = time.process_time()
        with suppress(NotATeamsLink):
            parse_teams_link(text)
        times.append(time.process_time() - started)
    return min(times)


def filled(start: str, piece: str, length: int = 64 * 1024) -> str:
    """Repeat a piece until a text is as long as this."""
    return (start + piece * (length // len(piece) + 1))[:length]


@pytest.mark.parametrize(
    ("start", "piece"), [*(("", piece) for piece in HOSTILE), *HOSTILE_AFTER_A_START]
)
def test_a_hostile_text_costs_little_more_than_a_harmless_one(
    monkeypatch: pytest.MonkeyPatch, start: str, piece: str
) -> None:
    """Ten times at most, even if the limit on the length were gone: time grows with the length."""
    monkeypatch.setattr(teams_links, "MAX_LENGTH", 64 * 1024)
    hostile, harmless = filled(start, piece), filled("", HARMLESS)
    assert cost(hostile) <= 10 * cost(harmless)


@pytest.mark.parametrize(
    "text",
    [
        "234 567 890 123 4",
        "2345678901234",
        "234\u00a0567\u202f890\t123\r\n4",
        "  234 567 890 123 4\n",
        "234\u200b567 890 123 4",
        "Meeting ID: 234 567 890 123 4",
        "Meeting ID 234 567 890 123 4",
        "Meeting ID:\u00a0234 567 890 123 4",
        "Besprechungs-ID: 234 567 890 123 4",
        "会議 ID\uff1a234 567 890 123 4",
        "ID: 2345678901234",
        "Meeting ID: 234 567 890 123 4\r\nPasscode: x1Y2z3",
        "Meeting ID: 234 567 890 123 4 Passcode: 123456",
        "Phone conference ID: 112 233 445#\nMeeting ID: 234 567 890 123 4",
        "Meeting&nbsp;ID: 234&nbsp;567&nbsp;890&nbsp;123&nbsp;4",
        "\u2066234 567 890 123 4\u2069",
        '"2345678901234"',
        "'2345678901234",
        "2345678901234.",
    ],
)
def test_a_join_meeting_id_is_read_as_invitations_print_it(text: str) -> None:
    """With any white space between its digits, with its label, and with the passcode after it."""
    assert parse_join_meeting_id(text) == NUMBER


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "12345", "1" * 21, "12a456", "123-456-789", "١٢٣٤٥٦٧", "+4969123456"),
        *("Phone conference ID: 112 233 445#", "Conference ID: 112233445", "112 233 445#"),
        *(
            "Passcode: 123456",
            "Meeting ID:",
            "Video ID: 1198765432",
            "Order 2345678901234",
            "2345678901234.0",
            "canary",
        ),
    ],
)
def test_other_numbers_are_not_join_meeting_ids(text: str) -> None:
    """Each invitation has phone numbers beside it."""
    assert parse_join_meeting_id(text) is None


def test_a_meeting_id_is_computed_from_organizer_and_thread() -> None:
    """By the widely used form: base64 of 1*{organizer}*0**{thread}."""
    meeting_id = derive_meeting_id(organizer_id=ORGANIZER, thread_id=THREAD)
    assert base64.b64decode(meeting_id).decode() == f"1*{ORGANIZER}*0**{THREAD}"


def test_a_text_with_two_links_has_another_key_than_one_of_them() -> None:
    """The short link may be of the new meeting, and the long one of the old invitation's."""
    thread = "19%3ameeting_NDg2OTY%40thread.v2"
    organizer = "30000000-0000-4000-8000-000000000003"
    context = f"%7b%22Tid%22%3a%22{organizer}%22%2c%22Oid%22%3a%22{organizer}%22%7d"
    long = f"https://teams.microsoft.com/l/meetup-join/{thread}/0?context={context}"
    short = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"

    both = parse_teams_link(f"{short} {long}")

    assert len({both.meeting, parse_teams_link(long).meeting, parse_teams_link(short).meeting}) == 3
