"""`python scripts/make_connector.py`: the folder for one deployment."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV2SpecValidator

from tests.connector.definitions import ROOT, read

TENANT = "10000000-0000-4000-8000-00000000000a"
SERVICE = "20000000-0000-4000-8000-00000000000b"
CONNECTOR = "30000000-0000-4000-8000-00000000000c"
HOST = "clinic-links.azurewebsites.net"
FILES = {
    "apiDefinition.swagger.json",
    "apiProperties.json",
    "icon.png",
    "readme.md",
    "settings.json",
}


def make(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as an administrator does."""
    command = [sys.executable, str(ROOT / "scripts" / "make_connector.py"), "--out", str(out)]
    return subprocess.run(  # noqa: S603 - our own script
        [*command, *arguments], capture_output=True, text=True, check=False
    )


def made(out: Path, *arguments: str) -> tuple[Any, Any]:
    """Make a connector, and give its definition and its properties."""
    done = make(out, *arguments)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == FILES
    definition, properties = (
        json.loads((out / name).read_text(encoding="utf-8"))
        for name in ("apiDefinition.swagger.json", "apiProperties.json")
    )
    assert [error.message for error in OpenAPIV2SpecValidator(definition).iter_errors()] == []
    return definition, properties


@pytest.mark.parametrize("host", [HOST, f"https://{HOST}/", HOST.upper()])
def test_a_host_makes_a_connector_with_a_key(tmp_path: Path, host: str) -> None:
    """Also as the address that people copy; all else is as it was."""
    definition, properties = made(tmp_path / "a" / "b", "--host", host)

    assert definition == {**read("apiDefinition.swagger.json"), "host": HOST}
    assert properties == read("apiProperties.key.json")


def test_ids_make_one_with_sign_in(tmp_path: Path) -> None:
    """For the service's registration, as the connector's own."""
    definition, properties = made(
        tmp_path,
        *("--host", HOST, "--tenant-id", TENANT, "--client-id", SERVICE),
        *("--connector-client-id", CONNECTOR),
    )

    oauth = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert oauth["clientId"] == CONNECTOR
    assert oauth["customParameters"] == {
        "loginUri": {"value": "https://login.microsoftonline.com"},
        "tenantId": {"value": TENANT},
        "resourceUri": {"value": f"api://{SERVICE}"},
    }
    ((name, security),) = definition["securityDefinitions"].items()
    assert (security["type"], security["flow"]) == ("oauth2", "accessCode")
    assert TENANT in security["authorizationUrl"]
    assert definition["security"] == [{name: []}]


def test_one_registration_for_both_is_named_by_its_bare_id(tmp_path: Path) -> None:
    """Otherwise Entra gives it no token for itself."""
    _, properties = made(tmp_path, "--host", HOST, "--tenant-id", TENANT, "--client-id", SERVICE)

    oauth = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert oauth["clientId"] == SERVICE
    assert oauth["customParameters"]["resourceUri"] == {"value": SERVICE}


def test_an_administrators_older_python_can_read_it() -> None:
    """3.10 and newer."""
    source = (ROOT / "scripts" / "make_connector.py").read_text(encoding="utf-8")

    assert ast.parse(source, feature_version=(3, 10))


def test_nothing_is_left_to_fill_in(tmp_path: Path) -> None:
    """Neither example addresses nor empty ids, where everything is given."""
    definition, properties = made(
        tmp_path,
        *("--host", HOST, "--tenant-id", TENANT, "--client-id", SERVICE, "--publisher", "Clinic"),
        *("--email", "it@clinic.example", "--website", "https://clinic.example"),
        *("--privacy-policy", "https://clinic.example/privacy"),
    )

    text = json.dumps([definition["info"], definition["x-ms-connector-metadata"], properties])
    text += (tmp_path / "readme.md").read_text(encoding="utf-8")
    assert "example.com" not in text
    assert "Your organization" not in text
    assert "00000000-0000-0000-0000-000000000000" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--host", "http://clinic.example"),
        ("--host", "clinic"),
        ("--host", "clinic.example/api"),
        ("--host", HOST, "--client-id", SERVICE),
        ("--host", HOST, "--tenant-id", "common", "--client-id", SERVICE),
        ("--host", HOST, "--connector-client-id", CONNECTOR),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Before anything is written."""
    done = make(tmp_path / "out", *arguments)

    assert done.returncode == 2
    assert "\nmake_connector.py: error: " in done.stderr
    assert not (tmp_path / "out").exists()
