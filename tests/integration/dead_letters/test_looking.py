"""What scripts/dead_letters.py shows, and that looking changes nothing."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from azure.storage.queue import QueueClient

from dev.azurite import Azurite
from scripts import dead_letters as script
from tests.integration.dead_letters.conftest import contents, count, write_dead_letter

SCRIPT = Path(script.__file__)


def test_list_says_what_and_why_and_changes_nothing(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Right after it, everything is as it was."""
    letter = write_dead_letter(letters)

    assert script.main(["list"]) == 0

    shown = capsys.readouterr().out
    for told in (letter, "retry_time_spent", "permission_missing", "booking-1", "No role.", "97"):
        assert told in shown
    assert "Grant it." in shown
    (message,) = letters.peek_messages()
    assert message.dequeue_count == 0


def test_list_sees_beyond_the_first_32(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """A storage queue lets nobody peek that far."""
    ids = [write_dead_letter(letters) for _ in range(70)]

    script.main(["list"])

    shown = capsys.readouterr().out
    assert all(letter in shown for letter in ids)
    assert count(letters) == 70


def test_list_can_be_narrowed(letters: QueueClient, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_what_is_no_dead_letter_stops_nothing(
    letters: QueueClient, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """Somebody may have put anything there."""
    odd = letters.send_message(text).id
    write_dead_letter(letters)

    assert script.main(["list"]) == 0
    assert script.main(["replay", odd]) == 1

    assert "2 dead letters" in capsys.readouterr().out
    assert count(letters) == 2


def test_a_dead_letter_cannot_talk_to_the_terminal(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor draw a line that is not there."""
    write_dead_letter(
        letters, error={"code": "x", "detail": "\x1b[2J\nforged", "requestId": "\u202eabc"}
    )

    script.main(["list"])

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\nforged" not in shown


def test_show_prints_the_request_itself(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """All the members, and the original readable; and nothing changes."""
    letter = write_dead_letter(letters, '{"userId":"x"}')

    assert script.main(["show", letter]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["original"], shown["attempts"]) == (letter, '{"userId":"x"}', 97)
    assert contents(letters) != []


def test_what_is_not_there_is_said(
    letters: QueueClient, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After having waited for it."""
    monkeypatch.setattr(script, "HIDDEN_SECONDS", 1)

    assert script.main(["show", "no-such-id"]) == 2

    assert "no-such-id" in capsys.readouterr().err


def test_a_service_that_is_away_is_one_sentence(azurite: Azurite) -> None:
    """As a command of its own; and no key in what it says."""
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
    """No default that could be the wrong one."""
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING", raising=False)

    assert script.main(["list"]) == 2

    assert "--account" in capsys.readouterr().err


def test_it_is_written_for_python_3_10() -> None:
    """Administrators have what their machine has."""
    assert ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 10))
