"""The diagnostics page in a real browser, used as by an administrator."""

import json
import re
from io import BytesIO
from typing import Any, Literal

import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, ViewportSize, expect

from dev.local_run import DIAGNOSTICS_KEY, ROOT, LocalRun
from dev.stand_ins.faults import Hang
from shared.diagnostics.checks import CHECKS
from tests.browser.conftest import Visit

SCREENSHOTS = ROOT / ".dev" / "screenshots"
"""For people who review the pages."""
PICTURES = ROOT / "docs" / "pictures"
"""For docs/diagnostics.md and README.md."""
MARKUP = "<img src=x onerror=\"document.title='taken over'\">"


def test_a_valid_setup_is_shown_check_by_check(visit: Visit, run: LocalRun) -> None:
    """After the form, the verdict and each check are shown. Passed checks are folded."""
    visit.run_checks(
        key=DIAGNOSTICS_KEY,
        organizer=run.clinic.doctor.user_principal_name,
        meeting=run.clinic.meeting.join_web_url,
    )

    assert visit.verdict() == "It works"
    expect(visit.page.locator(".check")).to_have_count(len(CHECKS))
    expect(visit.page.locator(".check.pass")).to_have_count(len(CHECKS))
    details = visit.page.get_by_text("Graph knows the organizer.")
    expect(details).to_be_hidden()
    visit.page.locator(".check").get_by_text("Organizer", exact=True).click()
    expect(details).to_be_visible()
    assert visit.complaints == []


def test_the_page_names_the_product(visit: Visit) -> None:
    """In its banner and its title, because an administrator has many tabs open."""
    expect(visit.page.get_by_role("banner")).to_contain_text("Virtual appointment join links")
    expect(visit.page).to_have_title(re.compile("Diagnostics . Virtual appointment join links"))


@pytest.mark.parametrize(("organizer", "missing"), [("", "organizer"), ("doctor", "meeting")])
def test_a_run_without_all_checks_is_no_success(
    visit: Visit, run: LocalRun, organizer: str, missing: str
) -> None:
    """The page links to the field that was left empty."""
    user_id = run.clinic.doctor.object_id if organizer else ""
    visit.run_checks(key=DIAGNOSTICS_KEY, organizer=user_id)

    assert visit.verdict() == "Not everything was checked"
    expect(visit.page.locator("#banner")).to_have_class("box incomplete")
    expect(visit.page.locator("#summary")).to_contain_text(f"No {missing} was named.")
    visit.page.get_by_role("link", name=f"Name the {missing}").click()
    assert visit.page.evaluate("document.activeElement.id") == missing


def test_neither_key_nor_ids_reach_the_url_or_another_host(visit: Visit, run: LocalRun) -> None:
    """One page, and one POST with the key in a header. Nothing is stored."""
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
        ("Join: <https://teams.microsoft.com/meet/123456789?p=x>", "joinWebUrl"),
        ("teams.microsoft.com/meet/123456789?p=x", "joinWebUrl"),
        (" 123 456 789 01 ", "joinMeetingId"),
        ("Meeting ID: 123 456 789 01", "joinMeetingId"),
        ("MSo5MDUxMDFiZA==", "onlineMeetingId"),
    ],
)
def test_the_page_recognises_each_meeting_reference(visit: Visit, text: str, member: str) -> None:
    """There is one field for all three kinds."""
    visit.run_checks(key=DIAGNOSTICS_KEY, meeting=text)
    visit.verdict()

    assert visit.requests[-1].post_data_json == {member: text.strip()}


def test_a_failure_shows_commands_to_copy(visit: Visit, run: LocalRun) -> None:
    """Each in a separate block, copied unchanged."""
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


def test_the_verdict_links_to_the_failed_check(visit: Visit, run: LocalRun) -> None:
    """On a phone it is far below."""
    visit.page.set_viewport_size({"width": 360, "height": 400})
    visit.run_checks(key=DIAGNOSTICS_KEY, organizer=run.clinic.locum.object_id)
    visit.verdict()
    failed = visit.page.locator(".check.fail")
    expect(failed).not_to_be_in_viewport()

    visit.page.locator("#summary").get_by_role("link").click()

    expect(failed.get_by_text("Teams application access policy", exact=True)).to_be_in_viewport()


def test_only_commands_can_be_copied(visit: Visit) -> None:
    """A quoted name in a fix stays in its sentence."""
    fix = "Send `me`, or run this: `az login`. Then look at `errors`."
    check = {"name": "a", "title": "A", "status": "fail", "detail": "Not so.", "fix": fix}
    answer_with(visit, {"verdict": "fail", "summary": "To fix: A.", "checks": [check]})
    visit.run_checks(key="x")
    visit.verdict()

    drawn = visit.page.locator(".fix")
    assert drawn.locator("pre").all_inner_texts() == ["az login"]
    expect(drawn.get_by_role("button")).to_have_count(1)
    assert drawn.locator("p").all_inner_texts() == [
        "Send me, or run this:",
        "Then look at errors.",
    ]


@pytest.mark.parametrize(
    ("meeting", "told"),
    [
        ("19:meeting_x@thread.v2", "The meeting id is the id of a chat thread"),
        ("https://zoom.us/j/1", "It is a link of another product, not of Teams."),
        ("12", "Must be 6 to 20 digits"),
    ],
)
def test_errors_in_the_input_name_the_pages_fields(
    visit: Visit, run: LocalRun, meeting: str, told: str
) -> None:
    """The page's users do not know the members of a request."""
    organizer = run.clinic.doctor.object_id
    visit.run_checks(key=DIAGNOSTICS_KEY, organizer=organizer, meeting=meeting)
    visit.verdict()

    failed = visit.page.locator(".check.fail")
    expect(failed).to_contain_text(told)
    for name in ("onlineMeetingId", "joinWebUrl", "joinMeetingId", "userId", "errors", "request"):
        assert name not in failed.locator("p").all_inner_texts()[0]
        assert name not in failed.locator(".fix").inner_text()


def test_a_wrong_key_is_shown_as_an_error(visit: Visit) -> None:
    """At the key's field, which has the focus, and as an alert. The host's 401 has no body."""
    visit.run_checks(key="wrong")

    expect(visit.page.get_by_role("alert")).to_contain_text("The app refuses the key")
    field = visit.page.get_by_label("Key of the function")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("^This is not the key of"))
    expect(visit.page.locator("#report")).to_be_hidden()
    expect(visit.page.get_by_role("button", name="Run the diagnostics")).to_be_enabled()

    visit.run_checks(key=DIAGNOSTICS_KEY)
    visit.verdict()
    expect(visit.page.get_by_role("alert")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_without_a_key_no_request_is_sent(visit: Visit) -> None:
    """The page says what is missing."""
    visit.run_checks(key=" ")

    expect(visit.page.get_by_text("The key is needed.")).to_be_visible()
    assert [sent.method for sent in visit.requests] == ["GET"]


def test_the_page_shows_that_a_run_is_going_on(visit: Visit, run: LocalRun) -> None:
    """A second run cannot be started from it."""
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


def test_each_value_is_shown_as_text_not_as_markup(visit: Visit) -> None:
    """For each value of an answer."""
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
    for verdict in ("pass", "incomplete", "fail", MARKUP):
        body = {"verdict": verdict, "summary": MARKUP, "durationMs": 1, "checks": [check]}
        answer_with(visit, body)
        visit.run_checks(key="x")
        visit.verdict()
        expect(visit.page.get_by_role("button", name="Run the diagnostics")).to_be_enabled()

    assert visit.page.locator("img").count() == 0
    assert MARKUP in visit.page.locator("#summary").inner_text()
    assert visit.page.title() != "taken over"
    assert visit.complaints == []


def test_a_refused_request_is_shown_at_the_wrong_field(visit: Visit) -> None:
    """The app's pointers do not name the page's fields."""
    visit.run_checks(key=DIAGNOSTICS_KEY, organizer="x" * 9000)

    expect(visit.page.get_by_role("alert")).to_contain_text("Correct the field that is marked.")
    field = visit.page.get_by_label("Organizer")
    expect(field).to_be_focused()
    expect(field).to_have_accessible_description(re.compile("^Must be text of at most"))


def test_an_app_that_is_busy_is_reported(visit: Visit) -> None:
    """As each other problem is."""
    answer_with(visit, {"detail": "Diagnostics are already running."}, status=429)
    visit.run_checks(key="x")

    expect(visit.page.get_by_role("alert")).to_contain_text("Diagnostics are already running.")


def test_it_can_be_used_with_the_keyboard_only(visit: Visit, run: LocalRun) -> None:
    """From the key to the report, which gets the focus, and on to the failed check."""
    keyboard = visit.page.keyboard
    for text in (DIAGNOSTICS_KEY, run.clinic.locum.object_id, ""):
        keyboard.press("Tab")
        keyboard.type(text)
    keyboard.press("Tab")
    keyboard.press("Enter")

    visit.verdict()

    assert visit.page.evaluate("document.activeElement.id") == "verdict"
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.hash") == "#check-6"
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "copy"


@pytest.mark.parametrize("look", [("light", 1200), ("dark", 1200), ("light", 360), ("dark", 360)])
def test_it_is_accessible_and_fits_in_light_and_dark_and_on_a_phone(
    run: LocalRun, browser: Browser, axe: str, look: tuple[Literal["light", "dark"], int]
) -> None:
    """axe-core finds nothing, before and after a run, and the page is not too wide."""
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
        for summary in visit.page.locator("summary").all():
            summary.click()
        after = _violations(visit, axe)
        visit.page.screenshot(path=SCREENSHOTS / f"{scheme}-{width}.png", full_page=True)
        overflow = visit.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    assert (before, after) == ([], [])
    assert overflow == 0


@pytest.mark.parametrize("name", ["pass", "fail", "incomplete", "phone"])
def test_the_pages_pictures_can_be_made_and_are_small(
    run: LocalRun, browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    """With --pictures they are written to docs/, else to .dev/."""
    clinic, phone = run.clinic, name == "phone"
    asked = {
        "pass": (clinic.doctor.user_principal_name, clinic.meeting.join_web_url),
        "incomplete": (clinic.doctor.user_principal_name, ""),
    }
    organizer, meeting = asked.get(name, (clinic.locum.object_id, clinic.locum_meeting.id))
    size: ViewportSize = {"width": 390, "height": 844} if phone else {"width": 860, "height": 800}
    with browser.new_context(
        viewport=size,
        device_scale_factor=2 if phone else 1,
        color_scheme="dark" if name in {"incomplete", "phone"} else "light",
    ) as context:
        visit = Visit(context.new_page(), run)
        visit.open()
        visit.run_checks(key=DIAGNOSTICS_KEY, organizer=organizer, meeting=meeting)
        visit.verdict()
        png = visit.page.screenshot(full_page=not phone)

    picture = BytesIO()
    Image.open(BytesIO(png)).quantize(64).save(picture, "PNG", optimize=True)

    assert len(picture.getvalue()) < 200_000
    folder = PICTURES if request.config.getoption("--pictures") else SCREENSHOTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"diagnostics-{name}.png").write_bytes(picture.getvalue())


def answer_with(visit: Visit, body: object, *, status: int = 200) -> None:
    """Give the page's next requests this answer."""

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=status, content_type="application/json", body=json.dumps(body))
        else:
            route.continue_()

    visit.page.unroute_all()
    visit.page.route("**/api/diagnostics", answer)


def _violations(visit: Visit, axe: str) -> list[str]:
    visit.page.evaluate(axe)
    found = visit.page.evaluate("axe.run()")
    return [
        f"{violation['id']}: {node['html']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
