"""The events that a test caused, read from the log as queries read them."""

import json
from typing import Any

import pytest


def emitted(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Give the events in the log, in their order."""
    messages = [record.getMessage() for record in caplog.records]
    return [json.loads(message) for message in messages if message.startswith('{"event"')]
