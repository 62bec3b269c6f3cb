"""The check of the destinations: whether each is reachable. Nothing is sent to them."""

from shared.core import errors
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import SecretsUnavailable
from shared.core.http_client import NoResponse
from shared.core.strict_json import Json
from shared.deliveries.addresses import AddressNotAllowed
from shared.deliveries.destinations import Destination
from shared.deliveries.sender import Sender
from shared.deliveries.signing import NoUsableSecret, sign
from shared.diagnostics.context import CheckContext
from shared.diagnostics.runner import Finding, Status
from shared.identity.key_vault import SecretStore

_FINE = "reached; its secret can sign"


def destinations(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Look up each destination, check its address, connect with TLS, and read its secrets."""
    services = context.services
    vault_uri = services.settings.key_vault_uri
    if services.destinations is None or services.sender is None or vault_uri is None:
        return Finding(detail="Not needed: no destination is configured.")
    if context.newest_token is None:
        detail = "The vault is read by the managed identity, and that gave no token."
        return Finding(status=Status.NOT_REACHED, detail=detail)
    store = SecretStore(vault_uri=vault_uri, identity=services.identity, http=services.http)
    seen: dict[str, Json] = {
        name: "has a mistake in DELIVERIES: "
        + ", ".join(field_error.pointer or "the entry" for field_error in field_errors)
        for name, field_errors in services.destinations.invalid.items()
    }
    waiting = list(services.destinations.valid.values())
    while waiting:
        # A destination that hangs leaves time for the others.
        share = Deadline(seconds=deadline.remaining() / len(waiting))
        destination = waiting.pop()
        seen[destination.name] = _look_at(destination, services.sender, store, share)
    wrong = sorted(name for name, found in seen.items() if found != _FINE)
    if not wrong:
        return Finding(detail="Every destination can be reached.", seen=seen)
    return Finding(
        status=Status.FAIL,
        code=errors.DestinationInvalid.code,
        detail=f"Outcomes do not reach: {', '.join(wrong)}.",
        seen=seen,
        fix="Correct the destination in DELIVERIES, or its secrets in Key Vault (a Key Vault "
        "Secrets Officer runs scripts/set_webhook_secret.py). Or ask whoever runs the receiver.",
    )


def _look_at(
    destination: Destination, sender: Sender, store: SecretStore, deadline: Deadline
) -> str:
    """Say what is wrong with a destination, or _FINE. The text holds no URL."""
    try:
        values = store.current(destination.secret, deadline=deadline)
        sign(values, delivery_id="diagnostics", timestamp=0, body=b"")
        endpoint = destination.locate(store, deadline=deadline)
        sender.reach(endpoint, private=destination.private, deadline=deadline)
    except NoResponse as error:
        return f"cannot be reached: {error.reason}"
    except SecretsUnavailable as error:
        return error.detail
    except (NoUsableSecret, AddressNotAllowed, ValueError) as error:
        return str(error)
    return _FINE
