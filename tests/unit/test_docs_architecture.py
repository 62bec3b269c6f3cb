"""The map of the code in docs/architecture.md is the code's."""

import importlib
import re

from tests.unit.docs_pages import ROOT, blocks, prose, spans
from tests.unit.test_layering import GRAPH, imports

PAGE = "docs/architecture.md"
PICTURE = next(block.text for block in blocks(PAGE) if block.language == "mermaid")
ARROWS = set(re.findall(r"^  (\w+) --> (\w+)$", PICTURE, re.MULTILINE))
DRAWN = {name for arrow in ARROWS for name in arrow}


def imported_by(module: str) -> set[str]:
    """Give what a drawn module imports of the others that are drawn."""
    if module != "function_app":
        return GRAPH[module] & DRAWN
    names = imports(ROOT / "function_app.py")
    return {name.split(".")[1] for name in names if name.startswith("shared.")} & DRAWN


def reached_from(module: str) -> set[str]:
    """Give all that is imported by a drawn module, directly or by way of others drawn."""
    direct = imported_by(module)
    return direct.union(*(reached_from(other) for other in direct))


def test_the_picture_is_nothing_but_arrows() -> None:
    """So that nothing in it goes unchecked."""
    assert len(PICTURE.splitlines()) == len(ARROWS) + 1


def test_every_arrow_is_an_import_and_none_is_left_out() -> None:
    """But for what a module also reaches by way of another arrow."""
    there = {
        (module, other)
        for module in DRAWN
        for other in imported_by(module)
        if not any(other in reached_from(way) for way in imported_by(module) - {other})
    }

    assert there == ARROWS


def test_the_names_in_the_text_are_the_codes() -> None:
    """A module of `shared`, then what it holds."""
    modules = {file.stem for file in (ROOT / "shared").glob("*.py")}
    dotted = [
        span.split(".")
        for span in spans(prose(PAGE))
        if re.fullmatch(r"\w+(?:\.\w+)+", span) and span.split(".")[0] in modules
    ]

    assert len(dotted) > 20
    for module, *attributes in dotted:
        found = importlib.import_module(f"shared.{module}")
        for attribute in attributes:
            found = getattr(found, attribute)


def test_the_map_can_be_read_in_one_go() -> None:
    """A hundred and fifty lines at most."""
    assert len((ROOT / PAGE).read_text(encoding="utf-8").splitlines()) <= 150
