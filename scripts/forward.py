"""The commands that set sign-in up, as the set-up runs them or hands them over.

Needs nothing but Python 3.10 or newer, as the set-up does before packages are installed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The Azure CLI's client id, the same in every tenant (azure/cli/core/auth/identity.py)."""
UNKNOWN = "THE_ENTRA_CLIENT_ID_IT_PRINTS"
"""Stands for the registration's client id where nobody has made the registration yet."""


@dataclass(frozen=True)
class SignIn:
    """The registration and the consent that people's own meetings take.

    Attributes:
        environment: The azd environment's name.
        group: Its resource group.
        subscription: The subscription's id; empty for the one that `az` has chosen.
        principal: The object (principal) id of the app's managed identity.
    """

    environment: str
    group: str
    subscription: str
    principal: str

    def registration(self) -> list[str]:
        """Deploy the registration; the output ENTRA_CLIENT_ID is its client id.

        The Azure CLI may ask for its scope, so that a person can try it from a shell: that opens
        the person's own meetings alone.
        """
        return self._deployment(
            "sign-in",
            f"environmentName={self.environment}",
            f"managedIdentityPrincipalId={self.principal}",
            f'preAuthorizedClientIds=["{AZURE_CLI}"]',
        )

    def consent(self, client_id: str) -> list[str]:
        """Deploy the consent to Graph's delegated permissions."""
        return self._deployment("delegated-permissions", f"entraClientId={client_id}")

    def outputs(self) -> list[str]:
        """Read what the registration's deployment has put out."""
        return [
            *("az", "deployment", "group", "show", *self._where(), "--name", "sign-in"),
            *("--query", "properties.outputs", "--output", "json"),
        ]

    def to_forward(self, client_id: str = "") -> str:
        """Say what a Cloud Application Administrator runs, and what follows.

        Args:
            client_id: The registration's, where it is there and the consent alone is missing.
        """
        commands = [self.consent(client_id or UNKNOWN)]
        then = "When they have run it, you run:"
        if not client_id:
            commands.insert(0, self.registration())
            then = (
                "The first prints an ENTRA_CLIENT_ID, which the second takes. They tell you that "
                "id.\nWhen they have run both, you run:"
            )
        shown = "\n\n".join(f"  {_line(command)}" for command in commands)
        return (
            "Forward this to somebody who holds the directory role Cloud Application Administrator "
            f"and the\nAzure role Contributor on the resource group {self.group}. They need this "
            "project's files: they run it\nin the folder that has azure.yaml in it, in bash or "
            f"Cloud Shell, signed in by az login:\n\n{shown}\n\n{then}\n\n"
            f"  azd env set ENTRA_CLIENT_ID {client_id or UNKNOWN} "
            f"--environment {self.environment}\n"
        )

    def _deployment(self, name: str, *parameters: str) -> list[str]:
        return [
            *("az", "deployment", "group", "create", *self._where(), "--name", name),
            *("--template-file", f"infra/graph/{name}.bicep"),
            *("--parameters", *parameters),
            *("--query", "properties.outputs", "--output", "json"),
        ]

    def _where(self) -> list[str]:
        on = ["--subscription", self.subscription] if self.subscription else []
        return [*on, "--resource-group", self.group]


def _line(command: Sequence[str]) -> str:
    """Write a command to be pasted; it is tried again while Entra does not know all of it."""
    return f"python3 scripts/retry_deployment.py {shlex.join(command)}"
