"""The checks of Key Vault and the queues."""

from urllib.parse import urlsplit

from shared.core import errors
from shared.core.deadline import Deadline, RequestStats
from shared.core.strict_json import Json
from shared.diagnostics.context import CheckContext
from shared.diagnostics.runner import Finding, Status
from shared.identity.key_vault import SecretStore
from shared.queues import client
from shared.webhooks.sources import Sources

_REQUIRED = (client.REQUESTS, client.RESULTS, client.DELIVERIES)
_OF_FAILED_MESSAGES = (client.DEAD_LETTERS, client.POISON, client.DELIVERIES_POISON)


def secrets(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Read each booking system's secret without the cache. Report only whether it exists."""
    services = context.services
    sources = (services.sources or Sources()).valid.values()
    vault_uri = services.settings.key_vault_uri
    if not sources or vault_uri is None:
        return Finding(detail="Not needed: no booking system is configured.")
    if context.newest_token is None:
        detail = "The vault is read by the managed identity, and that gave no token."
        return Finding(status=Status.NOT_REACHED, detail=detail)
    store = SecretStore(vault_uri=vault_uri, identity=services.identity, http=services.http)
    versions = {
        name: len(store.current(name, deadline=deadline))
        for name in sorted({source.secret for source in sources})
    }
    vault = (urlsplit(vault_uri).hostname or "").partition(".")[0]
    missing = [name for name, count in versions.items() if not count]
    seen: dict[str, Json] = {f"versions of {name}": count for name, count in versions.items()}
    if not missing:
        return Finding(detail="Every secret exists.", seen=seen)
    return Finding(
        status=Status.FAIL,
        code=errors.SecretsUnavailable.code,
        detail=f"The vault has no secret that is enabled and in force: {', '.join(missing)}.",
        seen=seen,
        fix="A Key Vault Secrets Officer sets what the booking system signs with, FILE holding it: "
        + " ".join(
            f"`az keyvault secret set --vault-name {vault} --name {name} --file FILE`"
            for name in missing
        ),
    )


def queue_depths(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Read the length of each queue, as storage estimates it."""
    by_identity = context.services.settings.storage.connection_string is None
    if by_identity and context.newest_token is None:
        detail = "The queues are reached by the managed identity, and that gave no token."
        return Finding(status=Status.NOT_REACHED, detail=detail)
    counts: dict[str, Json] = {}
    for name in _REQUIRED:
        counts[name] = context.services.queues.length(name, deadline=deadline)
    unread: errors.QueueUnavailable | None = None
    waiting = 0
    for name in _OF_FAILED_MESSAGES:
        try:
            count = context.services.queues.length(name, deadline=deadline)
        except errors.QueueUnavailable as error:
            unread = error
        else:
            counts[name] = count
            waiting += count
    if unread is not None:
        return Finding(
            status=Status.WARN, code=unread.code, detail=unread.detail, seen=counts, fix=unread.fix
        )
    if waiting:
        return Finding(
            status=Status.WARN,
            detail=f"{waiting} messages could not be answered and wait for somebody.",
            seen=counts,
            fix="List them with scripts/dead_letters.py, and replay or drop them.",
        )
    return Finding(detail="All queues are there.", seen=counts)
