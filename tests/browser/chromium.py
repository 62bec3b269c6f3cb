"""A real Chromium, if this machine has one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run it without a window, in a new and empty profile."""
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0  # its sandbox cannot start as root
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=find(), args=[*_QUIET, *(["--no-sandbox"] if as_root else [])]
        )
        try:
            yield started
        finally:
            started.close()
