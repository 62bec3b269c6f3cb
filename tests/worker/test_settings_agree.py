"""The settings that the app reads, the sample and docs/settings.md name the same ones."""

import json
from pathlib import Path

import pytest

from shared.core.settings import NAMES, Settings
from tests.unit.docs_pages import spans, table

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT", "RES_OPTIONS"}
"""In the sample for Functions itself, and for the C library's resolver."""


@pytest.fixture
def sample() -> dict[str, str]:
    """The sample's values."""
    text = (ROOT / "local.settings.sample.json").read_text(encoding="utf-8")
    values: dict[str, str] = json.loads(text)["Values"]
    return values


def test_the_sample_holds_every_setting_and_no_other(sample: dict[str, str]) -> None:
    """Somebody who copies it sees what there is."""
    assert set(sample) == {*NAMES, *PLATFORM}


def test_the_samples_values_are_valid(sample: dict[str, str]) -> None:
    """Copied as it is, the app starts."""
    assert Settings.from_env(sample)


def test_the_page_of_settings_tells_every_setting_and_no_other() -> None:
    """One row, or a part of one, for each."""
    told = [name for row in table("docs/settings.md", "Settings") for name in spans(row[0])]

    assert sorted(told) == sorted(NAMES)


def test_the_defaults_on_the_page_are_the_apps_own() -> None:
    """What the table says is what an app without the setting does."""
    rows = table("docs/settings.md", "Settings")
    defaults = {spans(name)[0]: spans(default)[0] for name, default, *_ in rows if default}
    storage = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}

    assert Settings.from_env({**defaults, **storage}) == Settings.from_env(storage)
