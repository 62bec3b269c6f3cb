"""The map of the code names files, functions and classes that exist."""

import re

import pytest

from tests.unit.docs_pages import ROOT, prose, spans, table, text

PAGE = "docs/architecture.md"
SECTIONS = re.findall(
    r"^### (.+)$",
    text(PAGE).partition("## Where each rule is")[2].partition("## The ideas")[0],
    re.MULTILINE,
)
ROWS = [row for section in SECTIONS for row in table(PAGE, section)]


def defines(code: str, name: str) -> bool:
    """Say whether the code defines a function, class, method or constant of this name."""
    return all(
        re.search(rf"^\s*(?:def|class) {part}\b|^{part}\b.*=", code, re.MULTILINE)
        for part in name.split(".")
    )


def test_the_map_has_sections_and_rows() -> None:
    """Otherwise the tests below would check nothing."""
    assert len(SECTIONS) >= 5
    assert len(ROWS) >= 30


@pytest.mark.parametrize(("question", "files", "names"), ROWS)
def test_a_rule_is_where_the_map_says(question: str, files: str, names: str) -> None:
    """Each function or class is defined in one of the row's files."""
    paths = [span for span in [*spans(files), *spans(names)] if span.endswith(".py")]
    code = "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)

    for name in spans(names):
        if re.fullmatch(r"[A-Za-z_][\w.]*", name) and not name.endswith(".py"):
            assert defines(code, name), f"{question}: {name}"


def test_each_name_in_the_text_exists() -> None:
    """In `shared/`, by its last part; settings and JSON members are not names of code."""
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "shared").rglob("*.py"))
    names = {
        span
        for span in spans(prose(PAGE))
        if re.fullmatch(r"_?[A-Za-z][\w.]*", span) and not span.endswith((".py", ".toml"))
    }

    assert {"Resolver.resolve", "check_address", "GraphClient.execute_many"} <= names
    assert {name for name in names if not re.search(rf"\b{name.split('.')[-1]}\b", code)} == set()
