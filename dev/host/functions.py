"""Functions in the worker's index."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dev.host.errors import HostError

type Binding = Mapping[str, Any]

HTTP_TRIGGER, QUEUE_TRIGGER = "httptrigger", "queuetrigger"
SUPPORTED = {HTTP_TRIGGER, QUEUE_TRIGGER, "http"}


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the app.

    Attributes:
        name: Its name, as in the host's log.
        id: The worker's name for it.
        bindings: Its bindings, as in function.json. Compare `type` without case.
    """

    name: str
    id: str
    bindings: tuple[Binding, ...]

    @property
    def trigger(self) -> Binding:
        """The binding that starts it."""
        return next(binding for binding in self.bindings if _kind(binding).endswith("trigger"))

    @property
    def trigger_type(self) -> str:
        """The type of its trigger, in lower case: `httptrigger` or `queuetrigger`."""
        return _kind(self.trigger)

    def is_disabled(self, settings: Mapping[str, str]) -> bool:
        """Tell whether the app setting `AzureWebJobs.<name>.Disabled` switches it off."""
        value = settings.get(f"AzureWebJobs.{self.name}.Disabled", "")
        return value.lower() in {"true", "1"}


def check_bindings(functions: Mapping[str, Function]) -> None:
    """Refuse bindings that this host does not support.

    Raises:
        HostError: A binding is neither an HTTP nor a queue trigger.
    """
    for function in functions.values():
        for binding in function.bindings:
            if _kind(binding) not in SUPPORTED:
                raise HostError(
                    f"Function {function.name} has a {binding['type']} binding. The local host "
                    "knows HTTP and queue triggers only; use Azure Functions Core Tools for it."
                )


def _kind(binding: Binding) -> str:
    return str(binding["type"]).lower()
