"""The diagnostics: how checks run, what a request may hold, and the page."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shared.app import Application
from shared.core import strict_json
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import InvalidRequest, MeetingNotFound
from shared.diagnostics import api
from shared.diagnostics.checks import CHECKS
from shared.diagnostics.context import Target
from shared.diagnostics.runner import SECONDS, Check, Finding, Report, Status, Verdict, run_checks
from shared.meetings.teams_links import parse_teams_link

ROOT = Path(__file__).resolve().parents[2]
type Run = Callable[[list[str], Deadline, RequestStats], Finding]


def passes(state: list[str], _: Deadline, __: RequestStats) -> Finding:
    """A check that holds, and says that it was made."""
    state.append("checked")
    return Finding(detail="Holds.")


def fails(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
    """A check that does not hold."""
    raise MeetingNotFound("Not there.", fix="Make one.", graph_request_id="id-of-graph")


def check(name: str, run: Run = passes, *needs: str, seconds: float = 5) -> Check[list[str]]:
    """Make a check of a test's own."""
    return Check(
        name=name, title=name.title(), run=run, fix="Fix it.", needs=needs, seconds=seconds
    )


def run(
    *checks: Check[list[str]], invalid_settings: Sequence[str] = (), seconds: float = SECONDS
) -> Report:
    """Run a test's own checks."""
    return run_checks(checks, [], invalid_settings=invalid_settings, seconds=seconds)


def statuses(report: Report) -> list[str]:
    """How each check turned out."""
    return [str(result.finding.status) for result in report.results]


def test_if_all_checks_pass_the_verdict_is_pass() -> None:
    """The results are in the order of the checks."""
    report = run(check("a"), check("b", passes, "a"))

    assert statuses(report) == ["pass", "pass"]
    assert report.to_json()["verdict"] == "pass"
    assert report.to_json()["summary"] == "Every check passed."


def test_checks_that_need_a_failed_check_are_not_reached_and_the_others_run() -> None:
    """A check that is not reached does not run, and its result says why."""
    report = run(check("a", fails), check("b", passes, "a"), check("c", passes, "b"), check("d"))

    assert statuses(report) == ["fail", "not_reached", "not_reached", "pass"]
    details = [result.finding.detail for result in report.results]
    assert details[1:3] == [
        "“A” comes first, and failed.",
        "“B” comes first, and was not reached.",
    ]
    assert [result.duration_ms is None for result in report.results] == [False, True, True, False]
    assert report.verdict is Verdict.FAIL


def test_a_warning_stops_no_other_check() -> None:
    """The verdict shows it."""

    def warns(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        return Finding(status=Status.WARN, detail="Look at it.")

    report = run(check("a", warns), check("b", passes, "a"))

    assert statuses(report) == ["warn", "pass"]
    assert report.verdict is Verdict.WARN
    assert report.to_json()["summary"] == "Nothing failed. Warnings: A."


def unreached(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
    """A check that has nothing to check."""
    return Finding(status=Status.NOT_REACHED, detail="No meeting was named.")


def test_a_check_that_was_not_reached_makes_the_verdict_incomplete() -> None:
    """Nothing failed, but it is not known whether a link can be had."""
    report = run(check("a"), check("b", unreached), check("c", passes, "b"))

    assert statuses(report) == ["pass", "not_reached", "not_reached"]
    assert report.to_json()["verdict"] == "incomplete"
    assert report.to_json()["summary"] == (
        "Nothing failed, but not everything was checked. No meeting was named. Not reached: B; C."
    )


def test_a_failure_counts_for_more_than_a_check_that_was_not_reached() -> None:
    """And that counts for more than a warning."""

    def warns(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        return Finding(status=Status.WARN, detail="Look at it.")

    failed = run(check("a", fails), check("b", passes, "a"))
    incomplete = run(check("a", warns), check("b", unreached))

    assert failed.verdict is Verdict.FAIL
    assert incomplete.verdict is Verdict.INCOMPLETE
    assert str(incomplete.to_json()["summary"]).endswith("Not reached: B. Warnings: A.")


@pytest.mark.parametrize(("run_it", "verdict"), [(unreached, "pass"), (fails, "warn")])
def test_a_check_for_information_does_not_change_the_verdict(run_it: Run, verdict: str) -> None:
    """It need not be reached, and its failure is a warning."""
    told = Check(name="a", title="A", run=run_it, fix="Fix it.", informative=True)

    report = run(told, check("b"))

    assert report.verdict == verdict


def test_an_error_is_a_failure_with_its_own_fix() -> None:
    """With the text of the problem, its code, and the id that Microsoft's support asks for."""
    (result,) = run(check("a", fails)).results
    members = result.to_json()

    assert (members["code"], members["fix"]) == ("meeting_not_found", "Make one.")
    assert members["graphRequestId"] == "id-of-graph"


def test_a_failure_that_names_no_fix_has_the_checks() -> None:
    """So each failure has a next step."""

    def fails_dumbly(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        raise MeetingNotFound("Not there.")

    (result,) = run(check("a", fails_dumbly)).results

    assert result.finding.fix == "Fix it."


def test_an_invalid_setting_keeps_its_checks_from_being_reached() -> None:
    """And no others."""
    needy = Check[list[str]](
        name="a", title="A", run=passes, fix="Fix it.", settings=("GRAPH_ROOT", "GRAPH_VERSION")
    )

    report = run(needy, check("b"), invalid_settings=["GRAPH_VERSION"])

    assert statuses(report) == ["not_reached", "pass"]
    assert report.results[0].finding.detail == "The setting GRAPH_VERSION is invalid."


def test_a_check_that_hangs_fails_at_its_own_limit() -> None:
    """The other checks run."""
    released = threading.Event()

    def hangs(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        released.wait()
        return Finding(detail="Too late.")

    report = run(check("a", hangs, seconds=0.05), check("b"))
    released.set()

    assert statuses(report) == ["fail", "pass"]
    assert report.results[0].finding.code == "timeout"
    assert report.duration_ms < 1000


def test_all_checks_together_end_at_the_limit_of_the_run() -> None:
    """A caller waits at most 20 seconds."""
    limits: list[float] = []

    def notes(_: list[str], deadline: Deadline, ___: RequestStats) -> Finding:
        limits.append(deadline.seconds)
        return Finding(detail="Noted.")

    run(check("a", notes, seconds=5), check("b", notes, seconds=0.5), seconds=2)

    assert limits[0] <= 2
    assert limits[1] == 0.5
    assert SECONDS <= 18


def test_an_exception_in_a_check_is_a_failure_whose_text_is_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An exception's text may quote a link."""

    def breaks(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        raise ValueError("https://secret.example")

    report = run(check("a", breaks), check("b"))

    assert statuses(report) == ["fail", "pass"]
    assert report.results[0].finding.code == "internal_error"
    assert "secret.example" not in str(report.to_json()) + caplog.text
    assert "ValueError at" in caplog.text


def test_the_checks_are_in_this_order() -> None:
    """From the settings up to the link, then other services, then the checks for information."""
    assert [check.name for check in CHECKS] == [
        "settings",
        "identity",
        "token",
        "roles",
        "organizer",
        "permission",
        "access_policy",
        "meeting",
        "join_link_v1",
        "join_link_beta",
        "sign_in",
        "key_vault",
        "queues",
        "destinations",
        "alternate_key",
    ]


def test_a_check_needs_only_what_comes_before_it() -> None:
    """Otherwise it could never be reached."""
    for number, entry in enumerate(CHECKS):
        assert set(entry.needs) <= {earlier.name for earlier in CHECKS[:number]}
    assert len({entry.title for entry in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"[]", ""),
        (b'{"userId": 7}', "/userId"),
        (b'{"onlineMeetingId": "' + b"a" * 8193 + b'"}', "/onlineMeetingId"),
        (b'{"user": "a"}', "/user"),
        (b'{"userId": "a", "userId": "b"}', "/userId"),
        (b'{"joinMeetingId": "1", "onlineMeetingId": "2"}', ""),
    ],
)
def test_an_invalid_request_is_refused(body: bytes, pointer: str) -> None:
    """With a pointer to each error. The detail tells the first."""
    with pytest.raises(InvalidRequest) as refused:
        Target.from_document(strict_json.read(body))

    (field_error,) = refused.value.field_errors
    assert field_error.pointer == pointer
    assert field_error.detail in refused.value.detail


def test_empty_texts_count_as_left_out() -> None:
    """As in each request."""
    body = b'{"userId": "", "joinWebUrl": "", "joinMeetingId": "1"}'
    assert Target.from_document(strict_json.read(body)) == Target(references={"joinMeetingId": "1"})


def test_the_link_is_read_as_in_every_request() -> None:
    """Also in pasted text."""
    link = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
    target = Target(references={"joinWebUrl": f"Join: <{link}>\r\nMeeting ID: 234 567 890 123 4"})
    assert target.link == parse_teams_link(link)


def test_wrong_ids_are_accepted_and_judged_by_the_checks() -> None:
    """People run the diagnostics to find out about a wrong id."""
    target = Target.from_document(strict_json.read(b'{"userId": "?", "joinWebUrl": "no link"}'))

    assert target.user_id == "?"
    assert target.link is None
    assert "?" not in repr(target)


def test_the_pages_policy_fits_its_script_and_style() -> None:
    """One inline script and style, no inline attributes, and nothing from elsewhere."""
    html = api.page(Application({})).body.decode()
    policy = api.page(Application({})).headers["Content-Security-Policy"]

    assert len(re.findall("<script", html)) == len(re.findall("<script>", html)) == 1
    assert len(re.findall("<style", html)) == len(re.findall("<style>", html)) == 1
    assert not re.search(r"\s(on\w+|style)=", html)
    assert not re.search(r"(src|href|action)=\"(?!data:,)", html)
    assert "innerHTML" not in html
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_no_field_of_the_page_has_a_name() -> None:
    """So that no browser can put a value into the address bar."""
    html = api.page(Application({})).body.decode()

    assert html.count("<input") == 3
    assert not re.search(r"<input[^>]*\sname=", html)


def test_the_page_names_the_function_whose_key_it_asks_for() -> None:
    """By its name in function_app.py."""
    assert '@app.function_name("diagnostics")' in (ROOT / "function_app.py").read_text("utf-8")
    assert "<b>diagnostics</b>" in api.page(Application({})).body.decode()
