"""The queries of alerts and workbook use the events that the app writes."""

import re
from collections.abc import Iterator
from typing import get_args

from shared.core.errors import (
    CODES,
    DestinationInvalid,
    NotDelivered,
    NotFound,
    NotPermitted,
    Refused,
    SettingsInvalid,
)
from shared.core.telemetry import EVENTS, FIELDS, Trigger
from tests.infra.snapshots import ACTION_GROUP, RULE, SITE, WORKSPACE, Snapshot

# The KQL words of the queries.
_LANGUAGE = """
let toscalar where and or in contains startswith ago extend project summarize by bin order asc
desc take iff isempty isnotempty isnull parse_json tostring toint todouble count countif sum max
percentile percentiles union true datatable datetime string record
"""

# The tables of the queries, and the columns that are used.
TABLES = {
    "AppTraces": {"TimeGenerated": "datetime", "AppRoleName": "string", "Message": "string"},
    "StorageQueueLogs": {
        "TimeGenerated": "datetime",
        "AccountName": "string",
        "OperationName": "string",
        "StatusText": "string",
        "Uri": "string",
    },
    "_LogOperation": {"TimeGenerated": "datetime", "Category": "string", "Detail": "string"},
}


_UP_TO_A_QUARTER_OF_AN_HOUR = ("PT5M", "PT15M")


def queries_use_the_apps_events(snapshot: Snapshot) -> Iterator[str]:
    """Members, events and codes in a query are the app's. It uses no other name."""
    words = {*_LANGUAGE.split(), *TABLES, *(name for table in TABLES.values() for name in table)}
    for place, query in snapshot.queries():
        code = re.sub(r'"[^"]*"', '""', query)
        members = set(re.findall(r"\brecord\.(\w+)", code))
        if not members and "_LogOperation" not in code:
            yield f"{place} reads no event"
        for member in members - FIELDS:
            yield f"{place}: events have no member {member}"
        for event in _literals(query, "event") - EVENTS:
            yield f"{place}: there is no event {event}"
        for trigger in _literals(query, "trigger") - set(get_args(Trigger)):
            yield f"{place}: there is no trigger {trigger}"
        for problem in _literals(query, "code") - CODES.keys():
            yield f"{place}: there is no code {problem}"
        made = set(re.findall(r"\b(\w+)\s*=(?![=~])", code))
        for word in set(re.findall(r"\b[A-Za-z_]\w*", code)) - members - made - words:
            yield f"{place}: {word} is no column"
        application = snapshot.one(SITE)["name"]
        if members and f'AppRoleName =~ "{application}"' not in query:
            yield f"{place} reads other apps' events"


def alerts_cover_what_operators_must_know(snapshot: Snapshot) -> Iterator[str]:
    """Lost or waiting messages, problems for an operator, and the end of the logs."""
    alerts = [query for place, query in snapshot.queries() if place.startswith("alert-")]
    for event in ("join_link.dead_lettered", "settings.invalid"):
        if not any(_literals(query, "event") == {event} for query in alerts):
            yield f"no alert on {event}"
    for codes in (_permissions(), _failures()):
        if not any(_literals(query, "code") == codes for query in alerts):
            yield f"no alert on exactly {sorted(codes)}"
    if not any("StorageQueueLogs" in query and '"queue"' in query for query in alerts):
        yield "no alert on messages that nobody handles"
    if not any(
        _literals(query, "code") == {"signature_invalid"} and "isnotempty(source)" in query
        for query in alerts
    ):
        yield "no alert on a known source whose webhooks are refused"
    if not any(
        _literals(query, "event") == {"delivery.retried", "delivery.dead_lettered"}
        and _literals(query, "code") == {DestinationInvalid.code}
        and "by destination" in query
        for query in alerts
    ):
        yield "no alert on a destination that fails or is gone"
    if not any("_LogOperation" in query and '"OverQuota"' in query for query in alerts):
        yield "no alert on the daily cap, after which no other alert fires"


def alerts_on_dead_letters_are_frequent(snapshot: Snapshot) -> Iterator[str]:
    """The shortest retention is a day, so an alert must come soon after the event."""
    for rule in snapshot.of_type(RULE):
        properties = rule["properties"]
        (criterion,) = properties["criteria"]["allOf"]
        if not any("dead_lettered" in event for event in _literals(criterion["query"], "event")):
            continue
        if properties["evaluationFrequency"] not in _UP_TO_A_QUARTER_OF_AN_HOUR:
            yield f"{rule['name']} is evaluated less often than every 15 minutes"


def alerts_see_what_is_found_late(snapshot: Snapshot) -> Iterator[str]:
    """A query finds a record only some minutes after its time.

    A window that is only as long as the evaluation interval would miss such records.
    """
    for rule in snapshot.of_type(RULE):
        if rule["properties"]["windowSize"] == rule["properties"]["evaluationFrequency"]:
            yield f"{rule['name']} has a window that is not longer than its interval"


def a_table_may_be_missing(snapshot: Snapshot) -> Iterator[str]:
    """A table exists from its first record on. An alert that fails for a week is switched off.

    So each query has an empty table with the used columns beside it.
    """
    for place, query in snapshot.queries():
        for name, columns in TABLES.items():
            schema = ", ".join(f"{column}: {kind}" for column, kind in columns.items())
            guarded = f"union isfuzzy=true (datatable({schema})[]), {name}\n"
            if re.search(rf"\b{name}\b", query.replace(guarded, "")):
                yield f"{place} fails where there is no {name}"


def alerts_reach_the_operator(snapshot: Snapshot) -> Iterator[str]:
    """Each alert is on, queries this deployment's workspace and has the chosen action group."""
    groups = [group["id"] for group in snapshot.of_type(ACTION_GROUP)]
    if len(groups) != bool(snapshot.parameters.email):
        yield "the action group is not as chosen"
    for rule in snapshot.of_type(RULE):
        if rule["properties"]["actions"]["actionGroups"] != groups:
            yield f"{rule['name']} does not reach the action group"
        if rule["properties"]["scopes"] != [snapshot.one(WORKSPACE)["id"]]:
            yield f"{rule['name']} reads another workspace"
        if rule["properties"]["enabled"] is not True:
            yield f"{rule['name']} is off"


def workbook_has_each_chart(snapshot: Snapshot) -> Iterator[str]:
    """Links per hour, outcomes, percentiles, attempts, dead letters, refusals, by source."""
    charts = [query for place, query in snapshot.queries() if place.startswith("workbook")]
    for wanted in (
        r"join_link\.resolved.*count\(\) by bin\(TimeGenerated, 1h\), source",
        r"count\(\) by code",
        r"percentiles\(durationMs, 50, 95, 99\)",
        r"count\(\) by attempts",
        r"countif\(.*\bby source",
        r'"join_link\.dead_lettered", "delivery\.dead_lettered"',
        r"givenUp = countif.*by destination",
        r'event == "webhook\.refused" and isnotempty\(source\)',
    ):
        if not any(re.search(wanted, chart, re.DOTALL) for chart in charts):
            yield f"no chart matches {wanted}"


def _literals(query: str, column: str) -> set[str]:
    """The values with which a query compares a column: == "x", != "x" and in ("x", "y")."""
    compared = re.findall(rf'\b{column} (?:==|!=|in) (\("[^)]*\)|"[^"]*")', query)
    return {value for group in compared for value in re.findall(r'"([^"]*)"', group)}


def _permissions() -> frozenset[str]:
    return frozenset(code for code, error in CODES.items() if issubclass(error, NotPermitted))


def _failures() -> frozenset[str]:
    # The queue repeats throttled requests, and HTTP callers are told to wait. A second run of
    # the diagnostics is refused as well.
    others = (Refused, NotFound, NotPermitted, NotDelivered, SettingsInvalid)
    return frozenset(
        code
        for code, error in CODES.items()
        if not issubclass(error, others) and code not in ("graph_throttled", "diagnostics_busy")
    )
