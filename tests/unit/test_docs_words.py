"""The pages use one word for one thing, say for whom they are, and tell nothing twice."""

import re
from itertools import combinations

import pytest

from tests.unit.docs_pages import GUIDES, PAGES, prose, text

GLOSSARY = [
    (word, " ".join(meaning.split()))
    for word, meaning in re.findall(
        r"^- \*\*([\w -]+)\*\*: (.*?)(?=\n- |\Z)",
        text("docs/glossary.md"),
        re.MULTILINE | re.DOTALL,
    )
]
OTHER_WORDS = {
    r"organiser|meeting owner": "organizer",
    r"\bUPNs?\b": "user principal name",
    r"join URL|appointment link": "join link",
    r"meeting (?:number|code)": "the number in the invitation",
    r"meeting (?:link|URL)": "Teams link",
    r"webhook source|booking (?:platform|software)": "source, or booking system",
    r"dead-letters? queue|deadletter": "dead letter",
    r"look-ups?\b": "lookup",
    r"correlation id": "request id",
    r"\bMSI\b|service identity": "managed identity",
    r"application policy": "access policy",
    r"result queues|queue of results": "result queue",
}
"""What is not written, and what is written instead."""


def sentences(page: str) -> set[str]:
    """Give the sentences of a page's prose that say enough to be told twice."""
    running = " ".join(line for line in prose(page).splitlines() if line[:1] not in ("|", "#"))
    found = re.split(r"(?<=[.:;])\s+", re.sub(r"\s+", " ", running))
    return {sentence for sentence in found if len(sentence) > 60}


def test_the_glossary_is_in_the_order_of_the_alphabet() -> None:
    """Each word once."""
    words = [word for word, _ in GLOSSARY]

    assert len(words) > 20
    assert words == sorted(set(words), key=str.casefold)


@pytest.mark.parametrize(("word", "meaning"), GLOSSARY)
def test_a_word_is_told_in_short_and_leads_on(word: str, meaning: str) -> None:
    """Two lines, and at the end one link to where more is said."""
    told = re.fullmatch(r"(.*) \[[^\]]+\]\([^)]+\)", meaning)

    assert told, word
    assert len(told[1]) <= 190, word


@pytest.mark.parametrize("word", [word for word, _ in GLOSSARY])
def test_a_word_of_the_glossary_is_used(word: str) -> None:
    """On a page beside the glossary itself."""
    pages = [" ".join(prose(page).split()) for page in PAGES if page != "docs/glossary.md"]
    assert any(re.search(rf"\b{word}", page, re.IGNORECASE) for page in pages)


@pytest.mark.parametrize("page", PAGES)
def test_one_thing_has_one_word(page: str) -> None:
    """That of the glossary."""
    running = " ".join(re.sub(r"`[^`]+`", "", prose(page)).split())
    found = {
        word: say for word, say in OTHER_WORDS.items() if re.search(word, running, re.IGNORECASE)
    }

    assert found == {}


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_says_first_for_whom_it_is_and_what_is_had_at_its_end(page: str) -> None:
    """In its first paragraph."""
    first = " ".join(prose(page).split("\n\n")[1].split())

    assert first.startswith("For "), page
    assert "At its end" in first or page == "docs/glossary.md", page


def test_no_two_pages_tell_the_same() -> None:
    """In the same sentence: one tells it, and the other links."""
    told = {page: sentences(page) for page in PAGES}

    twice = [told[one] & told[other] for one, other in combinations(PAGES, 2)]

    assert set().union(*twice) == set()
