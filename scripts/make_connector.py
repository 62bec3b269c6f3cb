#!/usr/bin/env python3
"""Makes a Power Automate connector for one deployment: a folder ready for import.

Needs no role: it writes files on this machine and calls nobody. To import them takes the right to
make custom connectors in an environment. Python 3.10 or newer, and nothing to install.

    python scripts/make_connector.py --host NAME.azurewebsites.net
    python scripts/make_connector.py --host NAME.azurewebsites.net --tenant-id ID --client-id ID

The first makes a connector whose connections hold a function key, the second one whose users sign
in with Entra (HTTP_AUTH=entra).
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
_LOGIN = "https://login.microsoftonline.com"
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
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    _write(out / DEFINITION, definition)
    _write(out / "apiProperties.json", properties)
    _write(out / "settings.json", _read("settings.sample.json"))
    shutil.copyfile(SOURCE / "icon.png", out / "icon.png")
    guide = (SOURCE / "readme.md").read_text(encoding="utf-8")
    publisher = options.publisher or _NOBODY
    (out / "readme.md").write_text(guide.replace(_NOBODY, publisher), encoding="utf-8")
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
    sign_in = parser.add_argument_group("sign-in with Entra, where the app has HTTP_AUTH=entra")
    sign_in.add_argument("--tenant-id", type=_guid, help="the app's ENTRA_TENANT_ID")
    sign_in.add_argument("--client-id", type=_guid, help="the app's ENTRA_CLIENT_ID")
    sign_in.add_argument(
        "--connector-client-id",
        type=_guid,
        help="the registration that the connector itself signs in as (default: --client-id)",
    )
    who = parser.add_argument_group("what people see of you")
    who.add_argument("--publisher", help="your organization's name")
    who.add_argument("--email", help="where your makers get help")
    who.add_argument("--website", help="your organization's web address")
    who.add_argument("--privacy-policy", help="the web address of its privacy policy")
    options = parser.parse_args(arguments)
    if (options.tenant_id is None) != (options.client_id is None):
        parser.error("--tenant-id and --client-id go together")
    if options.connector_client_id is not None and options.client_id is None:
        parser.error("--connector-client-id needs --client-id")
    return options


def _host(text: str) -> str:
    """Take a host's name, also out of the address that people copy."""
    host = re.sub(r"^https://", "", text.strip()).rstrip("/").lower()
    if not _HOST.fullmatch(host):
        raise argparse.ArgumentTypeError("a host's name, such as NAME.azurewebsites.net")
    return host


def _guid(text: str) -> str:
    if not _GUID.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError("an id such as 00000000-0000-0000-0000-000000000000")
    return text.strip().lower()


def _describe(
    definition: dict[str, Any], properties: dict[str, Any], options: argparse.Namespace
) -> None:
    definition["host"] = options.host
    info = definition["info"]["contact"]
    metadata = {entry["propertyName"]: entry for entry in definition["x-ms-connector-metadata"]}
    if options.publisher is not None:
        info["name"] = options.publisher
        properties["properties"]["publisher"] = options.publisher
        properties["properties"]["stackOwner"] = options.publisher
    if options.email is not None:
        info["email"] = options.email
    if options.website is not None:
        info["url"] = options.website
        metadata["Website"]["propertyValue"] = options.website
    if options.privacy_policy is not None:
        metadata["Privacy policy"]["propertyValue"] = options.privacy_policy


def _sign_in(
    definition: dict[str, Any], properties: dict[str, Any], options: argparse.Namespace
) -> None:
    connector_id = options.connector_client_id or options.client_id
    # Entra gives an app a token for itself only where the app is named by its bare id.
    is_itself = connector_id == options.client_id
    settings = properties["properties"]["connectionParameters"]["token"]["oAuthSettings"]
    settings["clientId"] = connector_id
    parameters = settings["customParameters"]
    parameters["tenantId"]["value"] = options.tenant_id
    parameters["resourceUri"]["value"] = (
        options.client_id if is_itself else f"api://{options.client_id}"
    )
    definition["securityDefinitions"] = {
        "oauth2_auth": {
            "type": "oauth2",
            "flow": "accessCode",
            "authorizationUrl": f"{_LOGIN}/{options.tenant_id}/oauth2/authorize",
            "tokenUrl": f"{_LOGIN}/{options.tenant_id}/oauth2/token",
            "scopes": {},
        }
    }
    definition["security"] = [{"oauth2_auth": []}]


def _read(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((SOURCE / name).read_text(encoding="utf-8"))
    return value


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
