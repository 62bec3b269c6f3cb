#!/usr/bin/env python3
"""Sets the app up, from nothing to the first join link, one question after the other.

Needs the Azure CLI and azd, signed in; PowerShell 7 with the MicrosoftTeams module for the Teams
policy, where the app is to give out any organizer's links. Python 3.10 or newer, in Cloud Shell, a
codespace or any shell. Roles: Owner of the Azure subscription (or Contributor with Role Based
Access Control Administrator); whoever lacks another role is handed the command to forward.

Run it again whenever it has stopped: it asks nothing twice but for the meeting to try it with, and
provisions and deploys again, which changes nothing that is right already. With --only-check it
runs the diagnostics and asks for the link alone, as after a wait for the Teams policy. The answers
are in the azd environment: `azd env set NAME VALUE` corrects one.

Exits with 0 when there is a join link, or nothing is left to do here; 1 when a step failed; 2 when
a tool, a sign-in or an answer is missing; 3 when somebody else has to make a grant first.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import Parser
from forward import SignIn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[1]
EXIT_FAILED, EXIT_MISSING, EXIT_GRANT_MISSING = 1, 2, 3
NOT_ALLOWED = 77  # retry_deployment.py's, where a role is missing
GRANTS_MISSING = 3  # grant_graph_permissions.py's, for --what-if
STEPS = 7
OLDEST_AZD = (1, 24, 2)
OWN, ANY, NONE = "own", "any", "none"
_ENVIRONMENT_NAME = re.compile(r"[a-z][a-z0-9-]{1,30}[a-z0-9]")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INSTALL = {
    "az": "the Azure CLI: https://learn.microsoft.com/cli/azure/install-azure-cli",
    "azd": "the Azure Developer CLI, 1.24.2 or newer: https://aka.ms/azd-install",
}
_PWSH = (
    "There is no PowerShell 7 (pwsh) here. Where a Teams policy is needed, the commands are "
    "printed, for you to forward to a Teams Administrator."
)
_SIGN_IN_TO_AZD = (
    "Sign in to azd: azd auth login (in Cloud Shell or a codespace: azd auth login "
    "--use-device-code)"
)
_PACKAGES = "Install what the scripts need: python -m pip install -r scripts/requirements.txt"
_WORKBOOK = "Virtual appointment join links"
"""The workbook's title, as infra/modules/workbook.bicep has it."""


class SetUpError(Exception):
    """The set-up cannot go on; the text says what to do.

    Args:
        text: for whoever runs this.
        code: the exit code.
    """

    def __init__(self, text: str, *, code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Question:
    """Something that the set-up has to know, kept in the azd environment.

    Attributes:
        name: Under which it is kept.
        text: What is asked.
        default: Taken for an empty answer; None where one has to be given.
        read: Gives the answer as it is kept, or raises ValueError saying what is wrong.
    """

    name: str
    text: str
    read: Callable[[str], str]
    default: str | None = None


class Azd:
    """The azd environment, and the commands that are run.

    Args:
        what_if: Print what would change something instead of running it.
    """

    def __init__(self, *, what_if: bool) -> None:
        self.what_if = what_if
        self.environment = ""
        self._values: dict[str, str] = {}

    def names(self) -> list[str]:
        """List the environments that are there."""
        done = output(["azd", "env", "list", "--output", "json"])
        found = json.loads(done) if done else []
        return [str(each.get("Name", "")) for each in found]

    def use(self, name: str) -> None:
        """Take an environment, made where it is not there yet.

        Raises:
            SetUpError: azd could not make it.
        """
        self.environment = name
        if name not in self.names() and self.run(["azd", "env", "new", name, "--no-prompt"]):
            raise SetUpError(f"azd could not make the environment {name}; its last lines say why.")
        self.reload()

    def reload(self) -> None:
        """Read what the environment holds now."""
        found = {}
        for line in output(["azd", "env", "get-values", *self._option()]).splitlines():
            name, equals, value = line.partition("=")
            if equals:
                found[name] = _unquoted(value)
        self._values = {**self._values, **found}

    def get(self, name: str) -> str:
        """Give a value, empty where there is none."""
        return self._values.get(name, "")

    def set(self, name: str, value: str) -> None:
        """Keep a value.

        Raises:
            SetUpError: azd could not, so that the next run would ask for it again.
        """
        self._values[name] = value
        if self.run(["azd", "env", "set", name, value, *self._option()], quiet=True):
            raise SetUpError(f"azd could not keep {name}; its last lines say why.")

    def run(self, command: Sequence[str], *, quiet: bool = False) -> int:
        """Run a command that changes something, and give its exit code."""
        if self.what_if:
            print(f"   would run: {' '.join(command)}", flush=True)
            return 0
        if not quiet:
            print(f"   $ {' '.join(command)}", flush=True)
        return subprocess.run(  # noqa: S603 - azd and this project's own scripts
            program(command), cwd=ROOT, check=False, stdout=subprocess.DEVNULL if quiet else None
        ).returncode

    def subscription(self) -> list[str]:
        """Name the environment's subscription to az, which may have chosen another."""
        known = self.get("AZURE_SUBSCRIPTION_ID")
        return ["--subscription", known] if known else []

    def _option(self) -> list[str]:
        return ["--environment", self.environment]


def main() -> int:
    """Go from the tools to the first link."""
    parser = Parser(description=__doc__)
    parser.add_argument("--environment", metavar="NAME", help="the azd environment to use")
    parser.add_argument(
        "--what-if",
        action="store_true",
        help="ask, then print what would be run; change nothing. Needs the tools and sign-ins too",
    )
    parser.add_argument(
        "--only-check",
        action="store_true",
        help="provision and deploy nothing: run the diagnostics and ask for the first link",
    )
    parser.add_argument(
        "--way", choices=(OWN, ANY), help="whose links the app gives out, in place of the answer"
    )
    options = parser.parse_args()
    try:
        azd = Azd(what_if=options.what_if)
        name, way = options.environment, options.way
        return check(azd, name=name) if options.only_check else set_up(azd, name=name, way=way)
    except SetUpError as error:
        print(f"\n{error}", file=sys.stderr)
        return error.code
    except (EOFError, KeyboardInterrupt):
        print("\nStopped. Run this again to go on.", file=sys.stderr)
        return EXIT_MISSING


def set_up(azd: Azd, *, name: str | None, way: str | None = None) -> int:
    """Take each step that is not done yet.

    Raises:
        SetUpError: something is missing, or a step failed.
    """
    step(1, "Tools and sign-ins")
    account = check_tools()
    step(2, "Questions")
    azd.use(name or choose_environment(azd))
    print("   azd keeps the answers. To correct one: azd env set NAME VALUE, then run this again.")
    if not azd.get("AZURE_SUBSCRIPTION_ID"):  # without it, azd would ask for one itself
        azd.set("AZURE_SUBSCRIPTION_ID", account["id"])
    if way is not None:
        azd.set("SETUP_WAY", way)
    way = ask_all(azd)
    step(3, "Resources in Azure (about 10 minutes)")
    provision(azd)
    if way == ANY:
        step(4, "Permission on Microsoft Graph, and Teams policy")
        tell_policy(azd)
        check_grants(azd)
    else:
        step(4, "App registration for people's own meetings")
        register(azd, account)
    step(5, "The code (about 5 minutes)")
    deploy(azd)
    finish(azd, way)
    return 0


def check(azd: Azd, *, name: str | None) -> int:
    """Run the diagnostics and ask for the first link, of what is deployed already.

    Raises:
        SetUpError: nothing is deployed, or a step failed.
    """
    step(1, "Tools and sign-ins")
    check_tools()
    names = azd.names()
    chosen = name or (choose_environment(azd) if names else "")
    if chosen in names:
        azd.use(chosen)
    if not azd.get("FUNCTION_APP_NAME"):
        raise SetUpError("Nothing is deployed yet: run this without --only-check.")
    finish(azd, azd.get("SETUP_WAY") or ANY)
    return 0


def finish(azd: Azd, way: str) -> None:
    """Take the last two steps, which change nothing."""
    step(6, "Diagnostics")
    target = ask_target(azd, way)
    diagnose(azd, way, target)
    step(7, "The first join link")
    show_link(azd, way, target)
    tell_what_comes_next(azd, way)


def step(number: int, title: str) -> None:
    """Say what comes now."""
    print(f"\n== {number} of {STEPS}: {title}", flush=True)


def check_tools() -> dict[str, str]:
    """Look for what is needed, and say all that is missing at once.

    Returns:
        Who is signed in to Azure, and where: `user`, `tenant`, `subscription` and its `id`.

    Raises:
        SetUpError: a tool or a sign-in is missing.
    """
    missing = [f"Install {text}" for tool, text in _INSTALL.items() if shutil.which(tool) is None]
    if importlib.util.find_spec("azure") is None or not importlib.util.find_spec("azure.identity"):
        missing.append(_PACKAGES)
    account: dict[str, str] = {}
    if shutil.which("azd") is not None:
        version = tuple(map(int, re.findall(r"\d+", output(["azd", "version"]))[:3]))
        if version and version < OLDEST_AZD:
            found = ".".join(map(str, version))
            missing.append(
                f"Update azd, which is {found} here, to 1.24.2 or newer; docs/setup.md, *Update "
                "azd*, has a way without an administrator's rights"
            )
        if not signed_in_to_azd():
            missing.append(_SIGN_IN_TO_AZD)
    if shutil.which("az") is not None:
        shown = output(["az", "account", "show", "--output", "json"])
        if shown:
            told = json.loads(shown)
            account = {
                "user": str(told.get("user", {}).get("name", "")),
                "tenant": str(told.get("tenantId", "")),
                "subscription": str(told.get("name", "")),
                "id": str(told.get("id", "")),
            }
        else:
            missing.append("Sign in to Azure: az login")
    if missing:
        lines = "\n".join(f"  - {line}" for line in missing)
        raise SetUpError(
            f"Before this can begin:\n{lines}\nThen run this again.", code=EXIT_MISSING
        )
    print(f"   Signed in as {account['user']}, to the subscription {account['subscription']}.")
    if shutil.which("pwsh") is None:
        print(f"   {_PWSH}")
    return account


def signed_in_to_azd() -> bool:
    """Ask azd whether somebody is signed in. It says so in its output; its exit code is always 0.

    Source: https://github.com/Azure/azure-dev/blob/main/cli/azd/cmd/auth_login.go
    """
    told = output(["azd", "auth", "login", "--check-status", "--output", "json"])
    try:
        return bool(json.loads(told)["status"] == "success")
    except (ValueError, TypeError, KeyError):
        return False


def choose_environment(azd: Azd) -> str:
    """Take the only environment that is there, or ask for a name."""
    names = azd.names()
    if len(names) == 1:
        print(f"   Going on with the environment {names[0]}.")
        return names[0]
    text = "A short name for this environment; the resource group becomes rg-NAME"
    if names:
        text += (
            f"\n   There are: {', '.join(names)}. Other commands take azd's default one, which "
            "azd env list shows\n   and azd env select NAME changes\n   Name"
        )
    return ask(Question("AZURE_ENV_NAME", text, _environment_name, "clinic"))


def ask_all(azd: Azd) -> str:
    """Ask what the environment does not hold yet, and give whose links the app is to give out."""
    azd_questions = [
        Question(
            "AZURE_LOCATION",
            "Azure region near you, such as westeurope, germanywestcentral, uksouth or eastus",
            _region,
            "westeurope",
        ),
        Question(
            "SETUP_WAY",
            "Whose join links?\n"
            "     own: people who sign in get those of their own meetings. No Teams policy and no\n"
            "          permission over other people's meetings\n"
            "     any: booking systems and workflows get those of the organizers that you name\n"
            "   own or any; for a booking system answer any",
            _way,
            ANY,
        ),
    ]
    for question in azd_questions:
        answer(azd, question)
    way = azd.get("SETUP_WAY")
    if way == ANY:
        answer(
            azd,
            Question(
                "ORGANIZERS",
                "Whose meetings may the app act for? Sign-in names with commas between them "
                "(Entra admin\n   center > Users, User principal name), group:OBJECT-ID for a "
                "group, or everybody",
                _organizers,
            ),
        )
        if azd.get("GRAPH_GRANTS") in ("", NONE):
            azd.set("GRAPH_GRANTS", "lookup,users")
    elif not azd.get("GRAPH_GRANTS"):
        azd.set("GRAPH_GRANTS", NONE)  # the hook then asks for no grant, and deploys without
    if not azd.get("SETUP_NO_ALERTS"):
        answer(azd, Question("ALERT_EMAIL", "Where shall alerts go? An address, or none", _alerts))
    if not azd.get("OPERATOR_PRINCIPAL_ID"):
        signed_in = output(["az", "ad", "signed-in-user", "show", "--query", "id", "-o", "tsv"])
        if _GUID.fullmatch(signed_in.strip()):
            azd.set("OPERATOR_PRINCIPAL_ID", signed_in.strip())
    return way


def answer(azd: Azd, question: Question) -> None:
    """Ask, unless the environment knows."""
    if known := azd.get(question.name):
        print(f"   {question.name}: {known}")
        return
    given = ask(question)
    if question.name == "ALERT_EMAIL" and given == NONE:
        azd.set("SETUP_NO_ALERTS", "true")
    else:
        azd.set(question.name, given)


def ask(question: Question) -> str:
    """Ask until the answer can be used."""
    default = "" if question.default is None else f" [{question.default}]"
    while True:
        given = input(f"   {question.text}{default}: ").strip() or (question.default or "")
        try:
            return question.read(given)
        except ValueError as error:
            print(f"   {error}")


def provision(azd: Azd) -> None:
    """Make the resources; azd changes nothing that is right already.

    Raises:
        SetUpError: it failed.
    """
    command = ["azd", "provision", "--no-prompt", "--environment", azd.environment]
    if azd.run(command):
        raise SetUpError(
            "azd could not make the resources. Its last lines say why; docs/deploy.md, *What can "
            "go wrong*, says what to do. If it is 403 and you were given a role just now, wait "
            "some minutes. Then run this again."
        )
    azd.reload()


def tell_policy(azd: Azd) -> None:
    """Say whether the Teams policy was set while provisioning, or who has to do it.

    The set-up goes on without it: the code may be deployed before the policy, and the diagnostics
    say when it counts.
    """
    if azd.what_if:
        return
    organizers = azd.get("ORGANIZERS")
    what = _words(f"{azd.get('MANAGED_IDENTITY_CLIENT_ID')} {organizers}")
    if _words(azd.get("TEAMS_POLICY_SET")) == what:
        print(f"   The Teams policy is set for {organizers}.")
    else:
        print(
            "   The Teams policy was not set from here. Forward the commands above, headed "
            "*Forward this to a Teams Administrator*, unless that is done. The set-up goes on."
        )


def check_grants(azd: Azd) -> None:
    """See that the permission stands before the code does.

    Raises:
        SetUpError: somebody has to grant it first.
    """
    client_id = azd.get("MANAGED_IDENTITY_CLIENT_ID")
    command = [
        sys.executable,
        str(ROOT / "scripts" / "grant_graph_permissions.py"),
        client_id or "CLIENT-ID",
        *(f"--{grant}" for grant in _words(azd.get("GRAPH_GRANTS"))),
        "--what-if",
    ]
    code = azd.run(command)
    if code == GRANTS_MISSING:
        raise SetUpError(
            "The permission is not granted yet. Forward the lines above, headed *Forward this to "
            "a Privileged Role Administrator*. When they have run them, run this; nothing is asked "
            f"twice:\n\n  {_again(azd)}\n\n(The code comes after the grant, because a token "
            "from before it is used for up to 24 hours.)",
            code=EXIT_GRANT_MISSING,
        )
    if code:
        raise SetUpError(
            "Whether the permission is granted could not be looked up; the last lines say why. "
            "Then run this again."
        )


def register(azd: Azd, account: dict[str, str]) -> None:
    """Make the app registration for people's own meetings, and the consent to Graph's permissions.

    Where ENTRA_CLIENT_ID is there, both are made, by this or by somebody else.

    Raises:
        SetUpError: one of them could not be made.
    """
    if azd.get("ENTRA_CLIENT_ID"):
        print(f"   The app registration is there: {azd.get('ENTRA_CLIENT_ID')}.")
        return
    sign_in = SignIn(
        environment=azd.environment,
        group=azd.get("AZURE_RESOURCE_GROUP") or "RESOURCE-GROUP",
        subscription=azd.get("AZURE_SUBSCRIPTION_ID"),
        principal=azd.get("MANAGED_IDENTITY_PRINCIPAL_ID") or "PRINCIPAL-ID",
    )
    _deploy_graph(azd, sign_in.registration(), to_forward=sign_in.to_forward())
    outputs = json.loads(output(sign_in.outputs()) or "{}")
    # Azure writes an output's name with other capitals than the template does.
    named = {name.upper(): str(each["value"]) for name, each in outputs.items()}
    client_id = named.get("ENTRA_CLIENT_ID", "")
    if not client_id and not azd.what_if:
        raise SetUpError("The registration's client id could not be read. Run this again.")
    client_id = client_id or "ENTRA-CLIENT-ID"
    consent = sign_in.consent(client_id)
    _deploy_graph(azd, consent, to_forward=sign_in.to_forward(client_id))
    azd.set("ENTRA_CLIENT_ID", client_id)
    print(f"   Tenant {account['tenant']}, app registration {client_id}.")
    provision(azd)


def _deploy_graph(azd: Azd, deployment: Sequence[str], *, to_forward: str) -> None:
    """Deploy one file of infra/graph, again for as long as Entra does not know all of it."""
    code = azd.run([sys.executable, str(ROOT / "scripts" / "retry_deployment.py"), *deployment])
    if code == NOT_ALLOWED:
        raise SetUpError(
            f"You may not make this yourself; the lines above say so.\n\n{to_forward}  "
            f"{_again(azd)}\n\nIt then goes on with the code.",
            code=EXIT_GRANT_MISSING,
        )
    if code:
        raise SetUpError(
            "The app registration or its consent could not be made. The last lines say why; "
            "docs/deploy.md, *What can go wrong*, says what to do. Then run this again."
        )


def deploy(azd: Azd) -> None:
    """Deploy the code, again for as long as new roles are not known everywhere.

    Raises:
        SetUpError: it failed.
    """
    command = [
        sys.executable,
        str(ROOT / "scripts" / "retry_deployment.py"),
        "azd",
        "deploy",
        "--no-prompt",
        "--environment",
        azd.environment,
    ]
    if azd.run(command):
        raise SetUpError(
            "The code could not be deployed. The last lines say why; docs/deploy.md, *What can go "
            "wrong*, says what to do. Then run this again."
        )


@dataclass(frozen=True)
class Target:
    """Whose meeting the diagnostics and the first link are about; empty where none was named."""

    organizer: str
    link: str


def ask_target(azd: Azd, way: str) -> Target:
    """Ask for a meeting to try the app with; not where the app itself may ask for none."""
    if azd.what_if or way == OWN:
        return Target("", "")
    print("   A meeting to try it with; Enter for none.")
    organizer = input("   Organizer (sign-in name or object id): ").strip()
    return Target(organizer, input("   Its Teams link: ").strip() if organizer else "")


def diagnose(azd: Azd, way: str, target: Target) -> None:
    """Run the diagnostics, which print what to do about whatever fails.

    Raises:
        SetUpError: a check fails that matters, or there was no answer.
    """
    command = [
        sys.executable,
        str(ROOT / "scripts" / "diagnose.py"),
        "--app",
        azd.get("FUNCTION_APP_NAME") or "APP",
        "--resource-group",
        azd.get("AZURE_RESOURCE_GROUP") or "RESOURCE-GROUP",
        *azd.subscription(),
    ]
    if target.organizer:
        command += ["--user-id", target.organizer]
    if target.link:
        command += ["--join-web-url", target.link]
    code = azd.run(command)
    if code == EXIT_FAILED and way == OWN:  # the app itself has no permission, on purpose
        print(
            "   The checks of the roles, the permission and the access policy fail where people "
            "ask for their own meetings only. They do not matter here; the check of sign-in does."
        )
    elif code == EXIT_FAILED:
        raise SetUpError(
            "A check fails; what to do about it stands beside it. If it is the access policy: a "
            "new one takes up to 30 minutes to count, and 48 hours have been reported. Wait. Then "
            f"run this, which provisions and deploys nothing:\n\n  {_again(azd)} --only-check"
        )
    if code == EXIT_MISSING:
        raise SetUpError(
            "The diagnostics gave no answer; the last lines say why. Then run this, which "
            f"provisions and deploys nothing:\n\n  {_again(azd)} --only-check"
        )


def _again(azd: Azd) -> str:
    return f"python scripts/setup.py --environment {azd.environment}"


def tell_what_comes_next(azd: Azd, way: str) -> None:
    """Say where people see how it is going, and which page goes on."""
    group = azd.get("AZURE_RESOURCE_GROUP") or "RESOURCE-GROUP"
    print(f"\n   How it is going: Azure portal > Resource groups > {group} > {_WORKBOOK}")
    print("   > Open workbook.")
    if way == OWN:
        print("   Next: give people the connector (docs/power-automate.md) or another client that")
        print("   signs in (docs/api.md).")
    else:
        print("   Next: docs/setup.md, *A booking system*, and how the link gets to the patient:")
        print("   docs/getting-the-link-back.md.")


def tell_own_link(azd: Azd) -> None:
    """Say how the signed-in person gets the link of a meeting of their own."""
    url = azd.get("FUNCTION_APP_URL") or "URL"
    scope = f"api://{azd.get('ENTRA_CLIENT_ID') or 'ENTRA-CLIENT-ID'}/JoinLink.Read"
    print(
        "   People ask for their own meetings, with their own sign-in. For a first link, put in\n"
        "   the Teams link of a meeting that you organize yourself, and run:\n\n"
        f"   az login --scope {scope}\n"
        f"   curl -i {url}/api/join-link -H 'Content-Type: application/json' \\\n"
        f'     -H "Authorization: Bearer $(az account get-access-token --scope {scope} \\\n'
        '       --query accessToken --output tsv)" \\\n'
        """     -d '{"joinWebUrl": "YOUR TEAMS LINK"}'\n\n"""
        "   It worked when the answer is 200 with a virtualAppointmentJoinWebUrl."
    )


def show_link(azd: Azd, way: str, target: Target) -> None:
    """Ask the app for the first link, where a meeting was named, and show it.

    Raises:
        SetUpError: the app gave no link.
    """
    url = azd.get("FUNCTION_APP_URL")
    if way == OWN or azd.get("ENTRA_CLIENT_ID"):  # the routes for links refuse keys then
        tell_own_link(azd)
        return
    if azd.what_if or not (target.organizer and target.link):
        print("   No meeting was named. docs/setup.md, *The first link*, has the command to ask.")
        return
    key = output(
        [
            "az",
            "functionapp",
            "keys",
            "list",
            *azd.subscription(),
            "--resource-group",
            azd.get("AZURE_RESOURCE_GROUP"),
            "--name",
            azd.get("FUNCTION_APP_NAME"),
            "--query",
            "functionKeys.default",
            "--output",
            "tsv",
        ]
    ).strip()
    if not key:
        raise SetUpError(
            "The key of the app could not be read, which takes the role Website Contributor on it. "
            "A new role takes some minutes to count. docs/setup.md, *The first link*, has the "
            "commands for whoever holds that role."
        )
    body = json.dumps({"userId": target.organizer, "joinWebUrl": target.link}).encode()
    request = urllib.request.Request(  # noqa: S310 - the deployment's own address
        f"{url}/api/join-link",
        data=body,
        headers={"x-functions-key": key, "Content-Type": "application/json"},
    )
    try:
        with _OPENER.open(request, timeout=120) as response:
            found = json.load(response)
    except urllib.error.HTTPError as error:
        problem = error.read().decode("utf-8", "replace")
        raise SetUpError(f"The app answered {error.code}: {problem}") from None
    except OSError as error:
        raise SetUpError(f"The app did not answer: {type(error).__name__}.") from None
    print(f"   {found['virtualAppointmentJoinWebUrl']}")
    print("   It opens in a private browser window, without an account. The set-up is done.")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another address."""

    def redirect_request(self, *_: object) -> None:
        """Follow none: the redirect is then the answer, and an error."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def program(command: Sequence[str]) -> list[str]:
    """Name a command's program by its whole path: at Windows, az and azd may be .cmd files."""
    return [shutil.which(command[0]) or command[0], *command[1:]]


def output(command: Sequence[str]) -> str:
    """Give what a command prints, or nothing where it is missing or fails."""
    try:
        done = subprocess.run(  # noqa: S603 - az and azd
            program(command),
            cwd=ROOT,
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # at Windows az writes in the code page there
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _words(text: str) -> list[str]:
    """Read a list with commas or blanks between its words, as azd_postprovision.py does."""
    return text.replace(",", " ").split()


def _unquoted(value: str) -> str:
    """Read a value as `azd env get-values` writes it."""
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:
        return value.strip('"')


def _environment_name(text: str) -> str:
    if not _ENVIRONMENT_NAME.fullmatch(text):
        raise ValueError("3 to 32 small letters, digits and hyphens, with a letter first.")
    return text


def _region(text: str) -> str:
    region = text.replace(" ", "").lower()  # the portal writes West Europe
    if not re.fullmatch(r"[a-z0-9]+", region):
        raise ValueError("A region as Azure writes it, such as westeurope or West Europe.")
    return region


def _way(text: str) -> str:
    if text not in (OWN, ANY):
        raise ValueError("Answer own or any.")
    return text


def _organizers(text: str) -> str:
    if text == "everybody":
        return text
    if text.startswith("group:") and _GUID.fullmatch(text.removeprefix("group:")):
        return text
    users = [user.strip() for user in text.split(",") if user.strip()]
    if not users or not all(_ADDRESS.fullmatch(user) or _GUID.fullmatch(user) for user in users):
        raise ValueError(
            "Name somebody: dr.meyer@clinic.example, or group: and its object id, or everybody."
        )
    return ",".join(users)


def _alerts(text: str) -> str:
    if text != NONE and not _ADDRESS.fullmatch(text):
        raise ValueError("An e-mail address, or none.")
    return text


if __name__ == "__main__":
    sys.exit(main())
