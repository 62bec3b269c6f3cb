"""local.settings.sample.json, copied as its first line says, is enough for `func start`."""

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.host.host import Host

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "local.settings.sample.json"


@pytest.fixture
def sample() -> Any:  # noqa: ANN401 - JSON is anything
    """The file. It is JSON without comments, because some readers do not accept comments."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_its_first_line_says_how_it_is_copied_and_what_to_start() -> None:
    """For a reader of the file."""
    first = FILE.read_text(encoding="utf-8").splitlines()[1]

    assert "cp local.settings.sample.json local.settings.json" in first
    assert ("azurite" in first, "az login" in first, "func start" in first) == (True, True, True)


def test_func_can_take_it(sample: Any) -> None:  # noqa: ANN401
    """It is not encrypted, and each value is a string. func ignores unknown members."""
    assert sample.keys() == {"//", "IsEncrypted", "Values"}
    assert sample["IsEncrypted"] is False
    assert all(isinstance(value, str) for value in sample["Values"].values())


def test_with_the_sample_the_app_is_healthy(sample: Any) -> None:  # noqa: ANN401
    """There is no Azurite, so no queue is polled."""
    quiet = {
        f"AzureWebJobs.{name}.Disabled": "true"
        for queue in ("join_link_requests", "join_link_deliveries")
        for name in (queue, f"{queue}_poison")
    }
    settings = {**sample["Values"], **quiet}

    with Host(app=ROOT, environment=settings, function_key="a", master_key="b") as host:
        answer = requests.get(f"{host.url}/api/health", timeout=10)

    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
