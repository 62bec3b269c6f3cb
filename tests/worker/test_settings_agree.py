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
    """A person who copies it then sees all settings."""
    assert set(sample) == {*NAMES, *PLATFORM}


def test_the_samples_values_are_valid(sample: dict[str, str]) -> None:
    """The app starts with an unchanged copy."""
    assert Settings.from_env(sample)


def test_the_page_of_settings_lists_each_setting_and_no_other() -> None:
    """One row, or a part of one, for each."""
    told = [name for row in table("docs/settings.md", "Settings") for name in spans(row[0])]

    assert sorted(told) == sorted(NAMES)


def test_the_defaults_on_the_page_are_the_apps_own() -> None:
    """The table says what the app does without the setting."""
    rows = table("docs/settings.md", "Settings")
    defaults = {spans(name)[0]: spans(default)[0] for name, default, *_ in rows if default}
    storage = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}

    assert Settings.from_env({**defaults, **storage}) == Settings.from_env(storage)
