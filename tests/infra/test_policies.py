"""Each variant keeps each policy, and each policy finds its violations."""

import copy
from typing import Any, cast

import pytest

from tests.infra import (
    app_breaks,
    name_breaks,
    network_breaks,
    protection_breaks,
    query_breaks,
    role_breaks,
)
from tests.infra.breaks import Break
from tests.infra.policies import POLICIES, Policy
from tests.infra.protection_policy import outputs_hold_no_secret
from tests.infra.snapshots import VARIANTS, Snapshot, load

BREAKS = (
    *protection_breaks.BREAKS,
    *app_breaks.BREAKS,
    *name_breaks.BREAKS,
    *network_breaks.BREAKS,
    *role_breaks.BREAKS,
    *query_breaks.BREAKS,
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_keeps_each_policy(variant: str, policy: Policy) -> None:
    """A variant's snapshot has no violation."""
    assert list(policy(load(variant))) == []


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.policy.__name__}: {case.what}")
def test_a_policy_finds_its_violation(case: Break) -> None:
    """A snapshot with one error is reported by the policy for it."""
    good = load(case.variant)
    broken = cast("dict[str, Any]", copy.deepcopy(good.data))

    case.change(broken["predictedResources"])

    assert broken != good.data
    assert list(case.policy(Snapshot(good.parameters, broken)))


def test_a_secret_in_an_output_is_found() -> None:
    """An output that names or reads a key is a violation. The vault's name is not."""
    good = load("default")
    outputs = {
        "KEY_VAULT_NAME": "kv",
        "STORAGE": "[listKeys(…)]",
        "INSIGHTS_CONNECTION_STRING": "x",
    }

    found = list(outputs_hold_no_secret(Snapshot(good.parameters, {"outputs": outputs})))

    assert found == ["output STORAGE", "output INSIGHTS_CONNECTION_STRING"]


def test_each_policy_has_a_violation() -> None:
    """Each policy has a snapshot in which it fails."""
    proven = {case.policy for case in BREAKS} | {outputs_hold_no_secret}

    assert proven == set(POLICIES)
