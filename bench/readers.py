"""The cost of parsing input from callers: JSON and pasted links, with the greatest lengths."""

import contextlib
import json
import time
from collections.abc import Callable
from functools import partial

from bench.report import Report, Table, median
from bench.world import MEETING_ID, USER_ID, World, in_turns
from shared.core import strict_json
from shared.handlers.join_links import MAX_BODY_BYTES
from shared.meetings.teams_links import MAX_LENGTH, NotATeamsLink, parse_teams_link

_REPEATS = 20  # in each round
_LINK = (
    "https://teams.microsoft.com/l/meetup-join/19%3ameeting_ZjM0Yzg5%40thread.v2/0"
    f"?context=%7b%22Tid%22%3a%22{USER_ID}%22%2c%22Oid%22%3a%22{USER_ID}%22%7d"
)
_REQUEST = json.dumps({"userId": USER_ID, "onlineMeetingId": MEETING_ID}).encode()


def _filled(beginning: str, part: str, end: str, size: int) -> str:
    """Repeat a part until the text has the greatest length."""
    return beginning + part * ((size - len(beginning) - len(end)) // len(part)) + end


_JSON = {
    "a request by its ids": _REQUEST,
    "64 KiB of text": _filled('{"context":"', "x", '"}', MAX_BODY_BYTES).encode(),
    "64 KiB of members": (
        "{" + ",".join(f'"m{number:05}":{number}' for number in range(4300)) + "}"
    ).encode(),
    "64 KiB of empty lists": _filled("[", "[],", "[]]", MAX_BODY_BYTES).encode(),
}
_TEXTS = {
    "a Teams link": _LINK,
    "an invitation of 8 KiB, the link at its end": _filled(
        "", "Please join a little earlier. ", _LINK, MAX_LENGTH
    ),
    "8 KiB of what only begins like links": _filled(
        "", "https://teams.microsoft.com/l/ ", "", MAX_LENGTH
    ),
    "64 KiB: refused for its length": _filled("", "https://", "", MAX_BODY_BYTES),
}


def measure(world: World, *, rounds: int, say: Callable[[str], None]) -> Report:
    """Parse each input repeatedly, in turns."""
    del world
    # json.loads is for comparison.
    cases: dict[tuple[str, str], Callable[[], object]] = {}
    for name, data in _JSON.items():
        cases["JSON reader", name] = partial(strict_json.read, data)
        cases["json.loads", name] = partial(json.loads, data)
    for name, text in _TEXTS.items():
        cases["link reader", name] = partial(_read_link, text)
    spent: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for number in range(rounds):
        say(f"readers, round {number + 1} of {rounds}")
        for case, read in in_turns(list(cases.items()), number):
            began = time.thread_time()
            for _ in range(_REPEATS):
                read()
            spent[case].append((time.thread_time() - began) / _REPEATS)
    rows = tuple(
        (f"{reader}: {name}", f"{1e6 * median(seconds):,.0f}")
        for (reader, name), seconds in spent.items()
    )
    table = Table(title="Readers: the most that is taken", columns=("", "CPU, µs"), rows=rows)
    return Report(name="readers", tables=(table,))


def _read_link(text: str) -> None:
    with contextlib.suppress(NotATeamsLink):
        parse_teams_link(text)
