"""How an unforeseen exception is logged."""

from pathlib import Path

import pytest

from shared.core.errors import describe

CANARY = "https://visit.teams.microsoft.com/canary"


def _fail(text: str) -> None:
    raise LookupError(text)


def test_the_type_and_the_places_are_named_and_the_text_is_not() -> None:
    """The text, and the source line that is being run, may quote a link."""
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


def test_what_caused_it_is_not_quoted_either() -> None:
    """Its cause's text is as dangerous as its own."""
    with pytest.raises(ValueError, match="outer") as raised:
        _fail_because_of(CANARY)

    assert CANARY not in describe(raised.value)
