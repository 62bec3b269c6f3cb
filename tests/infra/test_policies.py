"""Every variant keeps to every policy, and every policy notices when one does not."""

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
def test_every_variant_keeps_to_every_policy(variant: str, policy: Policy) -> None:
    """What a variant deploys violates nothing."""
    assert list(policy(load(variant))) == []


@pytest.mark.parametrize("case", BREAKS, ids=lambda case: f"{case.policy.__name__}: {case.what}")
def test_a_policy_notices_what_breaks_it(case: Break) -> None:
    """A snapshot that is wrong in one place is reported by the policy for it."""
    good = load(case.variant)
    broken = cast("dict[str, Any]", copy.deepcopy(good.data))

    case.change(broken["predictedResources"])

    assert broken != good.data
    assert list(case.policy(Snapshot(good.parameters, broken)))


def test_a_secret_in_an_output_is_noticed() -> None:
    """An output that names or fetches a key is a violation, the vault's name is none."""
    good = load("default")
    outputs = {
        "KEY_VAULT_NAME": "kv",
        "STORAGE": "[listKeys(…)]",
        "INSIGHTS_CONNECTION_STRING": "x",
    }

    found = list(outputs_hold_no_secret(Snapshot(good.parameters, {"outputs": outputs})))

    assert found == ["output STORAGE", "output INSIGHTS_CONNECTION_STRING"]


def test_every_policy_is_proven_able_to_fail() -> None:
    """No policy is without a snapshot that breaks it."""
    proven = {case.policy for case in BREAKS} | {outputs_hold_no_secret}

    assert proven == set(POLICIES)
