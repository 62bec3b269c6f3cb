"""The app on a developer's machine: no identity endpoint, but `az login`."""

import os
import sys
import uuid
from pathlib import Path

import pytest
import requests

from dev.booking_systems import SECRETS, calcom_booking, sign_as_calcom
from tests.integration.app_under_test import App
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import run_checks

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stub is found by its #! line")
GRAPH, VAULT = "graph.microsoft.com", "vault.azure.net"
AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The client id of the Azure CLI."""


class Az:
    """The Azure CLI on the PATH, and what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self._tokens = folder
        program = folder / "az"
        text = Path(__file__).with_name("az_stub.py").read_text(encoding="utf-8")
        program.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        program.chmod(0o755)
        self.settings: dict[str, str | None] = {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "AZ_TOKENS": str(folder),
        }

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        file = self._tokens / "calls"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def log_in(self, app: App) -> None:
        """Sign in as a person: delegated tokens, with scopes and without roles."""
        for host in (GRAPH, VAULT):
            token = app.run.authority.issue(
                audience=f"https://{host}",
                client_id=AZURE_CLI,
                object_id=str(uuid.uuid4()),
                idtyp="user",
                scp="Directory.AccessAsUser.All User.ReadWrite.All",
            )
            (self._tokens / host).write_text(token, encoding="utf-8")


@pytest.fixture
def az(tmp_path: Path) -> Az:
    """An Azure CLI."""
    return Az(tmp_path)


@pytest.fixture
def app(az: Az, fresh_app: FreshApp) -> App:
    """The app where nothing announces a managed identity."""
    return fresh_app(
        {
            **az.settings,
            "IDENTITY_ENDPOINT": None,
            "IDENTITY_HEADER": None,
            "MANAGED_IDENTITY_CLIENT_ID": None,
            "GRAPH_TIMEOUT_SECONDS": "10",
            # Else azure-identity first looks for the endpoint of a virtual machine: one may be.
            "AZURE_TOKEN_CREDENTIALS": "dev",
        }
    )


def test_webhooks_work_with_the_secrets_that_the_person_may_read(app: App, az: Az) -> None:
    """Health needs no token, and the vault gets the person's token."""
    az.log_in(app)
    body = calcom_booking(app.run.clinic.meeting, app.run.clinic.doctor)
    headers = sign_as_calcom(body, SECRETS["webhook-calcom"])

    health = requests.get(f"{app.run.url}/api/health", timeout=30)
    booking = requests.post(
        f"{app.run.url}/api/webhooks/calcom", data=body, headers=headers, timeout=30
    )

    assert (health.status_code, booking.status_code) == (200, 202)
    assert f"account get-access-token --output json --resource https://{VAULT}" in az.calls


def test_no_link_is_given_and_the_problem_does_not_name_the_azure_cli(app: App, az: Az) -> None:
    """Graph answers a person's token only below /me, and nobody should grant az a role."""
    az.log_in(app)

    answer = app.post(app.request())

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (502, "graph_refused")
    assert AZURE_CLI not in answer.text


def test_the_diagnostics_say_whose_the_tokens_are_and_what_they_lack(app: App, az: Az) -> None:
    """The vault's secrets and the queues are checked as well."""
    az.log_in(app)

    checks = run_checks(app)

    failed = checks.fails_at("roles")
    assert checks["identity"]["seen"] == {"identity": "developer"}
    assert checks["token"]["seen"]["appid"] == AZURE_CLI
    assert failed["code"] == "permission_missing"
    assert AZURE_CLI not in failed["fix"]
    assert {checks["key_vault"]["status"], checks["queues"]["status"]} == {"pass"}


def test_without_az_login_the_problem_says_to_run_it(app: App, az: Az) -> None:
    """The output of az is only in the log."""
    answer = app.post(app.request())

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "identity_unavailable")
    assert problem["fix"].startswith("Run az login")
    assert az.calls


def test_with_a_managed_identity_az_is_not_run(az: Az, fresh_app: FreshApp) -> None:
    """In Azure, whatever is on the PATH, and whatever azure-identity is told to prefer."""
    app = fresh_app({**az.settings, "AZURE_TOKEN_CREDENTIALS": "dev"})

    assert app.post(app.request()).status_code == 200
    assert az.calls == []
