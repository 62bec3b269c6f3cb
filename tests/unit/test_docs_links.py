"""Every relative link in the documentation leads to a file and a heading that are there."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "connector" / "readme.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
LINKS = [
    (str(page.relative_to(ROOT)), target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    if not re.match(r"[a-z]+:", target)
]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings; a comment in a code block is none."""
    text = re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


def test_the_pages_have_links() -> None:
    """Else nothing below would be looked at."""
    assert {"README.md", "docs/setup.md"} <= {page for page, _ in LINKS}


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    """By its path from the page, and its anchor where it has one."""
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page

    assert there.exists()
    assert not anchor or anchor in anchors(there)
