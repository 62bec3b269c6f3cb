"""The app's settings: their defaults, their field errors, and that no error quotes a value."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import SettingsInvalid
from shared.core.settings import NAMES, Settings, StorageSettings

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}
GUID = "20000000-0000-4000-8000-000000000002"


def read(**settings: str) -> Settings:
    """Read these settings, with a storage account beside them."""
    return Settings.from_env({**STORAGE, **settings})


def faults(environment: dict[str, str]) -> dict[str, str]:
    """Give the field errors of an environment, by the setting's name."""
    with pytest.raises(SettingsInvalid) as raised:
        Settings.from_env(environment)
    return {field_error.pointer: field_error.detail for field_error in raised.value.field_errors}


def test_the_settings_are_those_of_the_design_in_its_order() -> None:
    """Documents and Bicep name the same ones."""
    assert NAMES == (
        "GRAPH_VERSION",
        "GRAPH_ROOT",
        "MANAGED_IDENTITY_CLIENT_ID",
        "AzureWebJobsStorage",
        "KEY_VAULT_URI",
        "WEBHOOK_SOURCES",
        "DELIVERIES",
        "RESULTS_QUEUE",
        "RETENTION_DAYS",
        "HTTP_AUTH",
        "ENTRA_TENANT_ID",
        "ENTRA_CLIENT_ID",
        "ENTRA_AUTHORITY",
        "GRAPH_TIMEOUT_SECONDS",
        "QUEUE_RETRY_HOURS",
        "DERIVE_MEETING_ID",
    )


def test_each_setting_has_its_field_and_each_field_its_setting() -> None:
    """No setting is read without a name in NAMES, and none is named without being read."""
    named = {name.lower() for name in NAMES if name.isupper()}
    assert {field.name for field in fields(Settings)} == named | {"storage"}


def test_the_defaults_are_these() -> None:
    """Only a storage account is required."""
    assert read() == Settings(
        storage=StorageSettings(connection_string="UseDevelopmentStorage=true"),
        graph_version="v1.0",
        graph_root="https://graph.microsoft.com",
        managed_identity_client_id=None,
        key_vault_uri=None,
        webhook_sources={},
        deliveries={},
        results_queue="always",
        retention_days=30,
        http_auth="key",
        entra_tenant_id=None,
        entra_client_id=None,
        entra_authority="https://login.microsoftonline.com",
        graph_timeout_seconds=10.0,
        queue_retry_hours=24.0,
        derive_meeting_id=False,
    )


def test_a_blank_setting_counts_as_absent() -> None:
    """Portals and samples leave empty values."""
    assert read(**dict.fromkeys(set(NAMES) - STORAGE.keys(), "  ")) == read()


def test_every_setting_is_read() -> None:
    """With a value other than its default."""
    settings = read(
        GRAPH_VERSION="beta",
        GRAPH_ROOT="http://127.0.0.1:8080/",
        MANAGED_IDENTITY_CLIENT_ID=GUID,
        KEY_VAULT_URI="https://clinic.vault.azure.net/",
        WEBHOOK_SOURCES="{}",
        DELIVERIES='{"crm": {}}',
        RESULTS_QUEUE="unclaimed",
        RETENTION_DAYS="365",
        HTTP_AUTH="key",
        ENTRA_TENANT_ID=GUID,
        ENTRA_CLIENT_ID=GUID,
        ENTRA_AUTHORITY="https://localhost:8443",
        GRAPH_TIMEOUT_SECONDS="2.5",
        QUEUE_RETRY_HOURS="168",
        DERIVE_MEETING_ID="True",
    )
    assert settings.graph_version == "beta"
    assert settings.graph_root == "http://127.0.0.1:8080"
    assert settings.managed_identity_client_id == GUID
    assert settings.key_vault_uri == "https://clinic.vault.azure.net"
    assert settings.deliveries == {"crm": {}}
    assert settings.results_queue == "unclaimed"
    assert settings.retention_days == 365
    assert settings.entra_tenant_id == settings.entra_client_id == GUID
    assert settings.entra_authority == "https://localhost:8443"
    assert settings.graph_timeout_seconds == 2.5
    assert settings.queue_retry_hours == 168.0
    assert settings.derive_meeting_id is True


def test_storage_by_identity_is_read_as_the_trigger_reads_it() -> None:
    """The queue service's address, and the identity's client id."""
    settings = Settings.from_env(
        {
            "AzureWebJobsStorage__queueServiceUri": "https://clinic.queue.core.windows.net/",
            "AzureWebJobsStorage__credential": "managedidentity",
            "AzureWebJobsStorage__clientId": GUID,
        }
    )
    assert settings.storage == StorageSettings(
        queue_service_uri="https://clinic.queue.core.windows.net", client_id=GUID
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GRAPH_VERSION", "v2.0"),
        ("GRAPH_VERSION", "V1.0"),
        ("GRAPH_ROOT", "https://graph.microsoft.us"),
        ("GRAPH_ROOT", "http://graph.microsoft.com"),
        ("GRAPH_ROOT", "https://graph.microsoft.com.evil.example"),
        ("GRAPH_ROOT", "https://graph.microsoft.com@evil.example"),
        ("GRAPH_ROOT", "https://graph.microsoft.com/v1.0"),
        ("GRAPH_ROOT", "http://localhost@evil.example"),
        ("GRAPH_ROOT", "http://user@127.0.0.1:80"),
        ("GRAPH_ROOT", "http://127.0.0.1/path"),
        ("GRAPH_ROOT", "http://127.0.0.1?query"),
        ("GRAPH_ROOT", "http://127.0.0.1.evil.example"),
        ("GRAPH_ROOT", "ftp://127.0.0.1"),
        ("GRAPH_ROOT", "http://["),
        ("GRAPH_ROOT", "127.0.0.1"),
        ("ENTRA_AUTHORITY", "https://login.evil.example"),
        ("MANAGED_IDENTITY_CLIENT_ID", "the-identity"),
        ("AzureWebJobsStorage", "canary"),
        ("KEY_VAULT_URI", "http://clinic.vault.azure.net"),
        ("KEY_VAULT_URI", "https://vault.azure.net.evil.example"),
        ("KEY_VAULT_URI", "https://user@clinic.vault.azure.net"),
        ("WEBHOOK_SOURCES", "{'cal': 1}"),
        ("WEBHOOK_SOURCES", "[]"),
        ("DELIVERIES", "crm"),
        ("DELIVERIES", '["crm"]'),
        ("RESULTS_QUEUE", "never"),
        ("RESULTS_QUEUE", "Always"),
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "366"),
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "7.5"),
        ("RETENTION_DAYS", "1e2"),
        ("RETENTION_DAYS", "\u0663"),
        ("RETENTION_DAYS", "9" * 5000),
        ("WEBHOOK_SOURCES", "[" * 100_000),
        ("HTTP_AUTH", "none"),
        ("ENTRA_TENANT_ID", "contoso.onmicrosoft.com"),
        ("ENTRA_CLIENT_ID", "app"),
        ("GRAPH_TIMEOUT_SECONDS", "0"),
        ("GRAPH_TIMEOUT_SECONDS", "101"),
        ("GRAPH_TIMEOUT_SECONDS", "nan"),
        ("GRAPH_TIMEOUT_SECONDS", "ten"),
        ("QUEUE_RETRY_HOURS", "0.5"),
        ("QUEUE_RETRY_HOURS", "169"),
        ("QUEUE_RETRY_HOURS", "inf"),
        ("DERIVE_MEETING_ID", "yes"),
    ],
)
def test_an_invalid_setting_is_named(name: str, value: str) -> None:
    """And no other."""
    assert list(faults({**STORAGE, name: value})) == [name]


@pytest.mark.parametrize(("value", "days"), [("1", 1), (" 30 ", 30), ("365", 365), ("", 30)])
def test_the_retention_is_a_whole_number_of_days_up_to_a_year(value: str, days: int) -> None:
    """Absent and blank mean its default."""
    assert read(RETENTION_DAYS=value).retention_days == days
    said = faults({**STORAGE, "RETENTION_DAYS": "400"})
    assert said == {"RETENTION_DAYS": "Must be a whole number from 1 to 365."}


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "AzureWebJobsStorage"),
        (
            {"AzureWebJobsStorage__queueServiceUri": "http://clinic.queue.core.windows.net"},
            "AzureWebJobsStorage__queueServiceUri",
        ),
        (
            {
                "AzureWebJobsStorage__queueServiceUri": "https://clinic.queue.core.windows.net",
                "AzureWebJobsStorage__credential": "password",
            },
            "AzureWebJobsStorage__credential",
        ),
        (
            {
                "AzureWebJobsStorage__queueServiceUri": "https://clinic.queue.core.windows.net",
                "AzureWebJobsStorage__clientId": "me",
            },
            "AzureWebJobsStorage__clientId",
        ),
    ],
)
def test_invalid_storage_is_named_in_either_form(environment: dict[str, str], name: str) -> None:
    """Without it there are no queues."""
    assert list(faults(environment)) == [name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEBHOOK_SOURCES", '{"cal": {"preset": "calcom", "secret": "webhook-cal"}}'),
        ("DELIVERIES", '{"crm": {"url": "https://crm.example/", "secret": "delivery-crm"}}'),
    ],
)
def test_sources_and_destinations_need_the_vault_with_their_secrets(name: str, value: str) -> None:
    """Otherwise each event would be refused, and each delivery would fail."""
    found = faults({**STORAGE, name: value})

    assert list(found) == ["KEY_VAULT_URI"]
    assert name in found["KEY_VAULT_URI"]


def test_sign_in_with_entra_needs_the_tenant_and_the_registration() -> None:
    """Both are reported together."""
    assert set(faults({**STORAGE, "HTTP_AUTH": "entra"})) == {"ENTRA_TENANT_ID", "ENTRA_CLIENT_ID"}
    settings = read(HTTP_AUTH="entra", ENTRA_TENANT_ID=GUID, ENTRA_CLIENT_ID=GUID)
    assert settings.http_auth == "entra"


@pytest.mark.parametrize(
    "root", ["http://127.0.0.1:1", "https://localhost:2", "http://[::1]:3", "http://localhost"]
)
def test_graph_may_be_a_loopback_address(root: str) -> None:
    """Then a token does not leave the machine."""
    assert read(GRAPH_ROOT=root).graph_root == root


def test_all_field_errors_are_reported_together() -> None:
    """In the detail as well, so that nobody has to correct one after the other."""
    environment = {"GRAPH_VERSION": "v9", "HTTP_AUTH": "none", "QUEUE_RETRY_HOURS": "x"}
    with pytest.raises(SettingsInvalid) as raised:
        Settings.from_env(environment)
    names = {"AzureWebJobsStorage", *environment}
    assert {field_error.pointer for field_error in raised.value.field_errors} == names
    assert all(name in raised.value.detail for name in names)


CANARY = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=5).map(
    "canary{}".format
)


@given(name=st.sampled_from(NAMES), value=CANARY)
def test_no_field_error_quotes_a_value(name: str, value: str) -> None:
    """A connection string in the wrong setting must not reach a response."""
    with pytest.raises(SettingsInvalid) as raised:
        Settings.from_env({**STORAGE, name: value})
    assert value not in f"{raised.value} {raised.value.detail} {raised.value.field_errors}"


def test_a_connection_string_is_not_shown() -> None:
    """It holds the account's key."""
    settings = read(AzureWebJobsStorage="AccountName=a;AccountKey=canary")
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        "AccountName=a",
        "AccountKey=b",
        "QueueEndpoint=https://a.queue.core.windows.net",
        "a",
    ],
)
def test_an_incomplete_connection_string_is_a_field_error(text: str) -> None:
    """Otherwise the first write to a queue would fail."""
    assert "AzureWebJobsStorage" in faults({"AzureWebJobsStorage": text})
