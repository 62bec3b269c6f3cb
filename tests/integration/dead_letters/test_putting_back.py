"""What scripts/dead_letters.py puts back or deletes, and that no request is lost."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from azure.storage.queue import QueueClient

from scripts import dead_letters as script
from tests.integration.app_under_test import App, eventually
from tests.integration.dead_letters.conftest import (
    DELIVERIES,
    contents,
    count,
    write_dead_letter,
)

POISON = "join-link-requests-poison"


def test_replay_puts_the_original_back_and_deletes_the_dead_letter(
    letters: QueueClient, requests: QueueClient
) -> None:
    """Byte for byte and without expiry. Other dead letters stay."""
    original = '{"context": "<grün> & \\"quoted\\""}'
    chosen, other = write_dead_letter(letters, original), write_dead_letter(letters)

    assert script.main(["replay", chosen]) == 0

    (message,) = requests.receive_messages()
    assert message.content == original
    assert message.expires_on is not None
    assert message.expires_on.year == 9999
    assert count(letters) == 1
    (left,) = eventually(letters.peek_messages, within=20)
    assert left.id == other


@pytest.mark.parametrize("days", [1, 30])
def test_a_delivery_that_is_put_back_is_kept_as_long_as_its_dead_letter(
    letters: QueueClient, deliveries: QueueClient, days: int
) -> None:
    """It holds a link, so it expires after RETENTION_DAYS."""
    letter = write_dead_letter(letters, queue=DELIVERIES, lifetime=days * 24 * 60 * 60)

    assert script.main(["replay", letter]) == 0

    (message,) = deliveries.receive_messages()
    assert message.expires_on is not None
    assert message.inserted_on is not None
    assert message.expires_on - message.inserted_on == timedelta(days=days)


def test_a_delivery_of_a_dead_letter_without_expiry_does_not_expire(
    letters: QueueClient, deliveries: QueueClient
) -> None:
    """As written by an earlier version of the app."""
    letter = write_dead_letter(letters, queue=DELIVERIES, lifetime=-1)

    assert script.main(["replay", letter]) == 0

    (message,) = deliveries.receive_messages()
    assert message.expires_on is not None
    assert message.expires_on.year == 9999


def test_an_original_in_base64_is_put_back_as_text(
    letters: QueueClient, requests: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The app uses base64 if the escaped text is too long."""
    original = '{"context": "grün"}'
    encoded = base64.b64encode(original.encode()).decode()
    letter = write_dead_letter(letters, original, original=None, originalBase64=encoded)

    assert script.main(["show", letter]) == 0
    assert json.loads(capsys.readouterr().out)["original"] == original
    assert script.main(["replay", letter]) == 0

    assert contents(requests) == [original]


def test_a_delivery_is_put_back_on_the_delivery_queue(
    letters: QueueClient,
    requests: QueueClient,
    deliveries: QueueClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is chosen by its destination, which list shows. Requests go back to their queue."""
    kind: dict[str, Any] = {"reason": "destination_gone", "queue": DELIVERIES}
    write_dead_letter(letters, '{"n":1}', **kind, destination="crm")
    write_dead_letter(letters, '{"n":2}', **kind, destination="flow")
    write_dead_letter(letters, '{"n":3}')

    assert script.main(["list"]) == 0
    assert "destination_gone  permission_missing  to crm" in capsys.readouterr().out
    assert script.main(["replay", "--destination", "crm"]) == 0
    assert (contents(deliveries), contents(requests)) == (['{"n":1}'], [])
    eventually(lambda: count(letters) == 0 or script.main(["replay", "--all"]), within=40, every=1)
    assert (contents(deliveries), contents(requests)) == (['{"n":1}', '{"n":2}'], ['{"n":3}'])


@pytest.mark.parametrize("queue", [None, "join-link-results", "elsewhere", 7])
def test_a_dead_letter_that_names_another_queue_is_put_back_as_a_request(
    letters: QueueClient, requests: QueueClient, queue: object
) -> None:
    """The text of a dead letter does not decide where it goes."""
    write_dead_letter(letters, '{"n":1}', queue=queue)

    assert script.main(["replay", "--all"]) == 0

    assert contents(requests) == ['{"n":1}']


def test_replay_takes_all_with_a_reason(letters: QueueClient, requests: QueueClient) -> None:
    """For example after the policy was granted."""
    for number in range(40):
        write_dead_letter(letters, f'{{"n":{number}}}')
    write_dead_letter(letters, "x", error={"code": "graph_refused"})

    assert script.main(["replay", "--code", "permission_missing"]) == 0

    assert count(requests) == 40
    assert count(letters) == 1


def test_replay_does_not_take_dead_letters_that_it_causes(
    letters: QueueClient, requests: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running app may dead-letter the same request again at once."""
    write_dead_letter(letters)
    delete, again = script._delete, 0

    def delete_and_bury(queue: QueueClient, letter: script.Letter) -> None:
        nonlocal again
        again += 1
        assert again < 1_000, "it does not end"
        delete(queue, letter)
        write_dead_letter(letters)

    monkeypatch.setattr(script, "_delete", delete_and_bury)

    assert script.main(["replay", "--all"]) == 0

    assert count(requests) == again
    assert count(letters) == 1


def test_a_truncated_original_is_not_put_back(
    letters: QueueClient, requests: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a request would be another request."""
    cut = base64.b64encode(b"y" * 39_000).decode()
    letter = write_dead_letter(letters, "y" * 60_000, original=None, originalBase64=cut)

    script.main(["list"])
    assert "not whole" in capsys.readouterr().out
    assert script.main(["replay", letter]) == 1

    assert (count(requests), count(letters)) == (0, 1)


def test_an_interrupted_replay_loses_nothing(
    letters: QueueClient, requests: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it stops between its two steps, the request exists twice."""
    letter = write_dead_letter(letters)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "_delete", interrupted)

    with pytest.raises(KeyboardInterrupt):
        script.main(["replay", letter])

    assert (count(requests), count(letters)) == (1, 1)


def test_a_request_that_cannot_be_put_back_keeps_its_dead_letter(
    letters: QueueClient, requests: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """No queue, no role, no network: exit code 2 and one sentence."""
    letter = write_dead_letter(letters)
    requests.delete_queue()

    assert script.main(["replay", letter]) == 2

    assert count(letters) == 1
    assert "QueueNotFound" in capsys.readouterr().err
    requests.create_queue()


def test_a_dead_letter_that_another_command_hides_is_waited_for(
    letters: QueueClient, requests: QueueClient
) -> None:
    """Another command has just read it."""
    letter = write_dead_letter(letters)
    assert list(letters.receive_messages(visibility_timeout=2))

    assert script.main(["replay", letter]) == 0

    assert count(requests) == 1


def test_drop_deletes_only_after_a_confirmation(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal it needs --yes."""
    letter = write_dead_letter(letters)

    assert script.main(["drop", letter]) == 2
    assert count(letters) == 1
    assert script.main(["drop", letter, "--yes"]) == 0

    assert count(letters) == 0


@pytest.mark.parametrize("name", ["show", "replay", "drop"])
def test_without_a_filter_nothing_is_changed(letters: QueueClient, name: str) -> None:
    """All of them must be chosen with --all."""
    write_dead_letter(letters)

    assert script.main([name, *(["--yes"] if name == "drop" else [])]) == 2

    assert contents(letters) != []


def test_a_poison_message_is_put_back_and_resolved(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: poison queue, dead letter, replay, link."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", app.run.azurite.connection_string)
    request = app.request()
    app.run.queue(POISON).send_message(json.dumps(request))
    assert app.result(request["requestId"])["type"].endswith(".failed")

    assert script.main(["replay", "--reason", "host_gave_up"]) == 0

    assert app.result(request["requestId"])["type"].endswith(".resolved")
