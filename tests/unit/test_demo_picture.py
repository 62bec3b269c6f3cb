"""The picture of the demo in the README is drawn from what the demo prints."""

import re

from dev import demo, demo_picture

OUTPUT = "The app is up.\n" + "".join(
    f"\n== {step.title}\n   in: …\n   as it should be\n" for step in demo.STEPS
)
END = "All 17 came out right. To try it yourself: python dev.py serve\n"


def test_the_drawn_steps_are_steps_of_the_demo() -> None:
    """Each with what it printed, and the demo's last line below."""
    lines = list(demo_picture.chosen(f"{OUTPUT}\n{END}"))

    titles = [line.removeprefix("== ") for line in lines if line.startswith("== ")]
    assert len(titles) == len(demo_picture.STEPS)
    assert set(titles) <= {step.title for step in demo.STEPS}
    assert lines.count("   as it should be") == len(titles)
    assert lines[-1] == END.strip()


def test_the_picture_fetches_nothing() -> None:
    """A browser shows it without the network."""
    drawn = demo_picture.draw(f"{OUTPUT}\n{END}")

    assert set(re.findall(r"https?://[^\"'\s<]+", drawn)) == {"http://www.w3.org/2000/svg"}
    assert "url(http" not in drawn


def test_the_picture_in_the_readme_is_small() -> None:
    """At most 200 kB, as every picture in docs/pictures."""
    for picture in demo_picture.PICTURE.parent.iterdir():
        assert picture.stat().st_size < 200_000, picture.name
