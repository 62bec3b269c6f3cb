"""The registration and its consent keep each policy, and each policy finds its violations."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infra import registration_policy as policies
from tests.infra.compiler import Compiler
from tests.infra.graph_snapshots import GRAPH_VARIANTS, load, read, write_snapshot
from tests.infra.registration_policy import (
    APPLICATION,
    CREDENTIAL,
    GRANT,
    POLICIES,
    RegistrationPolicy,
    Resources,
    of_type,
)

Change = Callable[[Resources], object]


def put(kind: str, path: str, value: object) -> Change:
    """Set one value, by the dotted path to it, in the first resource of a type."""

    def change(resources: Resources) -> None:
        *folders, last = path.split(".")
        target: Any = of_type(resources, kind)[0]
        for folder in folders:
            target = target[int(folder) if folder.isdigit() else folder]
        target[last] = value

    return change


def drop(kind: str) -> Change:
    """Remove the resources of a type."""

    def change(resources: Resources) -> None:
        resources[:] = [one for one in resources if one["type"] != kind]

    return change


SCOPE, ROLE = "api.oauth2PermissionScopes.0", "appRoles.0"
BREAKS: list[tuple[RegistrationPolicy, Change]] = [
    (policies.permissions_are_the_apps, put(APPLICATION, f"{SCOPE}.value", "Other")),
    (policies.permissions_are_the_apps, put(APPLICATION, f"{SCOPE}.type", "Admin")),
    (policies.permissions_are_the_apps, put(APPLICATION, f"{SCOPE}.userConsentDisplayName", "All")),
    (policies.permissions_are_the_apps, put(APPLICATION, "appRoles", [])),
    (policies.permissions_are_the_apps, put(APPLICATION, f"{ROLE}.allowedMemberTypes", ["User"])),
    (policies.no_scope_is_named_as_a_role, put(APPLICATION, f"{ROLE}.value", "JoinLink.Read")),
    (
        policies.no_scope_is_named_as_a_role,
        put(APPLICATION, f"{ROLE}.id", "3da2d46c-8dba-501d-ac66-2d7f16560599"),
    ),
    (policies.tokens_say_what_the_app_reads, put(APPLICATION, "optionalClaims.accessToken", [])),
    (
        policies.tokens_say_what_the_app_reads,
        put(APPLICATION, "api.requestedAccessTokenVersion", 1),
    ),
    (policies.credential_is_the_identity, drop(CREDENTIAL)),
    (policies.credential_is_the_identity, put(CREDENTIAL, "name", "other/managed-identity")),
    (policies.credential_is_the_identity, put(CREDENTIAL, "issuer", "https://sts.windows.net/x/")),
    (policies.credential_is_the_identity, put(CREDENTIAL, "subject", "a client id")),
    (policies.credential_is_the_identity, put(CREDENTIAL, "audiences", ["api://other"])),
    (policies.registration_has_no_secret, put(APPLICATION, "passwordCredentials", [{}])),
    (policies.registration_has_no_secret, put(APPLICATION, "isFallbackPublicClient", True)),
    (
        policies.graph_permissions_are_delegated_ones,
        put(APPLICATION, "requiredResourceAccess.0.resourceAccess.0.type", "Role"),
    ),
    (policies.graph_permissions_are_delegated_ones, put(APPLICATION, "requiredResourceAccess", [])),
    (policies.consent_is_to_the_requested_permissions, drop(GRANT)),
    (policies.consent_is_to_the_requested_permissions, put(GRANT, "consentType", "Principal")),
    (policies.consent_is_to_the_requested_permissions, put(GRANT, "scope", "Mail.Read")),
]


@pytest.mark.parametrize("variant", GRAPH_VARIANTS)
def test_the_deployment_keeps_each_policy(variant: str) -> None:
    """The snapshot has no violation."""
    violations = [one for policy in POLICIES[variant] for one in policy(load(variant))]

    assert violations == []


@pytest.mark.parametrize("policy_and_change", BREAKS, ids=lambda case: case[0].__name__)
def test_a_policy_finds_its_violation(
    policy_and_change: tuple[RegistrationPolicy, Change],
) -> None:
    """A snapshot with one error is reported."""
    policy, change = policy_and_change
    variant = next(name for name, listed in POLICIES.items() if policy in listed)
    broken = copy.deepcopy(load(variant))

    change(broken)

    assert broken != load(variant)
    assert list(policy(broken))


def test_each_policy_has_a_violation() -> None:
    """Each policy has a snapshot in which it fails."""
    assert {policy for policy, _ in BREAKS} == {one for each in POLICIES.values() for one in each}


@pytest.mark.parametrize("variant", GRAPH_VARIANTS)
def test_the_snapshot_is_up_to_date(bicep: Compiler, graph_folder: Path, variant: str) -> None:
    """`python -m tests.infra.graph_snapshots` writes it."""
    answer, text = write_snapshot(bicep, variant, graph_folder)

    assert (answer.code, answer.complaints) == (0, "")
    # Compared as data, because the compiler does not always write outputs in the same order.
    assert json.loads(text) == read(variant)
