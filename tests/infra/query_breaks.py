"""Queries for values that the app does not write, and alerts that do not fire."""

from tests.infra import query_policy as policy
from tests.infra.breaks import Break, drop, put, quoted, quoted_twice, replace
from tests.infra.snapshots import ACTION_GROUP, RULE, WORKBOOK

BREAKS = (
    Break(
        policy.queries_use_the_apps_events,
        "an unknown member",
        replace(RULE, "record.code", "record.problem"),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "an unknown event",
        replace(RULE, "join_link.dead_lettered", "join_link.deadlettered"),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "an unknown trigger",
        replace(RULE, quoted('trigger == "webhook"'), quoted('trigger == "hook"')),
    ),
    *(
        Break(
            policy.a_table_may_be_missing,
            f"{table} alone",
            replace(RULE, f"[]), {table}", f"[])\\n| union {table}"),
        )
        for table in policy.TABLES
    ),
    Break(
        policy.a_table_may_be_missing,
        "a union that fails for a missing table",
        replace(WORKBOOK, "isfuzzy=true", "isfuzzy=false"),
    ),
    Break(
        policy.a_table_may_be_missing,
        "a column that the empty table lacks",
        replace(RULE, "AppRoleName: string, ", ""),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "an unknown code",
        replace(RULE, quoted('"access_policy_missing"'), quoted('"policy_missing"')),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "an unknown column",
        replace(WORKBOOK, "percentiles(durationMs", "percentiles(duration"),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "another app's events",
        replace(RULE, "AppRoleName =~ ", "AppRoleName != "),
    ),
    Break(
        policy.queries_use_the_apps_events,
        "no event at all",
        put(RULE, "properties.criteria.allOf.0.query", "AppTraces | take 1"),
    ),
    *(
        Break(policy.alerts_cover_what_operators_must_know, f"no {name}", drop(RULE, name))
        for name in (
            *("dead-letters", "failures", "permissions", "settings", "stalled"),
            *("refused-source", "deliveries", "daily-cap"),
        )
    ),
    Break(
        policy.alerts_cover_what_operators_must_know,
        "a missing permission code",
        replace(RULE, quoted('"access_policy_missing", '), ""),
    ),
    Break(
        policy.alerts_cover_what_operators_must_know,
        "no alert on a destination that only an operator can correct",
        replace(RULE, quoted('"destination_invalid"'), quoted('"another"')),
    ),
    Break(
        policy.alerts_on_dead_letters_are_frequent,
        "an evaluation once a day",
        put(RULE, "properties.evaluationFrequency", "P1D"),
    ),
    Break(
        policy.alerts_see_what_is_found_late,
        "a window as short as the interval",
        put(RULE, "properties.evaluationFrequency", "PT15M"),
    ),
    Break(
        policy.alerts_reach_the_operator,
        "nobody told",
        put(RULE, "properties.actions.actionGroups", []),
        "everything",
    ),
    Break(
        policy.alerts_reach_the_operator,
        "an unknown action group",
        drop(ACTION_GROUP),
        "everything",
    ),
    Break(
        policy.alerts_reach_the_operator,
        "an alert on another workspace",
        put(RULE, "properties.scopes", ["/elsewhere"]),
    ),
    Break(
        policy.alerts_reach_the_operator,
        "an alert switched off",
        put(RULE, "properties.enabled", value=False),
    ),
    *(
        Break(
            policy.workbook_has_each_chart,
            f"no {text}",
            replace(WORKBOOK, quoted_twice(text), "x"),
        )
        for text in (
            "bin(TimeGenerated, 1h), source",
            "by code",
            "50, 95, 99",
            "by attempts",
            "by source",
            '"join_link.dead_lettered"',
            "by destination",
            "isnotempty(source)",
        )
    ),
)
