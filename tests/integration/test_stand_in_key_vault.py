"""Key Vault behind the proxy, read and written by the real SecretClient."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
)
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient

from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.faults import NOT_JSON, CutBody, Delay, Hang, Reset, Status
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from dev.stand_ins.key_vault import KeyVault
from dev.stand_ins.proxy import ConnectProxy
from dev.stand_ins.stand_in import Fault

CLIENT = "20000000-0000-4000-8000-000000000002"
IDENTITY = "30000000-0000-4000-8000-000000000003"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for every vault."""
    return make_certificates("*.vault.azure.net", folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture
def vault(authority: Authority, tls: TlsFiles) -> Iterator[KeyVault]:
    """An empty vault with a new name, because SecretClient caches challenges by name."""
    name = f"clinic-{uuid.uuid4().hex[:8]}"
    with KeyVault(authority, tls=tls, name=name) as vault:
        yield vault


@pytest.fixture
def proxy(
    authority: Authority, vault: KeyVault, tls: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ConnectProxy]:
    """The environment of an app that reaches the vault by its real name."""
    with (
        ConnectProxy({vault.host: vault.port}) as proxy,
        IdentityEndpoint(authority, client_id=CLIENT, object_id=IDENTITY) as identity,
    ):
        environment = {
            **proxy.environment,
            **identity.environment,
            "REQUESTS_CA_BUNDLE": str(tls.ca),
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def client(vault: KeyVault, proxy: ConnectProxy) -> Iterator[SecretClient]:
    """The real client, which checks the challenge and does not retry."""
    assert proxy.asked == []
    with (
        ManagedIdentityCredential(client_id=CLIENT) as credential,
        SecretClient(vault.url, credential, retry_total=0) as client,
    ):
        yield client


def test_gives_a_secret_after_the_challenge(vault: KeyVault, client: SecretClient) -> None:
    """401 with the resource, then the value. The proxy resolves the real name."""
    made = vault.set_secret("calcom", "open sesame")

    secret = client.get_secret("calcom")

    assert (secret.value, secret.properties.version) == ("open sesame", made.version)
    assert secret.properties.vault_url == vault.url
    assert [call.status for call in vault.calls] == [401, 200]
    assert vault.calls[1].claims["oid"] == IDENTITY


def test_gives_the_newest_version_or_the_one_named(vault: KeyVault, client: SecretClient) -> None:
    """The version written last is current."""
    old = vault.set_secret("calcom", "old")
    vault.set_secret("calcom", "new")

    assert client.get_secret("calcom").value == "new"
    assert client.get_secret("calcom", old.version).value == "old"


def test_lists_every_version_with_its_attributes(vault: KeyVault, client: SecretClient) -> None:
    """Not sorted by time, and without values."""
    made = [
        vault.set_secret("calcom", "1", created=100),
        vault.set_secret("calcom", "2", created=200, enabled=False),
        vault.set_secret("calcom", "3", created=300, expires=4_000_000_000, not_before=50),
    ]

    listed = list(client.list_properties_of_secret_versions("calcom"))

    assert [one.version for one in listed] == sorted(one.version for one in made)
    by_time = sorted(listed, key=lambda one: one.created_on.timestamp() if one.created_on else 0)
    assert [one.enabled for one in by_time] == [True, False, True]
    assert by_time[2].expires_on is not None
    assert by_time[2].expires_on.timestamp() == 4_000_000_000
    assert by_time[2].not_before is not None
    assert by_time[1].expires_on is None


def test_pages_its_lists(vault: KeyVault, client: SecretClient) -> None:
    """The client follows nextLink until there is none."""
    vault.page_size = 2
    for number in range(5):
        vault.set_secret("calcom", str(number))

    assert len(list(client.list_properties_of_secret_versions("calcom"))) == 5
    assert vault.count(lambda call: call.status == 200) == 3


def test_lists_the_secrets(vault: KeyVault, client: SecretClient) -> None:
    """By name, each once."""
    for name in ("one", "two", "two"):
        vault.set_secret(name, "value")

    assert [one.name for one in client.list_properties_of_secrets()] == ["one", "two"]


def test_takes_new_versions_and_changes(vault: KeyVault, client: SecretClient) -> None:
    """A rotation as by an administrator: add a version, disable the old one."""
    first = client.set_secret("calcom", "first")
    second = client.set_secret("calcom", "second")
    assert first.properties.version is not None

    client.update_secret_properties("calcom", first.properties.version, enabled=False)

    assert client.get_secret("calcom").properties.version == second.properties.version
    states = {
        one.version: one.enabled for one in client.list_properties_of_secret_versions("calcom")
    }
    assert states == {first.properties.version: False, second.properties.version: True}
    assert vault.count(lambda call: call.method == "PUT" and call.status == 200) == 2


def test_refuses_a_disabled_version(vault: KeyVault, client: SecretClient) -> None:
    """Even the current one. The vault does not use an older one instead."""
    vault.set_secret("calcom", "old")
    vault.enable(vault.set_secret("calcom", "new"), enabled=False)

    with pytest.raises(HttpResponseError, match="not allowed on a disabled secret") as caught:
        client.get_secret("calcom")

    assert caught.value.status_code == 403


@pytest.mark.parametrize("version", [None, "0" * 32])
def test_answers_404_for_an_unknown_secret(
    vault: KeyVault, client: SecretClient, version: str | None
) -> None:
    """Or for an unknown version."""
    if version:
        vault.set_secret("calcom", "value")

    with pytest.raises(ResourceNotFoundError, match="SecretNotFound"):
        client.get_secret("calcom", version)


def test_lists_no_versions_of_an_unknown_secret(client: SecretClient) -> None:
    """An empty list, not an error."""
    assert list(client.list_properties_of_secret_versions("calcom")) == []


def test_a_removed_secret_is_gone(vault: KeyVault, client: SecretClient) -> None:
    """Deleted with all its versions."""
    vault.set_secret("calcom", "value")
    vault.remove_secret("calcom")

    with pytest.raises(ResourceNotFoundError):
        client.get_secret("calcom")


def test_keeps_values_out_of_each_repr(vault: KeyVault, client: SecretClient) -> None:
    """Of versions and of recorded calls."""
    made = vault.set_secret("calcom", "open sesame")
    client.set_secret("calcom", "open sesame")

    assert "open sesame" not in repr(made)
    assert "open sesame" not in repr(vault.calls)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Status(503), AzureError),
        (Reset(), AzureError),
        (CutBody(), AzureError),
        (NOT_JSON, json.JSONDecodeError),
    ],
)
def test_fails_on_order(
    vault: KeyVault, client: SecretClient, fault: Fault, error: type[Exception]
) -> None:
    """An outage, and invalid answers. Afterwards it works again."""
    vault.set_secret("calcom", "value")
    assert client.get_secret("calcom").value == "value"
    vault.order(fault)

    with pytest.raises(error):
        client.get_secret("calcom")

    assert client.get_secret("calcom").value == "value"


def test_answers_late_or_not_at_all_on_order(vault: KeyVault, client: SecretClient) -> None:
    """The client has its own timeout."""
    vault.set_secret("calcom", "value")
    vault.order(Delay(0.01), times=2)
    assert client.get_secret("calcom").value == "value"
    vault.order(Hang())

    with pytest.raises(AzureError):
        client.get_secret("calcom", read_timeout=0.1)


def test_accepts_only_tokens_for_the_vault(
    authority: Authority, vault: KeyVault, proxy: ConnectProxy
) -> None:
    """A token for Graph gets a challenge."""
    assert proxy.asked == []
    token = authority.issue(
        audience="https://graph.microsoft.com", client_id=CLIENT, object_id=IDENTITY
    )

    answer = requests.get(
        f"{vault.url}/secrets/calcom",
        params={"api-version": "2025-07-01"},
        headers={"Authorization": f"Bearer {token}"},
        timeout=5,
    )

    assert answer.status_code == 401
    assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]


def test_the_proxy_connects_to_no_other_host(vault: KeyVault, proxy: ConnectProxy) -> None:
    """Another host is refused and recorded."""
    with (
        ManagedIdentityCredential(client_id=CLIENT) as credential,
        SecretClient("https://other.vault.azure.net", credential, retry_total=0) as client,
        pytest.raises(ServiceRequestError),
    ):
        client.get_secret("calcom")

    assert proxy.asked == ["other.vault.azure.net:443"]
    assert vault.calls == []


def test_the_proxy_forwards_no_plain_request(proxy: ConnectProxy) -> None:
    """A request without CONNECT is refused."""
    proxies = {"http": proxy.environment["HTTPS_PROXY"]}

    answer = requests.get("http://any.vault.azure.net/", proxies=proxies, timeout=5)

    assert answer.status_code == 502
    assert proxy.asked == ["http://any.vault.azure.net/"]


def test_the_certificate_is_valid_for_its_names_only(
    vault: KeyVault,
    tls: TlsFiles,
    proxy: ConnectProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client refuses a wrong name and an unknown authority."""
    stranger = make_certificates("*.vault.azure.net", folder=tmp_path)

    with pytest.raises(requests.exceptions.SSLError, match=r"doesn't match|not valid for"):
        requests.get(f"https://127.0.0.1:{vault.port}/", verify=str(tls.ca), timeout=5)
    proxies = {"https": proxy.environment["HTTPS_PROXY"]}
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        requests.get(vault.url, proxies=proxies, verify=str(stranger.ca), timeout=5)
