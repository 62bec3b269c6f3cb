"""What host.json and the app settings say to the host.

Sources: the host.json reference of Azure Functions 2.x and later, and the storage queue
extension 5.x for the defaults.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dev.host.errors import HostError

OVERRIDE = "AzureFunctionsJobHost__"


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """`extensions.queues` of host.json; times in seconds.

    Attributes:
        base64: Whether messages are base64 (`messageEncoding`).
        batch_size: How many messages are taken at a time, 1 to 32.
        new_batch_threshold: More are taken if this many or fewer run.
        max_dequeue_count: The number of tries before a message is poison.
        visibility_timeout: How long a message is hidden after a failure.
        max_polling_interval: The longest pause between two polls of an empty queue.
    """

    base64: bool
    batch_size: int
    new_batch_threshold: int
    max_dequeue_count: int
    visibility_timeout: float
    max_polling_interval: float


@dataclass(frozen=True, kw_only=True)
class HostConfiguration:
    """What this host reads from host.json, with the overrides of the app settings.

    Attributes:
        route_prefix: The beginning of each HTTP route. May be empty.
        queues: The options of queue triggers.
    """

    route_prefix: str
    queues: QueueOptions

    @classmethod
    def read(cls, *, app: Path, settings: Mapping[str, str]) -> Self:
        """Read the host.json of an app.

        Raises:
            HostError: There is none, it is not JSON, or a value cannot be used.
        """
        path = app / "host.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise HostError(f"{path} cannot be read: {error}") from error
        try:
            return cls._from_document(_with_overrides(document, settings))
        except (AttributeError, TypeError, ValueError) as error:
            raise HostError(f"host.json, with the app settings over it: {error}") from error

    @classmethod
    def _from_document(cls, document: Any) -> Self:  # noqa: ANN401 - JSON
        extensions = _member(document, "extensions", {})
        queues = _member(extensions, "queues", {})
        encoding = str(_member(queues, "messageEncoding", "base64")).lower()
        if encoding not in {"base64", "none"}:
            raise ValueError(f"messageEncoding is base64 or none, not {encoding!r}")
        batch_size = int(_member(queues, "batchSize", 16))
        if not 1 <= batch_size <= 32:
            raise ValueError(f"batchSize is between 1 and 32, not {batch_size}")
        threshold = batch_size // 2 * (os.process_cpu_count() or 1)
        return cls(
            route_prefix=str(_member(_member(extensions, "http", {}), "routePrefix", "api")),
            queues=QueueOptions(
                base64=encoding == "base64",
                batch_size=batch_size,
                new_batch_threshold=int(_member(queues, "newBatchThreshold", threshold)),
                max_dequeue_count=int(_member(queues, "maxDequeueCount", 5)),
                visibility_timeout=seconds(_member(queues, "visibilityTimeout", "00:00:00")),
                max_polling_interval=seconds(_member(queues, "maxPollingInterval", "00:01:00")),
            ),
        )


def seconds(time_span: str) -> float:
    """Read a .NET time span, `[d.]hh:mm:ss[.fff]`, as seconds.

    Raises:
        ValueError: It is not one.
    """
    match = re.fullmatch(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)", time_span)
    if not match:
        raise ValueError(f"{time_span!r} is not a time span like 00:00:30")
    days, hours, minutes, rest = match.groups()
    return int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + float(rest)


def resolve_names(text: str, settings: Mapping[str, str]) -> str:
    """Replace `%NAME%` by the value of the app setting.

    Raises:
        HostError: There is no such app setting.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            raise HostError(f"A binding says {text!r}, but there is no app setting {match[1]}.")
        return settings[match[1]]

    return re.sub(r"%([^%]+)%", value, text)


def _member(document: Any, name: str, default: Any) -> Any:  # noqa: ANN401 - JSON
    """Find a member as .NET's configuration does, without regard to case."""
    found = (value for key, value in document.items() if key.lower() == name.lower())
    return next(found, default)


def _with_overrides(document: Any, settings: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    for name, value in settings.items():
        if name.lower().startswith(OVERRIDE.lower()):
            *parents, last = name[len(OVERRIDE) :].split("__")
            section = document
            for parent in parents:
                key = _key(section, parent)
                section = section.setdefault(key, {})
            section[_key(section, last)] = value
    return document


def _key(section: Mapping[str, Any], name: str) -> str:
    return next((key for key in section if key.lower() == name.lower()), name)
