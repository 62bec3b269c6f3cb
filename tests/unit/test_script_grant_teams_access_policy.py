"""The Teams application access policy: whom the app is added to, and whose place it never takes."""

import itertools
import re
from pathlib import Path

import pytest

from tests.unit.powershell import BeyondReach, Script, nodes, text

PATH = Path(__file__).parents[2] / "scripts" / "grant-teams-access-policy.ps1"
OURS = "20000000-0000-4000-8000-00000000000a"
THEIRS = "90000000-0000-4000-8000-000000000009"
SCOPES = ("User", "Group", "Everyone")
APP_IDS: tuple[tuple[str, ...], ...] = ((), (OURS,), (THEIRS,), (THEIRS, OURS.upper()))


@pytest.fixture(scope="module")
def script() -> Script:
    """The script."""
    return Script(PATH)


def decide(
    script: Script,
    scope: str,
    assigned: str = "",
    assigned_ids: tuple[str, ...] = (),
    global_ids: tuple[str, ...] = (),
) -> str:
    """Ask the script's own function."""
    return script.decide(
        "Select-PolicyStep",
        {
            "Scope": scope,
            "AssignedPolicy": assigned,
            "AssignedAppIds": assigned_ids,
            "GlobalAppIds": global_ids,
            "ThisApp": OURS,
        },
    )


def test_the_script_is_powershell(script: Script) -> None:
    """By the grammar; whether PowerShell runs it is not tried here."""
    assert script.faults() == []


@pytest.mark.parametrize("scope", ["User", "Group"])
def test_a_policy_that_counts_already_gets_the_app_added(script: Script, scope: str) -> None:
    """Whatever the Global policy says: it does not count for them."""
    assert decide(script, scope, "clinic", (THEIRS,)) == "AddToAssigned"
    assert decide(script, scope, "clinic", (), (OURS,)) == "AddToAssigned"


@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_right_already_stays(script: Script, scope: str) -> None:
    """Running it twice changes nothing; ids are compared without regard to case."""
    assert decide(script, scope, global_ids=(THEIRS, OURS.upper())) == "Nothing"
    if scope != "Everyone":
        assert decide(script, scope, "clinic", (THEIRS, OURS.upper())) == "Nothing"


@pytest.mark.parametrize("scope", SCOPES)
def test_without_any_policy_they_get_one_of_ours(script: Script, scope: str) -> None:
    """Users, a group and everyone each by their own switch."""
    step = {"User": "GrantToUser", "Group": "GrantToGroup", "Everyone": "GrantToEveryone"}
    assert decide(script, scope) == step[scope]


def test_the_global_policy_of_other_apps_is_added_to_only_for_everyone(script: Script) -> None:
    """A user's own policy would take those apps away, so that is refused."""
    assert decide(script, "Everyone", global_ids=(THEIRS,)) == "AddToGlobal"
    assert decide(script, "User", global_ids=(THEIRS,)) == "Refuse"
    assert decide(script, "Group", global_ids=(THEIRS,)) == "Refuse"


def test_no_case_takes_another_app_its_place(script: Script) -> None:
    """Ours is granted only where no policy that counts names any app."""
    for scope, name, assigned, everyone in itertools.product(
        SCOPES, ("", "clinic"), APP_IDS, APP_IDS
    ):
        step = decide(script, scope, name, assigned if name else (), everyone)
        if step.startswith("Grant"):
            assert not name
            assert not everyone


def test_the_global_policy_is_nobodys_own(script: Script) -> None:
    """Should the cmdlet name it for a user, the app is not added to everybody's for that."""
    body = text(script.function("Get-AssignedPolicy"))

    assert "if ($policy -eq 'Global') { return '' }" in body


def test_every_step_that_is_decided_is_taken(script: Script) -> None:
    """Each word of the decision stands in a switch, and no other does."""
    decided = {
        text(node).removeprefix("return ").strip("'")
        for node in nodes(script.function("Select-PolicyStep"))
        if node.type == "flow_control_statement"
    }
    taken = set()
    for name in ("Update-Policy", "Grant-OwnPolicy"):
        taken |= set(re.findall(r"^\s*'(\w+)' \{", text(script.function(name)), re.MULTILINE))
    assert decided == taken | {"Nothing"}


def test_nothing_is_changed_before_whatif_has_been_asked(script: Script) -> None:
    """Each changing cmdlet stands in a function that asks ShouldProcess first."""
    changing = [
        (name, node)
        for name, node in script.commands()
        if re.match(r"(New|Set|Grant)-Cs", name, re.IGNORECASE)
    ]
    assert len(changing) == 5
    for name, node in changing:
        outer = node
        while outer.type != "function_statement":
            assert outer.parent is not None, name
            outer = outer.parent
        before = text(outer)[: node.start_byte - outer.start_byte]
        assert "$PSCmdlet.ShouldProcess(" in before, name


def test_only_parameters_that_the_cmdlets_have_are_used(script: Script) -> None:
    """Source: the reference of the MicrosoftTeams module."""
    known = {
        "Get-CsApplicationAccessPolicy": set(),
        "New-CsApplicationAccessPolicy": {"-Identity", "-AppIds", "-Description"},
        "Set-CsApplicationAccessPolicy": {"-Identity", "-AppIds"},
        "Grant-CsApplicationAccessPolicy": {
            "-PolicyName",
            "-Identity",
            "-Group",
            "-Rank",
            "-Global",
        },
        "Get-CsGroupPolicyAssignment": {"-PolicyType"},
        "Get-CsUserPolicyAssignment": {"-Identity", "-PolicyType"},
        "Get-CsTenant": set[str](),
    }
    used = {name for name, _ in script.commands() if "-Cs" in name}
    assert used == known.keys()
    for name, node in script.commands():
        if name in known:
            given = {text(one) for one in nodes(node) if one.type == "command_parameter"}
            assert given <= known[name]


def test_the_help_begins_with_the_purpose_and_the_role() -> None:
    """What Get-Help shows first."""
    help_text = PATH.read_text(encoding="utf-8").split("#>")[0]
    synopsis, description = re.findall(r"\.(?:SYNOPSIS|DESCRIPTION)\n(.+)", help_text)
    assert synopsis.startswith("Lets the app act for Teams organizers")
    assert description.startswith("Needs the role Teams Administrator")


def test_a_function_that_does_more_than_decide_is_not_run(script: Script) -> None:
    """The small interpreter never guesses."""
    with pytest.raises(BeyondReach):
        script.decide("Add-ThisApp", {"Name": "x"})
