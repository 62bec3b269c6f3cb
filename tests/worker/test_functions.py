"""What the real worker finds in the app: functions, routes, levels and bindings, pinned."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.host.functions import Function
from dev.host.host import Host

ROOT = Path(__file__).resolve().parents[2]
SOUND = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    # Nothing listens there in these tests, so nothing may poll.
    "AzureWebJobs.join_link_requests.Disabled": "true",
    "AzureWebJobs.join_link_requests_poison.Disabled": "true",
    "AzureWebJobs.join_link_deliveries.Disabled": "true",
    "AzureWebJobs.join_link_deliveries_poison.Disabled": "true",
}


def _functions(settings: dict[str, str]) -> Iterator[dict[str, Function]]:
    with Host(app=ROOT, environment=settings, function_key="a", master_key="b") as host:
        yield dict(host.functions)


@pytest.fixture(scope="module")
def functions() -> Iterator[dict[str, Function]]:
    """The app with valid settings."""
    yield from _functions(SOUND)


@pytest.fixture(scope="module")
def functions_of_a_faulty_app() -> Iterator[dict[str, Function]]:
    """The app with an invalid setting."""
    yield from _functions({**SOUND, "GRAPH_VERSION": "v2"})


ROUTES = {
    "join_link": ("join-link", ["POST"], "FUNCTION"),
    "join_links": ("join-links", ["POST"], "FUNCTION"),
    "request_join_link": ("join-link-requests", ["POST"], "FUNCTION"),
    "connection": ("connection", ["GET"], "FUNCTION"),
    "webhooks": ("webhooks/{source}", ["POST"], "ANONYMOUS"),
    "health": ("health", ["GET", "HEAD"], "ANONYMOUS"),
    "diagnostics": ("diagnostics", ["POST"], "FUNCTION"),
    "diagnostics_page": ("diagnostics", ["GET"], "ANONYMOUS"),
}


def _route(function: Function) -> tuple[str, list[str], str]:
    trigger = function.trigger
    methods = [str(getattr(method, "value", method)).upper() for method in trigger["methods"]]
    return trigger["route"], methods, trigger["authLevel"].upper()


def test_the_routes_are_these(functions: dict[str, Function]) -> None:
    """Callers use them, so a change here would break them."""
    found = {
        name: _route(function)
        for name, function in functions.items()
        if function.trigger["type"] == "httpTrigger"
    }

    assert found == ROUTES


def test_the_queue_triggers_are_these(functions: dict[str, Function]) -> None:
    """With the connection by which the app writes. There are no other functions."""
    found = {
        name: (function.trigger["queueName"], function.trigger["connection"])
        for name, function in functions.items()
        if function.trigger["type"] == "queueTrigger"
    }

    assert found == {
        "join_link_requests": ("join-link-requests", "AzureWebJobsStorage"),
        "join_link_requests_poison": ("join-link-requests-poison", "AzureWebJobsStorage"),
        "join_link_deliveries": ("join-link-deliveries", "AzureWebJobsStorage"),
        "join_link_deliveries_poison": ("join-link-deliveries-poison", "AzureWebJobsStorage"),
    }
    assert set(functions) == {*ROUTES, *found}


def test_with_an_invalid_setting_there_are_the_routes_and_no_queue_triggers(
    functions_of_a_faulty_app: dict[str, Function],
) -> None:
    """A failed import would leave no function, and nothing would show why."""
    types = {function.trigger["type"] for function in functions_of_a_faulty_app.values()}

    assert set(ROUTES) <= set(functions_of_a_faulty_app)
    assert types == {"httpTrigger"}


def test_there_are_no_output_bindings(functions: dict[str, Function]) -> None:
    """Those of queues can neither delay a message nor keep it longer than seven days."""
    bound = {binding["type"] for function in functions.values() for binding in function.bindings}

    assert bound == {"httpTrigger", "http", "queueTrigger"}
