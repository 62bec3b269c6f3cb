"""The fixes that an operator can make."""

import pytest

from shared.core import remediation
from shared.core.identifiers import is_guid

CLIENT = "20000000-0000-4000-8000-000000000002"
USER = "30000000-0000-4000-8000-000000000003"


def test_the_app_roles_are_those_of_microsoft_graph() -> None:
    """Source: Microsoft Graph permissions reference."""
    assert remediation.GRAPH_APP_ID == "00000003-0000-0000-c000-000000000000"
    assert remediation.APP_ROLES == {
        "VirtualAppointment.Read.All": "d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954",
        "OnlineMeetings.Read.All": "c1684f21-1984-47fa-9d61-2dc8c296bb70",
        "User.ReadBasic.All": "97235f07-e226-4f63-ace3-39588e11d3a1",
    }


@pytest.mark.parametrize("role", remediation.APP_ROLES)
def test_the_command_that_grants_a_role_can_be_run_unchanged(role: str) -> None:
    """It names the role, Graph, and the identity by its client id."""
    fix = remediation.grant_app_role(role, client_id=CLIENT)
    assert f"az ad sp show --id {CLIENT} " in fix
    assert f"az ad sp show --id {remediation.GRAPH_APP_ID} " in fix
    assert f'\\"appRoleId\\":\\"{remediation.APP_ROLES[role]}\\"' in fix
    assert role in fix
    assert "<" not in fix


def test_the_policy_names_the_apps_client_id_and_the_organizers_object_id() -> None:
    """Both cmdlets, and what to do where the organizer has another policy."""
    fix = remediation.grant_access_policy(client_id=CLIENT, user_id=USER)
    assert f'New-CsApplicationAccessPolicy -Identity virtual-appointments -AppIds "{CLIENT}"' in fix
    assert "Grant-CsApplicationAccessPolicy -PolicyName virtual-appointments " in fix
    assert f'-Identity "{USER}"' in fix
    assert f'Set-CsApplicationAccessPolicy -Identity <its name> -AppIds @{{Add="{CLIENT}"}}' in fix
    assert "take its place" in fix
    assert "30 minutes" in fix


def test_a_placeholder_says_which_id_belongs_there() -> None:
    """In angle brackets, so that nobody runs it without reading."""
    role_fix = remediation.grant_app_role("User.ReadBasic.All", client_id=None)
    policy_fix = remediation.grant_access_policy(client_id=None, user_id=None)
    assert "<client id of the app's managed identity>" in role_fix
    assert '-AppIds "<client id of the app\'s managed identity>"' in policy_fix
    assert '-Identity "<object id of the organizer>"' in policy_fix


def test_finding_a_meeting_needs_the_policy_as_well_as_the_role() -> None:
    """Finding a user needs only the role."""
    meeting = remediation.grant_lookup("OnlineMeetings.Read.All", client_id=CLIENT, user_id=USER)
    user = remediation.grant_lookup("User.ReadBasic.All", client_id=CLIENT, user_id=None)
    assert remediation.APP_ROLES["OnlineMeetings.Read.All"] in meeting
    assert "Grant-CsApplicationAccessPolicy" in meeting
    assert remediation.APP_ROLES["User.ReadBasic.All"] in user
    assert "Policy" not in user


def test_3003_names_both_of_its_meanings() -> None:
    """Another user's meeting, or an organizer outside the policy."""
    fix = remediation.share_meeting(client_id=CLIENT, user_id=USER)
    assert "belongs to somebody else" in fix
    assert "does not cover its real organizer" in fix
    assert USER in fix


def test_the_delegated_permissions_are_those_of_microsoft_graph() -> None:
    """Source: Microsoft Graph permissions reference."""
    assert remediation.DELEGATED_PERMISSIONS == {
        "VirtualAppointment.Read": "27470298-d3b8-4b9c-aad4-6334312a3eac",
        "OnlineMeetings.Read": "9be106e1-f4e3-4df5-bdff-e4bc531cbe43",
    }


def test_the_placeholders_for_sign_in_say_which_id_belongs_there() -> None:
    """For the registration, the identity and the tenant."""
    consent = remediation.grant_consent(client_id=None)
    credential = remediation.create_federated_credential(
        client_id=None, tenant_id=None, subject=None
    )
    assert "<client id of the app registration>" in consent
    assert "<principal id of the app's managed identity>" in credential
    assert "<tenant id>" in credential


def test_every_id_in_a_fix_is_a_guid() -> None:
    """A typing error in one of these would cost an administrator an hour."""
    ids = [*remediation.APP_ROLES.values(), *remediation.DELEGATED_PERMISSIONS.values()]
    assert all(map(is_guid, [remediation.GRAPH_APP_ID, *ids]))
