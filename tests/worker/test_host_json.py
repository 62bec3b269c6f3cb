"""host.json: what it must say, and the figures that have to fit one another."""

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host() -> Any:  # noqa: ANN401 - JSON is anything
    """The file."""
    return json.loads((ROOT / "host.json").read_text(encoding="utf-8"))


def test_messages_are_read_as_they_are(host: Any) -> None:  # noqa: ANN401
    """With base64, the host poisons a workflow's plain text before any code runs."""
    assert host["extensions"]["queues"]["messageEncoding"] == "none"


def test_a_failed_message_comes_again_after_half_a_minute_five_times_in_all(
    host: Any,  # noqa: ANN401
) -> None:
    """The host's default is at once."""
    queues = host["extensions"]["queues"]

    assert (queues["visibilityTimeout"], queues["maxDequeueCount"]) == ("00:00:30", 5)


def test_a_batch_fits_the_threads(host: Any) -> None:  # noqa: ANN401
    """As many messages at once as threads for them: docs/decisions/0008-batch-and-threads.md."""
    queues = host["extensions"]["queues"]
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    threads = int(sample["Values"]["PYTHON_THREADPOOL_THREAD_COUNT"])

    assert queues["batchSize"] + queues["newBatchThreshold"] <= threads


def test_traces_are_not_sampled(host: Any) -> None:  # noqa: ANN401
    """Alerts count the app's events, and those are traces."""
    settings = host["logging"]["applicationInsights"]["samplingSettings"]

    assert {"Trace", "Exception"} <= set(settings["excludedTypes"].split(";"))


def test_the_extension_bundle_is_version_4(host: Any) -> None:  # noqa: ANN401
    """The one that Flex Consumption runs."""
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"
