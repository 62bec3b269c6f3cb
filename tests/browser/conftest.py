"""The app and a browser with the diagnostics page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from dev.local_run import ROOT, LocalRun
from tests.browser import chromium


@dataclass
class Visit:
    """The open diagnostics page, and what it did.

    Attributes:
        requests: The page's requests.
        complaints: The messages in the browser's console.
    """

    page: Page
    run: LocalRun
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self) -> None:
        """Open the page."""
        self.page.on("request", lambda sent: self.requests.append(sent))  # noqa: PLW0108 - playwright sets attributes on it
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{self.run.url}/api/diagnostics")

    def run_checks(self, *, key: str, organizer: str = "", meeting: str = "") -> None:
        """Fill in the form and send it."""
        self.page.get_by_label("Key of the function").fill(key)
        self.page.get_by_label("Organizer").fill(organizer)
        self.page.get_by_label("Meeting").fill(meeting)
        self.page.get_by_role("button", name="Run the diagnostics").click()

    def verdict(self) -> str:
        """Wait for the report and read its verdict."""
        heading = self.page.locator("#verdict")
        heading.wait_for(timeout=25_000)
        return heading.inner_text()


@pytest.fixture(scope="session")
def run() -> Iterator[LocalRun]:
    """The app."""
    with LocalRun() as local_run:
        yield local_run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium.browser() as started:
        yield started


@pytest.fixture
def visit(run: LocalRun, browser: Browser) -> Iterator[Visit]:
    """The page in a new browser context."""
    with browser.new_context(locale="en-GB") as context:
        visit = Visit(context.new_page(), run)
        visit.open()
        yield visit


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, with the version of dev/package.json."""
    return (ROOT / "dev/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that makes the pictures of docs/."""
    parser.addoption("--pictures", action="store_true", help="make docs/pictures anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a browser, skip all tests with one message."""
    mine = [item for item in items if item.path.parent == Path(__file__).parent]
    if mine and chromium.find() is None:
        reason = "no Chromium here: the diagnostics page was not checked in a browser"
        mine[0].add_marker(pytest.mark.skip(reason=reason))
        config.hook.pytest_deselected(items=mine[1:])
        items[:] = [item for item in items if item not in mine[1:]]
