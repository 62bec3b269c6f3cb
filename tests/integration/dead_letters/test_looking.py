"""What scripts/dead_letters.py shows, and that showing changes nothing."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.storage.queue import QueueClient, QueueMessage

from dev.azurite import Azurite
from scripts import dead_letters as script
from tests.integration.dead_letters.conftest import contents, count, write_dead_letter

SCRIPT = Path(script.__file__)


def test_list_shows_request_and_reason_and_changes_nothing(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Afterwards each message is as it was."""
    letter = write_dead_letter(letters)

    assert script.main(["list"]) == 0

    shown = capsys.readouterr().out
    for told in (letter, "retry_time_spent", "permission_missing", "booking-1", "No role.", "97"):
        assert told in shown
    assert "Grant it." in shown
    (message,) = letters.peek_messages()
    assert message.dequeue_count == 0


def test_list_shows_more_than_32(letters: QueueClient, capsys: pytest.CaptureFixture[str]) -> None:
    """A storage queue's peek gives no more than 32."""
    ids = [write_dead_letter(letters) for _ in range(70)]

    script.main(["list"])

    shown = capsys.readouterr().out
    assert all(letter in shown for letter in ids)
    assert count(letters) == 70


class SlowlyRead(QueueClient):
    """A queue's client that gives messages again before others, as Azure may and Azurite does not.

    Each page is given twice: what was not deleted in time returns.
    """

    page: tuple[QueueMessage, ...] = ()
    was_given_once = False

    def receive_messages(self, **options: Any) -> Any:  # noqa: ANN401 - as in the library
        """Give a page, or the last one again."""
        if not self.was_given_once:
            self.page = (*super().receive_messages(**options),)
        self.was_given_once = not self.was_given_once
        return iter(self.page)


def test_all_are_found_though_some_return_before_the_end(
    azurite: Azurite, letters: QueueClient
) -> None:
    """A replay of thousands takes longer than those that it passes over are hidden."""
    ids = {write_dead_letter(letters) for _ in range(100)}
    slow = SlowlyRead.from_connection_string(azurite.connection_string, letters.queue_name)

    assert {letter.id for letter in script._take(slow)} == ids


def test_list_can_be_filtered(letters: QueueClient, capsys: pytest.CaptureFixture[str]) -> None:
    """By the reason and by the code."""
    write_dead_letter(letters)
    undecodable = write_dead_letter(
        letters, "x", reason="undecodable", error={"code": "invalid_request"}
    )

    script.main(["list", "--reason", "undecodable"])
    by_reason = capsys.readouterr().out
    script.main(["list", "--code", "invalid_request"])
    by_code = capsys.readouterr().out

    assert by_reason == by_code
    assert undecodable in by_reason
    assert "1 dead letter " in by_reason


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"reason": 1, "error": "x"}', "[" * 2000])
def test_other_messages_do_not_stop_the_list(
    letters: QueueClient, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Another program may have put them there."""
    odd = letters.send_message(text).id
    write_dead_letter(letters)

    assert script.main(["list"]) == 0
    assert script.main(["replay", odd]) == 1

    assert "2 dead letters" in capsys.readouterr().out
    assert count(letters) == 2


def test_control_characters_and_line_breaks_are_not_printed(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """They could change the terminal or add a line to the list."""
    write_dead_letter(
        letters, error={"code": "x", "detail": "\x1b[2J\nforged", "requestId": "\u202eabc"}
    )

    script.main(["list"])

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\nforged" not in shown


def test_show_prints_the_whole_request(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """All members and the readable original. Nothing changes."""
    letter = write_dead_letter(letters, '{"userId":"x"}')

    assert script.main(["show", letter]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["original"], shown["attempts"]) == (letter, '{"userId":"x"}', 97)
    assert contents(letters) != []


def test_an_unknown_dead_letter_is_reported(
    letters: QueueClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the command has waited for it."""
    monkeypatch.setattr(script, "HIDDEN_SECONDS", 1)

    assert script.main(["show", "no-such-id"]) == 2

    assert "no-such-id" in capsys.readouterr().err


def test_an_unreachable_service_is_reported_in_one_sentence(azurite: Azurite) -> None:
    """Run as a command. The message holds no key."""
    environment = {
        **os.environ,
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string,
    }
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, str(SCRIPT), "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert "QueueNotFound" in done.stderr
    assert "Traceback" not in done.stderr
    key = azurite.connection_string.split("AccountKey=")[1][:40]
    assert key not in done.stdout + done.stderr


def test_without_an_account_it_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A default could be the wrong account."""
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)

    assert script.main(["list"]) == 2

    assert "--account" in capsys.readouterr().err


def test_the_command_supports_python_3_10() -> None:
    """Administrators use the Python of their machine."""
    assert ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 10))
