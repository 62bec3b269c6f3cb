"""The forms of the identifiers that callers and Microsoft use."""

import base64
from urllib.parse import quote

import pytest

from shared.core import identifiers

GUID = "8ba7a6a4-0d4c-4f5e-9c1b-3f2a7c1d9e00"


@pytest.mark.parametrize("text", [GUID, GUID.upper()])
def test_a_guid_is_known_in_either_case(text: str) -> None:
    """Entra writes object ids in lower case, but people paste them in any case."""
    assert identifiers.is_guid(text)


@pytest.mark.parametrize(
    "text", ["", GUID[:-1], f"{{{GUID}}}", GUID.replace("-", ""), f"{GUID}\n", f" {GUID}", "g" * 36]
)
def test_other_texts_are_not_guids(text: str) -> None:
    """A GUID may become a path segment of a Graph call."""
    assert not identifiers.is_guid(text)


@pytest.mark.parametrize("text", ["a", "!~", "x" * 128, "NAME-0123456789abcdef"])
def test_a_request_id_is_visible_ascii(text: str) -> None:
    """From one character to 128."""
    assert identifiers.is_request_id(text)


@pytest.mark.parametrize("text", ["", " ", "a b", "é", "a\n", "x" * 129, "\x7f"])
def test_blanks_control_characters_and_long_texts_are_not_request_ids(text: str) -> None:
    """A request id reaches logs and headers."""
    assert not identifiers.is_request_id(text)


@pytest.mark.parametrize(
    "text", ["de", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "x-clinic", "i-klingon", "en-US-x-a"]
)
def test_a_language_tag_follows_bcp_47(text: str) -> None:
    """Language, script, region, variants, and the private ones."""
    assert identifiers.is_language_tag(text)


@pytest.mark.parametrize(
    "text", ["", "d", "de_DE", "de-", "-de", "de;q=0.5", "de, en", "x", "é", "en-" + "a" * 9]
)
def test_other_texts_are_not_language_tags(text: str) -> None:
    """Such as the lists and weights of Accept-Language."""
    assert not identifiers.is_language_tag(text)


def test_a_language_tag_has_a_sensible_length() -> None:
    """It becomes a header."""
    assert identifiers.is_language_tag("en" + "-abcd" * 12)
    assert not identifiers.is_language_tag("en" + "-abcd" * 13)


@pytest.mark.parametrize(
    "text", ["anna@clinic.example", "guest_x.com#EXT#@contoso.onmicrosoft.com", "jürgen@klinik.de"]
)
def test_a_user_principal_name_looks_like_an_e_mail_address(text: str) -> None:
    """Also for guests with #EXT#, and for names outside ASCII."""
    assert identifiers.is_user_principal_name(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "anna", "@clinic.example", "anna@", "a@b@c", "a/b@c", "a b@c", "a@b/c", "a@b?x"),
        *("a%2f@c", "mailto:a@c", "<a@c>", "a@c;", "a@c,b@c", '"a"@c', "i:0#.f|membership|a@c"),
    ],
)
def test_texts_that_would_change_a_path_are_not_user_principal_names(text: str) -> None:
    """Nor are texts without a name or domain, or with two."""
    assert not identifiers.is_user_principal_name(text)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a@b.example", ["a@b.example"]),
        ("mailto:a@b.example", ["a@b.example"]),
        ("SMTP:a@b.example", ["a@b.example"]),
        ("Dr Meyer <a@b.example>", ["a@b.example"]),
        ('"Meyer, Anna" <a@b.example>, c@d.example.', ["a@b.example", "c@d.example"]),
        ("a@b.example;c@d.example", ["a@b.example", "c@d.example"]),
        ("i:0#.f|membership|a@b.example", ["a@b.example"]),
        ("nobody", []),
        ("", []),
    ],
)
def test_addresses_are_found_in_what_stands_around_them(text: str, addresses: list[str]) -> None:
    """Calendars and mail programs write more than the address."""
    assert identifiers.find_addresses(text) == addresses


def test_a_traceparent_is_version_00_in_lower_case() -> None:
    """As W3C Trace Context writes it."""
    valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert identifiers.is_traceparent(valid)
    assert not identifiers.is_traceparent(valid.upper())
    assert not identifiers.is_traceparent(valid[1:])
    assert not identifiers.is_traceparent(valid + "-x")


@pytest.mark.parametrize(
    ("meeting_id", "what"),
    [
        ("AAMkADAwATM0MDAAMS0=", "calendar event"),
        ("AAkADAwATM0MDAAMS0=", "calendar event"),
        ("AQMkADAwATM0MDAAMS0=", "calendar event"),
        ("19:meeting_NDg2OTY@thread.v2", "chat thread"),
        ("19:abc@thread.tacv2", "chat thread"),
        ("19:a_b@unq.gbl.spaces", "chat thread"),
        ("19%3Ameeting_NDg2OTY%40thread.v2", "chat thread"),
        ("AAQkADAwATM0MDAAMS0=", "conversation"),
        (GUID, "GUID"),
        (f"{{{GUID.upper()}}}", "GUID"),
        ("teams.microsoft.com/meet/2345678901234?p=AbCdEf", "link"),
        ("https://teams.microsoft.com/meet/2345678901234?p=AbCdEf", "link"),
        ("HTTPS://teams.microsoft.com/x", "link"),
        ("234 567 890 123", "join meeting id"),
        ("2345678901234", "join meeting id"),
        ("234\u00a0567\u00a0890\u00a0123", "join meeting id"),
        ("msteams:/l/meetup-join/19%3ax%40thread.v2/0", "link"),
        ("040000008200E00074C5B7101A82E00800000000", "calendar event"),
        (base64.b64encode(b"0#19:meeting_NDg2OTY@thread.v2#0").decode(), "Teams-JS"),
        (base64.b64encode(b"0#19:meeting_NDg2OTYx@thread.v2#0").decode().rstrip("="), "Teams-JS"),
        (base64.b64encode(b"19:meeting_NDg2OTY@thread.v2").decode(), "chat thread"),
        (base64.b64encode(b"19%3ameeting_NDg2OTY%40thread.v2").decode(), "chat thread"),
        (base64.b64encode("19:meeting_NDg2OTY@thread.v2".encode("utf-16-le")).decode(), "thread"),
        (base64.urlsafe_b64encode(b"0#19:meeting_>>>???@thread.v2#0").decode(), "Teams-JS"),
        (quote(base64.b64encode(b"0#19:meeting_NDg2OTY@thread.v2#0"), safe=""), "Teams-JS"),
        ("0#19:meeting_NDg2OTY@thread.v2#0", "Teams' own library"),
        ("0#19%3ameeting_NDg2OTY%40thread.v2#0", "Teams' own library"),
    ],
)
def test_common_mistakes_for_a_meeting_id_are_named(meeting_id: str, what: str) -> None:
    """People often send these instead."""
    assert what in (identifiers.classify_non_meeting_id(meeting_id) or "")


@pytest.mark.parametrize(
    "meeting_id",
    [
        base64.b64encode(b"1*30000000-0000-4000-8000-000000000003*0**19:x@thread.v2").decode(),
        "MSo1N2Y5ZGFjYy03MWJmLTQ3NDMtYjQxMy01M2EdFGkdRWHJlQ",
        "anything",
        "1",
    ],
)
def test_a_possible_meeting_id_is_sent_to_graph(meeting_id: str) -> None:
    """The form of meeting ids is not documented."""
    assert identifiers.classify_non_meeting_id(meeting_id) is None
