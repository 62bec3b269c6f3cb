"""A second app, whose callers sign in: an app has only one HTTP_AUTH."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dev.host.host import Host
from dev.host.logs import LogLine
from dev.local_run import FUNCTION_KEY, MASTER_KEY, ROOT, LocalAzure

# The queues belong to the first app, which has its own logs.
_QUEUE_FUNCTIONS = (
    "join_link_requests",
    "join_link_requests_poison",
    "join_link_deliveries",
    "join_link_deliveries_poison",
)


@contextmanager
def sign_in_app(
    run: LocalAzure, *, on_log: Callable[[LogLine], None] | None = None
) -> Iterator[str]:
    """Run the app in the project's own host with the same stand-ins, and give its address.

    Args:
        run: The services that the app needs.
        on_log: Is called with each log line.
    """
    settings = {
        **run.environment(),
        "HTTP_AUTH": "entra",
        "ENTRA_TENANT_ID": run.authority.tenant_id,
        "ENTRA_CLIENT_ID": run.registration.client_id,
        **{f"AzureWebJobs.{name}.Disabled": "true" for name in _QUEUE_FUNCTIONS},
    }
    with Host(
        app=ROOT,
        environment=settings,
        function_key=FUNCTION_KEY,
        master_key=MASTER_KEY,
        on_log=on_log,
    ) as host:
        yield host.url
