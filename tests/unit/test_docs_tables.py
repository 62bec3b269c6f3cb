"""The tables on the pages have exactly the rows that the code has."""

import json
import re

import pytest

from shared.core.errors import CODES, InternalError, Retry
from shared.core.problem_details import to_problem
from shared.diagnostics.checks import CHECKS
from shared.queues.dead_letters import DeadLetter, Reason
from shared.webhooks import sources
from shared.webhooks.mapping import FIELDS
from shared.webhooks.presets import PRESETS
from tests.unit.docs_pages import ROOT, blocks, prose, spans, table
from tests.worker.test_functions import ROUTES

NEVER_ON_THE_QUEUE = {
    "unsupported_media_type",
    "payload_too_large",
    "signature_invalid",
    "unauthorized",
    "forbidden",
    "consent_missing",
    "sign_in_setup_incomplete",
    "diagnostics_busy",
    "settings_invalid",
}
"""Only an HTTP caller can meet these."""


def test_the_contract_lists_each_route() -> None:
    """With its method, and whether the host asks for a key."""
    told = {}
    for routes, key, _ in table("docs/api.md", "Routes"):
        for route in spans(routes):
            method, path = route.split()
            told[method, path.removeprefix("/api/")] = key in ("none", "the source's signature")

    assert told == {
        (method, route): level == "ANONYMOUS"
        for route, methods, level in ROUTES.values()
        for method in methods
    }


def test_the_contract_lists_each_code_with_its_status() -> None:
    """Each once."""
    told: list[tuple[str, int]] = []
    for code, status, *_ in table("docs/api.md", "Codes"):
        told += [(name, int(status)) for name in spans(code)]

    assert sorted(told) == sorted((code, error.status) for code, error in CODES.items())


def test_the_example_of_a_problem_is_a_valid_problem() -> None:
    """Its title, status and members are those of its code."""
    (example,) = (
        json.loads(block.text) for block in blocks("docs/api.md") if '"urn:' in block.text
    )
    kind = CODES[example["code"]]
    error = kind(example["detail"], fix=example["fix"], graph_request_id=example["graphRequestId"])

    problem = to_problem(error, request_id=example["requestId"])

    assert {**problem, "message": example["message"]} == example


def test_operations_says_of_every_code_when_the_queue_tries_again() -> None:
    """Codes in one row have the same retry rule."""
    rows = table("docs/operations.md", "What happens to a request on the queue")
    told = [set(spans(codes)) for _, codes, *_ in rows if spans(codes)]

    alike = {
        frozenset(code for code, error in CODES.items() if (error.retry, error.few_tries) == kind)
        - NEVER_ON_THE_QUEUE
        for kind in {(error.retry, error.few_tries) for error in CODES.values()}
        if kind[0] is not Retry.HOST
    }

    assert {frozenset(codes) for codes in told} == {
        codes - {"queue_unavailable"} for codes in alike
    }


def test_operations_says_of_every_alert_where_to_look() -> None:
    """By the name and the title that the Bicep gives it, in its order."""
    bicep = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
    rules = re.findall(r"^    name: '([\w-]+)'\n    title: '(.*)'$", bicep, re.MULTILINE)
    rows = table("docs/operations.md", "An alert came")

    assert len(rules) == 8
    assert [(name.strip("*"), title) for name, title, _ in rows] == [
        (name, title.replace("\\'", "'")) for name, title in rules
    ]
    assert all("](" in where for *_, where in rows)


def test_operations_describes_a_dead_letter() -> None:
    """Each member of the message, and each reason."""
    rows = table("docs/operations.md", "Dead letters")
    members: set[str] = set()
    for original in (b"text", b"\xff"):
        letter = DeadLetter(
            reason=Reason.UNDECODABLE,
            error=InternalError("Broken."),
            request_id=None,
            original=original,
            message_id="m",
            dequeue_count=1,
            first_seen=0.0,
            attempts=1,
            traceparent=None,
        )
        members |= json.loads(letter.to_message()).keys()

    assert {name for member, _ in rows for name in spans(member)} == members
    reasons = table("docs/operations.md", "The reason")
    assert [name for reason, _ in reasons for name in spans(reason)] == list(Reason)


def test_diagnostics_lists_each_check_in_order() -> None:
    """By its name."""
    rows = table("docs/diagnostics.md", "The checks")

    assert [name for row in rows for name in spans(row[0])] == [check.name for check in CHECKS]


def test_webhooks_lists_each_member_of_a_source() -> None:
    """And each preset in that member's row."""
    rows = {spans(name)[0]: what for name, what in table("docs/webhooks.md", "Set up a source")}

    assert set(rows) == sources._MEMBERS
    assert set(spans(rows["preset"])) == set(PRESETS)


def test_webhooks_lists_each_scheme_with_its_options() -> None:
    """Each option is in its scheme's row."""
    text = prose("docs/webhooks.md")
    rows = re.findall(r'^\| `\{"type": "([\w-]+)"\}` \| (.*?) \|', text, re.MULTILINE)
    told = {kind: {one for one in spans(cell) if one in ALL_OPTIONS} for kind, cell in rows}

    assert told == {kind: set(options) for kind, options in sources._OPTIONS.items()}


ALL_OPTIONS = {option for options in sources._OPTIONS.values() for option in options}


def test_webhooks_lists_each_expression_of_a_mapping() -> None:
    """In the table below that of the schemes."""
    text = prose("docs/webhooks.md")
    rows = text.partition("| Expression of `mapping` |")[2].partition("\n\n")[0].splitlines()[2:]

    assert {name for row in rows for name in spans(row.split("|")[1])} == FIELDS


def test_webhooks_lists_each_condition_of_a_preset() -> None:
    """With the presets that have it."""
    told = {
        (condition, preset)
        for conditions, names, _ in table("docs/webhooks.md", "Conditions of the presets")
        for condition in spans(conditions)
        for preset in spans(names)
    }

    assert told == {(name, preset) for preset in PRESETS for name in conditions_of(preset)}


def conditions_of(preset: str) -> set[str]:
    """Give the names of a preset's conditions."""
    expressions = PRESETS[preset]["mapping"]
    assert isinstance(expressions, dict)
    return set(expressions.get("when", {}))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_shown_as_a_source(preset: str) -> None:
    """Ready to be copied."""
    shown = [json.loads(one.text) for one in blocks("docs/webhooks.md") if one.language == "json"]

    assert preset in {source.get("preset") for value in shown for source in value.values()}
