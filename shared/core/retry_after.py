"""Reads the Retry-After header in each form that Graph uses: seconds, a decimal, a date."""

import math
from datetime import UTC
from email.utils import parsedate_to_datetime

MAX_SECONDS = 24 * 3600.0


def parse_retry_after(value: str | None, *, now: float) -> float | None:
    """Read the header (RFC 9110 §10.2.3) as seconds from now, 0 to MAX_SECONDS.

    Graph also sends decimals. An unreadable header is None, as if it were absent.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
            seconds = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_SECONDS) if math.isfinite(seconds) else None
