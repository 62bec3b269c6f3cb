"""The script for the Teams application access policy, as far as reading it can test it."""

import re
from pathlib import Path

import pytest

from tests.unit.powershell import Script

SCRIPTS = Path(__file__).parents[2] / "scripts"
PATH = SCRIPTS / "grant-teams-access-policy.ps1"


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.ps1")), ids=lambda path: path.name)
def test_a_script_is_powershell(path: Path) -> None:
    """By the grammar. Pester's tests too, which run in CI."""
    assert Script.read(path).faults() == []


def test_a_text_that_is_not_powershell_is_recognized() -> None:
    """For example a block that does not end."""
    assert Script(b"function Get-It { if ($true) { 'x' }").faults()


def test_only_parameters_that_the_cmdlets_have_are_used() -> None:
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
        "Connect-MicrosoftTeams": {"-UseDeviceAuthentication"},
    }
    used = [
        (name, given)
        for name, given in Script.read(PATH).commands()
        if "-Cs" in name or name == "Connect-MicrosoftTeams"
    ]

    assert {name for name, _ in used} == known.keys()
    for name, given in used:
        assert given <= known[name]


def test_the_help_begins_with_the_purpose_and_the_role() -> None:
    """What Get-Help shows first."""
    help_text = PATH.read_text(encoding="utf-8").split("#>")[0]
    synopsis, description = re.findall(r"\.(?:SYNOPSIS|DESCRIPTION)\n(.+)", help_text)

    assert synopsis.startswith("Lets the app act for Teams organizers")
    assert description.startswith("Needs the role Teams Administrator")
