"""The events that a test caused, read from the log as queries read them."""

import json
from typing import Any

import pytest

from shared.core.telemetry import FIELDS


def emitted(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Give the events in the log, in their order; as in a query, what is absent is null."""
    messages = [record.getMessage() for record in caplog.records]
    absent = dict.fromkeys(FIELDS)
    return [absent | json.loads(message) for message in messages if message.startswith('{"event"')]
