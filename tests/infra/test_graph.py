"""What infra/graph grants and registers, read from its text without a compiler."""

import re
from pathlib import Path

import pytest

from shared.core.remediation import APP_ROLES, GRAPH_APP_ID

GRAPH = Path(__file__).parents[2] / "infra" / "graph"


def read(name: str) -> str:
    """Read one of the files, without its comments."""
    text = (GRAPH / name).read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def test_the_grants_are_the_app_roles_of_the_fixes() -> None:
    """With the same names, ids and resource."""
    text = read("main.bicep")

    assert dict(re.findall(r"'([\w.]+)': '([0-9a-f-]{36})'", text)) == APP_ROLES
    assert f"appId: '{GRAPH_APP_ID}'" in text


def test_only_the_join_link_permission_is_granted_by_default() -> None:
    """The permissions of a lookup are granted on request."""
    (default,) = re.findall(r"param permissions .*\[\] = \[([^\]]*)\]", read("main.bicep"))

    assert default.split() == ["'VirtualAppointment.Read.All'"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("JoinLink.Read", "type: 'User'"),
        ("JoinLink.Read.All", "allowedMemberTypes: ['Application', 'User']"),
    ],
)
def test_the_registration_offers_the_scope_and_the_role_of_the_app(value: str, kind: str) -> None:
    """The scope is for people's own meetings, and the app role for applications and people."""
    (found,) = re.findall(
        rf"\{{[^{{}}]*value: '{re.escape(value)}'[^{{}}]*\}}", read("sign-in.bicep")
    )

    assert kind in found
    assert "isEnabled: true" in found


def test_the_registration_gives_version_2_tokens_and_has_no_secret() -> None:
    """Version 1 tokens have another issuer. The identity is the only credential."""
    text = read("sign-in.bicep") + read("identifier-uri.bicep")

    assert "requestedAccessTokenVersion: 2" in text
    assert "identifierUris: ['api://${appId}']" in text
    assert not re.search(r"passwordCredentials|keyCredentials", text)


def test_an_application_is_pre_authorized_only_on_request_and_for_the_scope() -> None:
    """Copilot Studio needs it. Users of other applications are asked for consent."""
    text = read("sign-in.bicep")

    assert "param preAuthorizedClientIds array = []" in text
    (found,) = re.findall(r"preAuthorizedApplications: \[(.*?)\n    \]", text, re.DOTALL)
    assert " ".join(found.split()) == (
        "for clientId in preAuthorizedClientIds: "
        "{ appId: clientId delegatedPermissionIds: [scopeId] }"
    )


def test_each_environment_has_its_own_registration() -> None:
    """Otherwise two environments in one tenant would overwrite each other's client id."""
    text = read("sign-in.bicep")

    assert "param environmentName string\n" in text  # without a default, so that it must be given
    for name in ("uniqueName", "displayName"):
        (default,) = re.findall(rf"param {name} string = '(.*)'", text)
        assert "${environmentName}" in default


def test_an_administrator_may_require_assignment() -> None:
    """With a parameter that is off by default."""
    text = read("sign-in.bicep")

    assert "param assignmentRequired bool = false\n" in text
    assert "appRoleAssignmentRequired: assignmentRequired" in text


@pytest.mark.parametrize("name", ["main.bicep", "sign-in.bicep", "delegated-permissions.bicep"])
def test_a_failed_deployment_of_new_objects_can_be_run_again(name: str) -> None:
    """Each file says so, and names the script that does it."""
    comments = (GRAPH / name).read_text(encoding="utf-8").partition("\nextension")[0]

    assert "python scripts/retry_deployment.py \\\n//     az deployment group create" in comments
    assert f"--template-file infra/graph/{name}" in comments
    assert "It can be run again" in comments


def test_both_folders_are_linted_by_the_same_rules() -> None:
    """Only the graph folder has the extension."""
    own = (GRAPH / "bicepconfig.json").read_text(encoding="utf-8")
    shared = (GRAPH.parent / "bicepconfig.json").read_text(encoding="utf-8")

    rules = re.compile(r'"analyzers".*', re.DOTALL)

    assert rules.findall(own) == rules.findall(shared)
