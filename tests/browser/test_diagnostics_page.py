"""The diagnostics page in a real browser, as an administrator meets it."""

import json
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Route, expect

from dev.local_run import DIAGNOSTICS_KEY, ROOT, LocalRun
from dev.stand_ins.faults import Hang
from tests.browser.conftest import Visit

SCREENSHOTS = ROOT / ".dev" / "screenshots"
"""For somebody to look at."""
MARKUP = "<img src=x onerror=\"document.title='taken over'\">"


def test_a_valid_setup_is_drawn_rung_by_check(visit: Visit, run: LocalRun) -> None:
    """Key and ids in, the verdict and every check out."""
    visit.run_checks(
        key=DIAGNOSTICS_KEY,
        organizer=run.clinic.doctor.user_principal_name,
        meeting=run.clinic.meeting.join_web_url,
    )

    assert visit.verdict() == "It works"
    expect(visit.page.locator(".check")).to_have_count(13)
    expect(visit.page.locator(".check.pass")).to_have_count(13)
    assert visit.complaints == []


def test_neither_key_nor_ids_reach_the_address_or_any_other_host(
    visit: Visit, run: LocalRun
) -> None:
    """One page, one POST with the key in its header; nothing is stored."""
    visit.run_checks(key=DIAGNOSTICS_KEY, organizer=run.clinic.doctor.object_id)
    visit.verdict()

    page, post = visit.requests
    address = f"{run.url}/api/diagnostics"
    assert (page.method, page.url) == ("GET", address)
    assert (post.method, post.url) == ("POST", address)
    assert post.all_headers()["x-functions-key"] == DIAGNOSTICS_KEY
    assert post.post_data_json == {"userId": run.clinic.doctor.object_id}
    assert visit.page.url == address
    assert visit.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0,
        0,
        "",
    ]


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("https://teams.microsoft.com/meet/123456789?p=x", "joinWebUrl"),
        (" 123 456 789 01 ", "joinMeetingId"),
        ("MSo5MDUxMDFiZA==", "onlineMeetingId"),
    ],
)
def test_the_page_tells_the_meeting_references_apart(visit: Visit, text: str, member: str) -> None:
    """One field for the three: people paste what they have."""
    visit.run_checks(key=DIAGNOSTICS_KEY, meeting=text)
    visit.verdict()

    assert visit.requests[-1].post_data_json == {member: text.strip()}


def test_a_failure_shows_its_commands_ready_to_copy(visit: Visit, run: LocalRun) -> None:
    """Each in a block of its own, copied as it stands."""
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.run_checks(
        key=DIAGNOSTICS_KEY,
        organizer=run.clinic.locum.object_id,
        meeting=run.clinic.locum_meeting.id,
    )

    assert visit.verdict() == "There is something to fix"
    failed = visit.page.locator(".check.fail")
    expect(failed).to_have_count(1)
    commands = failed.locator("pre").all_inner_texts()
    failed.get_by_role("button", name="Copy the command").first.click()
    expect(visit.page.get_by_role("status")).to_have_text("Copied.")
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied == commands[0]
    assert copied.startswith("New-CsApplicationAccessPolicy ")
    assert copied.endswith(f'-Identity "{run.clinic.locum.object_id}"')
    assert commands[1].startswith("Set-CsApplicationAccessPolicy ")


def test_a_wrong_key_is_told_in_words(visit: Visit) -> None:
    """The host's 401 has no body to show."""
    visit.run_checks(key="wrong")

    expect(visit.page.get_by_role("status")).to_contain_text("key of the function diagnostics")
    expect(visit.page.locator("#report")).to_be_hidden()
    expect(visit.page.get_by_role("button", name="Run the diagnostics")).to_be_enabled()


def test_while_it_climbs_the_page_says_so(visit: Visit, run: LocalRun) -> None:
    """And no second run can be started from it."""
    run.graph.always(Hang())
    try:
        visit.run_checks(key=DIAGNOSTICS_KEY, organizer=run.clinic.doctor.object_id)
        expect(visit.page.get_by_role("status")).to_contain_text("Checking")
        expect(visit.page.get_by_role("progressbar")).to_be_visible()
        expect(visit.page.get_by_role("button", name="Run the diagnostics")).to_be_disabled()
    finally:
        run.graph.clear_orders()
        run.graph.release()
    visit.verdict()
    expect(visit.page.get_by_role("progressbar")).to_be_hidden()


def test_every_value_is_text_and_never_markup(visit: Visit) -> None:
    """Whatever an answer holds, wherever it stands."""
    check: dict[str, Any] = {
        "name": MARKUP,
        "title": MARKUP,
        "status": "fail",
        "durationMs": 1,
        "detail": MARKUP,
        "code": MARKUP,
        "graphRequestId": MARKUP,
        "seen": {MARKUP: MARKUP},
        "fix": f"{MARKUP} `{MARKUP}`",
    }
    body = {"verdict": "fail", "summary": MARKUP, "durationMs": 1, "checks": [check]}

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=200, content_type="application/json", body=json.dumps(body))
        else:
            route.continue_()

    visit.page.route("**/api/diagnostics", answer)
    visit.run_checks(key="x")
    visit.verdict()

    assert visit.page.locator("img").count() == 0
    assert MARKUP in visit.page.locator("#summary").inner_text()
    assert visit.page.title() != "taken over"
    assert visit.complaints == []


def test_a_problem_is_shown_with_its_faults(visit: Visit) -> None:
    """A busy app, or a request that is refused, says why."""
    problem = {"detail": "Not valid.", "errors": [{"pointer": "/userId", "detail": "Too long."}]}

    def answer(route: Route) -> None:
        route.fulfill(status=400, content_type="application/problem+json", body=json.dumps(problem))

    visit.page.route("**/api/diagnostics", answer)
    visit.run_checks(key="x")

    expect(visit.page.get_by_role("status")).to_have_text("Not valid. /userId: Too long.")


def test_it_can_be_used_by_keyboard_alone(visit: Visit, run: LocalRun) -> None:
    """From the key to the report, which takes the focus."""
    keyboard = visit.page.keyboard
    for text in (DIAGNOSTICS_KEY, run.clinic.locum.object_id, ""):
        keyboard.press("Tab")
        keyboard.type(text)
    keyboard.press("Tab")
    keyboard.press("Enter")

    visit.verdict()

    assert visit.page.evaluate("document.activeElement.id") == "verdict"
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "copy"


@pytest.mark.parametrize("look", [("light", 1200), ("dark", 1200), ("light", 360), ("dark", 360)])
def test_it_is_accessible_and_fits_in_light_and_dark_and_on_a_phone(
    run: LocalRun, browser: Browser, axe: str, look: tuple[Literal["light", "dark"], int]
) -> None:
    """axe-core finds nothing, before and after a run, and nothing is cut off at the side."""
    scheme, width = look
    with browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    ) as context:
        visit = Visit(context.new_page(), run)
        visit.open()
        before = _violations(visit, axe)
        visit.run_checks(
            key=DIAGNOSTICS_KEY,
            organizer=run.clinic.locum.object_id,
            meeting=run.clinic.locum_meeting.id,
        )
        visit.verdict()
        visit.page.locator("summary").first.click()
        after = _violations(visit, axe)
        visit.page.screenshot(path=SCREENSHOTS / f"{scheme}-{width}.png", full_page=True)
        overflow = visit.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    assert (before, after) == ([], [])
    assert overflow == 0


def _violations(visit: Visit, axe: str) -> list[str]:
    visit.page.evaluate(axe)
    found = visit.page.evaluate("axe.run()")
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
