"""Each relative link and each path in the documentation exists."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.unit.docs_pages import PAGES, ROOT, prose, spans

LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))
    if not re.match(r"[a-z]+:", target)
]
FOLDERS = (
    *("connector", "dev", "docs", "infra", "scripts", "shared", "tests"),
    *(".devcontainer", ".github", ".vscode"),
)
PATHS = [
    (page, span)
    for page in PAGES
    for span in spans(prose(page))
    if re.fullmatch(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*", span)
    or re.fullmatch(r"[\w-]+\.(?:py|ps1|bicep)", span)
]
SOURCES = [
    file
    for pattern in ("*.py", "*.bicep", "*.ps1", "*.yml", "*.yaml")
    for file in (
        *ROOT.glob(pattern),
        *(one for top in FOLDERS for one in ROOT.glob(f"{top}/**/{pattern}")),
    )
    if "node_modules" not in file.parts
]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings; a comment in a code block is none."""
    headings = re.findall(r"^#+ (.+)$", prose(page.relative_to(ROOT).as_posix()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}


def target_of(page: str, link: str) -> Path:
    """The file or folder that a link on a page leads to."""
    path = link.partition("#")[0]
    return ((ROOT / page).parent / path if path else ROOT / page).resolve()


def test_the_pages_have_links_and_paths() -> None:
    """Otherwise the tests below would check nothing."""
    assert {"README.md", "SECURITY.md", "docs/setup.md"} <= {page for page, _ in LINKS}
    assert {"CONTRIBUTING.md", "docs/architecture.md"} <= {page for page, _ in PATHS}
    assert len(SOURCES) > 100


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_to_a_page_that_exists(page: str, link: str) -> None:
    """By its path from the page, and its anchor if it has one."""
    there, anchor = target_of(page, link), link.partition("#")[2]

    assert there.exists()
    assert not anchor or anchor in anchors(there)


@pytest.mark.parametrize(("page", "path"), PATHS)
def test_a_path_that_is_named_exists(page: str, path: str) -> None:
    """From the root, or by a program's name. A star stands for any name."""
    if "/" in path:
        assert any(ROOT.glob(path.rstrip("/"))), page
    else:
        assert path in {file.name for file in SOURCES}, page


def test_every_page_can_be_reached_from_the_readme() -> None:
    """By links from page to page. A link to a folder leads to all pages in it."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        name = page.relative_to(ROOT).as_posix()
        there = {target_of(name, link) for start, link in LINKS if start == name}
        inside = {file for one in there if one.is_dir() for file in one.glob("*.md")}
        waiting += {one for one in there | inside if one.suffix == ".md"} - reached

    # The connector's is a part of what an administrator imports.
    assert {ROOT / page for page in PAGES} - reached == {ROOT / "connector" / "readme.md"}


def test_the_pages_that_the_code_names_exist() -> None:
    """In messages, docstrings and comments."""
    named = {
        path
        for file in SOURCES
        for path in re.findall(r"\bdocs/[\w/.-]+\.(?:md|yaml)\b", file.read_text(encoding="utf-8"))
    }

    assert {"docs/setup.md", "docs/webhooks.md"} <= named
    assert {path for path in named if not (ROOT / path).is_file()} == set()
