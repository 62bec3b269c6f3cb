"""What a body costs grows with its length and no faster, counted in the interpreter's steps.

More shapes, longer ones, and the CPU of the parts that are written in C, are tried by
`python dev.py test costs`.
"""

import hashlib
import json

import pytest

from shared.webhooks.presets import PRESETS
from tests.unit.hostile_shapes import (
    EVENTS_OF_SOURCES,
    KIB,
    SHAPES,
    cost_problem,
    cpu_problem,
    steps,
    ways,
)
from tests.unit.memory_queues import make_request

WAYS = ways()
SMALL, LARGE, WHOLE = KIB, 8 * KIB, 60 * KIB  # so that it fits into 64 KiB with its wrapping
KINDS = (
    *("long names", "different names", "half of ids", "lines of base64", "a form"),
    *("links", "half of links", "many items", "many objects", "many empty lists"),
    *("many longer objects", "many faults", "deep objects"),
)
"""One of each kind: the rest is for the slow check."""


def test_each_preset_has_an_event_with_the_place_of_a_body() -> None:
    """Else its expressions would be left out of what follows."""
    assert {source for source, _ in EVENTS_OF_SOURCES.values()} >= PRESETS.keys()


@pytest.mark.parametrize("way", WAYS)
def test_steps_grow_with_the_length_of_a_body_and_no_faster(way: str) -> None:
    """For each content."""
    found = {
        name: cost_problem(WAYS[way], SHAPES[name], small=SMALL, large=LARGE) for name in KINDS
    }

    assert {name: problem for name, problem in found.items() if problem} == {}


@pytest.mark.parametrize("way", WAYS)
def test_steps_for_the_longest_body_are_bounded(way: str) -> None:
    """By as many values as fit, and by as many objects as are still taken."""
    for name in ("many items", "many longer objects"):
        assert cost_problem(WAYS[way], SHAPES[name], small=SMALL, large=WHOLE) == ""


def test_a_cost_that_grows_with_the_square_would_be_seen() -> None:
    """Else the test above could not fail."""

    def squares(body: bytes) -> None:
        for end in range(0, len(body), 16):
            for _ in body[:end:16]:
                pass

    assert cost_problem(squares, SHAPES["digits"], small=SMALL, large=LARGE)


def test_a_cost_that_grows_with_the_square_inside_code_in_c_would_be_seen() -> None:
    """Each turn of the loop copies what is left. The number of turns is linear."""

    def copies(body: bytes) -> None:
        while body:
            body = body[2:]

    problem, _ = cpu_problem(copies, SHAPES["digits"])

    assert "times the CPU" in problem
    assert not cost_problem(copies, SHAPES["digits"], small=SMALL, large=LARGE)


def test_a_high_cost_that_grows_no_faster_than_the_body_is_no_problem() -> None:
    """It is only told."""

    def hashes(body: bytes) -> None:
        for _ in range(1000):
            hashlib.sha256(body)

    problem, seconds = cpu_problem(hashes, SHAPES["digits"])

    assert problem == ""
    assert seconds > 0.01


@pytest.mark.parametrize(
    ("way", "before"),
    [
        ("join-links", '{"requests":['),
        ("join-links", "["),
        ("the queue", "["),
        ("the queue", '{"specversion":"1.0","id":"e","data":['),
    ],
)
def test_a_list_is_counted_before_anything_is_built_of_it(way: str, before: str) -> None:
    """One that is too long takes the same steps however long it is."""

    def listed(count: int) -> bytes:
        after = "]}" if before[0] == "{" else "]"
        return (before + ",".join(["0"] * count) + after).encode()

    WAYS[way](listed(1001))

    few, many = steps(WAYS[way], listed(1001)), steps(WAYS[way], listed(30_000))

    assert many < few * 2


def test_an_event_of_too_many_values_is_counted_before_anything_is_built_of_it() -> None:
    """No expression of a mapping is tried on it."""
    way = WAYS["webhooks/parts"]
    way(b"[]")

    few, many = (
        steps(way, json.dumps([{}] * count, separators=(",", ":")).encode())
        for count in (3_900, 4_100)
    )

    assert many < few / 20


def test_a_context_of_too_many_values_is_counted_before_it_is_written() -> None:
    """It cannot be short enough."""
    way = WAYS["join-link"]
    long, longer = (
        json.dumps(make_request(context=[[0]] * count), separators=(",", ":")).encode()
        for count in (2_000, 8_000)
    )
    way(long)

    grown = steps(way, longer) - steps(way, long)

    assert grown < 6_000 * 12  # what reading takes: two values, and no more looks at them
