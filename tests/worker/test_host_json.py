"""host.json: its values, and the values that must fit together."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def host() -> Any:  # noqa: ANN401 - JSON is anything
    """The file."""
    return json.loads((ROOT / "host.json").read_text(encoding="utf-8"))


def test_messages_are_not_read_as_base64(host: Any) -> None:  # noqa: ANN401
    """The host would move a workflow's plain text to the poison queue before any code runs."""
    assert host["extensions"]["queues"]["messageEncoding"] == "none"


def test_a_failed_message_comes_again_after_half_a_minute_five_times_in_all(
    host: Any,  # noqa: ANN401
) -> None:
    """The host's default is at once."""
    queues = host["extensions"]["queues"]

    assert (queues["visibilityTimeout"], queues["maxDequeueCount"]) == ("00:00:30", 5)


def test_a_batch_fits_the_threads(host: Any) -> None:  # noqa: ANN401
    """There is a thread for each message of a batch: docs/decisions/0008-batch-and-threads.md."""
    queues = host["extensions"]["queues"]
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))

    threads = int(sample["Values"]["PYTHON_THREADPOOL_THREAD_COUNT"])

    assert queues["batchSize"] + queues["newBatchThreshold"] <= threads


def test_traces_are_not_sampled(host: Any) -> None:  # noqa: ANN401
    """Alerts count the app's events, which are traces."""
    settings = host["logging"]["applicationInsights"]["samplingSettings"]

    assert {"Trace", "Exception"} <= set(settings["excludedTypes"].split(";"))


def test_of_an_invocation_only_what_the_app_says_is_logged(host: Any) -> None:  # noqa: ANN401
    """The host's own two lines for each would let strangers use up the day's log quota.

    Each function needs a rule: by the rule for all, the host would drop the app's events as well.
    """
    levels = host["logging"]["logLevel"]
    functions = re.findall(
        r'function_name\("(\w+)"\)', (ROOT / "function_app.py").read_text(encoding="utf-8")
    )

    assert functions
    assert levels["Function"] == "Warning"
    users = {name: level for name, level in levels.items() if name.startswith("Function.")}
    assert users == {f"Function.{name}.User": "Information" for name in functions}


def test_the_hosts_record_of_each_call_is_sampled(host: Any) -> None:  # noqa: ANN401
    """One each second and instance. The app's own events say how each call ended."""
    settings = host["logging"]["applicationInsights"]["samplingSettings"]

    assert "Request" not in settings["excludedTypes"]
    assert settings["maxTelemetryItemsPerSecond"] == 1


def test_the_extension_bundle_is_version_4(host: Any) -> None:  # noqa: ANN401
    """The version that Flex Consumption runs."""
    assert host["extensionBundle"]["version"] == "[4.*, 5.0.0)"
