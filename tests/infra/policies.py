"""The policies for all deployments. A policy yields one sentence for each violation."""

from collections.abc import Callable, Iterator

from tests.infra import (
    app_policy,
    name_policy,
    network_policy,
    protection_policy,
    query_policy,
    role_policy,
)
from tests.infra.snapshots import Snapshot

Policy = Callable[[Snapshot], Iterator[str]]

POLICIES: tuple[Policy, ...] = (
    protection_policy.no_shared_keys,
    protection_policy.no_other_local_authentication,
    protection_policy.public_access_as_chosen,
    protection_policy.transport_is_encrypted,
    protection_policy.vault_is_protected,
    protection_policy.logs_reach_the_workspace,
    protection_policy.every_queue_exists,
    protection_policy.outputs_hold_no_secret,
    app_policy.no_setting_that_flex_forbids,
    app_policy.settings_are_the_apps,
    app_policy.sign_in_as_chosen,
    app_policy.one_identity_everywhere,
    app_policy.runs_on_flex_with_enough_threads,
    app_policy.resolver_options_are_the_samples,
    app_policy.scales_as_chosen,
    network_policy.subnets_suit_flex_consumption,
    network_policy.the_subnet_holds_every_instance,
    network_policy.subnets_are_written_in_their_network,
    role_policy.roles_are_from_the_list,
    query_policy.queries_use_the_apps_events,
    query_policy.a_table_may_be_missing,
    query_policy.alerts_cover_what_operators_must_know,
    query_policy.alerts_on_dead_letters_are_frequent,
    query_policy.alerts_see_what_is_found_late,
    query_policy.alerts_reach_the_operator,
    query_policy.workbook_has_each_chart,
    name_policy.names_are_within_limits,
    name_policy.no_id_is_defined_twice,
    name_policy.everything_is_tagged,
)
