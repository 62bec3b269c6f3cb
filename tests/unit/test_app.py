"""The services of the app: which of them share a connection pool, a token cache or an identity."""

from pathlib import Path

import pytest

from shared.app import Services
from shared.core.errors import SettingsInvalid
from shared.core.settings import Settings

APP = "72f988bf-0000-4000-8000-000000000002"
OTHER = "72f988bf-0000-4000-8000-000000000009"
BY_IDENTITY = {
    "AzureWebJobsStorage__queueServiceUri": "https://clinic.queue.core.windows.net",
    "AzureWebJobsStorage__credential": "managedidentity",
    "MANAGED_IDENTITY_CLIENT_ID": APP,
}


def services(environment: dict[str, str]) -> Services:
    """Put the app together; nothing outside is called."""
    return Services.from_settings(Settings.from_env(environment), environment)


@pytest.mark.parametrize(
    ("threads", "connections"), [(None, 32), ("8", 32), ("100", 100), ("many", 32)]
)
def test_there_is_a_connection_for_every_thread(threads: str | None, connections: int) -> None:
    """With fewer connections, threads would open one for each call and close it again."""
    environment = {} if threads is None else {"PYTHON_THREADPOOL_THREAD_COUNT": threads}

    transport = services({**BY_IDENTITY, **environment}).http

    assert transport._adapter._pool_maxsize == connections


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_may_name_the_authorities_to_trust(name: str, tmp_path: Path) -> None:
    """By the variable of requests, and if that is absent, by curl's."""
    missing = str(tmp_path / "none.pem")
    with pytest.raises(SettingsInvalid):
        services({**BY_IDENTITY, name: missing})
    services({**BY_IDENTITY, "CURL_CA_BUNDLE": missing, "REQUESTS_CA_BUNDLE": str(tmp_path)})


@pytest.mark.parametrize("client_id", [None, APP])
def test_the_queues_are_written_by_the_apps_identity(client_id: str | None) -> None:
    """With the same credential and cache of tokens."""
    named = {} if client_id is None else {"AzureWebJobsStorage__clientId": client_id}

    made = services({**BY_IDENTITY, **named})

    assert made.queues._identity is made.identity


def test_the_queues_are_written_by_the_identity_of_the_storage_connection() -> None:
    """If that is another identity than the one for Graph."""
    made = services({**BY_IDENTITY, "AzureWebJobsStorage__clientId": OTHER})

    assert made.queues._identity is not made.identity
    assert made.queues._identity._client_id == OTHER
