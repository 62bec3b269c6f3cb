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
    of_teams = host in _SAFE_LINKS_OF_TEAMS and path.endswith("/atp-safelinks.html")
    if of_teams or _SAFE_LINKS.fullmatch(host):
        return _parameter(rest, "url")
    if host in _GOOGLE and path == "/url":
        return _parameter(rest, "q") or _parameter(rest, "url")
    if host in _URL_DEFENSE and path == "/v1/url":
        return _parameter(rest, "u")
    if host in _URL_DEFENSE and path == "/v2/url":
        return unquote(_raw_parameter(rest, "u").translate(_V2_ALPHABET))
    if host in _URL_DEFENSE and rest.startswith("/v3/__"):
        return _third_form(rest.removeprefix("/v3/__"))
    return None


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
