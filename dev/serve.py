"""`python dev.py serve`: the app stays up, for somebody with curl."""

import contextlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from azure.core.exceptions import AzureError

from dev.booking_systems import (
    ANY_SECRET,
    SECRETS,
    SOURCES,
    calcom_booking,
    read_sources,
    secrets_of,
)
from dev.func_host import FuncHost, environment_for_func, find_func
from dev.host.logs import LogLine
from dev.local_run import DIAGNOSTICS_KEY, FUNCTION_KEY, ROOT, LocalAzure, LocalRun
from dev.terminal import working

_RESULTS = "join-link-results"
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
_OF_SOURCES = """
Your own sources: {names}
The secrets that they name are, here: {secret}
"""
_OF_FUNC = """
It runs in func, which checks no keys on this machine, and listens on all of the
machine's addresses.
"""


def serve(*, port: int = 0, sources: Path | None = None) -> int:
    """Start everything, say how to call it, and stay until Ctrl-C. Returns an exit code.

    Args:
        port: Where the app listens; 0 for any free port.
        sources: A file with booking systems of one's own, beside the local run's.

    Raises:
        StartError: That file is none; or a part of what the app needs did not start.
    """
    own = read_sources(sources) if sources else {}
    settings = {"WEBHOOK_SOURCES": json.dumps({**SOURCES, **own})}
    with ExitStack() as parts:
        with working("Starting the app, its queues and its stand-ins"):
            run = parts.enter_context(LocalRun(settings=settings, port=port, on_log=_show))
        for name in secrets_of(own):
            run.vault.set_secret(name, ANY_SECRET)
        note = _OF_SOURCES.format(names=", ".join(own), secret=ANY_SECRET) if own else ""
        try:
            print(_guide(run, url=run.url, note=note), flush=True)
            _show_results(run, while_true=lambda: True)
        except KeyboardInterrupt:
            print("\nStopping ...", flush=True)
    return 0


def serve_by_func(*, port: int = 0) -> int:
    """Do the same with `func start`, and end when that does. Returns an exit code.

    Raises:
        StartError: There is no func; or a part of what the app needs did not start.
    """
    find_func()
    with ExitStack() as parts:
        with working("Starting the app's queues and its stand-ins"):
            azure = parts.enter_context(LocalAzure(every_storage_service=True))
        environment = environment_for_func(azure)
        func = parts.enter_context(FuncHost(environment=environment, port=port))
        try:
            print(_before_func(func), flush=True)
            if func.wait_until_up():
                print(_guide(azure, url=func.url, note=_OF_FUNC), flush=True)
                _show_results(azure, while_true=lambda: func.exit_code is None)
            print(f"\nfunc has ended by itself, with exit code {func.exit_code}.", flush=True)
        except KeyboardInterrupt:
            print("\nStopping ...", flush=True)
            return 0
    return 1


def _show(line: LogLine) -> None:
    print(line, flush=True)


def _show_results(run: LocalAzure, *, while_true: Callable[[], bool]) -> None:
    """Print each result when it arrives, and leave it on the queue."""
    results = run.queue(_RESULTS)
    shown: set[str] = set()
    while while_true():
        with contextlib.suppress(AzureError):  # the next look may succeed
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


def _booking(run: LocalAzure) -> str:
    return calcom_booking(run.clinic.meeting, run.clinic.doctor).decode()


def _appointment(run: LocalAzure) -> str:
    clinic = run.clinic
    data = {"userId": clinic.doctor.object_id, "joinWebUrl": clinic.meeting.join_web_url}
    return json.dumps({"type": "appointment.booked", "data": data})


def _guide(run: LocalAzure, *, url: str, note: str = "") -> str:
    clinic = run.clinic
    return f"""
The app is up. Try it:
{note}
curl -iw '\\n' {url}/api/health

curl -iw '\\n' {url}/api/join-link \\
  -H 'x-functions-key: {FUNCTION_KEY}' \\
  -H 'Content-Type: application/json' \\
  -d '{{"userId": "{clinic.doctor.user_principal_name}",
       "joinWebUrl": "{clinic.meeting.join_web_url}"}}'

A booking at Cal.com, signed; its result arrives on {_RESULTS},
and shows below:

BOOKING='{_booking(run)}'
curl -iw '\\n' {url}/api/webhooks/calcom -d "$BOOKING" \\
  -H 'Content-Type: application/json' \\
  -H "X-Cal-Signature-256: $(printf %s "$BOOKING" | openssl dgst -sha256 -r \\
      -hmac '{SECRETS["webhook-calcom"]}' | cut -d' ' -f1)"

A system of your own, for the programs in docs/webhooks.md (Standard Webhooks):

post("{url}/api/webhooks/clinic",
     "{SECRETS["webhook-clinic"]}",
     {_appointment(run)})

The diagnostics, for a browser: {url}/api/diagnostics
  key of the function: {DIAGNOSTICS_KEY}

Who and what there is at this made-up clinic:

  organizer          {clinic.doctor.object_id}
                     {clinic.doctor.user_principal_name}
  her meeting        onlineMeetingId {clinic.meeting.id}
                     joinMeetingId {clinic.meeting.join_meeting_id}
                     joinWebUrl {clinic.meeting.join_web_url}
  one more           joinWebUrl {clinic.older_meeting.join_web_url}
  a deleted one      onlineMeetingId {clinic.deleted_meeting.id}
  organizer without
  an access policy   {clinic.locum.object_id}
  his meeting        onlineMeetingId {clinic.locum_meeting.id}

Queues, for a storage client:
  {run.azurite.connection_string}

Ctrl-C stops everything. What the app logs:
"""
