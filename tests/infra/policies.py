"""What every deployment has to keep to. A policy yields one sentence for each violation."""

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
    app_policy.waits_for_name_servers_as_the_local_run_does,
    app_policy.scales_as_chosen,
    network_policy.subnets_suit_flex_consumption,
    network_policy.the_subnet_holds_every_instance,
    network_policy.subnets_are_written_in_their_network,
    role_policy.roles_are_from_the_list,
    query_policy.queries_name_what_the_app_writes,
    query_policy.a_table_may_be_missing,
    query_policy.alerts_cover_what_operators_must_know,
    query_policy.dead_letters_are_told_long_before_they_expire,
    query_policy.alerts_reach_the_operator,
    query_policy.workbook_shows_the_whole_picture,
    name_policy.names_are_within_limits,
    name_policy.no_id_stands_twice,
    name_policy.everything_is_tagged,
)
