"""What `azd up` does between provisioning and the first link."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.graph_directory import GRAPH, GraphDirectory, ServicePrincipal
from shared.core import remediation
from tests.integration.script_runs import ROOT, VERSIONS, Administrator
from tests.unit.terminals import show

CLIENT = "20000000-0000-4000-8000-000000000002"
PRINCIPAL = "30000000-0000-4000-8000-000000000003"
LINK, LOOKUP, USERS = remediation.APP_ROLES.values()

# Notes how it was called, and fails as often as the file `failures` has lines.
STAND_IN = """\
#!/bin/sh
echo "$0 $*" >> {folder}/calls
if [ -s {folder}/failures ]; then
  head -n 1 {folder}/failures
  sed -i 1d {folder}/failures
  exit 1
fi
"""


@pytest.fixture
def directory(authority: Authority) -> Iterator[GraphDirectory]:
    """A tenant's directory."""
    with GraphDirectory(authority) as directory:
        yield directory


@pytest.fixture
def identity(directory: GraphDirectory) -> ServicePrincipal:
    """The app's identity, without any permission."""
    return directory.add(ServicePrincipal(CLIENT))


@pytest.fixture
def operator(directory: GraphDirectory, tmp_path: Path) -> Administrator:
    """A person who runs azd and has no directory role."""
    return in_azd(directory, tmp_path, roles=())


def in_azd(directory: GraphDirectory, folder: Path, **options: tuple[str, ...]) -> Administrator:
    """A person in azd's environment, whose token has these directory roles."""
    operator = Administrator(folder, {GRAPH: directory.token(**options)})
    operator.command("azd", STAND_IN.format(folder=folder))
    operator.environment |= {
        "GRAPH_ROOT": directory.url,
        "AZURE_ENV_NAME": "clinic",
        "AZURE_RESOURCE_GROUP": "rg-clinic",
        "FUNCTION_APP_NAME": "func-clinic",
        "FUNCTION_APP_URL": "https://func-clinic.azurewebsites.net",
        "MANAGED_IDENTITY_CLIENT_ID": CLIENT,
        "MANAGED_IDENTITY_PRINCIPAL_ID": PRINCIPAL,
    }
    return operator


def calls(operator: Administrator) -> list[str]:
    """How azd was called."""
    path = operator.folder / "calls"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@pytest.mark.parametrize("version", VERSIONS)
def test_with_the_role_the_permission_is_granted_after_provisioning(
    version: str, directory: GraphDirectory, identity: ServicePrincipal, tmp_path: Path
) -> None:
    """The policy's PowerShell command is printed to forward."""
    administrator = in_azd(directory, tmp_path)
    administrator.environment["GRAPH_GRANTS"] = "lookup, users"

    done = administrator.run("azd_postprovision.py", version=version)

    assert (done.code, done.complained) == (0, "")
    assert [role for _, role in identity.assignments] == [LINK, LOOKUP, USERS]
    assert "Forward this to a Teams Administrator" in done.said


def test_without_the_role_the_commands_are_printed_to_forward(
    identity: ServicePrincipal, operator: Administrator
) -> None:
    """Provisioning goes on, for example on a build server, which must not have the role."""
    operator.environment["GRAPH_GRANTS"] = "lookup"
    operator.environment["ORGANIZERS"] = "a@clinic.example, b@clinic.example"

    done = operator.run("azd_postprovision.py")

    assert done.code == 0
    assert identity.assignments == []
    assert "Forward this to a Privileged Role Administrator" in done.said
    assert re.findall(r'appRoleId\\":\\"([0-9a-f-]+)', done.said) == [LINK, LOOKUP]
    assert re.findall(r'^Grant-.* -Identity "(.*)"$', done.said, re.MULTILINE) == [
        "a@clinic.example",
        "b@clinic.example",
    ]


def test_the_commands_to_forward_are_those_of_the_fixes(
    identity: ServicePrincipal, operator: Administrator
) -> None:
    """Line by line."""
    said = operator.run("azd_postprovision.py").said

    assert identity.assignments == []
    fix = remediation.grant_app_role("VirtualAppointment.Read.All", client_id=CLIENT)
    start = fix.index("IDENTITY=$(")
    commands = fix[start : fix.index('}"', start) + 2].split("; ")
    assert len(commands) == 3
    for command in commands:
        assert command in said.splitlines()


@pytest.mark.parametrize(
    ("organizers", "whom"),
    [
        ("a@clinic.example, b@clinic.example", ['-Identity "a@clinic.example"', '-Identity "b@']),
        (f"group:{PRINCIPAL}", [f'-Group "{PRINCIPAL}" -Rank (@(Get-CsGroupPolicyAssignment ']),
        ("everybody", ["-Global"]),
        ("", ['-Identity "ORGANIZER"']),
    ],
)
def test_the_teams_policy_is_forwarded_without_this_repository(
    organizers: str, whom: list[str], identity: ServicePrincipal, operator: Administrator
) -> None:
    """As PowerShell that needs its module alone, with the names of the app's own fix."""
    operator.environment["ORGANIZERS"] = organizers

    said = operator.run("azd_postprovision.py").said.partition("== Teams")[2]

    assert identity.assignments == []
    assert "scripts/" not in said
    forwarded = re.search(r"^Install-Module(?:.*\n)+?\n", said, re.MULTILINE)
    assert forwarded is not None
    _, connect, policy, *grants = forwarded[0].splitlines()[:-1]
    assert connect == "Connect-MicrosoftTeams"
    fix = remediation.grant_access_policy(client_id=CLIENT, user_id="a@clinic.example")
    assert f"`{policy}; " in fix
    start = "Grant-CsApplicationAccessPolicy -PolicyName virtual-appointments "
    assert start in fix
    assert len(grants) == len(whom)
    for line, one in zip(grants, whom, strict=True):
        assert line.startswith(start + one)


def test_a_policy_that_somebody_else_has_set_can_be_noted(
    identity: ServicePrincipal, operator: Administrator
) -> None:
    """By the command that is printed. Then the next provisioning asks for no sign-in."""
    operator.environment["ORGANIZERS"] = "a@clinic.example, b@clinic.example"
    told = operator.run("azd_postprovision.py").said
    assert identity.assignments == []
    (line,) = re.findall(r"^  azd env set TEAMS_POLICY_SET (.*)$", told, re.MULTILINE)
    value, *option = shlex.split(line)
    assert option == ["--environment", "clinic"]

    for noted in (value, f"{CLIENT} {operator.environment['ORGANIZERS']}"):  # as docs/setup.md does
        operator.environment["TEAMS_POLICY_SET"] = noted
        again = operator.run("azd_postprovision.py").said
        assert "It is set already." in again
        assert "Forward this to a Teams Administrator" not in again


def test_no_code_is_deployed_before_the_grant(
    identity: ServicePrincipal, operator: Administrator
) -> None:
    """A token from before it would be used for up to 24 hours."""
    done = operator.run("azd_postup.py")

    assert done.code == 1
    assert identity.assignments == []
    assert "not deployed yet" in done.complained
    assert "azd deploy" in done.complained
    assert calls(operator) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_code_is_deployed_after_the_grant(
    version: str,
    directory: GraphDirectory,
    identity: ServicePrincipal,
    operator: Administrator,
) -> None:
    """In the same azd environment, without a question."""
    identity.assignments.append((directory.graph.object_id, LINK))

    done = operator.run("azd_postup.py", version=version)

    assert (done.code, done.complained) == (0, "")
    (call,) = calls(operator)
    assert call.endswith("azd deploy --no-prompt --environment clinic")


def test_a_lasting_failure_ends_it(
    directory: GraphDirectory, identity: ServicePrincipal, operator: Administrator
) -> None:
    """At once, with azd's own output and exit code."""
    identity.assignments.append((directory.graph.object_id, LINK))
    (operator.folder / "failures").write_text("ERROR: no such service\n", encoding="utf-8")

    done = operator.run("azd_postup.py")

    assert done.code == 1
    assert "ERROR: no such service" in done.said
    assert len(calls(operator)) == 1


AZ = """\
#!/bin/sh
echo "az $*" >> {folder}/calls
case "$*" in
  *list-flexconsumption-locations*) printf 'West Europe\\nswedencentral\\n' ;;
  *"provider show"*) cat {folder}/state ;;
  *"provider register"* | *"vnet-integration remove"*) exit {code} ;;
esac
"""


def with_az(operator: Administrator, *, code: int = 0, state: str = "NotRegistered") -> None:
    """Give the operator an Azure CLI that notes how it was called."""
    (operator.folder / "state").write_text(state, encoding="utf-8")
    operator.command("az", AZ.format(folder=operator.folder, code=code))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("region", ["westeurope", "West Europe", "swedencentral"])
def test_a_region_with_flex_consumption_passes(
    version: str, region: str, operator: Administrator
) -> None:
    """In each spelling. Nothing is registered that the default does not need."""
    with_az(operator)
    operator.environment["AZURE_LOCATION"] = region

    done = operator.run("azd_preprovision.py", version=version)

    assert (done.code, done.complained) == (0, "")
    assert f"{region} offers Flex Consumption" in done.said
    assert len(calls(operator)) == 1


def test_a_region_without_flex_consumption_is_reported_before_anything_is_made(
    operator: Administrator,
) -> None:
    """With the regions that offer it."""
    with_az(operator)
    operator.environment["AZURE_LOCATION"] = "westindia"

    done = operator.run("azd_preprovision.py")

    assert done.code == 1
    assert done.complained.startswith("Nothing was made. westindia does not offer")
    assert "swedencentral, westeurope" in done.complained


def test_a_region_that_is_not_chosen_yet_is_advised_on(operator: Administrator) -> None:
    """`azd provision` asks for it after this."""
    with_az(operator)

    done = operator.run("azd_preprovision.py")

    assert (done.code, done.complained) == (0, "")
    assert "Choose a region that offers Flex Consumption: swedencentral, westeurope." in done.said


def test_without_a_sign_in_the_region_is_not_checked(operator: Administrator) -> None:
    """The default can be provisioned with only azd's own sign-in."""
    operator.command("az", "#!/bin/sh\nexit 1\n")
    operator.environment["AZURE_LOCATION"] = "westeurope"

    done = operator.run("azd_preprovision.py")

    assert done.code == 0
    assert "The region was not checked." in done.said


@pytest.mark.parametrize(
    ("state", "code", "registered"), [("Registered", 1, False), ("NotRegistered", 0, True)]
)
def test_the_hardened_variant_has_its_provider_registered_first(
    state: str, code: int, registered: bool, operator: Administrator
) -> None:
    """In the target subscription, and only if it is not registered."""
    with_az(operator, code=code, state=state)
    operator.environment |= {
        "AZURE_LOCATION": "westeurope",
        "VNET_ENABLED": "true",
        "AZURE_SUBSCRIPTION_ID": "SUBSCRIPTION",
    }

    done = operator.run("azd_preprovision.py")

    assert (done.code, done.complained) == (0, "")
    made = [call for call in calls(operator) if "provider register" in call]
    assert bool(made) is registered
    for call in made:
        assert "--namespace Microsoft.App --wait --subscription SUBSCRIPTION" in call


def test_a_provider_that_cannot_be_registered_is_reported_before_anything_is_made(
    operator: Administrator,
) -> None:
    """With the command for somebody who can."""
    with_az(operator, code=1)
    operator.environment |= {"AZURE_LOCATION": "westeurope", "VNET_ENABLED": "true"}

    done = operator.run("azd_preprovision.py")

    assert done.code == 1
    assert "az provider register --namespace Microsoft.App --wait" in done.complained


@pytest.mark.parametrize("version", VERSIONS)
def test_the_app_leaves_its_network_before_everything_is_deleted(
    version: str, operator: Administrator
) -> None:
    """Azure does not delete a subnet on which the app has left a link."""
    with_az(operator)
    operator.environment |= {"VNET_ENABLED": "true", "AZURE_SUBSCRIPTION_ID": "SUBSCRIPTION"}

    done = operator.run("azd_predown.py", version=version)

    assert (done.code, done.complained) == (0, "")
    (call,) = calls(operator)
    assert call == (
        "az functionapp vnet-integration remove --name func-clinic --resource-group rg-clinic "
        "--subscription SUBSCRIPTION"
    )


def test_nothing_is_deleted_while_the_app_is_in_its_network(operator: Administrator) -> None:
    """A hook that fails stops azd."""
    with_az(operator, code=1)
    operator.environment["VNET_ENABLED"] = "true"

    done = operator.run("azd_predown.py")

    assert done.code == 1
    assert "nothing was deleted" in done.complained


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_somebody_at_a_terminal_is_asked_first(
    answer: str, code: int, operator: Administrator
) -> None:
    """Without its network the app stops working, and azd asks its own question only later."""
    with_az(operator)
    path = f"{operator.folder}{os.pathsep}{os.environ['PATH']}"
    settings = {**operator.environment, "VNET_ENABLED": "true", "PATH": path}

    ended, shown = show("scripts/azd_predown.py", typed=f"{answer}\n", **settings)

    assert ended == code
    assert "`azd provision` puts it back. Go on? [y/N]" in shown
    assert len(calls(operator)) == (code == 0)


def test_without_a_network_there_is_nothing_to_leave(operator: Administrator) -> None:
    """The Azure CLI is not called."""
    with_az(operator, code=1)

    done = operator.run("azd_predown.py")

    assert (done.code, done.said, done.complained) == (0, "", "")
    assert calls(operator) == []


def test_the_next_step_is_the_page_that_says_what_is_missing(operator: Administrator) -> None:
    """With this deployment's own names, and a function that exists."""
    operator.environment["AZURE_SUBSCRIPTION_ID"] = "SUBSCRIPTION"

    done = operator.run("azd_postdeploy.py")

    assert done.code == 0
    assert "https://func-clinic.azurewebsites.net/api/diagnostics" in done.said
    assert "--subscription SUBSCRIPTION\n" in done.said
    (function,) = re.findall(r"--function-name (\w+)", done.said)
    app = (ROOT / "function_app.py").read_text(encoding="utf-8")
    assert f'@app.function_name("{function}")' in app
    assert '@app.route("diagnostics", methods=["GET"]' in app


def test_for_peoples_own_meetings_nothing_is_granted(
    operator: Administrator, identity: ServicePrincipal
) -> None:
    """The steps of sign-in are printed, filled in, and the code is deployed."""
    operator.environment["GRAPH_GRANTS"] = "none"

    provisioned = operator.run("azd_postprovision.py")
    up = operator.run("azd_postup.py")

    assert (provisioned.code, up.code) == (0, 0)
    assert f"managedIdentityPrincipalId={PRINCIPAL}" in provisioned.said
    assert "--resource-group rg-clinic --name sign-in" in provisioned.said
    for name in ("sign-in", "delegated-permissions"):
        assert f"--template-file infra/graph/{name}.bicep" in provisioned.said
    mine = provisioned.said.partition("you run:")[2]
    assert "azd env set ENTRA_CLIENT_ID" in mine
    assert "azd provision" in mine
    assert identity.assignments == []
    assert len(calls(operator)) == 1


def test_steps_that_were_taken_are_not_printed_again(operator: Administrator) -> None:
    """The second provisioning is the last step itself."""
    operator.environment |= {"GRAPH_GRANTS": "none", "ENTRA_CLIENT_ID": CLIENT}

    provisioned = operator.run("azd_postprovision.py")

    assert provisioned.code == 0
    assert "sign-in.bicep" not in provisioned.said
