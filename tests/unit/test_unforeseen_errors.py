"""How an unforeseen exception is logged."""

from pathlib import Path

import pytest

from shared.core.errors import describe
from shared.handlers.responses import HttpResponse
from tests.unit.hostile_shapes import KIB, SHAPES, fitted, ways

WAYS = ways()
CANARY = "https://visit.teams.microsoft.com/canary"


def _fail(text: str) -> None:
    raise LookupError(text)


def test_the_type_and_the_places_are_named_and_the_text_is_not() -> None:
    """The text and the source line may quote a link."""
    with pytest.raises(LookupError) as raised:
        _fail(CANARY)

    description = describe(raised.value)

    assert description.startswith("LookupError at ")
    here = Path(__file__).name
    assert f"{here}:" in description
    assert description.endswith(" _fail")
    assert CANARY not in description


def test_an_exception_that_was_never_raised_is_described_too() -> None:
    """It has no traceback."""
    assert describe(ValueError(CANARY)) == "ValueError at an unknown place"


def _fail_because_of(text: str) -> None:
    try:
        _fail(text)
    except LookupError as error:
        raise ValueError("outer") from error


def test_its_cause_is_not_quoted() -> None:
    """The cause's text may quote a link as well."""
    with pytest.raises(ValueError, match="outer") as raised:
        _fail_because_of(CANARY)

    assert CANARY not in describe(raised.value)


@pytest.mark.parametrize("way", WAYS)
def test_no_hostile_body_is_an_unforeseen_error(way: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each is refused or accepted, and a queue message is completed."""
    failed = []
    for name, shape in SHAPES.items():
        answer = WAYS[way](fitted(shape, 56 * KIB))
        if isinstance(answer, HttpResponse) and answer.status == 500:
            failed.append(name)

    assert failed == []
    assert "could not be read; the log says where" not in caplog.text
