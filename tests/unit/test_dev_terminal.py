"""What the commands print fits the terminal or the log."""

import re
import threading

import pytest

from dev import terminal
from tests.unit.terminals import show

GREEN = "from dev.terminal import green; print(green('well'))"
TICKING = """
import threading
from dev import terminal
terminal._COUNTING = 0.01
with terminal.working("Taking a while"):
    threading.Event().wait(0.2)
print("done")
"""


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_somebody_wants_none(
    environment: dict[str, str], *, coloured: bool
) -> None:
    """No colour if NO_COLOR is set, or the terminal has none."""
    assert show("-c", GREEN, **environment) == (
        0,
        "\033[32mwell\033[0m\n" if coloured else "well\n",
    )


def test_a_log_gets_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    """Only a terminal does."""
    said = [terminal.green("well"), terminal.red("not"), terminal.dim("3 s")]

    assert said == ["well", "not", "3 s"]


def test_on_a_terminal_one_line_shows_the_progress() -> None:
    """It is overwritten, and cleared at the end."""
    code, shown = show("-c", TICKING, NO_COLOR="1")

    lines = shown.split("\n")
    assert code == 0
    assert lines[0] == "Taking a while ..."
    assert re.fullmatch(r"(   \d s\r){2,} {6}\rdone", lines[1])


def test_a_log_gets_no_progress_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step is printed once."""
    monkeypatch.setattr(terminal, "_COUNTING", 0.01)

    with terminal.working("Taking a while"):
        threading.Event().wait(0.1)

    assert capsys.readouterr().out == "Taking a while ...\n"


def test_long_lines_break_between_words() -> None:
    """A word that is longer than a line stays whole, so that it can be copied."""
    address = f"https://{'x' * 90}"
    lines = terminal.wrapped(f"{'word ' * 20}\n{address}", indent="  ").splitlines()

    assert [len(line) <= terminal.COLUMNS for line in lines] == [True, True, False]
    assert lines[1].startswith("  word")
    assert lines[2] == address


def test_an_error_is_wrapped_but_a_tools_output_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first line is ours."""
    log = "log " * 30
    terminal.complain(RuntimeError(f"{'word ' * 20}\n{log}"))

    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert output.out == ""
    assert all(len(line) <= terminal.COLUMNS for line in lines[:-1])
    assert lines[-1] == log
