"""scripts/setup.py: from nothing to the first link, with stand-ins of az, azd and pwsh."""

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.integration.script_runs import ROOT, VERSIONS, Administrator, Done
from tests.unit.terminals import show

CLIENT = "20000000-0000-4000-8000-000000000002"
PRINCIPAL = "20000000-0000-4000-8000-000000000003"
REGISTRATION = "20000000-0000-4000-8000-000000000004"
OPERATOR = "30000000-0000-4000-8000-000000000003"
LINK = "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=made-up"
ANSWERS = ["clinic", "", "any", "dr.meyer@clinic.example", "it@clinic.example"]
OWN = ["clinic", "", "own", "none"]
MEETING = ["dr.meyer@clinic.example", "https://teams.microsoft.com/meet/2345678901234"]

# Notes how it was called; its Graph is asked by the script that grants, which has tests of its own.
AZ = """\
#!/bin/sh
echo "az $*" >> {folder}/calls
case "$*" in
  "account show"*) [ -e {folder}/no-account ] && exit 1
    echo '{{"name":"Clinic","id":"1","tenantId":"2","user":{{"name":"a@clinic.example"}}}}' ;;
  "deployment group create"*) [ -e {folder}/az-refuses ] || exit 0
    read -r refusal < {folder}/az-refuses; echo "$refusal" >&2; exit 1 ;;
  "ad signed-in-user"*) echo {operator} ;;
  "deployment group show"*) echo '{{"entrA_CLIENT_ID":{{"value":"{registration}"}}}}' ;;
  "functionapp keys list"*) [ -e {folder}/no-key ] && exit 1
    read -r key < {folder}/key; echo "$key" ;;
esac
"""
# In the place of Python, for the project's own scripts: notes them, and fails by order.
SCRIPT = """\
import os, sys
from pathlib import Path
folder = Path(os.environ["AZD_STUB"])
name = Path(__file__).name
with (folder / "calls").open("a", encoding="utf-8") as calls:
    calls.write(" ".join([name, *sys.argv[1:]]) + "\\n")
if "az deployment group create" in " ".join(sys.argv):
    name = sys.argv[sys.argv.index('--name') + 1]
order = folder / f"exit-{name}"
sys.exit(int(order.read_text()) if order.exists() else 0)
"""


class App(BaseHTTPRequestHandler):
    """Gives the link to whoever has the key."""

    def do_POST(self) -> None:
        """Answer as join-link does."""
        if self.headers["x-functions-key"] == "a-moved-key":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
            return
        known = self.headers["x-functions-key"] == "a-key" and self.path == "/api/join-link"
        body = json.dumps({"virtualAppointmentJoinWebUrl": LINK}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def app() -> Iterator[str]:
    """A deployed app's address."""
    server = HTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Setter(Administrator):
    """An administrator who runs the set-up in a copy of the project's scripts."""

    def __init__(self, folder: Path, app: str) -> None:
        super().__init__(folder, {"none": "token"})
        self.command(
            "az",
            AZ.format(folder=folder, operator=OPERATOR, registration=REGISTRATION),
        )
        stub = ROOT / "tests" / "integration" / "azd_stub.py"
        self.command("azd", f'#!/bin/sh\nexec "{sys.executable}" "{stub}" "$@"\n')
        self.environment["AZD_STUB"] = str(folder)
        (folder / "key").write_text("a-key\n", encoding="utf-8")
        self.scripts = folder / "project" / "scripts"
        self.scripts.mkdir(parents=True)
        for name in ("setup.py", "command_line.py", "forward.py"):
            (self.scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())
        for name in ("grant_graph_permissions.py", "retry_deployment.py", "diagnose.py"):
            (self.scripts / name).write_text(SCRIPT, encoding="utf-8")
        outputs = {
            "AZURE_RESOURCE_GROUP": "rg-clinic",
            "FUNCTION_APP_NAME": "func-clinic",
            "FUNCTION_APP_URL": app,
            "MANAGED_IDENTITY_CLIENT_ID": CLIENT,
            "MANAGED_IDENTITY_PRINCIPAL_ID": PRINCIPAL,
        }
        (folder / "outputs").write_text(json.dumps(outputs), encoding="utf-8")

    def with_hook(self, *, pwsh: bool = True) -> None:
        """Let azd run the hook that grants, as it does, and have PowerShell or not."""
        for name in ("azd_postprovision.py", "grant-teams-access-policy.ps1"):
            (self.scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())
        self.environment["AZD_STUB_HOOK"] = str(self.scripts / "azd_postprovision.py")
        self.environment["PWSH_STUB"] = str(self.folder)
        if pwsh:
            stub = ROOT / "tests" / "integration" / "pwsh_stub.py"
            self.command("pwsh", f'#!/bin/sh\nexec "{sys.executable}" "{stub}" "$@"\n')

    def with_real(self, name: str) -> None:
        """Take a script of the project's own in place of its stand-in."""
        (self.scripts / name).write_bytes((ROOT / "scripts" / name).read_bytes())

    def at_terminal(self, *options: str, typed: list[str]) -> Done:
        """Run the set-up on a terminal, where no other command than the stand-ins is found."""
        code, shown = show(
            *("-B", str(self.scripts / "setup.py"), *options),
            typed="".join(f"{line}\n" for line in typed),
            **{**self.environment, "PATH": str(self.folder), "HOME": str(self.folder)},
        )
        return Done(code, shown, "")

    @property
    def policies(self) -> list[str]:
        """The Teams policies that were set: the app, and for whom."""
        path = self.folder / "policies"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def set_up(self, *options: str, typed: list[str], version: str = "3.13") -> Done:
        """Run the set-up, and type these lines."""
        text = "".join(f"{line}\n" for line in typed)
        return self.run("setup.py", *options, version=version, typed=text, scripts=self.scripts)

    @property
    def calls(self) -> list[str]:
        """What was called, in order."""
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def changes(self) -> list[str]:
        """The first two words of each call that may change something."""
        asking = (
            *("azd version", "azd auth", "azd env list", "azd env get-values", "az account"),
            *("az ad", "az deployment group show", "az functionapp keys"),
        )
        return [" ".join(call.split()[:2]) for call in self.calls if not call.startswith(asking)]

    def kept(self) -> Mapping[str, str]:
        """What the environment holds."""
        path = self.folder / "environments" / "clinic"
        found: Mapping[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def order(self, name: str, text: str = "") -> None:
        """Order a stand-in to fail."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def withdraw(self, name: str) -> None:
        """Withdraw an order."""
        (self.folder / name).unlink()


@pytest.fixture
def setter(tmp_path: Path, app: str) -> Setter:
    """Somebody signed in to az and azd, who holds every role."""
    return Setter(tmp_path, app)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_set_up_goes_from_questions_to_the_first_link(setter: Setter, version: str) -> None:
    """Provisioned, granted, deployed, checked, in this order."""
    done = setter.set_up(typed=[*ANSWERS, *MEETING], version=version)

    assert (done.code, done.complained) == (0, "")
    assert LINK in done.said
    kept = setter.kept()
    assert kept["AZURE_LOCATION"] == "westeurope"
    assert kept["ORGANIZERS"] == "dr.meyer@clinic.example"
    assert kept["GRAPH_GRANTS"] == "lookup,users"
    assert kept["ALERT_EMAIL"] == "it@clinic.example"
    assert kept["OPERATOR_PRINCIPAL_ID"] == OPERATOR
    steps = [call for call in setter.changes() if not call.startswith("azd env")]
    assert steps == [
        "azd provision",
        f"grant_graph_permissions.py {CLIENT}",
        "retry_deployment.py azd",
        "diagnose.py --app",
    ]


def test_a_second_run_asks_nothing_but_the_meeting(setter: Setter) -> None:
    """And provisions again, which changes nothing that is right."""
    setter.set_up(typed=[*ANSWERS, *MEETING])

    done = setter.set_up(typed=MEETING)

    assert (done.code, done.complained) == (0, "")
    assert LINK in done.said


def test_whoever_stops_after_each_answer_gives_none_twice(setter: Setter) -> None:
    """What was answered is kept, and the next question is the next run's first."""
    for answer in ANSWERS[:-1]:
        stopped = setter.set_up(typed=[answer])
        assert stopped.code == 2
        assert "Run this again to go on" in stopped.complained

    done = setter.set_up(typed=[ANSWERS[-1], *MEETING])

    assert (done.code, done.complained) == (0, "")
    assert LINK in done.said


def test_the_subscription_is_the_one_that_is_signed_in_to(setter: Setter) -> None:
    """Else azd would ask for it, which it cannot do without a prompt."""
    setter.set_up(typed=[*ANSWERS, *MEETING])

    assert setter.kept()["AZURE_SUBSCRIPTION_ID"] == "1"


def test_the_end_tells_where_people_see_how_it_is_going(setter: Setter) -> None:
    """The workbook, by the title that the Bicep gives it."""
    done = setter.set_up(typed=[*ANSWERS, *MEETING])

    bicep = (ROOT / "infra" / "modules" / "workbook.bicep").read_text(encoding="utf-8")
    (title,) = re.findall(r"^var title = '(.*)'$", bicep, re.MULTILINE)
    assert f"Resource groups > rg-clinic > {title}" in done.said


def test_peoples_own_meetings_take_no_grant_over_others(setter: Setter) -> None:
    """A registration with the identity as its credential, then its client id provisioned."""
    done = setter.set_up(typed=OWN)

    assert (done.code, done.complained) == (0, "")
    assert setter.kept()["ENTRA_CLIENT_ID"] == REGISTRATION
    assert "ORGANIZERS" not in setter.kept()
    assert setter.kept()["GRAPH_GRANTS"] == "none"
    assert not any(call.startswith("grant_graph_permissions") for call in setter.calls)
    registration, consent = [call for call in setter.calls if "infra/graph/" in call]
    assert PRINCIPAL in registration
    assert REGISTRATION in consent
    assert setter.changes().count("azd provision") == 2


REFUSED = "ERROR: Authorization_RequestDenied: Insufficient privileges to complete the operation."


def forwarded(said: str) -> list[list[str]]:
    """The commands between the sentences, as a shell reads them."""
    return [shlex.split(line) for line in re.findall(r"^  (\S+ .*)$", said, re.MULTILINE)]


def test_who_may_not_register_is_handed_both_commands_to_forward(setter: Setter) -> None:
    """With what they take; once somebody has run them, their id is all that the next run needs."""
    setter.with_real("retry_deployment.py")
    setter.order("az-refuses", REFUSED)

    done = setter.set_up(typed=OWN)

    assert done.code == 3
    assert REFUSED in done.said
    for needed in (
        "Cloud Application Administrator",
        "Contributor on the resource group rg-clinic",
    ):
        assert needed in done.complained
    assert "folder that has azure.yaml" in done.complained
    registration, consent, note, again = forwarded(done.complained)
    for command, name in ((registration, "sign-in"), (consent, "delegated-permissions")):
        assert command[:3] == ["python3", "scripts/retry_deployment.py", "az"]
        assert command[command.index("--template-file") + 1] == f"infra/graph/{name}.bicep"
        assert command[command.index("--subscription") + 1] == "1"
        assert (ROOT / "infra" / "graph" / f"{name}.bicep").is_file()
    assert f"managedIdentityPrincipalId={PRINCIPAL}" in registration
    assert consent[consent.index("--parameters") + 1] == f"entraClientId={note[4]}"
    assert note[:4] == ["azd", "env", "set", "ENTRA_CLIENT_ID"]
    assert again[:2] == ["python", "scripts/setup.py"]

    setter.order("environments/clinic", json.dumps({**setter.kept(), note[3]: REGISTRATION}))
    before = len(setter.calls)
    assert setter.set_up(*again[2:], typed=[]).code == 0
    assert [call for call in setter.calls[before:] if "infra/graph/" in call] == []
    assert setter.kept()["ENTRA_CLIENT_ID"] == REGISTRATION


def test_who_may_register_and_not_consent_forwards_the_consent_alone(setter: Setter) -> None:
    """With the registration's id filled in; it is not used before somebody has consented."""
    setter.order("exit-delegated-permissions", "77")

    done = setter.set_up(typed=OWN)

    assert done.code == 3
    consent, note, _ = forwarded(done.complained)
    assert f"entraClientId={REGISTRATION}" in consent
    assert note[4] == REGISTRATION
    assert "ENTRA_CLIENT_ID" not in setter.kept()
    assert not any("azd deploy" in call for call in setter.calls)


def test_another_failure_of_the_registration_is_not_blamed_on_a_role(setter: Setter) -> None:
    """What Azure said stands there, and nobody is asked for a role that was not the cause."""
    setter.with_real("retry_deployment.py")
    setter.order("az-refuses", "ERROR: InvalidTemplate: by order")

    done = setter.set_up(typed=OWN)

    assert done.code == 1
    assert "ERROR: InvalidTemplate: by order" in done.said
    assert "The last lines say why" in done.complained
    assert "Administrator" not in done.complained


def test_a_first_link_of_ones_own_is_asked_for_by_the_azure_clis_sign_in(setter: Setter) -> None:
    """The registration lets the Azure CLI ask; no meeting is asked for, and no webhook offered."""
    done = setter.set_up(typed=OWN)

    assert done.code == 0
    (registration,) = [call for call in setter.calls if "infra/graph/sign-in.bicep" in call]
    assert 'preAuthorizedClientIds=["04b07795-8ddb-461a-bbee-02f9e1bf7b46"]' in registration
    bicep = (ROOT / "infra" / "graph" / "sign-in.bicep").read_text(encoding="utf-8")
    assert "param preAuthorizedClientIds array" in bicep
    assert done.said.count(f"--scope api://{REGISTRATION}/JoinLink.Read") == 2
    assert "A meeting to try it with" not in done.said
    assert "booking system (" not in done.said.partition("The first join link")[2]
    command = done.said[done.said.index("   curl ") : done.said.index("   It worked")]
    checked = subprocess.run(["bash", "-n"], input=command, text=True, check=False)  # noqa: S607 - wherever it is
    assert checked.returncode == 0


def test_the_check_alone_provisions_and_deploys_nothing(setter: Setter) -> None:
    """For whoever has waited for the Teams policy."""
    setter.order("exit-diagnose.py", "1")
    stopped = setter.set_up(typed=[*ANSWERS, *MEETING])
    assert stopped.code == 1
    ((_, _, *options),) = forwarded(stopped.complained)
    assert options == ["--environment", "clinic", "--only-check"]
    setter.withdraw("exit-diagnose.py")
    before = len(setter.changes())

    done = setter.set_up(*options, typed=MEETING)

    assert (done.code, done.complained) == (0, "")
    assert LINK in done.said
    assert setter.changes()[before:] == ["diagnose.py --app"]


@pytest.mark.parametrize("options", [[], ["--environment", "other"]])
def test_the_check_alone_says_where_nothing_is_deployed(setter: Setter, options: list[str]) -> None:
    """It makes no environment, and asks nothing."""
    done = setter.set_up("--only-check", *options, typed=[])

    assert done.code == 1
    assert "Nothing is deployed yet" in done.complained
    assert setter.changes() == []


def test_the_environments_subscription_counts_whichever_az_has_chosen(setter: Setter) -> None:
    """Somebody with several would else look for the app in another one."""
    setter.set_up(typed=[*ANSWERS, *MEETING])

    asked = [call for call in setter.calls if call.startswith(("diagnose", "az functionapp keys"))]
    assert len(asked) == 2
    assert all("--subscription 1" in call for call in asked)


def test_a_grant_that_cannot_be_looked_up_is_no_missing_grant(setter: Setter) -> None:
    """Such as by somebody whose sign-in has ended."""
    setter.order("exit-grant_graph_permissions.py", "1")

    done = setter.set_up(typed=ANSWERS)

    assert done.code == 1
    assert "could not be looked up" in done.complained
    assert "not granted yet" not in done.complained


def test_the_grants_that_were_asked_for_are_those_that_are_checked(setter: Setter) -> None:
    """Whoever has chosen fewer is not stopped for the others."""
    setter.order("exit-diagnose.py", "1")
    setter.set_up(typed=[*ANSWERS, *MEETING])
    setter.order("environments/clinic", json.dumps({**setter.kept(), "GRAPH_GRANTS": "lookup"}))
    setter.set_up(typed=MEETING)

    *_, last = [call for call in setter.calls if call.startswith("grant_graph_permissions")]
    assert last == f"grant_graph_permissions.py {CLIENT} --lookup --what-if"


def test_a_region_is_taken_as_the_portal_writes_it(setter: Setter) -> None:
    """West Europe is westeurope."""
    setter.set_up(typed=["clinic", "West Europe", *ANSWERS[2:], *MEETING])

    assert setter.kept()["AZURE_LOCATION"] == "westeurope"


def test_a_grant_that_is_missing_stops_it_before_the_code(setter: Setter) -> None:
    """A token from before the grant would be used for a day."""
    setter.order("exit-grant_graph_permissions.py", "3")
    done = setter.set_up(typed=ANSWERS)
    assert done.code == 3
    assert "Privileged Role Administrator" in done.complained
    assert not any(call.startswith("retry_deployment") for call in setter.calls)

    setter.withdraw("exit-grant_graph_permissions.py")
    assert setter.set_up(typed=MEETING).code == 0


@pytest.mark.parametrize(
    ("order", "text", "says"),
    [
        ("fails", "env new", "azd could not make the environment clinic"),
        ("fails", "provision", "azd could not make the resources"),
        ("no-key", "", "takes the role Website Contributor"),
        ("exit-retry_deployment.py", "1", "The code could not be deployed"),
        ("exit-diagnose.py", "1", "A check fails"),
        ("exit-diagnose.py", "2", "The diagnostics gave no answer"),
    ],
)
def test_a_step_that_fails_ends_it_and_says_what_to_do(
    setter: Setter, order: str, text: str, says: str
) -> None:
    """And the next run goes on."""
    setter.order(order, text)
    done = setter.set_up(typed=[*ANSWERS, *MEETING])
    assert done.code == 1
    assert says in done.complained

    setter.withdraw(order)
    answers = [] if (setter.folder / "environments" / "clinic").exists() else ANSWERS
    assert setter.set_up(typed=[*answers, *MEETING]).code == 0


def test_an_answer_that_cannot_be_kept_ends_it(setter: Setter) -> None:
    """Else the next run would ask for it again, and this one would go on without."""
    setter.order("fails", "env set ORGANIZERS")

    done = setter.set_up(typed=ANSWERS)

    assert done.code == 1
    assert "azd could not keep ORGANIZERS" in done.complained
    assert "azd provision" not in setter.changes()


def test_an_app_that_refuses_ends_it_with_what_the_app_said(setter: Setter) -> None:
    """Here for a key that it does not know."""
    (setter.folder / "key").write_text("another-key\n", encoding="utf-8")

    done = setter.set_up(typed=[*ANSWERS, *MEETING])

    assert done.code == 1
    assert "The app answered 401" in done.complained


def test_the_key_does_not_follow_a_redirect(setter: Setter) -> None:
    """It would reach another address."""
    (setter.folder / "key").write_text("a-moved-key\n", encoding="utf-8")

    done = setter.set_up(typed=[*ANSWERS, *MEETING])

    assert done.code == 1
    assert "The app answered 302" in done.complained


def test_an_app_that_does_not_answer_ends_it(setter: Setter) -> None:
    """Nobody listens at its address."""
    outputs = json.loads((setter.folder / "outputs").read_text(encoding="utf-8"))
    setter.order("outputs", json.dumps({**outputs, "FUNCTION_APP_URL": "http://127.0.0.1:9"}))

    done = setter.set_up(typed=[*ANSWERS, *MEETING])

    assert done.code == 1
    assert "The app did not answer" in done.complained


def test_what_is_missing_is_said_all_at_once(setter: Setter) -> None:
    """Tools that are too old and sign-ins, before any question."""
    setter.order("signed-out")
    setter.order("no-account")
    setter.environment["AZD_VERSION"] = "azd version 1.9.3 (commit abc)"
    (setter.folder / "azure").mkdir()
    (setter.folder / "azure" / "__init__.py").touch()  # a Python without azure-identity
    setter.environment["PYTHONPATH"] = str(setter.folder)

    done = setter.set_up(typed=[])

    assert done.code == 2
    packages = "pip install -r scripts/requirements.txt"
    for line in (packages, "Update azd, which is 1.9.3", "azd auth login", "az login"):
        assert line in done.complained
    assert setter.changes() == []


def test_a_name_that_is_not_in_utf_8_does_not_stop_it(setter: Setter) -> None:
    """At Windows az writes in the code page there: the subscription is München."""
    name = "M'\"$(printf '\\374')\"'nchen"
    az = AZ.replace('"Clinic"', f'"{name}"')
    setter.command(
        "az", az.format(folder=setter.folder, operator=OPERATOR, registration=REGISTRATION)
    )

    done = setter.set_up("--what-if", typed=ANSWERS)

    assert (done.code, done.complained) == (0, "")
    assert "to the subscription M\ufffdnchen." in done.said


@pytest.mark.parametrize(
    ("answers", "commands"),
    [
        (ANSWERS, ["grant_graph_permissions.py"]),
        (
            OWN,
            ["infra/graph/sign-in.bicep", "infra/graph/delegated-permissions.bicep"],
        ),
    ],
)
def test_what_if_changes_nothing(setter: Setter, answers: list[str], commands: list[str]) -> None:
    """It prints each command instead, whichever way is taken."""
    setter.with_hook()

    done = setter.set_up("--what-if", typed=answers)

    assert (done.code, done.complained) == (0, "")
    assert setter.changes() == []
    assert setter.policies == []
    for command in ("azd env new clinic", "azd provision", *commands, "azd deploy", "diagnose.py"):
        assert command in done.said


ORGANIZERS = [
    ("dr.meyer@clinic.example, b@clinic.example", "dr.meyer@clinic.example,b@clinic.example"),
    (f"group:{OPERATOR}", f"group {OPERATOR}"),
    ("everybody", "everybody"),
]


@pytest.mark.parametrize(("answer", "whom"), ORGANIZERS)
def test_the_teams_policy_is_set_for_whom_the_answer_names(
    setter: Setter, answer: str, whom: str
) -> None:
    """By the policy's script, while azd provisions at a terminal; and the first link is shown."""
    setter.with_hook()

    done = setter.at_terminal(typed=[*ANSWERS[:3], answer, ANSWERS[4], *MEETING])

    assert done.code == 0, done.said
    assert setter.policies == [f"{CLIENT} {whom}"]
    assert "The Teams policy is set for" in done.said
    assert LINK in done.said


def test_the_sign_in_to_teams_is_asked_for_once(setter: Setter) -> None:
    """A further run leaves the policy alone, until other organizers are named."""
    setter.with_hook()
    setter.at_terminal(typed=[*ANSWERS, *MEETING])

    again = setter.at_terminal(typed=MEETING)
    assert again.code == 0
    assert setter.policies == [f"{CLIENT} dr.meyer@clinic.example"]
    assert "The Teams policy is set for" in again.said

    kept = {**setter.kept(), "ORGANIZERS": "everybody"}
    setter.order("environments/clinic", json.dumps(kept))
    assert setter.at_terminal(typed=MEETING).code == 0
    assert setter.policies[1:] == [f"{CLIENT} everybody"]


@pytest.mark.parametrize(
    "said",
    [
        "The MicrosoftTeams module is missing",
        "You are signed in, but may not change policies",
        "Not everybody is covered: the warnings above say why.",
        "Stopped: ",
    ],
)
def test_a_teams_policy_that_cannot_be_set_is_handed_over_to_forward(
    setter: Setter, said: str
) -> None:
    """Whatever the script fails with; the set-up goes on, and tries again in the next run."""
    script = (ROOT / "scripts" / "grant-teams-access-policy.ps1").read_text(encoding="utf-8")
    assert said in script
    setter.with_hook()
    setter.order("pwsh-fails", f"{said}\n")

    done = setter.at_terminal(typed=[*ANSWERS, *MEETING])

    assert done.code == 0, done.said
    assert said in done.said
    assert "Forward this to a Teams Administrator" in done.said
    assert (
        "Grant-CsApplicationAccessPolicy -PolicyName virtual-appointments "
        '-Identity "dr.meyer@clinic.example"'
    ) in done.said
    assert "The Teams policy was not set from here." in done.said

    setter.withdraw("pwsh-fails")
    assert setter.at_terminal(typed=MEETING).code == 0
    assert setter.policies == [f"{CLIENT} dr.meyer@clinic.example"]


def test_without_powershell_the_teams_policy_is_handed_over_to_forward(setter: Setter) -> None:
    """It is said before anything is made."""
    setter.with_hook(pwsh=False)

    done = setter.at_terminal(typed=[*ANSWERS, *MEETING])

    assert done.code == 0, done.said
    assert "There is no PowerShell 7" in done.said.partition("== 2 of 7")[0]
    assert f'New-CsApplicationAccessPolicy -Identity virtual-appointments -AppIds "{CLIENT}"' in (
        done.said
    )
    assert "The Teams policy was not set from here." in done.said


def test_where_nobody_can_sign_in_the_teams_policy_is_handed_over(setter: Setter) -> None:
    """Without a terminal, PowerShell is not even started."""
    setter.with_hook()

    done = setter.set_up(typed=[*ANSWERS, *MEETING])

    assert (done.code, setter.policies) == (0, [])
    assert "Forward this to a Teams Administrator" in done.said


def test_peoples_own_meetings_take_no_teams_policy(setter: Setter) -> None:
    """Nobody signs in to Teams."""
    setter.with_hook()

    done = setter.at_terminal(typed=OWN)

    assert (done.code, setter.policies) == (0, [])
    assert "Forward this" not in done.said


def test_peoples_own_meetings_need_no_check_of_the_apps_permission(setter: Setter) -> None:
    """The diagnostics fail where the app itself has none, and the set-up says so and ends well."""
    setter.order("exit-diagnose.py", "1")

    done = setter.set_up(typed=OWN)

    assert (done.code, done.complained) == (0, "")
    assert "They do not matter here" in done.said


def test_the_other_way_is_added_later(setter: Setter) -> None:
    """What it needs beside is asked then."""
    setter.set_up(typed=OWN)

    done = setter.set_up("--way", "any", typed=[ANSWERS[3], *MEETING])

    assert (done.code, setter.kept()["SETUP_WAY"]) == (0, "any")
    assert setter.kept()["ENTRA_CLIENT_ID"] == REGISTRATION
    assert setter.kept()["GRAPH_GRANTS"] == "lookup,users"


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["Clinic!", *ANSWERS], "small letters"),
        ([*ANSWERS[:2], "all", *ANSWERS[2:]], "own or any"),
        ([*ANSWERS[:3], "somebody", *ANSWERS[3:]], "group:"),
        ([*ANSWERS[:4], "here", *ANSWERS[4:]], "e-mail address"),
    ],
)
def test_an_answer_that_cannot_be_used_is_asked_again(
    setter: Setter, answers: list[str], says: str
) -> None:
    """With what it should look like."""
    done = setter.set_up("--what-if", typed=answers)

    assert done.code == 0
    assert says in done.said


@pytest.mark.parametrize(
    "organizers", ["everybody", f"group:{OPERATOR}", "a@clinic.example, b@clinic.example"]
)
def test_organizers_are_people_a_group_or_everybody(setter: Setter, organizers: str) -> None:
    """As the grant's script takes them."""
    typed = [*ANSWERS[:3], organizers, ANSWERS[4], *MEETING]
    assert setter.set_up(typed=typed).code == 0
    assert setter.kept()["ORGANIZERS"] == organizers.replace(" ", "")
