#!/usr/bin/env python3
"""Lists, shows, replays and drops dead letters.

Needs the Azure role Storage Queue Data Message Processor on join-link-dead-letters and, to replay,
Storage Queue Data Message Sender on join-link-requests and join-link-deliveries, signed in by
`az login`. Python 3.10 or newer and scripts/requirements.txt.

    python scripts/dead_letters.py --account NAME list
    python scripts/dead_letters.py --account NAME replay ID

Against a local run, set AZURE_STORAGE_CONNECTION_STRING instead of giving an account.

`list` and `show` change nothing: they peek. Storage allows peeking only at the first 32 messages of
a queue. So messages behind those are received, as for `replay` and `drop`. A message that was
received and not chosen is hidden for 15 seconds and then comes back, however this command ends.
"""

import argparse
import base64
import binascii
import contextlib
import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from command_line import end_without_package

try:
    from azure.core.exceptions import AzureError, ResourceNotFoundError
    from azure.storage.queue import LinearRetry, QueueClient, QueueMessage, QueueServiceClient
except ModuleNotFoundError as missing:
    end_without_package(missing)

DEAD_LETTERS = "join-link-dead-letters"
REQUESTS = "join-link-requests"
DELIVERIES = "join-link-deliveries"
HIDDEN_SECONDS = 15
PAGE = 32
NEVER = 9999  # storage gives a message that never expires this year as its end
REASONS = (
    "undecodable",
    "retry_time_spent",
    "failed_on_last_delivery",
    "host_gave_up",
    "delivery_failed",
    "destination_gone",
)


@dataclass(frozen=True)
class Letter:
    """One dead letter. `members` is empty if the app has not written the message."""

    message: QueueMessage
    members: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Its id for the commands."""
        return str(self.message.id)

    @property
    def reason(self) -> str:
        """The reason in the dead letter."""
        return str(self.members.get("reason", "unreadable"))

    @property
    def queue(self) -> str:
        """The queue for a replay."""
        return DELIVERIES if self.members.get("queue") == DELIVERIES else REQUESTS

    @property
    def destination(self) -> str | None:
        """The destination, for the dead letter of a delivery."""
        destination = self.members.get("destination")
        return destination if isinstance(destination, str) else None

    @property
    def error(self) -> dict[str, Any]:
        """The error of the last try."""
        error = self.members.get("error")
        return error if isinstance(error, dict) else {}

    def original(self) -> str | None:
        """Give the message to put back. None if it is not complete, or not a text."""
        text = self.members.get("original")
        try:
            if not isinstance(text, str):
                text = base64.b64decode(self.members["originalBase64"], validate=True).decode()
            digest = hashlib.sha256(text.encode()).hexdigest()
        except (KeyError, TypeError, UnicodeError, binascii.Error):
            return None
        return text if digest == self.members.get("originalSha256") else None


class UsageError(Exception):
    """The command cannot be done. The text says what can."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 if something was left undone."""
    options = _parser().parse_args(arguments)
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # its warnings are reported below
    try:
        with _connect(options) as service:
            letters = service.get_queue_client(DEAD_LETTERS)
            if options.command == "list":
                return _list(letters, options)
            if options.command == "show":
                return _show(letters, options)
            if options.command == "replay":
                queues = {name: service.get_queue_client(name) for name in (REQUESTS, DELIVERIES)}
                return _replay(letters, queues, options)
            return _drop(letters, options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except AzureError as error:
        code = getattr(error, "error_code", None) or type(error).__name__
        print(f"The queue service refused or could not be reached ({code}).", file=sys.stderr)
        print("Are you signed in (az login), with the roles on these queues?", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python scripts/dead_letters.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--account", help="name of the storage account")
    where.add_argument("--queue-service-uri", metavar="URI", help="its queue service's address")
    where.add_argument(
        "--connection-string",
        metavar="TEXT",
        default=os.environ.get("AZURE_STORAGE_CONNECTION_STRING"),
        help="for a local run (default: AZURE_STORAGE_CONNECTION_STRING)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    summaries = {
        "list": "say what is there and why",
        "show": "show everything about some, the request or outcome itself included",
        "replay": "put some back where they came from, to be tried anew",
        "drop": "delete some for good",
    }
    for name, summary in summaries.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name != "list":
            command.add_argument("ids", nargs="*", metavar="ID", help="as list shows it")
            command.add_argument("--all", action="store_true", help="every one")
        command.add_argument("--reason", choices=REASONS, help="those with this reason")
        command.add_argument("--code", help="those with this error code")
        command.add_argument("--destination", metavar="NAME", help="deliveries to this destination")
        if name == "drop":
            command.add_argument("--yes", action="store_true", help="do not ask")
    return parser


def _connect(options: argparse.Namespace) -> QueueServiceClient:
    retry = LinearRetry(backoff=1, retry_total=2, random_jitter_range=1)
    if options.account or options.queue_service_uri:
        from azure.identity import AzureCliCredential  # noqa: PLC0415 - not for a local run

        uri = options.queue_service_uri or f"https://{options.account}.queue.core.windows.net"
        credential = AzureCliCredential(process_timeout=60)
        return QueueServiceClient(uri, credential=credential, retry_policy=retry)
    if not options.connection_string:
        raise UsageError("Say where: --account NAME, or --queue-service-uri URI.")
    try:
        return QueueServiceClient.from_connection_string(
            options.connection_string, retry_policy=retry
        )
    except ValueError:
        raise UsageError("The connection string is none.") from None


def _read(message: QueueMessage) -> Letter:
    try:
        members = json.loads(message.content)
    except (TypeError, ValueError, RecursionError):
        members = None
    return Letter(message, members if isinstance(members, dict) else {})


def _peek(queue: QueueClient) -> list[Letter]:
    return [_read(message) for message in queue.peek_messages(max_messages=PAGE)]


def _take(queue: QueueClient) -> Iterator[Letter]:
    """Receive the messages page by page, without those that arrive or return meanwhile.

    Those that return may come before others. So this ends only when the queue has given nothing new
    for as many messages as there can be that have returned.
    """
    seen: set[str] = set()
    returned = 0
    began: datetime | None = None  # by the service's clock
    while True:
        page = queue.receive_messages(max_messages=PAGE, visibility_timeout=HIDDEN_SECONDS)
        letters = [_read(message) for message in page]
        if letters and began is None and (hidden_until := letters[0].message.next_visible_on):
            began = hidden_until - timedelta(seconds=HIDDEN_SECONDS)
        there = [letter for letter in letters if _came_by(began, letter.message.inserted_on)]
        new = [letter for letter in there if letter.id not in seen]
        returned = 0 if new else returned + len(letters)
        if not letters or returned > len(seen):
            return
        seen.update(letter.id for letter in new)
        yield from new


def _came_by(began: datetime | None, inserted_on: datetime | None) -> bool:
    return began is None or inserted_on is None or inserted_on <= began


def _matches(letter: Letter, options: argparse.Namespace) -> bool:
    return (
        options.reason in (None, letter.reason)
        and options.code in (None, letter.error.get("code"))
        and options.destination in (None, letter.destination)
    )


def _chosen(queue: QueueClient, options: argparse.Namespace) -> Iterator[Letter]:
    """Give the chosen dead letters, and wait for any that another command hides.

    Raises:
        UsageError: if none were chosen, or some do not exist. The others are given first.
    """
    missing = set(options.ids)
    if not (missing or options.all or options.reason or options.code or options.destination):
        raise UsageError(
            "Say which: ids as list shows them, --reason, --code, --destination or --all."
        )
    dead_letter = time.monotonic() + HIDDEN_SECONDS + 1
    while True:
        for letter in _take(queue):
            if (letter.id in missing or not options.ids) and _matches(letter, options):
                missing.discard(letter.id)
                yield letter
            if options.ids and not missing:
                return
        if not missing:
            return
        if time.monotonic() > dead_letter:
            raise UsageError(f"Not there: {', '.join(sorted(missing))}.")
        time.sleep(1)


def _list(queue: QueueClient, options: argparse.Namespace) -> int:
    letters = _peek(queue)
    if len(letters) == PAGE:
        letters = list(_take(queue))
    letters = [letter for letter in letters if _matches(letter, options)]
    for letter in letters:
        print(_summary(letter), end="\n\n")
    noun = "dead letter" if len(letters) == 1 else "dead letters"
    print(f"{len(letters)} {noun} in view. What a replay or drop passed over is hidden, but")
    print(f"for no longer than {HIDDEN_SECONDS} seconds.")
    return 0


def _summary(letter: Letter) -> str:
    members, error = letter.members, letter.error
    request_id, first_seen = error.get("requestId", "without an id"), members.get("firstSeen")
    whom = "" if letter.destination is None else f"  to {letter.destination}"
    lines = [
        f"{letter.id}  {letter.reason}  {error.get('code', '')}{whom}",
        f"  request {request_id}, first seen {first_seen}, tries: {members.get('attempts')}",
    ]
    lines += [f"  {error[name]}" for name in ("detail", "fix") if name in error]
    if letter.original() is None:
        lines.append("  It is not whole: it cannot be put back, only be sent anew by its sender.")
    return "\n".join(map(_printable, lines))


def _printable(text: str) -> str:
    """Remove characters that a terminal would execute: anybody may have written the message."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _show(queue: QueueClient, options: argparse.Namespace) -> int:
    peeked = [letter for letter in _peek(queue) if letter.id in options.ids]
    everything = len(peeked) == len(set(options.ids)) > 0
    for letter in peeked if everything else _chosen(queue, options):
        shown = {"id": letter.id, **letter.members}
        if (original := letter.original()) is not None:
            shown["original"] = original
            shown.pop("originalBase64", None)
        print(json.dumps(shown, indent=2))
    return 0


def _replay(queue: QueueClient, queues: dict[str, QueueClient], options: argparse.Namespace) -> int:
    """Put messages back, then delete their dead letters. A crash in between loses nothing."""
    done = left = 0
    for letter in _chosen(queue, options):
        original = letter.original()
        if original is None:
            print(f"{letter.id}  left: it is not whole")
            left += 1
            continue
        queues[letter.queue].send_message(original, time_to_live=_lifetime(letter))
        _delete(queue, letter)
        print(f"{letter.id}  put back")
        done += 1
    print(f"{done} put back, {left} left.")
    return 1 if left else 0


def _lifetime(letter: Letter) -> int:
    """Give a replayed message's lifetime in seconds. A delivery has its dead letter's."""
    inserted, expires = letter.message.inserted_on, letter.message.expires_on
    if letter.queue == REQUESTS or inserted is None or expires is None or expires.year == NEVER:
        return -1
    return int((expires - inserted).total_seconds())


def _drop(queue: QueueClient, options: argparse.Namespace) -> int:
    if not options.yes and not _confirmed():
        raise UsageError("Nothing was dropped.")
    done = 0
    for letter in _chosen(queue, options):
        _delete(queue, letter)
        print(f"{letter.id}  dropped")
        done += 1
    print(f"{done} dropped.")
    return 0


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("Nobody is there to ask: say --yes to drop for good.")
    return input("These will be gone for good. Go on? [y/N] ").lower() in ("y", "yes")


def _delete(queue: QueueClient, letter: Letter) -> None:
    with contextlib.suppress(ResourceNotFoundError):  # another command has deleted it
        queue.delete_message(letter.message)


if __name__ == "__main__":
    sys.exit(main())
