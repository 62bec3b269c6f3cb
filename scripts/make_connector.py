#!/usr/bin/env python3
"""Makes a Power Automate connector for one deployment: a folder ready for import.

Needs no role: it writes files on this machine and calls nobody. To import them takes the right to
make custom connectors in an environment. Python 3.10 or newer, and nothing to install.

    python scripts/make_connector.py --host NAME.azurewebsites.net --publisher "Our clinic" \
      --email it@clinic.example --website https://clinic.example \
      --privacy-policy https://clinic.example/privacy

makes a connector whose connections hold a function key. With --tenant-id and --client-id as well,
people and applications sign in to it with Entra (HTTP_AUTH=entra).

The host and the ids may each be an expression for an environment variable of Power Platform, such
as '@environmentVariables("contoso_JoinLinkHost")'. Then one solution moves between environments.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from command_line import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = Path(__file__).resolve().parents[1] / "connector"
DEFINITION = "apiDefinition.swagger.json"
_NOBODY = "Your organization"
_VARIABLE = re.compile(r'@environmentVariables\("[A-Za-z0-9_]{1,100}"\)')
_LOGIN = "https://login.microsoftonline.com"
_WHOSE = (
    " As a person who signs in, leave it empty for a meeting of your own; other people's meetings"
    " need the app role JoinLink.Read.All, which an administrator assigns to you."
)
"""A part of the text only where people sign in: a function key belongs to no person."""
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the folder and return an exit code."""
    options = _parse(arguments)
    entra = options.tenant_id is not None
    definition = _read(DEFINITION)
    properties = _read("apiProperties.entra.json" if entra else "apiProperties.key.json")
    _describe(definition, properties, options)
    if entra:
        _sign_in(definition, properties, options)
    guide = (SOURCE / "readme.md").read_text(encoding="utf-8")
    out: Path = options.out
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / DEFINITION, definition)
        _write(out / "apiProperties.json", properties)
        _write(out / "settings.json", _settings(options.environment))
        shutil.copyfile(SOURCE / "icon.png", out / "icon.png")
        (out / "readme.md").write_text(guide.replace(_NOBODY, options.publisher), encoding="utf-8")
    except OSError as error:
        print(f"The folder {out} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"The connector is in {out}. How to import it: docs/power-automate.md")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "--host", required=True, type=_host, help="the function app's: NAME.azurewebsites.net"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("connector-out"), help="the folder to write"
    )
    parser.add_argument(
        "--environment",
        type=_environment,
        help="the id of the Power Platform environment, for settings.json; paconn asks without it",
    )
    sign_in = parser.add_argument_group("sign-in with Entra, where the app has HTTP_AUTH=entra")
    sign_in.add_argument("--tenant-id", type=_id, help="the app's ENTRA_TENANT_ID")
    sign_in.add_argument("--client-id", type=_id, help="the app's ENTRA_CLIENT_ID")
    sign_in.add_argument(
        "--connector-client-id",
        type=_id,
        help="the registration that the connector itself signs in as (default: --client-id)",
    )
    who = parser.add_argument_group("what people see of you")
    who.add_argument("--publisher", required=True, type=_name, help="your organization's name")
    who.add_argument("--email", required=True, type=_email, help="where your makers get help")
    who.add_argument(
        "--website", required=True, type=_address, help="your organization's web address"
    )
    who.add_argument(
        "--privacy-policy",
        required=True,
        type=_address,
        help="the web address of its privacy policy",
    )
    options = parser.parse_args(arguments)
    if (options.tenant_id is None) != (options.client_id is None):
        parser.error("--tenant-id and --client-id go together")
    if options.connector_client_id is not None and options.client_id is None:
        parser.error("--connector-client-id needs --client-id")
    return options


def _host(text: str) -> str:
    """Read a host's name, from an address that people copy as well, or a variable for it."""
    if _VARIABLE.fullmatch(text.strip()):
        return text.strip()
    host = re.sub(r"^https://", "", text.strip()).rstrip("/").lower()
    if not _HOST.fullmatch(host):
        raise argparse.ArgumentTypeError("a host's name, such as NAME.azurewebsites.net")
    return host


def _environment(text: str) -> str:
    """Read an environment's id, which in the default environment begins with a word."""
    prefix = "Default-"
    name = text.strip()
    return (prefix if name.startswith(prefix) else "") + _guid(name.removeprefix(prefix))


def _guid(text: str) -> str:
    if not _GUID.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError("an id such as 00000000-0000-0000-0000-000000000000")
    return text.strip().lower()


def _id(text: str) -> str:
    return text.strip() if _VARIABLE.fullmatch(text.strip()) else _guid(text)


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("a name on one line")
    return text.strip()


def _email(text: str) -> str:
    if not re.fullmatch(r"[!-?A-~]+@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+", text):
        raise argparse.ArgumentTypeError("an e-mail address, in ASCII")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"https://[A-Za-z0-9.:-]+(/[!-~]*)?", text):
        raise argparse.ArgumentTypeError("a web address in ASCII that begins with https://")
    return text


def _settings(environment: str | None) -> dict[str, Any]:
    settings = _read("settings.sample.json")
    del settings["environment"]
    return settings if environment is None else {**settings, "environment": environment}


def _describe(
    definition: dict[str, Any], properties: dict[str, Any], options: argparse.Namespace
) -> None:
    definition["host"] = options.host
    info = definition["info"]["contact"]
    metadata = {entry["propertyName"]: entry for entry in definition["x-ms-connector-metadata"]}
    info.update(name=options.publisher, email=options.email, url=options.website)
    properties["properties"]["publisher"] = options.publisher
    metadata["Website"]["propertyValue"] = options.website
    metadata["Privacy policy"]["propertyValue"] = options.privacy_policy


def _sign_in(
    definition: dict[str, Any], properties: dict[str, Any], options: argparse.Namespace
) -> None:
    settings = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    settings["clientId"] = options.connector_client_id or options.client_id
    parameters = settings["customParameters"]
    parameters["tenantId"]["value"] = options.tenant_id
    # By its bare id: Entra gives an app a token for itself for no other name, and an expression
    # stands alone.
    parameters["resourceUri"]["value"] = options.client_id
    settings["properties"]["AzureActiveDirectoryResourceId"] = options.client_id
    # Nobody signs in by the addresses in the definition, where no expression is read.
    tenant = "common" if _VARIABLE.fullmatch(options.tenant_id) else options.tenant_id
    definition["securityDefinitions"] = {
        "oauth2_auth": {
            "type": "oauth2",
            "flow": "accessCode",
            "authorizationUrl": f"{_LOGIN}/{tenant}/oauth2/authorize",
            "tokenUrl": f"{_LOGIN}/{tenant}/oauth2/token",
            "scopes": {},
        }
    }
    definition["security"] = [{"oauth2_auth": []}]
    definition["definitions"]["Meeting"]["properties"]["userId"]["description"] += _WHOSE


def _read(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((SOURCE / name).read_text(encoding="utf-8"))
    return value


def _write(path: Path, value: dict[str, Any]) -> None:
    # In ASCII, because paconn reads the files in the machine's own encoding.
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="ascii")


if __name__ == "__main__":
    sys.exit(main())
