"""scripts/diagnose.py as a process, against the running app."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from dev.local_run import DIAGNOSTICS_KEY
from dev.stand_ins.faults import Reset, Status
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn
from tests.integration.app_under_test import App
from tests.integration.script_runs import SCRIPTS, VERSIONS, Administrator, Done

SCRIPT = "diagnose.py"
MANAGEMENT = "https://management.azure.com"
SITE = "/subscriptions/sub-1/resourceGroups/clinic/providers/Microsoft.Web/sites/join-links"
TOKEN = "an-administrators-token"


class ResourceManager(StandIn):
    """Azure Resource Manager, as far as it takes to find one app and a function's key."""

    def __init__(self, *, host: str) -> None:
        super().__init__(name="resource manager")
        self.subscriptions = ["sub-1"]
        self.report: dict[str, Any] = {}
        self._host = host

    def respond(self, request: Request) -> Response:
        """Answer as Azure does, or as an app with the report."""
        if request.path == "/api/diagnostics":
            return Response.json(200, self.report)
        if request.bearer != TOKEN:
            raise RefusedError(401, "InvalidAuthenticationToken", "No.")
        if "api-version=" not in request.query:
            raise RefusedError(400, "MissingApiVersionParameter", "No.")
        match request.method, request.path:
            case "GET", "/subscriptions":
                found = [{"subscriptionId": name} for name in self.subscriptions]
                return Response.json(200, {"value": found})
            case "GET", "/subscriptions/sub-1/resources":
                wanted = parse_qs(request.query)["$filter"]
                named = ["resourceType eq 'Microsoft.Web/sites' and name eq 'join-links'"]
                return Response.json(200, {"value": [{"id": SITE}] if wanted == named else []})
            case "GET", path if path == SITE:
                return Response.json(200, {"properties": {"defaultHostName": self._host}})
            case "POST", path if path == f"{SITE}/functions/diagnostics/listKeys":
                return Response.json(200, {"default": DIAGNOSTICS_KEY})
            case _:
                raise RefusedError(404, "ResourceNotFound", "No.")

    def refuse(self, request: Request, error: RefusedError) -> Response:  # noqa: ARG002 - not used
        """An error in Azure's shape."""
        body = {"error": {"code": error.code, "message": error.message}}
        return Response.json(error.status, body)


@pytest.fixture
def manager(app: App) -> Iterator[ResourceManager]:
    """The stand-in, which knows the app."""
    with ResourceManager(host=app.run.url.removeprefix("http://")) as stand_in:
        yield stand_in


@pytest.fixture
def administrator(tmp_path: Path) -> Administrator:
    """A person who is signed in."""
    return Administrator(tmp_path, {MANAGEMENT: TOKEN})


def diagnose(
    administrator: Administrator, *arguments: str, version: str = "3.13", typed: str | None = None
) -> Done:
    """Run the script, and check that its output holds neither a key nor a token."""
    done = administrator.run(SCRIPT, *arguments, version=version, typed=typed)
    assert DIAGNOSTICS_KEY not in done.said + done.complained
    assert TOKEN not in done.said + done.complained
    return done


def with_key(
    administrator: Administrator, app: App, *arguments: str, key: str = DIAGNOSTICS_KEY
) -> Done:
    """Run it with the app's address and a key, not waiting for anything."""
    administrator.environment["DIAGNOSTICS_KEY"] = key
    return diagnose(administrator, "--url", app.run.url, "--wait", "0", *arguments)


def through_azure(
    administrator: Administrator, manager: ResourceManager, *arguments: str, **options: str
) -> Done:
    """Run it with the app's name."""
    administrator.environment["MANAGEMENT_ROOT"] = f"http://127.0.0.1:{manager.port}"
    app = ("--app", "join-links", "--resource-group", "clinic")
    return diagnose(administrator, *app, *arguments, **options)


def by_its_name(administrator: Administrator, manager: ResourceManager, name: str) -> Done:
    """Run it with the app's name and nothing else."""
    administrator.environment["MANAGEMENT_ROOT"] = f"http://127.0.0.1:{manager.port}"
    return diagnose(administrator, "--app", name)


def test_a_valid_setup_exits_with_0(administrator: Administrator, app: App) -> None:
    """Each check is a line, and the verdict the last one."""
    meeting = app.meeting()
    ids = ("--user-id", meeting.organizer, "--online-meeting-id", meeting.id)

    done = with_key(administrator, app, *ids)

    assert (done.code, done.complained) == (0, "")
    assert "pass          Settings" in done.said
    assert "pass          Join link from Graph v1.0" in done.said
    assert done.said.splitlines()[-1] == "Verdict: PASS. Every check passed."


def test_checks_that_were_not_reached_exit_with_3(
    administrator: Administrator, app: App, tmp_path: Path
) -> None:
    """Without a meeting it is not known whether a link can be had."""
    file = tmp_path / "report.html"

    done = with_key(administrator, app, "--user-id", app.organizer().object_id, "--html", str(file))

    assert (done.code, done.complained) == (3, "")
    assert "not reached   Meeting" in done.said
    assert done.said.splitlines()[-1].startswith(
        "Verdict: INCOMPLETE. Nothing failed, but not everything was checked. No meeting was named."
    )
    assert '<strong class="incomplete">INCOMPLETE</strong>' in file.read_text(encoding="utf-8")


def test_a_warning_exits_with_0_and_is_shown(administrator: Administrator, app: App) -> None:
    """Links can be had, but there is a dead letter."""
    app.run.queue("join-link-dead-letters").send_message("{}")
    meeting = app.meeting()
    ids = ("--user-id", meeting.organizer, "--online-meeting-id", meeting.id)

    done = with_key(administrator, app, *ids)

    assert (done.code, done.complained) == (0, "")
    assert (
        done.said.splitlines()[-1]
        == "Verdict: PASS, with a warning. Nothing failed. Warnings: Queues."
    )


def test_a_check_that_fails_exits_with_1_and_says_the_next_step(
    administrator: Administrator, app: App, tmp_path: Path
) -> None:
    """In the terminal and in the file. Neither holds a link."""
    organizer = app.organizer(covered=False)
    meeting = app.meeting(organizer)
    file = tmp_path / "report.html"
    ids = ("--user-id", organizer.object_id, "--join-web-url", meeting.join_web_url)

    done = with_key(administrator, app, *ids, "--html", str(file))

    report = file.read_text(encoding="utf-8")
    assert done.code == 1
    assert "FAIL          Teams application access policy" in done.said
    assert "Next step: A Teams administrator runs" in done.said
    commands = [line.strip() for line in done.said.splitlines() if "-CsApplication" in line]
    assert [command.split()[0] for command in commands] == [
        "New-CsApplicationAccessPolicy",
        "Set-CsApplicationAccessPolicy",
    ]
    assert commands[0].endswith(f'-Identity "{organizer.object_id}"')
    assert done.said.splitlines()[-1] == "Verdict: FAIL. To fix: Teams application access policy."
    assert "<pre>New-CsApplicationAccessPolicy " in report
    assert f"-Identity &quot;{organizer.object_id}&quot;</pre>" in report
    for text in (done.said, report):
        assert "https://teams" not in text
        assert "https://visit" not in text


@pytest.mark.parametrize("version", VERSIONS)
def test_the_app_is_found_and_its_key_fetched_through_azure(
    app: App, administrator: Administrator, manager: ResourceManager, version: str
) -> None:
    """The function's own key, by its name."""
    done = through_azure(administrator, manager, version=version)

    assert (done.code, done.complained) == (3, "")
    assert "pass          Managed identity" in done.said
    asked = [f"{call.request.method} {call.request.path}" for call in manager.calls]
    assert asked[-1] == f"POST {SITE}/functions/diagnostics/listKeys"
    assert app.run.graph.calls == []


def test_the_apps_name_alone_is_enough(
    app: App,
    administrator: Administrator,
    manager: ResourceManager,
) -> None:
    """Its resource group is looked up. An unknown name is reported."""
    found = by_its_name(administrator, manager, "join-links")
    unknown = by_its_name(administrator, manager, "nobodys")

    assert (found.code, found.complained) == (3, "")
    assert unknown.code == 2
    assert "0 apps of the name nobodys" in unknown.complained


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "az login"), (403, "Website Contributor"), (404, "no such app"), (500, "answered 500")],
)
def test_azures_refusals_are_sentences(
    administrator: Administrator, manager: ResourceManager, status: int, told: str
) -> None:
    """Exit code 2, because there is no verdict."""
    manager.always(Status(status), when=lambda call: call.request.path == SITE)

    done = through_azure(administrator, manager)

    assert (done.code, done.said) == (2, "")
    assert told in done.complained
    assert "Traceback" not in done.complained


def test_with_several_subscriptions_one_must_be_named(
    administrator: Administrator, manager: ResourceManager
) -> None:
    """The script does not guess."""
    manager.subscriptions = ["sub-1", "sub-2"]

    unsaid = through_azure(administrator, manager)
    said = through_azure(administrator, manager, "--subscription", "sub-1")

    assert (unsaid.code, said.code) == (2, 3)
    assert "--subscription" in unsaid.complained


def test_without_a_sign_in_it_says_how_to(tmp_path: Path, manager: ResourceManager) -> None:
    """As every script does."""
    done = through_azure(Administrator(tmp_path, {}), manager)

    assert done.code == 2
    assert "az login" in done.complained


def test_a_wrong_key_is_reported(administrator: Administrator, app: App) -> None:
    """With the function whose key is needed."""
    done = with_key(administrator, app, key="wrong")

    assert done.code == 2
    assert "not that of the function diagnostics" in done.complained


def test_a_refused_request_is_reported_with_its_field_errors(
    administrator: Administrator, app: App
) -> None:
    """In the app's own words."""
    done = with_key(administrator, app, "--join-meeting-id", "1" * 9000)

    assert done.code == 2
    assert "/joinMeetingId: Must be text" in done.complained


@pytest.mark.parametrize(
    ("setting", "arguments"),
    [
        ("MANAGEMENT_ROOT", ("--app", "a", "--resource-group", "b")),
        ("DIAGNOSTICS_KEY", ("--url", "http://evil.example")),
    ],
)
def test_neither_key_nor_token_goes_anywhere_else(
    administrator: Administrator, setting: str, arguments: tuple[str, ...]
) -> None:
    """Only to Azure, to the app over TLS, or to this machine."""
    administrator.environment[setting] = "https://evil.example"

    done = diagnose(administrator, *arguments)

    assert done.code == 2
    assert "must begin with https" in done.complained or "only be a loopback" in done.complained


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a module
    """The script as a module, to turn its clock."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("diagnose")


@pytest.mark.parametrize("fault", [Status(503), Status(404), Status(429), Reset()])
def test_it_waits_for_an_app_that_starts(
    script: Any,  # noqa: ANN401
    manager: ResourceManager,
    fault: Any,  # noqa: ANN401
) -> None:
    """For the given time. Then it reports the last answer."""
    waited: list[float] = []
    manager.report = {"verdict": "pass", "checks": []}
    manager.order(fault, times=2)
    options: dict[str, Any] = {
        "url": f"http://127.0.0.1:{manager.port}",
        "key": "k",
        "body": {},
        "sleep": waited.append,
        "clock": lambda: sum(waited),
    }

    report = script.ask(**options, patience=10)
    manager.always(fault)
    with pytest.raises(script.DiagnosticsError):
        script.ask(**options, patience=20)

    assert report["verdict"] == "pass"
    assert waited == [5.0] * 6


def test_an_answer_of_something_else_is_no_report(
    script: Any,  # noqa: ANN401
    manager: ResourceManager,
) -> None:
    """Such as a proxy's page, or another app's."""
    manager.report = {"status": "healthy"}

    with pytest.raises(script.DiagnosticsError, match="not the app's diagnostics"):
        script.ask(url=f"http://127.0.0.1:{manager.port}", key="k", body={}, patience=0)


def test_only_what_is_a_command_is_set_apart_in_the_report(
    script: Any,  # noqa: ANN401
) -> None:
    """A name that is quoted stays in its sentence."""
    fix = "Send `me`, or run this: `az login`. Then look at `errors`."
    check = {"status": "fail", "title": "A", "detail": "Not so.", "fix": fix}
    report = {"verdict": "fail", "summary": "To fix: A.", "checks": [check]}

    assert [line.strip() for line in script.as_text(report).splitlines()[2:5]] == [
        "Next step: Send me, or run this:",
        "az login",
        "Then look at errors.",
    ]
    assert script.as_html(report, where="w", when="now").count("<pre>") == 1


def test_control_characters_and_markup_are_removed(
    script: Any,  # noqa: ANN401
) -> None:
    """The answer may be another system's."""
    check = {"status": "fail", "title": "\x1b[2J<b>", "detail": "<i>", "fix": "`<u>`", "seen": {}}
    report = {"verdict": "fail", "summary": "\x07", "checks": [check]}

    assert "\x1b" not in script.as_text(report)
    assert "\x07" not in script.as_text(report)
    written = script.as_html(report, where="<s>", when="now")
    assert not any(tag in written for tag in ("<b>", "<i>", "<u>", "<s>"))
