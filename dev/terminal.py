"""How the commands speak: 80 columns; colour, and a line that counts, on a terminal alone.

Standard library only: dev/environment.py speaks before there is anything else.
"""

import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

COLUMNS = 80
_COUNTING = 1.0  # seconds from one sign of life to the next


def is_coloured() -> bool:
    """Tell whether standard output takes colour, and NO_COLOR is not set (no-color.org)."""
    return _is_live() and not os.environ.get("NO_COLOR")


def green(text: str) -> str:
    """Colour a correct result."""
    return _painted(text, 32)


def red(text: str) -> str:
    """Colour an error."""
    return _painted(text, 31)


def dim(text: str) -> str:
    """Colour additional information, such as a time."""
    return _painted(text, 2)


def wrapped(text: str, *, indent: str = "") -> str:
    """Break lines that are too long, between words; further ones are indented."""
    return "\n".join(
        textwrap.fill(
            line,
            COLUMNS,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    )


def complain(error: Exception) -> None:
    """Say on standard error what went wrong; what follows its first line is others' and stays."""
    sentence, *rest = str(error).splitlines() or [type(error).__name__]
    print("\n".join([wrapped(sentence), *rest]), file=sys.stderr, flush=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Print what is being done. A terminal also shows the time until the context ends."""
    print(f"{text} ...", flush=True)
    with ticking():
        yield


@contextmanager
def ticking() -> Iterator[None]:
    """Count the seconds in one line of the terminal, until the context ends; elsewhere nothing."""
    if not _is_live():
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_tick, args=(over,), name="ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _tick(over: threading.Event) -> None:
    if os.name != "nt":  # Ctrl-C is for the main thread, which may just hold it back
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    began = time.monotonic()
    line = ""
    with suppress(OSError):  # the terminal may go before the process does
        while not over.wait(_COUNTING):
            line = f"   {time.monotonic() - began:.0f} s"
            # Other output then starts at the line's beginning and overwrites it.
            print(dim(line), end="\r", flush=True)
        print(" " * len(line), end="\r", flush=True)


def _is_live() -> bool:
    """Tell whether standard output is a terminal that knows colours and can go back in a line."""
    known = os.environ.get("TERM", "dumb") != "dumb" or "WT_SESSION" in os.environ
    return known and sys.stdout.isatty()


def _painted(text: str, code: int) -> str:
    return f"\033[{code}m{text}\033[0m" if is_coloured() else text
