"""What scripts/dead_letters.py puts back or drops, and that nothing is lost on the way."""

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
    """Byte for byte, never to expire, and the others stay."""
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
def test_a_delivery_is_put_back_for_as_long_as_its_dead_letter_was_kept(
    letters: QueueClient, deliveries: QueueClient, days: int
) -> None:
    """It holds a link, so it expires after RETENTION_DAYS again."""
    letter = write_dead_letter(letters, queue=DELIVERIES, lifetime=days * 24 * 60 * 60)

    assert script.main(["replay", letter]) == 0

    (message,) = deliveries.receive_messages()
    assert message.expires_on is not None
    assert message.inserted_on is not None
    assert message.expires_on - message.inserted_on == timedelta(days=days)


def test_a_delivery_whose_dead_letter_never_expires_does_not_either(
    letters: QueueClient, deliveries: QueueClient
) -> None:
    """One that an earlier version of the app has written."""
    letter = write_dead_letter(letters, queue=DELIVERIES, lifetime=-1)

    assert script.main(["replay", letter]) == 0

    (message,) = deliveries.receive_messages()
    assert message.expires_on is not None
    assert message.expires_on.year == 9999


def test_an_original_in_base64_is_put_back_as_the_text_it_was(
    letters: QueueClient, requests: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """One whose escapes took too much room."""
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
    """Chosen by its destination, which list shows; requests go where they came from."""
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
def test_a_dead_letter_that_names_no_queue_of_these_is_a_requests(
    letters: QueueClient, requests: QueueClient, queue: object
) -> None:
    """Whoever can write a dead letter cannot say where it goes."""
    write_dead_letter(letters, '{"n":1}', queue=queue)

    assert script.main(["replay", "--all"]) == 0

    assert contents(requests) == ['{"n":1}']


def test_replay_takes_all_of_a_kind(letters: QueueClient, requests: QueueClient) -> None:
    """After the policy was granted, say."""
    for number in range(40):
        write_dead_letter(letters, f'{{"n":{number}}}')
    write_dead_letter(letters, "x", error={"code": "graph_refused"})

    assert script.main(["replay", "--code", "permission_missing"]) == 0

    assert count(requests) == 40
    assert count(letters) == 1


def test_replay_does_not_chase_what_it_brings_about(
    letters: QueueClient, requests: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running app may make a dead letter of the same request at once, and of that one again."""
    write_dead_letter(letters)
    delete, again = script._delete, 0

    def delete_and_bury(queue: QueueClient, letter: script.Letter) -> None:
        nonlocal again
        again += 1
        assert again < 1_000, "it goes on for ever"
        delete(queue, letter)
        write_dead_letter(letters)

    monkeypatch.setattr(script, "_delete", delete_and_bury)

    assert script.main(["replay", "--all"]) == 0

    assert count(requests) == again
    assert count(letters) == 1


def test_a_cut_original_is_left_where_it_is(
    letters: QueueClient, requests: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a request would be another one."""
    cut = base64.b64encode(b"y" * 39_000).decode()
    letter = write_dead_letter(letters, "y" * 60_000, original=None, originalBase64=cut)

    script.main(["list"])
    assert "not whole" in capsys.readouterr().out
    assert script.main(["replay", letter]) == 1

    assert (count(requests), count(letters)) == (0, 1)


def test_an_interrupted_replay_loses_nothing(
    letters: QueueClient, requests: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off between its two steps, the request is there twice."""
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


def test_what_another_command_hides_is_waited_for(
    letters: QueueClient, requests: QueueClient
) -> None:
    """It passed over this one a moment ago."""
    letter = write_dead_letter(letters)
    assert list(letters.receive_messages(visibility_timeout=2))

    assert script.main(["replay", letter]) == 0

    assert count(requests) == 1


def test_drop_deletes_only_what_was_confirmed(
    letters: QueueClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """With nobody there to ask, it takes --yes."""
    letter = write_dead_letter(letters)

    assert script.main(["drop", letter]) == 2
    assert count(letters) == 1
    assert script.main(["drop", letter, "--yes"]) == 0

    assert count(letters) == 0


@pytest.mark.parametrize("name", ["show", "replay", "drop"])
def test_without_a_choice_nothing_is_touched(letters: QueueClient, name: str) -> None:
    """All of them is a choice that has to be made."""
    write_dead_letter(letters)

    assert script.main([name, *(["--yes"] if name == "drop" else [])]) == 2

    assert contents(letters) != []


def test_what_the_host_gave_up_on_is_put_back_and_resolved(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way: poison queue, dead letter, replay, link."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", app.run.azurite.connection_string)
    request = app.request()
    app.run.queue(POISON).send_message(json.dumps(request))
    assert app.result(request["requestId"])["type"].endswith(".failed")

    assert script.main(["replay", "--reason", "host_gave_up"]) == 0

    assert app.result(request["requestId"])["type"].endswith(".resolved")
