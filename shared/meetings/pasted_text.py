"""Finds the links in pasted text: a link alone, a mail's text or source, HTML, Markdown, JSON, CSV.

The time for any text is proportional to its length: each character is read a fixed number of times,
and no pattern backtracks.
"""

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ENTITY_ROUNDS = 3
"""How often HTML entities are decoded: a program on the way may have escaped them again."""
_JSON_ESCAPE = re.compile(r"\\u00([0-7][0-9a-fA-F])")
_BACKSLASHES = re.compile(r"(?<!\\)\\++(?=[^\w\s\\]|_)")
"""Backslashes before a punctuation mark. JSON, Markdown, iCalendar and shells escape with them."""
_INVISIBLE = dict.fromkeys(
    map(
        ord,
        "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067"
        "\u2068\u2069\ufeff",
    )
)
"""Invisible characters that programs put into and around links and numbers."""
_QUOTED_PRINTABLE = re.compile(r"=3D\"|=\r?\n")
_ICALENDAR = re.compile(
    r"^(?:BEGIN:V[A-Z]|(?:DESCRIPTION|X-MICROSOFT-|X-ALT-DESC)[A-Z;:-])", re.MULTILINE
)
_ICALENDAR_FOLD = re.compile(r"\r?\n[ \t]")
_WHITE_SPACE = re.compile(r"(?:[\r\n]|(?<!\\)\\{1,3}[rn])+[ \t>]*|\s")
"""Also line breaks as JSON and iCalendar escape them."""

_COLON = r"(?::|%(?:25){0,3}3a)"
_SLASH = r"(?:/|%(?:25){0,3}2f)"
_BARE_HOST = (
    r"(?:(?:visit\.|events\.)?teams\.(?:microsoft\.com|cloud\.microsoft)|teams\.live\.com"
    r"|(?:gov\.|dod\.)?teams\.microsoft\.us"
    r"|[a-z0-9]{1,12}\.safelinks\.protection\.outlook\.com"
    r"|urldefense(?:\.proofpoint)?\.com|(?:www\.)?google\.com)"
)
_START = (
    rf"(?:(?P<scheme>https?|msteams){_COLON}{_SLASH}{{1,3}}"
    rf"|(?<![\w.@/%:=\u00c0-\u1fff-])(?://)?(?={_BARE_HOST}(?:[/:]|%(?:25){{0,3}}2f)))"
)
# A decoded link holds its context as plain JSON, with quotes and perhaps blanks.
# A link may hold an apostrophe, unless there is one right before the link.
_REST = r"(?P<rest>(?:[!#$%&*+,\-./0-9:;=?@A-Z_a-z~]++|\{[^{}]{0,2000}\}|(?(quoted)(?!)|'))*+)"
_LINK = re.compile(rf"(?:(?<=')(?P<quoted>))?{_START}{_REST}", re.IGNORECASE | re.ASCII)
_AFTER_A_LINK = ".,;:!?*'"
CUT_OFF = "…"
"""The end of a link of which the text shows only the beginning."""
_TEAMS_HOST = re.compile(r"teams\.(?:microsoft\.com|cloud\.microsoft|live\.com)/", re.IGNORECASE)
_DECODING_ROUNDS = 4


def find_links(text: str) -> Iterator[str]:
    """Yield each web address in a text, in the form `https://host…`.

    Addresses without a scheme are found for Teams' hosts and those that rewrite links. `msteams:`
    addresses are given as https. Punctuation after an address is left out, but for CUT_OFF.
    """
    for match in _LINK.finditer(plain(text)):
        yield _address(match)


def read_link(text: str) -> str | None:
    """Give the web address at the start of a text, as `find_links` does. None: there is none."""
    match = _LINK.match(plain(text).lstrip())
    return _address(match) if match else None


def decode_fully(text: str) -> str:
    """Decode percent-encoding until nothing is encoded, but at most four times."""
    for _ in range(_DECODING_ROUNDS):
        if "%" not in text or (decoded := unquote(text)) == text:
            break
        text = decoded
    return text


def without_invisible(text: str) -> str:
    """Remove invisible characters."""
    return text if text.isascii() else text.translate(_INVISIBLE)


def has_white_space(text: str) -> bool:
    """Say whether there is white space inside a text."""
    return _WHITE_SPACE.search(text.strip()) is not None


def without_white_space(text: str) -> str:
    """Remove white space, and the marks of a quoted mail (`> `) at the beginnings of lines."""
    return _WHITE_SPACE.sub("", text)


def plain(text: str) -> str:
    """Undo the encoding of a mail's or calendar's source, and the escapes of HTML and JSON."""
    text = without_invisible(text)
    if "=3D" in text and _QUOTED_PRINTABLE.search(text):
        text = binascii.a2b_qp(text.encode("utf-8", "replace")).decode("utf-8", "replace")
    if "\n" in text and _ICALENDAR.search(text):
        text = _ICALENDAR_FOLD.sub("", text)
    if "&" in text:
        text = _without_entities(text)
    if "\\" in text:
        text = _JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        text = _BACKSLASHES.sub("", text)
    return text


def _without_entities(text: str) -> str:
    from html import unescape  # noqa: PLC0415 - a table of 2,000 names, rarely needed

    for _ in range(_ENTITY_ROUNDS):
        unescaped = _ENTITY.sub(lambda entity: unescape(entity[0]), text)
        if unescaped == text:
            break
        text = unescaped
    return without_invisible(text)


def _address(match: re.Match[str]) -> str:
    rest = match["rest"].rstrip(_AFTER_A_LINK)
    if match["rest"].endswith("..") or match.string.startswith(CUT_OFF, match.end()):
        rest += CUT_OFF
    for _ in range(_DECODING_ROUNDS):
        if "/" in rest or "%" not in rest:
            break
        rest = unquote(rest)  # the whole address is percent-encoded, including its slashes
    scheme = (match["scheme"] or "https").lower()
    if scheme == "msteams":
        rest = rest if _TEAMS_HOST.match(rest) else f"teams.microsoft.com/{rest}"
        scheme = "https"
    return f"{scheme}://{rest}"
