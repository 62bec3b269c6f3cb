"""Names that Azure refuses, and tags that are missing."""

from tests.infra import name_policy as policy
from tests.infra.breaks import Break, put, repeat
from tests.infra.snapshots import GROUP, ROLE, RULE, SITE, STORAGE, VAULT, WORKBOOK, WORKSPACE

BREAKS = (
    *(
        Break(policy.names_are_within_limits, f"{kind} {name}", put(kind, "name", name))
        for kind, name in (
            (GROUP, "g" * 91),
            (GROUP, "ends-with-a-dot."),
            (STORAGE, "st-with-hyphen"),
            (STORAGE, "s" * 25),
            (VAULT, "kv-" + "k" * 22),
            (VAULT, "kv--two"),
            (SITE, "f" * 61),
            (WORKSPACE, "log"),
            (WORKBOOK, "links"),
        )
    ),
    Break(policy.names_are_within_limits, "one name twice", repeat(RULE)),
    Break(policy.no_id_is_defined_twice, "one person's role twice", repeat(ROLE), "overlap"),
    Break(policy.everything_is_tagged, "no tags", put(VAULT, "tags", {})),
    Break(
        policy.everything_is_tagged,
        "another service",
        put(SITE, "tags.azd-service-name", "web"),
    ),
)
