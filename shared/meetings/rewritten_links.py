"""Unwraps links that mail security or Google has rewritten. Nothing is fetched.

A host must match exactly, since anybody can own a host with a similar name.
"""

import base64
import binascii
import re
from urllib.parse import unquote

_SAFE_LINKS = re.compile(
    r"[a-z0-9-]+\.safelinks\.protection\.(?:outlook\.com|office365\.us|partner\.outlook\.cn)"
)
_SAFE_LINKS_OF_TEAMS = frozenset(
    {"statics.teams.cdn.office.net", "teams.public.onecdn.static.microsoft"}
)
_URL_DEFENSE = frozenset({"urldefense.com", "urldefense.us", "urldefense.proofpoint.com"})
_GOOGLE = frozenset({"google.com", "www.google.com"})
_PARAMETERS = {
    "linkprotect.cudasvc.com": ("a",),  # Barracuda
    "clicktime.symantec.com": ("u",),
    "protect2.fireeye.com": ("u",),
}
"""Other mail security that keeps the link in a parameter."""
_SOPHOS = re.compile(r"[a-z0-9-]+\.protection\.sophos\.com")
_CISCO = "secure-web.cisco.com"
_CHECK_POINT = frozenset({"protect.checkpoint.com", "url.avanan.click"})
_CHECK_POINT_LINK = re.compile(r"/v2/(?:r[0-9]{2}/)?___(.*)___")

_V2_ALPHABET = str.maketrans("-_", "%/")
_V3_TOKEN = re.compile(r"\*(?:\*([A-Za-z0-9_-]))?")
_V3_LENGTHS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_V3_SHORTEST_RUN = 2


def unwrap(host: str, rest: str) -> str | None:
    """Give the link inside a rewritten link. None: this is not a rewritten link.

    Args:
        host: the link's host, in lower case.
        rest: the text after the host: path, query and fragment, unchanged.
    """
    path = rest.partition("?")[0]
    if names := _parameters(host, path):
        return next(filter(None, (_parameter(rest, name) for name in names)), "")
    if host in _URL_DEFENSE:
        return _url_defense(path, rest)
    if _SOPHOS.fullmatch(host):
        return decode_base64(_parameter(rest, "u"))
    if host == _CISCO:
        return unquote(path.rpartition("/")[2])
    if host in _CHECK_POINT and (link := _CHECK_POINT_LINK.match(rest)):
        return link[1]
    return None


def _parameters(host: str, path: str) -> tuple[str, ...]:
    """Name the parameters that may hold the link. No names: it is elsewhere, or there is none."""
    of_teams = host in _SAFE_LINKS_OF_TEAMS and path.endswith("/atp-safelinks.html")
    if of_teams or _SAFE_LINKS.fullmatch(host):
        return ("url",)
    if host in _GOOGLE and path == "/url":
        return ("q", "url")
    if host in _URL_DEFENSE and path == "/v1/url":
        return ("u",)
    return _PARAMETERS.get(host, ())


def _url_defense(path: str, rest: str) -> str | None:
    if path == "/v2/url":
        return unquote(_raw_parameter(rest, "u").translate(_V2_ALPHABET))
    if rest.startswith("/v3/__"):
        return _third_form(rest.removeprefix("/v3/__"))
    return None


def decode_base64(text: str) -> str:
    """Decode base64 or base64url, padded or not. Any other text gives an empty one."""
    try:
        decoded = base64.urlsafe_b64decode(
            text.translate(str.maketrans("+/", "-_")) + "=" * (-len(text) % 4)
        )
    except binascii.Error:
        return ""
    return decoded.decode("utf-8", "replace")


def _raw_parameter(rest: str, name: str) -> str:
    match = re.search(rf"[?&]{name}=([^&]*)", rest, re.IGNORECASE)
    return match[1] if match else ""


def _parameter(rest: str, name: str) -> str:
    return unquote(_raw_parameter(rest, name))


def _third_form(rest: str) -> str:
    """Unwrap a link of URL Defense version 3, in which asterisks stand for characters.

    The form is `__{link}__;{characters in base64url}!…`. `*` stands for the next of these
    characters, `**` and a letter for as many as the letter says.

    Source: Proofpoint, URL Defense decoder (version 3).
    """
    link, _, tail = rest.partition("__;")
    encoded = tail.partition("!")[0]
    try:
        padded = encoded + "=" * (-len(encoded) % 4)
        characters = base64.urlsafe_b64decode(padded).decode()
    except (binascii.Error, ValueError):
        return ""
    place = 0

    def characters_of(token: re.Match[str]) -> str:
        nonlocal place
        run = 1 if token[1] is None else _V3_SHORTEST_RUN + _V3_LENGTHS.index(token[1])
        start, place = place, place + run
        return characters[start:place]

    return _V3_TOKEN.sub(characters_of, unquote(link)) if characters else link
