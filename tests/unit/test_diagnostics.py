"""The diagnostics: how checks run, what may be asked, and the page around them."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

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


def test_where_everything_holds_the_verdict_is_pass() -> None:
    """In the order of the checks."""
    report = run(check("a"), check("b", passes, "a"))

    assert statuses(report) == ["pass", "pass"]
    assert report.to_json()["verdict"] == "pass"
    assert report.to_json()["summary"] == "Every check passed."


def test_above_a_failed_check_nothing_is_reached_and_beside_it_everything() -> None:
    """What was not reached was not tried either, and says why."""
    report = run(check("a", fails), check("b", passes, "a"), check("c", passes, "b"), check("d"))

    assert statuses(report) == ["fail", "not_reached", "not_reached", "pass"]
    details = [result.finding.detail for result in report.results]
    assert details[1:3] == [
        "“A” comes first, and failed.",
        "“B” comes first, and was not reached.",
    ]
    assert [result.duration_ms is None for result in report.results] == [False, True, True, False]
    assert report.verdict is Verdict.FAIL


def test_a_warning_stops_nobody() -> None:
    """It shows in the verdict."""

    def warns(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        return Finding(status=Status.WARN, detail="Look at it.")

    report = run(check("a", warns), check("b", passes, "a"))

    assert statuses(report) == ["warn", "pass"]
    assert report.verdict is Verdict.WARN
    assert report.to_json()["summary"] == "Nothing failed. Warnings: A."


def unreached(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
    """A check that has nothing to check."""
    return Finding(status=Status.NOT_REACHED, detail="No meeting was named.")


def test_what_was_not_reached_leaves_the_verdict_open() -> None:
    """Nothing failed, and still nobody knows whether a link can be had."""
    report = run(check("a"), check("b", unreached), check("c", passes, "b"))

    assert statuses(report) == ["pass", "not_reached", "not_reached"]
    assert report.to_json()["verdict"] == "incomplete"
    assert report.to_json()["summary"] == (
        "Nothing failed, but not everything was checked. No meeting was named. Not reached: B; C."
    )


def test_a_failure_counts_for_more_than_what_it_keeps_from_being_reached() -> None:
    """And that for more than a warning."""

    def warns(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        return Finding(status=Status.WARN, detail="Look at it.")

    failed = run(check("a", fails), check("b", passes, "a"))
    incomplete = run(check("a", warns), check("b", unreached))

    assert failed.verdict is Verdict.FAIL
    assert incomplete.verdict is Verdict.INCOMPLETE
    assert str(incomplete.to_json()["summary"]).endswith("Not reached: B. Warnings: A.")


@pytest.mark.parametrize(("run_it", "verdict"), [(unreached, "pass"), (fails, "warn")])
def test_what_is_only_information_decides_nothing(run_it: Run, verdict: str) -> None:
    """It need not be reached, and its failure is a warning."""
    told = Check(name="a", title="A", run=run_it, fix="Fix it.", informative=True)

    report = run(told, check("b"))

    assert report.verdict == verdict


def test_an_error_is_a_failure_with_its_own_fix() -> None:
    """The same text as a problem carries, its code, and the id that Microsoft asks for."""
    (result,) = run(check("a", fails)).results
    members = result.to_json()

    assert (members["code"], members["fix"]) == ("meeting_not_found", "Make one.")
    assert members["graphRequestId"] == "id-of-graph"


def test_a_failure_that_names_no_fix_has_the_checks() -> None:
    """Nobody is left without a next step."""

    def fails_dumbly(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        raise MeetingNotFound("Not there.")

    (result,) = run(check("a", fails_dumbly)).results

    assert result.finding.fix == "Fix it."


def test_a_invalid_setting_keeps_its_checks_from_being_reached() -> None:
    """And no others."""
    needy = Check[list[str]](
        name="a", title="A", run=passes, fix="Fix it.", settings=("GRAPH_ROOT", "GRAPH_VERSION")
    )

    report = run(needy, check("b"), invalid_settings=["GRAPH_VERSION"])

    assert statuses(report) == ["not_reached", "pass"]
    assert report.results[0].finding.detail == "The setting GRAPH_VERSION is invalid."


def test_what_hangs_fails_its_own_check_in_its_own_time() -> None:
    """And the others go on."""
    released = threading.Event()

    def hangs(_: list[str], __: Deadline, ___: RequestStats) -> Finding:
        released.wait()
        return Finding(detail="Too late.")

    report = run(check("a", hangs, seconds=0.05), check("b"))
    released.set()

    assert statuses(report) == ["fail", "pass"]
    assert report.results[0].finding.code == "timeout"
    assert report.duration_ms < 1000


def test_all_checks_together_keep_the_time_of_the_whole() -> None:
    """A caller waits for 20 seconds at most."""
    limits: list[float] = []

    def notes(_: list[str], deadline: Deadline, ___: RequestStats) -> Finding:
        limits.append(deadline.seconds)
        return Finding(detail="Noted.")

    run(check("a", notes, seconds=5), check("b", notes, seconds=0.5), seconds=2)

    assert limits[0] <= 2
    assert limits[1] == 0.5
    assert SECONDS <= 18


def test_a_fault_of_a_check_is_a_failure_and_its_text_is_not_told(
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


def test_the_list_of_checks_is_the_designs() -> None:
    """From the settings up, then what stands beside it, and last what is only information."""
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
    """Else it could never be reached."""
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
def test_a_request_that_says_nothing_clear_is_refused(body: bytes, pointer: str) -> None:
    """With a pointer to what is wrong."""
    with pytest.raises(InvalidRequest) as refused:
        Target.from_document(strict_json.read(body))

    assert [field_error.pointer for field_error in refused.value.field_errors] == [pointer]


def test_empty_texts_count_as_left_out() -> None:
    """Here as in every request."""
    body = b'{"userId": "", "joinWebUrl": "", "joinMeetingId": "1"}'
    assert Target.from_document(strict_json.read(body)) == Target(references={"joinMeetingId": "1"})


def test_the_link_is_read_as_in_every_request() -> None:
    """In whatever it was pasted with."""
    link = "https://teams.microsoft.com/meet/2345678901234?p=AbC"
    target = Target(references={"joinWebUrl": f"Join: <{link}>\r\nMeeting ID: 234 567 890 123 4"})
    assert target.link == parse_teams_link(link)


def test_whatever_the_ids_are_worth_the_checks_say_it() -> None:
    """A wrong id is what somebody came to be told."""
    target = Target.from_document(strict_json.read(b'{"userId": "?", "joinWebUrl": "no link"}'))

    assert target.user_id == "?"
    assert target.link is None
    assert "?" not in repr(target)


def test_the_pages_policy_fits_its_script_and_style() -> None:
    """One inline script and style, no attribute that would need more, nothing from elsewhere."""
    html = api.page().body.decode()
    policy = api.page().headers["Content-Security-Policy"]

    assert len(re.findall("<script", html)) == len(re.findall("<script>", html)) == 1
    assert len(re.findall("<style", html)) == len(re.findall("<style>", html)) == 1
    assert not re.search(r"\s(on\w+|style)=", html)
    assert not re.search(r"(src|href|action)=\"(?!data:,)", html)
    assert "innerHTML" not in html
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_no_field_of_the_page_has_a_name() -> None:
    """So that no browser can put one into the address bar, with or without the script."""
    html = api.page().body.decode()

    assert html.count("<input") == 3
    assert not re.search(r"<input[^>]*\sname=", html)


def test_the_page_names_the_function_whose_key_it_asks_for() -> None:
    """As function_app.py names it."""
    assert '@app.function_name("diagnostics")' in (ROOT / "function_app.py").read_text("utf-8")
    assert "<b>diagnostics</b>" in api.page().body.decode()
