"""`python dev.py serve`: keeps the app running, to try it with curl."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import AzureError

from dev.booking_systems import (
    ANY_SECRET,
    DELIVERY_SECRET,
    read_sources,
    secrets_of,
    with_local_sources,
)
from dev.func_host import FuncHost, environment_for_func, find_func
from dev.host.logs import LogLine
from dev.local_run import DIAGNOSTICS_KEY, ROOT, LocalAzure, LocalRun
from dev.serve_guide import Guide
from dev.sign_in_app import sign_in_app
from dev.terminal import working

_RESULTS = "join-link-results"
_SECRET_OF_DELIVERIES = "delivery-yours"  # noqa: S105 - a name
_MOST_PEEKED = 32  # by the queue service
_PAUSE_SECONDS = 0.5
_STARTING_FUNC = """
Starting func on port {port}. What follows is its own output; the first time, it
downloads the extension bundle.
"""
_LOCAL_SETTINGS = """\
There is a local.settings.json: this run's settings go before it, which func says
of each.
"""
_NOTHING_DELIVERED = (
    "Nothing is delivered: --deliver-to takes an https URL, or an http one of this machine."
)
_OF_FUNC = """\
It runs in func, which checks no keys on this machine, and listens on all of the
machine's addresses."""


def serve(*, port: int = 0, sources: Path | None = None, deliver_to: str | None = None) -> int:
    """Start everything, print how to call it, and run until Ctrl-C. Return an exit code.

    Args:
        port: The port of the app; 0 for any free port.
        sources: A file with the user's own booking systems, besides the local run's.
        deliver_to: The URL of a program on this machine that outcomes are posted to.

    Raises:
        StartError: The file is not valid, or a service that the app needs did not start.
    """
    own = read_sources(sources) if sources else {}
    with ExitStack() as parts:
        log = parts.enter_context(contextlib.closing(_Log()))
        with working("Starting the app, its queues and its stand-ins"):
            settings = _settings(own, deliver_to)
            run = parts.enter_context(LocalRun(settings=settings, port=port, on_log=log.add))
            _set_secrets(run, own)
            sign_in_url = parts.enter_context(sign_in_app(run, on_log=log.add))
        try:
            guide = _guide(
                run, url=run.url, sign_in_url=sign_in_url, own=own, deliver_to=deliver_to
            )
            print(guide.text(), flush=True)
            log.show()
            _show_results(run, while_true=lambda: True)
        except KeyboardInterrupt:
            print("\nStopping ...", flush=True)
    return 0


def serve_by_func(
    *, port: int = 0, sources: Path | None = None, deliver_to: str | None = None
) -> int:
    """Do the same with `func start`, and end when func ends. Return an exit code.

    Raises:
        StartError: func is not installed; or as for `serve`.
    """
    find_func()
    own = read_sources(sources) if sources else {}
    with ExitStack() as parts:
        with working("Starting the app's queues and its stand-ins"):
            settings = _settings(own, deliver_to)
            azure = parts.enter_context(LocalAzure(settings=settings, every_storage_service=True))
            _set_secrets(azure, own)
            sign_in_url = parts.enter_context(sign_in_app(azure, on_log=_show))
        environment = environment_for_func(azure)
        func = parts.enter_context(FuncHost(environment=environment, port=port))
        try:
            print(_before_func(func), flush=True)
            if func.wait_until_up():
                guide = _guide(
                    azure,
                    url=func.url,
                    sign_in_url=sign_in_url,
                    own=own,
                    deliver_to=deliver_to,
                    note=_OF_FUNC,
                )
                print(guide.text(), flush=True)
                _show_results(azure, while_true=lambda: func.exit_code is None)
            print(f"\nfunc has ended by itself, with exit code {func.exit_code}.", flush=True)
        except KeyboardInterrupt:
            print("\nStopping ...", flush=True)
            return 0
    return 1


def _settings(own: Mapping[str, Any], deliver_to: str | None) -> dict[str, str | None]:
    settings: dict[str, str | None] = {"WEBHOOK_SOURCES": json.dumps(with_local_sources(own))}
    if deliver_to is not None:
        yours = {"url": deliver_to, "secret": _SECRET_OF_DELIVERIES, "private": True}
        settings["DELIVERIES"] = json.dumps({"yours": yours})
    return settings


def _set_secrets(run: LocalAzure, own: Mapping[str, Any]) -> None:
    for name in secrets_of(own):
        run.vault.set_secret(name, ANY_SECRET)
    run.vault.set_secret(_SECRET_OF_DELIVERIES, DELIVERY_SECRET)


def _guide(
    run: LocalAzure,
    *,
    url: str,
    sign_in_url: str,
    own: Mapping[str, Any],
    deliver_to: str | None,
    note: str = "",
) -> Guide:
    notes = [note] if note else []
    if deliver_to is not None and _refuses_destination(url):
        notes, deliver_to = [*notes, _NOTHING_DELIVERED], None
    sources, mistakes = with_local_sources(own), list[str]()
    if own:
        refused, mistakes = _refused_sources(url)
        sources = {
            name: source
            for place, (name, source) in enumerate(sources.items(), 1)
            if not {name, f"#{place}"} & {*refused}  # one without a valid name has its number
        }
    return Guide(
        run=run,
        url=url,
        sign_in_url=sign_in_url,
        sources=sources,
        mistakes=mistakes,
        notes=notes,
        deliver_to=deliver_to,
    )


def _refuses_destination(url: str) -> bool:
    health = requests.get(f"{url}/api/health", timeout=30).json()
    return "faultyDestinations" in health


def _refused_sources(url: str) -> tuple[list[str], list[str]]:
    """Ask the app which sources it refuses, and for the mistakes in them."""
    answer = requests.post(
        f"{url}/api/diagnostics", headers={"x-functions-key": DIAGNOSTICS_KEY}, timeout=30
    )
    (check,) = (check for check in answer.json()["checks"] if check["name"] == "settings")
    return check["seen"].get("invalid", []), check["seen"].get("mistakes", [])


class _Log:
    """Prints log lines; those of the start after the guide, which says in short what is wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[LogLine] | None = []

    def add(self, line: LogLine) -> None:
        """Print a line, or hold it until `show`."""
        with self._lock:
            if self._held is not None:
                self._held.append(line)
                return
        _show(line)

    def show(self) -> None:
        """Print what is held, and from now on each line at once."""
        with self._lock:
            held, self._held = self._held or [], None
        for line in held:
            _show(line)

    def close(self) -> None:
        """Print what is held, because the start has failed."""
        self.show()


def _show(line: LogLine) -> None:
    print(line, flush=True)


def _show_results(run: LocalAzure, *, while_true: Callable[[], bool]) -> None:
    """Print each result when it arrives. It stays on the queue."""
    results = run.queue(_RESULTS)
    shown: set[str] = set()
    while while_true():
        with contextlib.suppress(AzureError):  # the next try may succeed
            found = results.peek_messages(max_messages=_MOST_PEEKED)
            new = [message for message in found if message.id not in shown]
            for message in new:
                shown.add(message.id)
                print(_result(message.content), flush=True)
            if new and len(found) == _MOST_PEEKED:
                print(f"   {_MOST_PEEKED} lie there: others show when these are taken.", flush=True)
        time.sleep(_PAUSE_SECONDS)


def _result(content: str) -> str:
    try:
        event = json.loads(content)
        told = f"{event['id']} {event['type']}\n   {json.dumps(event['data'], ensure_ascii=False)}"
    except (ValueError, TypeError, KeyError):
        told = "something that the app has not put there"
    return f"\n-> {_RESULTS}: {told}\n"


def _before_func(func: FuncHost) -> str:
    settings = _LOCAL_SETTINGS if (ROOT / "local.settings.json").exists() else ""
    return _STARTING_FUNC.format(port=func.port) + settings
