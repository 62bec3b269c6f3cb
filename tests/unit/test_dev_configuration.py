"""host.json and the app settings over it are read as Azure reads them."""

import json
from pathlib import Path

import pytest

from dev.host.configuration import HostConfiguration, resolve_names, seconds
from dev.host.errors import HostError


def read(folder: Path, host_json: object, **settings: str) -> HostConfiguration:
    """Read a host.json with app settings over it."""
    (folder / "host.json").write_text(json.dumps(host_json), encoding="utf-8")
    return HostConfiguration.read(app=folder, settings=settings)


def test_an_empty_host_json_has_the_documented_defaults(tmp_path: Path) -> None:
    """Microsoft's reference of host.json gives them."""
    configuration = read(tmp_path, {"version": "2.0"})

    assert configuration.route_prefix == "api"
    assert configuration.queues.base64
    assert configuration.queues.batch_size == 16
    assert configuration.queues.new_batch_threshold >= 8
    assert configuration.queues.max_dequeue_count == 5
    assert configuration.queues.visibility_timeout == 0
    assert configuration.queues.max_polling_interval == 60


def test_app_settings_win_over_the_file(tmp_path: Path) -> None:
    """By the parts of their names, in any case."""
    queues = {"visibilityTimeout": "00:00:30", "messageEncoding": "none", "batchSize": 2}

    configuration = read(
        tmp_path,
        {"extensions": {"queues": queues}},
        AzureFunctionsJobHost__extensions__queues__visibilityTimeout="00:00:01",
        AZUREFUNCTIONSJOBHOST__EXTENSIONS__QUEUES__BATCHSIZE="3",
        AzureFunctionsJobHost__extensions__http__routePrefix="",
    )

    assert configuration.queues.visibility_timeout == 1
    assert configuration.queues.batch_size == 3
    assert not configuration.queues.base64
    assert configuration.route_prefix == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00:00:00", 0),
        ("00:00:00.25", 0.25),
        ("00:10:00", 600),
        ("23:59:59", 86_399),
        ("7.00:00:01", 604_801),
    ],
)
def test_a_time_span_is_read_as_seconds(text: str, expected: float) -> None:
    """The forms of .NET's TimeSpan that host.json uses."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "30", "00:30", "a:b:c", "00:00:30s", "-00:00:01"])
def test_other_texts_are_not_time_spans(text: str) -> None:
    """A bare number would mean days to .NET, which nobody intends."""
    with pytest.raises(ValueError, match="is not a time span"):
        seconds(text)


@pytest.mark.parametrize(
    "queues",
    [
        {"batchSize": 0},
        {"batchSize": "many"},
        {"messageEncoding": "utf-8"},
        {"maxPollingInterval": 5},
        [],
    ],
)
def test_a_value_that_cannot_be_used_is_refused(tmp_path: Path, queues: object) -> None:
    """The error names the file."""
    with pytest.raises(HostError, match=r"host\.json"):
        read(tmp_path, {"extensions": {"queues": queues}})


def test_names_between_percent_signs_are_settings() -> None:
    """A binding may take a name from the app settings."""
    assert resolve_names("%A%-%B%", {"A": "one", "B": "two"}) == "one-two"
    assert resolve_names("plain", {}) == "plain"
    with pytest.raises(HostError, match="no app setting A"):
        resolve_names("%A%", {})
