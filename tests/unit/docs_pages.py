"""The pages of the documentation, split into code, commands, tables and prose."""

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    page.relative_to(ROOT).as_posix()
    for page in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
        ROOT / "connector" / "readme.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )
)
"""All pages, by their paths from the root."""
GUIDES = tuple(
    page
    for page in PAGES
    if not page.startswith("docs/decisions/")
    and page not in ("README.md", "CHANGELOG.md", "connector/readme.md")
)
"""The pages for a reader with a task."""

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A block of code, and the language it is marked as; empty for output."""

    language: str
    text: str


@cache
def text(page: str) -> str:
    """Give a page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def prose(page: str) -> str:
    """Give a page without its code blocks."""
    return _BLOCK.sub("", text(page))


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Give a page's code blocks, without the indentation of a list."""
    found = _BLOCK.findall(text(page))
    return tuple(Block(language, textwrap.dedent(code)) for _, language, code in found)


def spans(markdown: str) -> list[str]:
    """Give the texts between backticks, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(markdown)]


@cache
def lines(page: str) -> tuple[str, ...]:
    """Give the lines to type: lines of shell, with continued ones joined, and inline code."""
    shell = "\n".join(block.text for block in blocks(page) if block.language == "bash")
    return (*re.sub(r" *\\\n\s*", " ", shell).splitlines(), *spans(prose(page)))


def commands(pattern: str) -> list[tuple[str, str]]:
    """Find all commands with that beginning: the page, and the whole command."""
    found = []
    for page in PAGES:
        for line in lines(page):
            for match in re.finditer(rf"(^|\s|\$\()({pattern}.*)", line):
                command = match[2].partition(")")[0] if match[1] == "$(" else match[2]
                found.append((page, command.strip()))
    return found


def table(page: str, heading: str) -> list[list[str]]:
    """Give the cells of the first table under a heading, without its header."""
    under = re.split(rf"^#+ {re.escape(heading)}$", text(page), flags=re.MULTILINE)[1]
    rows = re.findall(r"(?:^\|.*\n)+", under, re.MULTILINE)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
