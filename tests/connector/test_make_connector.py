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


WHO = (
    *("--publisher", "Clinic", "--email", "it@clinic.example"),
    *("--website", "https://clinic.example"),
    *("--privacy-policy", "https://clinic.example/privacy"),
)


def variable(name: str) -> str:
    """Write an expression for an environment variable of Power Platform."""
    return f'@environmentVariables("{name}")'


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


def test_the_files_are_the_same_in_any_encoding(tmp_path: Path) -> None:
    """On Windows paconn reads them in the system's encoding, and a publisher may have umlauts."""
    name = "Praxis Dr. Müller"
    _, properties = made(tmp_path, "--host", HOST, *WHO, "--publisher", name)

    assert properties["properties"]["publisher"] == name
    assert [path for path in tmp_path.glob("*.json") if not path.read_bytes().isascii()] == []


def test_the_text_for_sign_in_says_whose_meetings_may_be_requested(tmp_path: Path) -> None:
    """One's own, and with the app role any organizer's. It is not in a connector with a key."""
    ids = ("--tenant-id", TENANT, "--client-id", SERVICE)
    with_key, _ = made(tmp_path / "key", "--host", HOST, *WHO)
    with_sign_in, _ = made(tmp_path / "entra", "--host", HOST, *ids, *WHO)

    key, entra = (
        definition["definitions"]["Meeting"]["properties"]["userId"]["description"]
        for definition in (with_key, with_sign_in)
    )
    assert "your own" not in key
    assert entra.startswith(key)
    assert "leave it empty for a meeting of your own" in entra
    assert "app role JoinLink.Read.All" in entra


@pytest.mark.parametrize("host", [HOST, f"https://{HOST}/", HOST.upper()])
def test_with_a_host_it_makes_a_connector_with_a_key(tmp_path: Path, host: str) -> None:
    """Also with a whole URL. The other values are unchanged."""
    definition, properties = made(tmp_path / "a" / "b", "--host", host, *WHO)

    ours = read("apiDefinition.swagger.json")
    theirs = ("info", "x-ms-connector-metadata")
    assert {**definition, **{name: ours[name] for name in theirs}} == {**ours, "host": HOST}
    assert properties["properties"] == {
        **read("apiProperties.key.json")["properties"],
        "publisher": "Clinic",
    }


def test_with_ids_it_makes_a_connector_with_sign_in(tmp_path: Path) -> None:
    """With the service's registration and the connector's own."""
    definition, properties = made(
        tmp_path,
        *("--host", HOST, "--tenant-id", TENANT, "--client-id", SERVICE),
        *("--connector-client-id", CONNECTOR),
        *WHO,
    )

    oauth = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert oauth["clientId"] == CONNECTOR
    assert oauth["customParameters"] == {
        "loginUri": {"value": "https://login.microsoftonline.com"},
        "tenantId": {"value": TENANT},
        "resourceUri": {"value": SERVICE},
        "enableOnbehalfOfLogin": {"value": "true"},
    }
    assert oauth["properties"]["AzureActiveDirectoryResourceId"] == SERVICE
    ((name, security),) = definition["securityDefinitions"].items()
    assert (security["type"], security["flow"]) == ("oauth2", "accessCode")
    assert TENANT in security["authorizationUrl"]
    assert definition["security"] == [{name: []}]


def test_one_registration_can_serve_both(tmp_path: Path) -> None:
    """By its client id, because Entra gives it no token for itself otherwise."""
    ids = ("--tenant-id", TENANT, "--client-id", SERVICE)
    _, properties = made(tmp_path, "--host", HOST, *ids, *WHO)

    oauth = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert oauth["clientId"] == SERVICE
    assert oauth["customParameters"]["resourceUri"] == {"value": SERVICE}


def test_environment_variables_replace_the_host_and_the_ids(tmp_path: Path) -> None:
    """One solution can then move between environments. Each expression is a whole value."""
    definition, properties = made(
        tmp_path,
        *("--host", variable("x_Host"), "--tenant-id", variable("x_Tenant")),
        *("--client-id", variable("x_Service"), "--connector-client-id", variable("x_Own")),
        *WHO,
    )

    oauth = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    assert definition["host"] == variable("x_Host")
    assert oauth["clientId"] == variable("x_Own")
    assert oauth["customParameters"]["tenantId"] == {"value": variable("x_Tenant")}
    assert oauth["customParameters"]["resourceUri"] == {"value": variable("x_Service")}
    assert oauth["properties"]["AzureActiveDirectoryResourceId"] == variable("x_Service")
    # Fields that allow no expression have none.
    assert "environmentVariables" not in json.dumps({**definition, "host": None})


def test_the_settings_name_only_a_given_environment(tmp_path: Path) -> None:
    """Without one, the command-line tool asks for it. That of the default one is no bare GUID."""
    made(tmp_path / "with", "--host", HOST, "--environment", TENANT, *WHO)
    made(tmp_path / "default", "--host", HOST, "--environment", f"Default-{TENANT}", *WHO)
    made(tmp_path / "without", "--host", HOST, *WHO)

    settings = [
        json.loads((tmp_path / name / "settings.json").read_text(encoding="utf-8"))
        for name in ("with", "default", "without")
    ]
    assert [found.get("environment") for found in settings] == [TENANT, f"Default-{TENANT}", None]


def test_an_administrators_older_python_can_compile_it() -> None:
    """3.10 and newer."""
    source = (ROOT / "scripts" / "make_connector.py").read_text(encoding="utf-8")

    assert ast.parse(source, feature_version=(3, 10))


def test_no_placeholder_is_left(tmp_path: Path) -> None:
    """No example address and no empty id, in any file."""
    made(tmp_path, "--host", HOST, "--tenant-id", TENANT, "--client-id", SERVICE, *WHO)

    texts = [
        path.read_text(encoding="utf-8") for path in tmp_path.iterdir() if path.suffix != ".png"
    ]
    assert len(texts) == len(FILES) - 1
    for text in texts:
        assert "example.com" not in text
        assert "Your organization" not in text
        assert "your-function-app" not in text
        assert "00000000-0000-0000-0000-000000000000" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        WHO,
        ("--host", HOST),
        ("--host", HOST, *WHO[:-2]),
        ("--host", HOST, *WHO[2:]),
        ("--host", HOST, *WHO, "--website", "clinic.example"),
        ("--host", HOST, *WHO, "--publisher", " "),
        ("--host", HOST, *WHO, "--publisher", "Our\nclinic"),
        ("--host", HOST, *WHO, "--website", "https://"),
        ("--host", HOST, *WHO, "--website", "https://clínic.example"),
        ("--host", HOST, *WHO, "--privacy-policy", "https://clinic.example/our policy"),
        ("--host", HOST, *WHO, "--email", "the help desk"),
        ("--host", HOST, *WHO, "--email", "help@desk"),
        ("--host", HOST, *WHO, "--email", "müller@clinic.example"),
        ("--host", "http://clinic.example", *WHO),
        ("--host", "clinic", *WHO),
        ("--host", "clinic.example/api", *WHO),
        ("--host", "links." + variable("x_Host"), *WHO),
        ("--host", "@environmentVariables(x_Host)", *WHO),
        ("--host", HOST, "--environment", variable("x"), *WHO),
        ("--host", HOST, "--environment", "Default-", *WHO),
        ("--host", HOST, "--client-id", SERVICE, *WHO),
        ("--host", HOST, "--tenant-id", "common", "--client-id", SERVICE, *WHO),
        ("--host", HOST, "--connector-client-id", CONNECTOR, *WHO),
    ],
)
def test_invalid_arguments_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Before a file is written."""
    done = make(tmp_path / "out", *arguments)

    assert done.returncode == 2
    assert "\nmake_connector.py: error: " in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_error_for_a_read_only_folder_names_it(tmp_path: Path) -> None:
    """In a sentence, without a traceback."""
    (tmp_path / "taken").touch()

    done = make(tmp_path / "taken", "--host", HOST, *WHO)

    assert done.returncode == 1
    assert done.stderr.startswith(f"The folder {tmp_path / 'taken'} cannot be written: ")
    assert done.stderr.count("\n") == 1
