"""A vault that tests set up, and the environment of an app that uses it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.stand_ins.authority import Authority
from dev.stand_ins.certificates import make_certificates
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from dev.stand_ins.key_vault import KeyVault
from dev.stand_ins.proxy import ConnectProxy

_CLIENT = "20000000-0000-4000-8000-000000000002"


@dataclass(frozen=True)
class VaultWorld:
    """A vault, and the environment variables that lead an app to it."""

    vault: KeyVault
    identity: IdentityEndpoint
    environment: dict[str, str]

    def reads(self) -> int:
        """Count the requests for the versions of a secret."""
        return self.vault.count(
            lambda call: call.status == 200 and call.path.rstrip("/").endswith("/versions")
        )


@contextmanager
def vault_world(folder: Path) -> Iterator[VaultWorld]:
    """Start a vault with a new name, because SecretClient caches challenges by name."""
    authority = Authority("10000000-0000-4000-8000-000000000001")
    tls = make_certificates("*.vault.azure.net", folder=folder)
    name = f"clinic-{uuid.uuid4().hex[:8]}"
    with (
        KeyVault(authority, tls=tls, name=name) as vault,
        ConnectProxy({vault.host: vault.port}) as proxy,
        IdentityEndpoint(authority, client_id=_CLIENT, object_id=_CLIENT) as identity,
    ):
        environment = {
            **proxy.environment,
            **identity.environment,
            "REQUESTS_CA_BUNDLE": str(tls.ca),
            "KEY_VAULT_URI": vault.url,
        }
        yield VaultWorld(vault, identity, environment)
