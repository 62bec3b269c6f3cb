"""Settings, routes, codes, events and queues on the pages exist, and their JSON is valid."""

import ast
import json
import re
from functools import cache

import pytest

from shared.core.errors import CODES
from shared.core.settings import NAMES
from shared.core.telemetry import EVENTS, FIELDS
from shared.diagnostics.checks import CHECKS
from shared.diagnostics.runner import Status
from shared.queues import client
from shared.queues.dead_letters import Reason
from shared.webhooks.sources import read_sources
from tests.unit.docs_pages import PAGES, ROOT, blocks, lines, prose, spans, table, text
from tests.worker.test_functions import ROUTES

SETTING = re.compile(r"(?<![\w$-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?!\w)")
NO_SETTINGS = {
    "AZURE_CLIENT_ID": "decision 0002 says why the app has none",
    "MAX_DEQUEUE_COUNT": "a constant of shared/queues/messages.py",
    "MAX_TRIES": "a constant of shared/diagnostics/graph_checks.py",
    "CLIENT_ID": "a variable of the shell, set in docs/setup.md",
    "CONNECTOR_CLIENT_ID": "stands for an id that the reader has",
    "OLD_KEY_ID": "as CONNECTOR_CLIENT_ID",
    "THE_CONNECTORS": "as CONNECTOR_CLIENT_ID",
    "THE_ENTRA_CLIENT_ID_IT_PRINTS": "as CONNECTOR_CLIENT_ID",
}
CODE_LIKE = re.compile(r"[a-z]+(?:_[a-z]+)+_?")
FAILURES = (
    *("Graph, Entra and grants", "Messages and queues", "Settings, secrets and sources"),
    *("Destinations", "The platform"),
)
"""The sections of docs/operations.md with a table of what can fail."""
QUEUES = {
    client.REQUESTS,
    client.POISON,
    client.RESULTS,
    client.DELIVERIES,
    client.DELIVERIES_POISON,
    client.DEAD_LETTERS,
}


def read(path: str) -> str:
    """Give a file of the project."""
    return (ROOT / path).read_text(encoding="utf-8")


def known_settings() -> set[str]:
    """Everything that somebody can set: for the app, its host, azd, a script or a check."""
    programs = [
        file for top in ("scripts", "dev", "tests/infra") for file in (ROOT / top).glob("*.py")
    ]
    code = "".join(file.read_text(encoding="utf-8") for file in programs)
    return {
        *NAMES,
        *json.loads(read("local.settings.sample.json"))["Values"],
        *re.findall(r"\b([A-Z][A-Z_]+): ", read("infra/modules/function-app.bicep")),
        *re.findall(r"\$\{(\w+)\}", read("infra/main.parameters.json")),
        *re.findall(r"^output (\w+) ", read("infra/main.bicep"), re.MULTILINE),
        *re.findall(r'environ(?:ment)?(?:\.get)?[(\[]"([A-Z_]+)"', code),
    }


def literals(path: str) -> set[str]:
    """Every word of small letters and underscores that a module writes as a string."""
    strings = (
        node.value
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return {word for one in strings for word in CODE_LIKE.findall(one) if one.startswith(word)}


@pytest.mark.parametrize("page", PAGES)
def test_a_setting_that_is_named_can_be_set(page: str) -> None:
    """In inline code and in lines to paste."""
    named = {name for line in lines(page) for name in SETTING.findall(line)}

    assert named - known_settings() - NO_SETTINGS.keys() == set()


def test_every_exception_is_needed() -> None:
    """An exception that no page needs must go."""
    named = {name for page in PAGES for line in lines(page) for name in SETTING.findall(line)}

    assert NO_SETTINGS.keys() <= named
    assert NO_SETTINGS.keys() & known_settings() == set()


@pytest.mark.parametrize("page", PAGES)
def test_the_storage_connection_is_written_as_the_app_reads_it(page: str) -> None:
    """In its four forms."""
    forms = set(re.findall(r"\bAzureWebJobsStorage\w*", text(page)))

    assert forms <= set(re.findall(r'"(AzureWebJobsStorage\w*)"', read("shared/core/settings.py")))


@pytest.mark.parametrize("page", PAGES)
def test_a_route_that_is_named_is_one(page: str) -> None:
    """With its method, where that is named as well; any name stands for a source's."""
    for method, path in re.findall(r"(?:\b(GET|POST) )?(?<!svc)/api/([\w/{}-]+)", text(page)):
        route = re.sub(r"(?<=^webhooks/)[\w{}]+$", "{source}", path)
        methods = {one for name, found, _ in ROUTES.values() if name == route for one in found}
        assert methods, path
        assert not method or method in methods, path


@cache
def defined_in_shared() -> frozenset[str]:
    """The names of modules, functions and methods."""
    files = list((ROOT / "shared").rglob("*.py"))
    functions = (
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    )
    return frozenset([*functions, *(file.stem for file in files)])


@pytest.mark.parametrize("page", PAGES)
def test_a_code_that_is_named_is_one(page: str) -> None:
    """Of an error, a reason, a check, a function, a module, a note of an event, or a preset."""
    known = {
        *CODES,
        *Reason,
        *Status,
        *(check.name for check in CHECKS),
        *ROUTES,
        *defined_in_shared(),
        *literals("shared/handlers/webhooks.py"),
        *literals("shared/meetings/resolver.py"),
        *literals("shared/webhooks/signatures.py"),
        *CODE_LIKE.findall(read("shared/webhooks/presets.py")),
        "virtual_appointment",  # the logger
        "client_credentials",  # OAuth's grant to an application
    }

    assert {span for span in spans(prose(page)) if CODE_LIKE.fullmatch(span)} - known == set()


@pytest.mark.parametrize("page", PAGES)
def test_an_event_that_is_named_is_one(page: str) -> None:
    """Of the log; and a query reads members that it has."""
    queries = "".join(block.text for block in blocks(page) if block.language == "kusto")
    named = {
        span
        for span in spans(prose(page))
        if re.fullmatch(r"(join_link|delivery|webhook)\.\w+", span)
    }
    named |= set(re.findall(r'"(\w+\.\w+)"', queries))

    assert named <= EVENTS
    assert set(re.findall(r"\bevent\.(\w+)", queries)) <= FIELDS


@pytest.mark.parametrize("page", PAGES)
def test_a_queue_that_is_named_is_one(page: str) -> None:
    """By its whole name."""
    assert set(re.findall(r"(?<![\w/])join-link-[a-z-]+", text(page))) <= QUEUES


def test_the_alerts_that_operations_names_are_those_there_are() -> None:
    """All of them, by the names in the Bicep, in the tables of what can fail."""
    there = set(
        re.findall(r"^    name: '([\w-]+)'$", read("infra/modules/alerts.bicep"), re.MULTILINE)
    )
    rows = [row for heading in FAILURES for row in table("docs/operations.md", heading)]
    told = {name for *_, alert, _ in rows for name in re.findall(r"\*([\w-]+)\*", alert)}

    assert told == there


JSON = [(page, block.text) for page in PAGES for block in blocks(page) if block.language == "json"]


@pytest.mark.parametrize(("page", "code"), JSON)
def test_json_is_json(page: str, code: str) -> None:
    """And, on the page about booking systems, sources that the app takes."""
    value = json.loads(code)

    if page == "docs/webhooks.md":
        assert read_sources(value).invalid == {}


def test_there_are_names_of_every_kind() -> None:
    """Otherwise the tests above would check nothing."""
    everything = " ".join(map(text, PAGES))

    assert {page for page, _ in JSON} >= {"README.md", "docs/api.md", "docs/webhooks.md"}
    assert set(CODES) <= set(CODE_LIKE.findall(everything)) | {"unauthorized", "forbidden"}
    assert {name for name in EVENTS if name in everything} == EVENTS
