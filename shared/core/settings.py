"""The app's settings. They are read once from its environment, and checked together."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import urlsplit

from shared.core.errors import SettingsInvalid
from shared.core.identifiers import is_guid
from shared.core.strict_json import FieldError, FieldErrors

NAMES = (
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
"""Each setting that the app reads. AzureWebJobsStorage also has an identity-based form.

The app itself does not use this list. Tests compare it with `Settings.read`, the Bicep, the sample
settings and the pages.
"""

GRAPH_ROOT = "https://graph.microsoft.com"
GRAPH_SCOPE = f"{GRAPH_ROOT}/.default"
"""The scope of a token for Graph. Also in a local run, since the stand-ins take Graph's tokens."""
ENTRA_AUTHORITY = "https://login.microsoftonline.com"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The connection to the queues, in the same two forms as the queue trigger reads."""

    connection_string: str | None = field(default=None, repr=False)
    queue_service_uri: str | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings. Times are in the units of their names."""

    storage: StorageSettings
    graph_version: Literal["v1.0", "beta"] = "v1.0"
    graph_root: str = GRAPH_ROOT
    managed_identity_client_id: str | None = None
    key_vault_uri: str | None = None
    webhook_sources: Mapping[str, object] = field(default_factory=dict, repr=False)
    deliveries: Mapping[str, object] = field(default_factory=dict, repr=False)
    results_queue: Literal["always", "unclaimed"] = "always"
    retention_days: int = 30
    http_auth: Literal["key", "entra"] = "key"
    entra_tenant_id: str | None = None
    entra_client_id: str | None = None
    entra_authority: str = ENTRA_AUTHORITY
    graph_timeout_seconds: float = 10.0
    queue_retry_hours: float = 24.0
    derive_meeting_id: bool = False

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the settings from a mapping such as `os.environ`.

        Raises:
            SettingsInvalid: with one field error for each invalid setting. None quotes a value.
        """
        settings, field_errors = cls.read(environment)
        if field_errors:
            raise SettingsInvalid(
                f"These settings are not valid. {' '.join(map(str, field_errors))}",
                fix="Correct the settings named here in the function app's environment variables; "
                "the app restarts by itself.",
                field_errors=field_errors,
            )
        return settings

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "tuple[Settings, Sequence[FieldError]]":
        """Read the settings, and their field errors. Invalid settings count as absent."""
        reader = _SettingsReader(environment)
        settings = cls(
            storage=reader.storage(),
            graph_version=reader.read("GRAPH_VERSION", _graph_version, "v1.0"),
            graph_root=reader.read("GRAPH_ROOT", _root_or_loopback(GRAPH_ROOT), GRAPH_ROOT),
            managed_identity_client_id=reader.read("MANAGED_IDENTITY_CLIENT_ID", _guid, None),
            key_vault_uri=reader.read("KEY_VAULT_URI", _key_vault_uri, None),
            webhook_sources=reader.read("WEBHOOK_SOURCES", _json_object, {}),
            deliveries=reader.read("DELIVERIES", _json_object, {}),
            results_queue=reader.read("RESULTS_QUEUE", _results_queue, "always"),
            retention_days=reader.read("RETENTION_DAYS", _whole_number(1, 365), 30),
            http_auth=reader.read("HTTP_AUTH", _http_auth, "key"),
            entra_tenant_id=reader.read("ENTRA_TENANT_ID", _guid, None),
            entra_client_id=reader.read("ENTRA_CLIENT_ID", _guid, None),
            entra_authority=reader.read(
                "ENTRA_AUTHORITY", _root_or_loopback(ENTRA_AUTHORITY), ENTRA_AUTHORITY
            ),
            graph_timeout_seconds=reader.read("GRAPH_TIMEOUT_SECONDS", _number(1, 100), 10.0),
            queue_retry_hours=reader.read("QUEUE_RETRY_HOURS", _number(1, 168), 24.0),
            derive_meeting_id=reader.read("DERIVE_MEETING_ID", _boolean, False),
        )
        sources = settings.webhook_sources.values()
        if any(isinstance(source, dict) and "secret" in source for source in sources):
            reader.require("KEY_VAULT_URI", where="WEBHOOK_SOURCES names a secret")
        if settings.deliveries:
            reader.require("KEY_VAULT_URI", where="DELIVERIES names a destination")
        if settings.http_auth == "entra":
            reader.require("ENTRA_TENANT_ID", "ENTRA_CLIENT_ID", where="HTTP_AUTH is entra")
        return settings, tuple(reader.field_errors)


class _SettingsReader:
    """Reads single settings, and collects their field errors."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.field_errors = FieldErrors()
        self._environment = environment

    def read[Value, Default](
        self, name: str, parse: Callable[[str], Value], default: Default
    ) -> Value | Default:
        """Parse one setting. An absent or blank one has its default."""
        text = self._text(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.field_errors.append(FieldError(name, str(error)))
            return default

    def storage(self) -> StorageSettings:
        connection_string = self._text("AzureWebJobsStorage")
        if connection_string is not None:
            return StorageSettings(
                connection_string=self.read("AzureWebJobsStorage", _connection_string, None)
            )
        if self._text("AzureWebJobsStorage__queueServiceUri") is None:
            self.field_errors.append(
                FieldError(
                    "AzureWebJobsStorage",
                    "Give a connection string, or AzureWebJobsStorage__queueServiceUri for a "
                    "connection by identity.",
                )
            )
        self.read("AzureWebJobsStorage__credential", _managed_identity, None)
        return StorageSettings(
            queue_service_uri=self.read(
                "AzureWebJobsStorage__queueServiceUri", _queue_service_uri, None
            ),
            client_id=self.read("AzureWebJobsStorage__clientId", _guid, None),
        )

    def require(self, *names: str, where: str) -> None:
        """Add a field error for each of these settings that is absent although another needs it."""
        for name in names:
            if self._text(name) is None:
                self.field_errors.append(FieldError(name, f"Is needed where {where}."))

    def _text(self, name: str) -> str | None:
        return self._environment.get(name, "").strip() or None


def _graph_version(text: str) -> Literal["v1.0", "beta"]:
    if text not in ("v1.0", "beta"):
        raise ValueError("Must be v1.0 or beta.")
    return cast("Literal['v1.0', 'beta']", text)


def _http_auth(text: str) -> Literal["key", "entra"]:
    if text not in ("key", "entra"):
        raise ValueError("Must be key or entra.")
    return cast("Literal['key', 'entra']", text)


def _results_queue(text: str) -> Literal["always", "unclaimed"]:
    if text not in ("always", "unclaimed"):
        raise ValueError("Must be always or unclaimed.")
    return cast("Literal['always', 'unclaimed']", text)


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.hostname in _LOOPBACK


def _root_or_loopback(root: str) -> Callable[[str], str]:
    """Allow only this root or a loopback address, because each call there carries a token."""

    def parse(text: str) -> str:
        text = text.rstrip("/")
        parts = urlsplit(text)  # ValueError for a text that is not a URL
        plain = not (parts.path or parts.query or parts.fragment or parts.username)
        if text != root and not (plain and _is_loopback(text)):
            raise ValueError(f"Must be {root} (or a loopback address, for a local run).")
        return text

    return _with_message(parse, f"Must be {root} (or a loopback address, for a local run).")


def _with_message[Value](parse: Callable[[str], Value], message: str) -> Callable[[str], Value]:
    """Replace the text of a standard library's parser, because it may quote the value."""

    def checked(text: str) -> Value:
        try:
            return parse(text)
        except ValueError:
            raise ValueError(message) from None

    return checked


def _guid(text: str) -> str:
    if not is_guid(text):
        raise ValueError("Must be a GUID, such as 00000000-0000-0000-0000-000000000000.")
    return text


def _connection_string(text: str) -> str:
    names = {part.partition("=")[0].strip().lower() for part in text.split(";")}
    complete = (
        {"usedevelopmentstorage"},
        {"accountname", "accountkey"},
        {"accountname", "sharedaccesssignature"},
        {"queueendpoint", "sharedaccesssignature"},
    )
    if not any(parts <= names for parts in complete):
        raise ValueError("Is not the connection string of a storage account.")
    return text


def _managed_identity(text: str) -> str:
    if text != "managedidentity":
        raise ValueError("Must be managedidentity.")
    return text


def _https_url(text: str, message: str, host_suffix: str = "") -> str:
    def parse(text: str) -> str:
        parts = urlsplit(text)
        secure = parts.scheme == "https" and parts.hostname is not None and not parts.username
        if not secure or not (parts.hostname or "").endswith(host_suffix):
            raise ValueError
        return text.rstrip("/")

    return _with_message(parse, message)(text)


def _queue_service_uri(text: str) -> str:
    return _https_url(
        text, "Must be an https address, such as https://NAME.queue.core.windows.net."
    )


def _key_vault_uri(text: str) -> str:
    return _https_url(
        text,
        "Must be the vault's address, such as https://NAME.vault.azure.net.",
        ".vault.azure.net",
    )


def _json_object(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        place = f" (at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"Is not JSON{place}.") from None
    except RecursionError:
        raise ValueError("Is nested too deeply.") from None
    if not isinstance(value, dict):
        raise ValueError("Must be a JSON object: a name, then what it stands for.")
    return value


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and least <= value <= most):
            raise ValueError
        return value

    return _with_message(parse, f"Must be a number from {least:g} to {most:g}.")


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdecimal() else 0
        if not least <= value <= most:
            raise ValueError
        return value

    return _with_message(parse, f"Must be a whole number from {least} to {most}.")


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError("Must be true or false.")
    return values[text.lower()]
