"""What infra/graph grants and registers, as far as its text says so without a compiler."""

import re
from pathlib import Path

import pytest

from shared.core.remediation import APP_ROLES, GRAPH_APP_ID

GRAPH = Path(__file__).parents[2] / "infra" / "graph"


def read(name: str) -> str:
    """Read one of the files, without its comments."""
    text = (GRAPH / name).read_text(encoding="utf-8")
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)


def test_the_grants_are_the_app_roles_that_problems_speak_of() -> None:
    """The same names and ids, and on the same resource, as in the fixes of problems."""
    text = read("main.bicep")

    assert dict(re.findall(r"'([\w.]+)': '([0-9a-f-]{36})'", text)) == APP_ROLES
    assert f"appId: '{GRAPH_APP_ID}'" in text


def test_the_join_link_permission_alone_is_granted_by_default() -> None:
    """What a lookup needs is granted where somebody asks for it."""
    (default,) = re.findall(r"param permissions .*\[\] = \[([^\]]*)\]", read("main.bicep"))

    assert default.split() == ["'VirtualAppointment.Read.All'"]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("JoinLink.Read", "type: 'User'"),
        ("JoinLink.Read.All", "allowedMemberTypes: ['Application', 'User']"),
    ],
)
def test_the_registration_offers_what_the_app_looks_for(value: str, kind: str) -> None:
    """A scope for people's own meetings, and an app role for applications and people."""
    (found,) = re.findall(
        rf"\{{[^{{}}]*value: '{re.escape(value)}'[^{{}}]*\}}", read("sign-in.bicep")
    )

    assert kind in found
    assert "isEnabled: true" in found


def test_the_registration_gives_version_2_tokens_and_has_no_secret() -> None:
    """Version 1 tokens name another issuer, and the identity is the only credential."""
    text = read("sign-in.bicep") + read("identifier-uri.bicep")

    assert "requestedAccessTokenVersion: 2" in text
    assert "identifierUris: ['api://${appId}']" in text
    assert not re.search(r"passwordCredentials|keyCredentials", text)


def test_nobody_is_pre_authorized_unless_asked_for_and_then_for_the_scope_alone() -> None:
    """Copilot Studio needs it; everybody else's users are asked."""
    text = read("sign-in.bicep")

    assert "param preAuthorizedClientIds array = []" in text
    (found,) = re.findall(r"preAuthorizedApplications: \[(.*?)\n    \]", text, re.DOTALL)
    assert " ".join(found.split()) == (
        "for clientId in preAuthorizedClientIds: "
        "{ appId: clientId delegatedPermissionIds: [scopeId] }"
    )


def test_each_environment_has_a_registration_of_its_own() -> None:
    """Two of them in one tenant would overwrite each other's, and its client id with it."""
    text = read("sign-in.bicep")

    assert "param environmentName string\n" in text  # without a default: nobody forgets it
    for name in ("uniqueName", "displayName"):
        (default,) = re.findall(rf"param {name} string = '(.*)'", text)
        assert "${environmentName}" in default


def test_an_administrator_may_require_assignment() -> None:
    """By a parameter, which is off by default."""
    text = read("sign-in.bicep")

    assert "param assignmentRequired bool = false\n" in text
    assert "appRoleAssignmentRequired: assignmentRequired" in text


@pytest.mark.parametrize("name", ["main.bicep", "sign-in.bicep", "delegated-permissions.bicep"])
def test_what_entra_does_not_know_yet_is_waited_for(name: str) -> None:
    """Each file says that it can be run again, by the script that does so."""
    comments = (GRAPH / name).read_text(encoding="utf-8").partition("\nextension")[0]

    assert "python scripts/retry_deployment.py \\\n//     az deployment group create" in comments
    assert f"--template-file infra/graph/{name}" in comments
    assert "It can be run again" in comments


def test_both_folders_are_linted_by_the_same_rules() -> None:
    """Only the extension is the graph folder's own."""
    own = (GRAPH / "bicepconfig.json").read_text(encoding="utf-8")
    shared = (GRAPH.parent / "bicepconfig.json").read_text(encoding="utf-8")

    rules = re.compile(r'"analyzers".*', re.DOTALL)

    assert rules.findall(own) == rules.findall(shared)
