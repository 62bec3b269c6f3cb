"""The Retry-After header, in each form that Graph uses."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.retry_after import MAX_SECONDS, parse_retry_after

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10", 10.0),
        ("2.128", 2.128),
        ("0", 0.0),
        ("-5", 0.0),
        ("999999999", MAX_SECONDS),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        (formatdate(NOW + 90), 90.0),
        (formatdate(NOW + 10 * MAX_SECONDS, usegmt=True), MAX_SECONDS),
    ],
)
def test_seconds_decimals_and_dates_are_read(value: str, seconds: float) -> None:
    """As seconds from now, never negative, and bounded."""
    assert parse_retry_after(value, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [None, "", "soon", "nan", "inf", "-inf", "1e999", "10 s", "Wed"])
def test_an_unreadable_header_counts_as_absent(value: str | None) -> None:
    """Then the caller's own back-off counts."""
    assert parse_retry_after(value, now=NOW) is None


def test_a_date_is_in_gmt_in_each_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without a zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_retry_after("Mon, 21 Sep 2026 14:13:25", now=NOW) == 5.0
        assert parse_retry_after("Mon, 21 Sep 2026 14:13:25 GMT", now=NOW) == 5.0
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.one_of(st.text(), st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ .*")))
def test_any_text_gives_seconds_within_bounds_or_nothing(value: str) -> None:
    """The other side may send anything."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
