"""Roles that somebody should not have, or that are missing."""

from tests.infra import role_policy as policy
from tests.infra.breaks import Break, drop, put, repeat, replace
from tests.infra.snapshots import ROLE

BREAKS = (
    Break(policy.roles_are_from_the_list, "a missing role", drop(ROLE)),
    Break(policy.roles_are_from_the_list, "one role twice", repeat(ROLE)),
    Break(
        policy.roles_are_from_the_list,
        "no principal type",
        put(ROLE, "properties.principalType", "User"),
    ),
    Break(
        policy.roles_are_from_the_list,
        "a stranger",
        put(ROLE, "properties.principalId", "55555555-5555-4555-8555-555555555555"),
    ),
    Break(
        policy.roles_are_from_the_list,
        "the owner's role",
        put(ROLE, "properties.roleDefinitionId", "/x/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
    ),
    Break(
        policy.roles_are_from_the_list,
        "the queue's role on the whole account",
        replace(ROLE, "/queueServices/default/queues/join-link-results", ""),
    ),
    Break(
        policy.roles_are_from_the_list,
        "a sender with a role on the account",
        replace(ROLE, "/queueServices/default/queues/join-link-requests/", "/"),
        "everything",
    ),
    Break(
        policy.roles_are_from_the_list,
        "a person with an application's principal type",
        replace(ROLE, '222", "principalType": "User"', '222", "principalType": "ServicePrincipal"'),
        "everything",
    ),
)
