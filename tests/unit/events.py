"""The events that a test caused, read from the log as a query reads them."""

import json
from typing import Any

import pytest

from shared.core.telemetry import FIELDS


def emitted(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Give the log's events in order. As in a query, a missing value is null."""
    messages = [record.getMessage() for record in caplog.records]
    absent = dict.fromkeys(FIELDS)
    return [absent | json.loads(message) for message in messages if message.startswith('{"event"')]
