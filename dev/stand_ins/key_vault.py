"""Key Vault's secrets, as the real SecretClient reads and writes them.

The client accepts responses only from a host under vault.azure.net, over TLS. So the vault is
behind a `ConnectProxy`, and has a certificate for its own name.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

import jwt

from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import TlsFiles
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn

_AUDIENCE = "https://vault.azure.net"
_DISABLED = "SecretDisabled"


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret. Times are in seconds since the epoch.

    As in Azure, the vault gives out a version whatever its `expires` and `not_before` say.
    """

    name: str
    version: str
    value: str = field(repr=False)
    created: int
    updated: int
    enabled: bool = True
    expires: int | None = None
    not_before: int | None = None


class KeyVault(StandIn):
    """A vault that each owner of a token of the tenant may read and write.

    Args:
        authority: Issues the tokens that it accepts.
        tls: The files of a certificate for `host`.
        name: The vault's name.
        clock: Seconds since the epoch.

    Attributes:
        host: Its host name.
        page_size: How many entries one page of a list has.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        tls: TlsFiles,
        name: str = "stand-in",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(name="key vault", tls=tls)
        self.host = f"{name}.vault.azure.net"
        self.page_size = 25
        self._authority = authority
        self._clock = clock
        self._secrets_lock = threading.Lock()
        self._secrets: dict[str, list[SecretVersion]] = {}

    @property
    def url(self) -> str:
        """Its address, which works only through the proxy."""
        return f"https://{self.host}"

    def set_secret(
        self,
        name: str,
        value: str,
        *,
        enabled: bool = True,
        expires: int | None = None,
        not_before: int | None = None,
        created: int | None = None,
    ) -> SecretVersion:
        """Add a version, which becomes the current one.

        Args:
            name: The secret's name.
            value: Its value.
            enabled: Whether it can be read.
            expires: When it expires, in seconds since the epoch.
            not_before: When it becomes valid, in seconds since the epoch.
            created: When it was created, in seconds since the epoch; now by default.
        """
        when = int(self._clock()) if created is None else created
        secret = SecretVersion(
            name, uuid.uuid4().hex, value, when, when, enabled, expires, not_before
        )
        with self._secrets_lock:
            self._secrets.setdefault(name, []).append(secret)
        return secret

    def enable(self, secret: SecretVersion, *, enabled: bool = True) -> SecretVersion:
        """Enable or disable a version."""
        return self._change(secret, enabled=enabled)

    def remove_secret(self, name: str) -> None:
        """Delete a secret with all its versions."""
        with self._secrets_lock:
            del self._secrets[name]

    def respond(self, request: Request) -> Response:
        """Answer as the vault would.

        Raises:
            RefusedError: As the vault would.
        """
        self._authenticate(request)
        if "api-version" not in parse_qs(request.query):
            raise RefusedError(400, "BadParameter", "api-version must be specified")
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["secrets"]:
                current = [versions[-1] for versions in self._all()]
                return self._page(request, [(one.name, one) for one in current])
            case "GET", ["secrets", name, "versions"]:
                versions = sorted(self._versions(name), key=lambda one: one.version)
                return self._page(request, [(f"{name}/{one.version}", one) for one in versions])
            case "GET", ["secrets", name, *version]:
                secret = self._version(name, version)
                if not secret.enabled:
                    message = "Operation get is not allowed on a disabled secret."
                    raise RefusedError(403, _DISABLED, message)
                return Response.json(200, {"value": secret.value, **self._described(secret)})
            case "PUT", ["secrets", name]:
                secret = self._put(name, json.loads(request.body))
                return Response.json(200, {"value": secret.value, **self._described(secret)})
            case "PATCH", ["secrets", name, *version]:
                secret = self._patch(self._version(name, version), json.loads(request.body))
                return Response.json(200, self._described(secret))
        raise RefusedError(405, "MethodNotAllowed", "The method is not allowed here.")

    def refuse(self, request: Request, error: RefusedError) -> Response:  # noqa: ARG002 - not used
        """Make an error in the vault's shape."""
        body: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.code == _DISABLED:
            body |= {"code": "Forbidden", "innererror": {"code": _DISABLED}}
        return Response.json(error.status, {"error": body}, error.headers)

    def _authenticate(self, request: Request) -> None:
        authority = f"https://login.microsoftonline.com/{self._authority.tenant_id}"
        challenge = f'Bearer authorization="{authority}", resource="{_AUDIENCE}"'
        try:
            self._authority.verify(request.bearer, _AUDIENCE)
        except jwt.InvalidTokenError as error:
            message = (
                "AKV10032: Invalid token."
                if request.bearer
                else "AKV10000: Request is missing a Bearer or PoP token."
            )
            headers = {"WWW-Authenticate": challenge}
            raise RefusedError(401, "Unauthorized", message, headers) from error

    def _all(self) -> list[list[SecretVersion]]:
        with self._secrets_lock:
            return [list(versions) for versions in self._secrets.values()]

    def _versions(self, name: str) -> list[SecretVersion]:
        with self._secrets_lock:
            return list(self._secrets.get(name, []))

    def _version(self, name: str, version: Sequence[str]) -> SecretVersion:
        known = self._versions(name)
        wanted = [one for one in known if not version or [one.version] == list(version)]
        if not wanted:
            message = f"A secret with (name/id) {'/'.join([name, *version])} was not found."
            raise RefusedError(404, "SecretNotFound", message)
        return wanted[-1]

    def _put(self, name: str, body: dict[str, Any]) -> SecretVersion:
        attributes = body.get("attributes") or {}
        return self.set_secret(
            name,
            body["value"],
            enabled=attributes.get("enabled", True),
            expires=attributes.get("exp"),
            not_before=attributes.get("nbf"),
        )

    def _patch(self, secret: SecretVersion, body: dict[str, Any]) -> SecretVersion:
        attributes = body.get("attributes") or {}
        names = {"enabled": "enabled", "exp": "expires", "nbf": "not_before"}
        given = {names[name]: value for name, value in attributes.items() if name in names}
        return self._change(secret, **given)

    def _change(self, secret: SecretVersion, **changes: Any) -> SecretVersion:  # noqa: ANN401 - of three types
        changed = replace(secret, updated=int(self._clock()), **changes)
        with self._secrets_lock:
            versions = self._secrets[secret.name]
            versions[[one.version for one in versions].index(secret.version)] = changed
        return changed

    def _page(self, request: Request, entries: list[tuple[str, SecretVersion]]) -> Response:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        start = int(query.get("$skiptoken", 0))
        end = start + min(int(query.get("maxresults", self.page_size)), self.page_size)
        value = [
            {"id": f"{self.url}/secrets/{path}", "attributes": _attributes(secret)}
            for path, secret in entries[start:end]
        ]
        following = (
            f"{self.url}{request.path}?api-version={query['api-version']}"
            f"&$skiptoken={end}&maxresults={end - start}"
        )
        next_link = following if end < len(entries) else None
        return Response.json(200, {"value": value, "nextLink": next_link})

    def _described(self, secret: SecretVersion) -> dict[str, Any]:
        return {
            "id": f"{self.url}/secrets/{secret.name}/{secret.version}",
            "attributes": _attributes(secret),
        }


def _attributes(secret: SecretVersion) -> dict[str, Any]:
    attributes = {
        "enabled": secret.enabled,
        "created": secret.created,
        "updated": secret.updated,
        "exp": secret.expires,
        "nbf": secret.not_before,
        "recoveryLevel": "Recoverable+Purgeable",
    }
    return {name: value for name, value in attributes.items() if value is not None}
