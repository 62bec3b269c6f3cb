"""Setting a webhook's secret in a vault, with the real SecretClient."""

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import TlsFiles, make_certificates
from dev.stand_ins.faults import Status
from dev.stand_ins.key_vault import KeyVault, SecretVersion
from dev.stand_ins.proxy import ConnectProxy
from shared.core.identifiers import is_secret_name, is_source_name
from shared.deliveries.signing import sign
from tests.integration.script_runs import VERSIONS, Administrator, Done

SCRIPT = "set_webhook_secret.py"
RESOURCE = "https://vault.azure.net"
NAME = "webhook-calcom"
HOUR = 3600


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """A certificate for every vault."""
    return make_certificates("*.vault.azure.net", folder=tmp_path_factory.mktemp("tls"))


@pytest.fixture
def vault(authority: Authority, tls: TlsFiles) -> Iterator[KeyVault]:
    """An empty vault."""
    with KeyVault(authority, tls=tls, name=f"kv-{uuid.uuid4().hex[:8]}") as vault:
        yield vault


@pytest.fixture
def administrator(
    authority: Authority, vault: KeyVault, tls: TlsFiles, tmp_path: Path
) -> Iterator[Administrator]:
    """A person who may write secrets, in azd's environment."""
    token = authority.issue(
        audience=RESOURCE, client_id=str(uuid.uuid4()), object_id=str(uuid.uuid4())
    )
    with ConnectProxy({vault.host: vault.port}) as proxy:
        administrator = Administrator(tmp_path, {RESOURCE: token})
        administrator.environment |= {
            **proxy.environment,
            "REQUESTS_CA_BUNDLE": str(tls.ca),
            "KEY_VAULT_NAME": vault.host.partition(".")[0],
            "FUNCTION_APP_URL": "https://func-clinic.azurewebsites.net",
        }
        yield administrator


def versions(vault: KeyVault, name: str = NAME) -> list[SecretVersion]:
    """The versions of a secret, oldest first."""
    return vault._versions(name)


def shown(done: Done) -> str:
    """The secret that was shown, to be pasted."""
    (secret,) = re.findall(r"^  (\S+)$", done.said, re.MULTILINE)
    return str(secret)


@pytest.mark.parametrize("version", VERSIONS)
def test_makes_a_secret_and_says_what_to_paste(
    version: str, vault: KeyVault, administrator: Administrator
) -> None:
    """The value once, the webhook's address, and the secret's name for WEBHOOK_SOURCES."""
    done = administrator.run(SCRIPT, "calcom", version=version)

    assert (done.code, done.complained) == (0, "")
    (made,) = versions(vault)
    assert shown(done) == made.value
    assert len(bytes.fromhex(made.value)) == 32
    assert "https://func-clinic.azurewebsites.net/api/webhooks/calcom" in done.said
    assert f'"secret": "{NAME}"' in done.said


def test_a_secret_for_standard_webhooks_has_their_form(
    vault: KeyVault, administrator: Administrator
) -> None:
    """whsec_ and base64 of 32 bytes."""
    administrator.run(SCRIPT, "calcom", "--standard")

    (made,) = versions(vault)
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", made.value)


def test_a_second_run_leaves_the_secret_alone(
    vault: KeyVault, administrator: Administrator
) -> None:
    """The booking system has it already."""
    administrator.run(SCRIPT, "calcom")
    done = administrator.run(SCRIPT, "calcom")

    assert done.code == 0
    assert len(versions(vault)) == 1
    assert "--rotate" in done.said
    assert versions(vault)[0].value not in done.said


def test_takes_the_secret_that_the_booking_system_made(
    vault: KeyVault, administrator: Administrator
) -> None:
    """Here from a pipe, without the line break. It is not shown."""
    done = administrator.run(SCRIPT, "calcom", "--prompt", typed=" open sesame \n")

    assert done.code == 0
    assert [one.value for one in versions(vault)] == ["open sesame"]
    assert "open sesame" not in done.said + done.complained


@pytest.mark.parametrize(
    ("typed", "options"),
    [("", []), ("\n", []), ("no-secret-provided\n", []), ("whsec_c2hvcnQ=\n", ["--standard"])],
)
def test_refuses_a_text_that_is_no_secret(
    typed: str, options: list[str], vault: KeyVault, administrator: Administrator
) -> None:
    """The app would refuse it as well."""
    done = administrator.run(SCRIPT, "calcom", "--prompt", *options, typed=typed)

    assert done.code == 1
    assert "othing was changed" in done.complained
    assert versions(vault) == []


def test_makes_a_secret_that_deliveries_are_signed_with(
    vault: KeyVault, administrator: Administrator
) -> None:
    """In the form of Standard Webhooks, shown once, for the receiver's operator."""
    done = administrator.run(SCRIPT, "my_crm", "--delivery")

    assert (done.code, done.complained) == (0, "")
    (made,) = versions(vault, "delivery-my-crm")
    assert shown(done) == made.value
    assert sign([made.value], delivery_id="msg_1", timestamp=1, body=b"{}")
    assert '"secret": "delivery-my-crm"' in done.said
    assert "DELIVERIES" in done.said
    assert "/api/webhooks/" not in done.said


URL = (
    "https://prod-1.westeurope.logic.azure.com/workflows/1/triggers/manual/paths/invoke?sig=canary"
)


def test_stores_a_url_that_is_a_secret(vault: KeyVault, administrator: Administrator) -> None:
    """It is asked for and not shown.

    It may be changed at once, because the newest version counts.
    """
    done = administrator.run(SCRIPT, "flow", "--delivery-url", typed=f" {URL}\n")
    again = administrator.run(SCRIPT, "flow", "--delivery-url", "--rotate", typed=f"{URL}2\n")
    third = administrator.run(SCRIPT, "flow", "--delivery-url", "--rotate", typed=f"{URL}3\n")

    assert [one.code for one in (done, again, third)] == [0, 0, 0]
    stored = [one.value for one in versions(vault, "delivery-flow-url")]
    assert stored == [URL, f"{URL}2", f"{URL}3"]
    assert '"urlSecret": "delivery-flow-url"' in done.said
    assert "canary" not in done.said + done.complained + again.said + again.complained


@pytest.mark.parametrize("typed", ["", "http://crm.example/\n", "crm.example\n", "https://a b\n"])
def test_refuses_a_url_that_deliveries_cannot_go_to(
    typed: str, vault: KeyVault, administrator: Administrator
) -> None:
    """The error does not quote it."""
    done = administrator.run(SCRIPT, "flow", "--delivery-url", typed=typed)

    assert done.code == 1
    assert "othing was changed" in done.complained
    assert not typed.strip() or typed.strip() not in done.complained
    assert versions(vault, "delivery-flow-url") == []


@pytest.mark.parametrize("version", VERSIONS)
def test_a_rotation_adds_a_version(
    version: str, vault: KeyVault, administrator: Administrator
) -> None:
    """Both are accepted until the booking system has the new one."""
    old = vault.set_secret(NAME, "old")

    done = administrator.run(SCRIPT, "calcom", "--rotate", version=version)

    assert done.code == 0
    assert [one.value for one in versions(vault)] == ["old", shown(done)]
    assert versions(vault)[0] == old
    assert "accepted beside it" in done.said


def test_a_rotation_can_end_a_leaked_secret(vault: KeyVault, administrator: Administrator) -> None:
    """--expire-old says when."""
    vault.set_secret(NAME, "leaked")

    done = administrator.run(SCRIPT, "calcom", "--rotate", "--expire-old", "2")

    assert done.code == 0
    old, new = versions(vault)
    assert old.expires is not None
    assert 2 * HOUR - 60 < old.expires - time.time() <= 2 * HOUR
    assert new.expires is None


def test_a_second_rotation_needs_a_confirmation(
    vault: KeyVault, administrator: Administrator
) -> None:
    """Only two versions are valid, and the booking system may still use the oldest."""
    vault.set_secret(NAME, "in use", created=int(time.time()) - 100 * HOUR)
    administrator.run(SCRIPT, "calcom", "--rotate")

    refused = administrator.run(SCRIPT, "calcom", "--rotate")
    told = administrator.run(SCRIPT, "calcom", "--rotate", "--again")

    assert (refused.code, told.code) == (1, 0)
    assert "--again" in refused.complained
    assert len(versions(vault)) == 3


def test_what_if_changes_nothing(vault: KeyVault, administrator: Administrator) -> None:
    """It asks no question."""
    done = administrator.run(SCRIPT, "calcom", "--prompt", "--what-if")

    assert done.code == 0
    assert "Nothing was changed" in done.said
    assert versions(vault) == []


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            Status(403, "Forbidden", "Caller is not authorized to perform action on resource."),
            "Key Vault Secrets Officer",
        ),
        (
            Status(403, "Forbidden", "Public network access is disabled. ForbiddenByConnection"),
            "inside its virtual network only",
        ),
        (
            Status(409, "Conflict", "Secret is currently in a deleted but recoverable state."),
            "az keyvault secret recover",
        ),
        (Status(400, "BadParameter", "Odd."), "The vault answered 400"),
    ],
)
def test_ends_every_refusal_in_a_sentence(
    fault: Status, sentence: str, vault: KeyVault, administrator: Administrator
) -> None:
    """With the role, the network or the command that is needed."""
    vault.always(fault, when=lambda call: bool(call.claims))

    done = administrator.run(SCRIPT, "calcom")

    assert done.code == 1
    assert sentence in done.complained
    assert "Traceback" not in done.complained
    assert done.said == ""


def test_waits_when_the_vault_is_throttling(vault: KeyVault, administrator: Administrator) -> None:
    """By its Retry-After."""
    busy = Status(429, "Throttled", "Busy.", {"Retry-After": "1"})
    vault.order(busy, when=lambda call: call.method == "PUT")

    assert administrator.run(SCRIPT, "calcom").code == 0
    assert len(versions(vault)) == 1


def test_says_how_to_sign_in(administrator: Administrator) -> None:
    """In one sentence."""
    Administrator(administrator.folder, {})

    done = administrator.run(SCRIPT, "calcom")

    assert done.code == 1
    assert done.complained.startswith("Not signed in: run `az login` first.")
    assert "Traceback" not in done.complained


def test_says_when_there_is_no_such_vault(administrator: Administrator) -> None:
    """For example after a typing error."""
    done = administrator.run(SCRIPT, "calcom", "--vault", "kv-elsewhere")

    assert done.code == 1
    assert "kv-elsewhere could not be reached" in done.complained


@pytest.mark.parametrize(
    ("source", "secret_name"),
    [
        ("Clinic_A", "webhook-Clinic-A"),
        ("my_source", "webhook-my-source"),
        ("x" * 64, f"webhook-{'x' * 64}"),
    ],
)
def test_every_source_that_the_app_accepts_gets_a_secret(
    source: str, secret_name: str, vault: KeyVault, administrator: Administrator
) -> None:
    """Key Vault allows no underscore, so the secret's name has a hyphen instead."""
    done = administrator.run(SCRIPT, source)

    assert (done.code, done.complained) == (0, "")
    assert is_source_name(source)
    assert is_secret_name(secret_name)
    assert len(versions(vault, secret_name)) == 1
    assert f"/api/webhooks/{source}\n" in done.said
    assert f'"secret": "{secret_name}"' in done.said


@pytest.mark.parametrize(
    "wrong",
    [
        ["Cal com"],
        ["x" * 65],
        ["calcom", "--secret-name", "my_secret"],
        ["calcom", "--expire-old", "1"],
        ["--rotate"],
    ],
)
def test_a_wrong_command_line_reaches_no_vault(
    wrong: list[str], vault: KeyVault, administrator: Administrator
) -> None:
    """Exit code 2, as usual."""
    assert administrator.run(SCRIPT, *wrong).code == 2
    assert vault.calls == []
