"""One app for most tests, and fresh ones for tests that change a process's state."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from dev.local_run import FUNCTION_KEY, MASTER_KEY, QUEUES, LocalRun
from dev.stand_ins.authority import Authority
from tests.integration.app_under_test import App, LogWatch

_OVERRIDE = "AzureFunctionsJobHost__extensions__queues__"
QUICK_QUEUES = {
    f"{_OVERRIDE}visibilityTimeout": "00:00:01",
    f"{_OVERRIDE}maxPollingInterval": "00:00:00.3",
}
"""The default values would make tests wait for half a minute. Polls that come more often take a
tenth of a core from each app that waits for its next test."""

TENANT = "10000000-0000-4000-8000-000000000001"
"""The tenant of `authority`."""

# What waits long or starts many programs. By the number of its tests each would come last, when
# nothing else is left to run beside it.
_LONGEST_FILES = (
    *("test_retries.py", "test_script_setup.py", "test_dev_serve_func.py", "test_deliveries.py"),
    *("test_name_server.py", "test_script_build_package.py", "test_retention.py"),
    *("test_script_set_webhook_secret.py", "test_tokens.py", "test_own_meetings.py"),
    *("test_webhooks.py", "test_join_link_requests.py", "test_join_link_queue.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    items.sort(key=lambda item: item.path.name not in _LONGEST_FILES)


type FreshApp = Callable[..., App]


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The keys of a tenant, for stand-ins without an app."""
    return Authority(TENANT)


@pytest.fixture(scope="session")
def log() -> Iterator[LogWatch]:
    """All apps' log lines, and what they must not hold: links, keys, tokens, bodies.

    They are checked after all tests. With several processes, each checks its own.
    """
    watch = LogWatch()
    watch.forbid("the function key", FUNCTION_KEY)
    watch.forbid("the master key", MASTER_KEY)
    watch.forbid("a token, as every one of them begins", "eyJhbGciOi")
    yield watch
    assert watch.found() == set()


@contextmanager
def running_app(log: LogWatch, settings: dict[str, str | None], **options: Any) -> Iterator[App]:  # noqa: ANN401
    """Run an app whose log is checked."""
    settings = {"GRAPH_TIMEOUT_SECONDS": "2", **QUICK_QUEUES, **settings}
    with LocalRun(settings=settings, on_log=log.lines.append, **options) as run:
        log.forbid("the storage key", run.azurite.connection_string.split("AccountKey=")[1][:40])
        log.forbid("the identity header", run.identity.environment["IDENTITY_HEADER"])
        app = App(run, log)
        with app.session:
            yield app
        for call in run.graph.calls:
            if call.claims:
                log.forbid("a token's id", call.claims.get("jti") or call.claims["uti"])


@pytest.fixture(scope="session")
def shared_app(log: LogWatch) -> Iterator[App]:
    """The app that most tests share."""
    with running_app(log, {}) as app:
        yield app


@pytest.fixture
def app(shared_app: App) -> Iterator[App]:
    """The shared app, with valid stand-ins, and queues that are empty before and after."""
    _clean(shared_app)
    yield shared_app
    _clean(shared_app)


@pytest.fixture(scope="session")
def shared_sign_in_app(log: LogWatch) -> Iterator[App]:
    """The app whose callers sign in with Entra, shared by its tests."""
    with running_app(log, {"HTTP_AUTH": "entra"}) as app:
        yield app


@pytest.fixture
def sign_in_app(shared_sign_in_app: App) -> Iterator[App]:
    """The shared app with sign-in, prepared as `app` is."""
    _clean(shared_sign_in_app)
    yield shared_sign_in_app
    _clean(shared_sign_in_app)


@pytest.fixture
def fresh_app(log: LogWatch) -> Iterator[FreshApp]:
    """Make an app for one test, with settings and options of LocalRun."""
    with ExitStack() as apps:

        def make(settings: dict[str, str | None] | None = None, **options: Any) -> App:  # noqa: ANN401
            return apps.enter_context(running_app(log, settings or {}, **options))

        yield make


def _clean(app: App) -> None:
    for stand_in in (app.run.graph, app.run.identity, app.run.entra):
        stand_in.clear_orders()
        stand_in.release()
        stand_in.clear()
    app.run.graph.empty_lookups = False
    for name in QUEUES:
        app.run.queue(name).clear_messages()
