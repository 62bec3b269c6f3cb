"""Bodies that could cost far more than their length, and the steps and CPU that they take.

`python -m tests.unit.hostile_shapes` tries each of them on all routes and triggers, and more shapes
from a seed: eight times the length must not take much more than eight times the steps or the CPU.
Steps are the interpreter's, and the same in each run. Code in C has none, so the CPU is compared as
well. What else the machine does can only increase a measurement, so each is repeated until it is
low enough, or has been high too often. The CPU of 64 KiB is printed and has no limit.
"""

import argparse
import base64
import gc
import hashlib
import hmac
import json
import logging
import math
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from urllib.parse import quote

from dev import processes
from shared.app import Application
from shared.core.deadline import Deadline
from shared.core.errors import GraphUnavailable
from shared.handlers import join_links, queue_messages, webhooks
from shared.identity.key_vault import SecretStore
from shared.webhooks.presets import PRESETS
from tests.unit.memory_queues import START, MemoryQueues, ResolverOfOneMind, delivery

type Shape = Callable[[int], bytes]
"""Makes a body of about the given number of bytes."""
type Way = Callable[[bytes], object]
"""Processes a body, as one of the app's routes or triggers does."""

KIB = 1024
MOST_STEPS = 700_000
"""For 64 KiB or less of a body. This number takes about 50 ms."""
MOST_GROWTH = 2.5
"""Limit for the growth of a byte's steps and CPU when a body is eight times as long. A quadratic
cost grows by eight. The parts of a longer made-up body have other proportions."""
_TOOL = 4  # of those that PEP 669 leaves free
_EVENTS = sys.monitoring.events
_SECRET = "open sesame"
_LINK = "https://teams.microsoft.com/meet/2345678901234?p=x"
_HERE = '"here"'
_CALCOM = '{"triggerEvent":"BOOKING_CREATED","payload":{"videoCallData":{"type":"office365_video"'
_CALENDLY = (
    '{"event":"invitee.created","payload":{"scheduled_event":{"location":'
    '{"type":"microsoft_teams_conference"'
)
EVENTS_OF_SOURCES = {
    "calcom": ("calcom", f'{_CALCOM},"url":{_HERE}}}}}}}'),
    "calcom, calendars": ("calcom", f'{_CALCOM}}},"destinationCalendar":{_HERE}}}}}'),
    "calcom, team": ("calcom", f'{_CALCOM}}},"team":{{"members":{_HERE}}}}}}}'),
    "calendly": (
        "calendly",
        f'{_CALENDLY},"join_url":{_HERE}}}}}}}}}',
    ),
    "msbookings": ("msbookings", f'{{"JoinWebURL":{_HERE}}}'),
    "standard": ("standard", f'{{"data":{_HERE}}}'),
    "everything": ("everything", f'{{"data":{_HERE}}}'),
    "parts": ("parts", f'{{"data":{_HERE}}}'),
}
"""By the route's name: a source, and its event with a place for the body."""
_MAPPINGS = {
    "everything": dict.fromkeys(
        ("when", "deliveryId", "sentAt", "userId", "organizer", "joinWebUrl", "context"), "data"
    ),
    "parts": {
        "organizer": "data[].email",
        "joinWebUrl": "data[?type=='x'].link",
        "context": "data[].{id: id, at: at}",
    },
}


def fitted(shape: Shape, most: int) -> bytes:
    """Make the longest body that is accepted. A longer one is refused for its length."""
    size = most
    while len(body := shape(size)) > most and size > 0:
        size = size * most // len(body) - 16
    return body


def repeated(part: str, *, before: str = "", after: str = "", between: str = "") -> Shape:
    """Repeat a part as often as it fits."""

    def make(size: int) -> bytes:
        room = size - len(before) - len(after)
        count = max(1, room // len((part + between).encode()))
        return (before + between.join([part] * count) + after).encode()

    return make


def _nested(opening: str, innermost: str, closing: str, *, depth: int = 30) -> Shape:
    """Repeat a part deep inside."""
    return repeated(
        innermost,
        before=opening * depth + "[",
        after="]" + closing * depth,
        between=",",
    )


def _wide_names(size: int) -> bytes:
    """Make two members with very long names, each with many errors below it."""
    name = "~" * (size // 4)
    faults = ",".join(['"":0'] * (size // 20))
    return f'{{"{name}":{{{faults}}},"x{name}":{{{faults}}}}}'.encode()


def _different_names(size: int) -> bytes:
    return ("{" + ",".join(f'"m{number}":0' for number in range(size // 12)) + "}").encode()


def _in_member(name: str, shape: Shape) -> Shape:
    """Put a shape where a request or an event has a value."""
    return lambda size: b'{"userId":"a@b","%s":%s}' % (name.encode(), shape(size))


def _as_context(shape: Shape) -> Shape:
    return _in_member("context", shape)


def _quoted(shape: Shape) -> Shape:
    return lambda size: json.dumps(shape(size // 2).decode("utf-8", "replace")).encode()


def _base64(shape: Shape) -> Shape:
    return lambda size: base64.encodebytes(shape(size * 3 // 4))


def _listed(shape: Shape) -> Shape:
    def make(size: int) -> bytes:
        item = shape(size // 50)
        return b"[" + b",".join([item] * max(1, min(50, size // len(item)))) + b"]"

    return make


def _many(shape: Shape) -> Shape:
    return lambda size: b'{"requests":' + _listed(shape)(size) + b"}"


LEAVES = {
    "items": "0",
    "faults": "NaN",
    "long numbers": "9" * 300,
    "numbers that Python does not read": "9" * 5_000,
    "long decimals": "1." + "3" * 300,
    "large exponents": "1e9999",
    "halves of pairs": r'"\ud800"',
    "escapes": r'"\u00fc\n\"\\"',
    "raw line feeds": '"a\nb"',
    "texts": '"üü"',
    "longer texts": '"0123456789"',
    "objects": '{"a":1,"a":2}',
    "longer objects": '{"a":"012345678901234567"}',
    "empty objects": "{}",
    "empty lists": "[]",
    "links": f'"{_LINK}"',
}
SHAPES: dict[str, Shape] = {
    "nothing but blanks": repeated(" "),
    "opening brackets": repeated("["),
    "opening braces": repeated('{"a":'),
    "closed brackets": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "a long word": repeated("a"),
    "a long text": repeated("~/", before='"', after='"'),
    "half of a text": repeated("a", before='{"a":"'),
    "backslashes": repeated("\\\\", before='"', after='"'),
    "long names": _wide_names,
    "different names": _different_names,
    "one name": repeated('"a":0', before="{", after="}", between=","),
    "digits": repeated("9"),
    "digits of a broken text": repeated("9", before='{"kind":"booked","n":', after=","),
    "brackets behind digits": repeated("[", before=f'{{"kind":"booked","n":{"9" * 5_000},'),
    "a long fraction": repeated("3", before="0."),
    "ids": repeated('"requestId":"a",', before="{", after="}"),
    "half of ids": repeated('"requestId":"', before="{"),
    "lines of base64": repeated("YWJj\n"),
    "percents": repeated("%2525", before="a="),
    "a form": repeated("a=b&"),
    "a form with one name": repeated("a=%ff&", before="a=1&"),
    "links": repeated(f" {_LINK}", before=f'{{"userId":"a@b","joinWebUrl":"{_LINK}', after='"}'),
    "half of links": repeated("https://", before='{"userId":"a@b","joinWebUrl":"', after='"}'),
    "encoded links": repeated(
        quote(f"url={_LINK}&", safe=""), before='{"joinWebUrl":"https://x.example/?', after='"}'
    ),
    "angle brackets": repeated("<a href=", before='{"joinWebUrl":"', after='"}'),
    "thread ids": repeated("19:", before='{"userId":"a@b","onlineMeetingId":"', after='@"}'),
    "at signs": repeated("a@", before='{"userId":"', after='"}'),
    "hyphens": repeated("a-", before='{"language":"', after='"}'),
    "no-break spaces": repeated("1\\u00a0", before='{"joinMeetingId":"', after='"}'),
    **{
        f"many {name}": repeated(leaf, before="[", after="]", between=",")
        for name, leaf in LEAVES.items()
    },
    **{f"deep {name}": _nested('{"~":', leaf, "}") for name, leaf in LEAVES.items()},
    **{
        f"a context of {name}": _in_member(
            "context", repeated(leaf, before="[", after="]", between=",")
        )
        for name, leaf in LEAVES.items()
    },
}
"""Shapes that once cost too much, and similar ones."""


def made_up(seed: int) -> Shape:
    """Make up a shape: names, depth, width and leaves, in wrappings."""
    chance = random.Random(seed)
    name = chance.choice(["~", "/", "a", "ü", "\\u00fc", ""]) * chance.choice([1, 50, 1000])
    opening, closing = chance.choice([("[", "]"), (f'{{"{name}":', "}"), ('{"data":', "}")])
    leaf = chance.choice([*LEAVES.values(), f'{{"{name}":0}}', f'{{"{name}":NaN,"{name}":1}}'])
    shape = _nested(opening, leaf, closing, depth=chance.choice([0, 1, 5, 31, 70]))
    wrappings: list[Callable[[Shape], Shape]] = [_quoted, _base64, _listed, _many, _as_context]
    for wrap in chance.choices(wrappings, k=chance.choice([0, 0, 1, 2])):
        shape = wrap(shape)
    return shape


class _Secrets(SecretStore):
    """Has one secret for all sources."""

    def __init__(self) -> None:
        """Make it without a vault."""

    def current(self, name: str, *, deadline: Deadline) -> tuple[str, ...]:  # noqa: ARG002 - as it is
        """Give the secret."""
        return (_SECRET,)


class _Queues(MemoryQueues):
    """Accepts each message and drops it, so that earlier tries do not change a try's cost."""

    def send(self, queue: str, message: str, *, deadline: Deadline, delay: float = 0) -> None:
        """Drop the message."""


class _Resolver(ResolverOfOneMind):
    """Graph is unreachable, so valid requests are put back."""

    def resolve_many(self, requests: Sequence[object], *, deadline: Deadline) -> list[Exception]:  # type: ignore[override]  # noqa: ARG002 - as it is
        """Give an error for each."""
        return [GraphUnavailable("No.")] * len(requests)


def ways() -> dict[str, Way]:
    """Make the routes and triggers of an app whose queues are in memory."""
    scheme = {"type": "body-hmac", "header": "X-Sig", "encoding": "hex"}
    sources: dict[str, dict[str, object]] = {
        **{name: {"preset": name, "scheme": scheme, "secret": "s"} for name in PRESETS},
        **{
            name: {"mapping": mapping, "scheme": scheme, "secret": "s"}
            for name, mapping in _MAPPINGS.items()
        },
    }
    application = Application(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "KEY_VAULT_URI": "https://unused.vault.azure.net",
            "WEBHOOK_SOURCES": json.dumps(sources),
        }
    )
    application._services = replace(
        application.services(),
        queues=_Queues(),
        secrets=_Secrets(),
        resolver=_Resolver(GraphUnavailable("No.")),
    )
    services = application.services()

    def webhook(source: str, content_type: str, event: str, body: bytes) -> object:
        body = event.encode().replace(_HERE.encode(), body)
        signature = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Sig": signature, "Content-Type": content_type, "Content-Length": "1"}
        return webhooks.receive(application, source, headers, body)

    def message(body: bytes) -> None:
        queue_messages.process(services, delivery(body), now=lambda: START)

    json_type = {"Content-Type": "application/json"}
    form_type = "application/x-www-form-urlencoded"
    return {
        "join-link": partial(join_links.join_link, application, json_type),
        "join-links": partial(join_links.join_links, application, json_type),
        "join-link-requests": partial(join_links.request_join_link, application, json_type),
        "the queue": message,
        "a form": partial(webhook, "standard", form_type, _HERE),
        "a list of events": partial(webhook, "everything", json_type["Content-Type"], _HERE),
        **{
            f"webhooks/{name}": partial(webhook, source, json_type["Content-Type"], event)
            for name, (source, event) in EVENTS_OF_SOURCES.items()
        },
    }


def steps(take: Way, body: bytes) -> int:
    """Count the calls and jumps of the interpreter. Each turn of a loop is one."""
    count, thread = 0, threading.get_ident()

    def step(*_: object) -> None:
        nonlocal count
        if threading.get_ident() == thread:
            count += 1

    gc.disable()  # what it calls does not depend on the body
    sys.monitoring.use_tool_id(_TOOL, "steps")
    try:
        for event in (_EVENTS.CALL, _EVENTS.JUMP):
            sys.monitoring.register_callback(_TOOL, event, step)
        sys.monitoring.set_events(_TOOL, _EVENTS.CALL | _EVENTS.JUMP)
        take(body)
        sys.monitoring.set_events(_TOOL, _EVENTS.NO_EVENTS)
    finally:
        sys.monitoring.free_tool_id(_TOOL)
        gc.enable()
    return count


def cost_problem(take: Way, shape: Shape, *, small: int, large: int) -> str:
    """Say whether a shape costs too much on one of the routes. Return an empty text if not.

    Args:
        take: the route or trigger.
        shape: the shape.
        small: bytes of a body.
        large: bytes of one that is eight times as long, or more.
    """
    one, other = fitted(shape, small), fitted(shape, large)
    take(one)  # so that no import is counted
    few, many = steps(take, one), steps(take, other)
    # Below one step for a byte, no shape is expensive.
    linear = MOST_GROWTH * max(few, len(one)) * len(other) / len(one)
    most = MOST_STEPS * max(1.0, len(other) / (64 * KIB))
    told = f"{few:,} steps for {len(one):,} bytes, and {many:,} for {len(other):,}"
    return told if many > min(linear, most) else ""


_SMALL, _LARGE = 7 * KIB, 56 * KIB  # so that it fits into 64 KiB with its wrapping
_SHORT = 0.01
"""Seconds of CPU. A large body that takes no longer is no danger."""
_MOST_ROUNDS = 10
_FRAMES = 17
"""How many more are on the stack in each round. Before CPython 3.13.13, each call takes 5 µs more
where its frame is the first of a chunk of the stack (gh-142183): a few frames in each 16 KiB."""


def cpu_problem(take: Way, shape: Shape) -> tuple[str, float]:
    """Say whether the CPU of a byte grows with the body, and give the CPU of 64 KiB in seconds."""
    small, large = fitted(shape, _SMALL), fitted(shape, _LARGE)
    few = many = math.inf
    for turn in range(_MOST_ROUNDS):
        many = min(many, _cpu(take, large, frames=turn * _FRAMES))
        if many <= _SHORT:
            growth = 0.0
            break
        few = min(few, *(_cpu(take, small, frames=turn * _FRAMES) for _ in range(3)))
        growth = many / len(large) / (few / len(small))
        if growth <= MOST_GROWTH and turn > 0:
            break
    told = f"{growth:.1f} times the CPU for each byte, {many * 1000:.0f} ms for {len(large):,}"
    return told if growth > MOST_GROWTH else "", many / len(large) * 64 * KIB


def _cpu(take: Way, body: bytes, *, frames: int) -> float:
    """Measure one try, with so many more frames on the stack."""
    if frames:
        return _cpu(take, body, frames=frames - 1)
    gc.disable()  # what a collection takes depends on what earlier tries left
    before = time.thread_time()
    take(body)
    spent = time.thread_time() - before
    gc.enable()
    return spent


_DEAREST, _ENOUGH = 10, 20


def main() -> int:
    """Try the shapes on all routes and triggers, and return 0 if none costs too much."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.unit.hostile_shapes", description=__doc__
    )
    parser.add_argument("--seed", type=int, default=0, help="where the made-up shapes begin")
    parser.add_argument("--made-up", type=int, default=60, help="how many shapes to make up")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.made_up)
    shapes = {**SHAPES, **{f"made up by --seed {seed}": made_up(seed) for seed in seeds}}
    logging.disable()  # writing to the terminal is not part of a body's cost
    bad, costs = [], []
    for (way, take), (name, shape) in product(ways().items(), shapes.items()):
        problem, seconds = cpu_problem(take, shape)
        problems = (cost_problem(take, shape, small=_SMALL, large=_LARGE), problem)
        costs.append((seconds, f"{way}, {name}"))
        bad += [f"{way}, {name}: {what}" for what in problems if what]
        if len(bad) >= _ENOUGH:  # the others are like them, and each takes long
            break
    for line in bad:
        print(line)  # noqa: T201
    for seconds, what in sorted(costs, reverse=True)[:_DEAREST]:
        print(f"{seconds * 1000:5.1f} ms of CPU for 64 KiB: {what}")  # noqa: T201
    print(f"shapes: {len(costs)} tried, {len(bad)} too expensive")  # noqa: T201
    return 1 if bad else 0


if __name__ == "__main__":
    processes.run_main(main)
