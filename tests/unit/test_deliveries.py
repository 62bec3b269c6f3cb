"""What happens to one message of the delivery queue."""

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.stand_ins.faults import Close, CutBody, Delay, Redirect, Reset, Status
from dev.stand_ins.receiver import Receiver
from dev.stand_ins.stand_in import Fault
from shared.core import errors, strict_json
from shared.core.errors import CODES
from shared.deliveries.delivery import Delivery, read_delivery
from shared.deliveries.sender import MOST_AT_ONCE
from shared.handlers import deliveries
from shared.handlers.processing import MessageNotCompleted
from shared.queues.client import DEAD_LETTERS, DELIVERIES
from shared.queues.messages import MAX_DEQUEUE_COUNT
from shared.queues.retry_policy import History
from tests.unit.delivery_world import (
    OLD_SECRET,
    SECRET,
    Secrets,
    deliver,
    destination,
    event,
    message,
    put_back,
    services_for,
)
from tests.unit.events import emitted
from tests.unit.memory_queues import COMPLETE, LINK, MemoryQueues

HOUR = 3600


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes what is signed with SECRET."""
    with Receiver(secret=SECRET) as receiver:
        yield receiver


@pytest.fixture
def queues() -> MemoryQueues:
    """Empty ones."""
    return MemoryQueues()


def test_an_outcome_is_posted_signed_and_its_message_completed(
    receiver: Receiver, queues: MemoryQueues, caplog: pytest.LogCaptureFixture
) -> None:
    """The receiver verifies it, and gets the same data as the result queue."""
    caplog.set_level(logging.INFO)
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, message())

    assert queues.journal == [COMPLETE]
    assert emitted(caplog)[-1]["caller"] == "queue"
    (taken,) = receiver.taken
    assert taken.event == {
        "type": "join_link.resolved",
        "timestamp": event()["time"],
        "data": event()["data"],
    }
    (call,) = receiver.calls
    assert call.request.headers["user-agent"] == "virtual-appointment-join-link/1"
    (told,) = emitted(caplog)
    assert (told["event"], told["trigger"], told["destination"]) == (
        "delivery.succeeded",
        "delivery",
        "crm",
    )
    assert (told["requestId"], told["attempts"], told["note"]) == ("booking-1", 1, "status_200")
    assert LINK.virtual_appointment_join_web_url not in caplog.text
    assert "tenant" not in caplog.text


def test_a_problem_is_posted_as_a_failure(receiver: Receiver, queues: MemoryQueues) -> None:
    """With its code and fix."""
    services = services_for(queues, {"crm": destination(receiver.url)})
    failed = event(errors.AccessPolicyMissing("No policy.", fix="Grant it."), source="calcom")

    deliver(services, queues, message(made=failed))

    (taken,) = receiver.taken
    assert taken.event["type"] == "join_link.failed"
    assert taken.event["data"]["code"] == "access_policy_missing"
    assert taken.event["data"]["source"] == "calcom"


@pytest.mark.parametrize("known", [SECRET, OLD_SECRET])
def test_during_a_rotation_both_secrets_sign(queues: MemoryQueues, known: str) -> None:
    """The vault's two newest versions."""
    secrets = Secrets({"delivery-crm": (SECRET, OLD_SECRET)})
    with Receiver(secret=known) as receiver:
        services = services_for(queues, {"crm": destination(receiver.url)}, secrets=secrets)

        deliver(services, queues, message())

        assert len(receiver.taken) == 1


def test_a_url_that_is_a_secret_comes_from_the_vault(
    receiver: Receiver, queues: MemoryQueues
) -> None:
    """From its newest version. A line break at its end is ignored."""
    secrets = Secrets({"delivery-crm": (SECRET,), "flow-url": (f"{receiver.url}\n", "https://old")})
    entry = destination(None, urlSecret="flow-url")  # type: ignore[arg-type] # left out
    services = services_for(queues, {"crm": entry}, secrets=secrets)

    deliver(services, queues, message())

    assert len(receiver.taken) == 1


FAILURES: dict[str, Fault] = {
    "500": Status(500),
    "401": Status(401),
    "404": Status(404),
    "302": Redirect("http://127.0.0.1:1/"),
    "304": Status(304),
    "429": Status(429),
    "reset": Reset(),
    "closed": Close(),
}


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)
def test_a_failed_delivery_is_tried_again(
    receiver: Receiver, queues: MemoryQueues, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """By a delayed message that differs only in its history. The delivery's id stays the same."""
    receiver.order(fault)
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, message())

    assert queues.journal == [DELIVERIES, COMPLETE]
    (again,) = queues.on(DELIVERIES)
    assert 5 <= again.delay <= 10
    told = emitted(caplog)[-1]
    assert (told["event"], told["code"]) == ("delivery.retried", "delivery_failed")
    assert told["note"]

    deliver(services, queues, put_back(queues))

    first, second = (call.request.headers["webhook-id"] for call in receiver.calls)
    assert first == second
    assert [taken.id for taken in receiver.taken] == [first]


def test_a_response_that_breaks_off_after_its_headers_counts(
    receiver: Receiver, queues: MemoryQueues
) -> None:
    """The receiver has accepted the delivery."""
    receiver.order(CutBody())
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, message())

    assert queues.journal == [COMPLETE]


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("120", 120, 132), ("86400", 86_400, 86_400), ("999999", 86_400, 86_400), ("soon", 5, 10)],
)
def test_retry_after_is_obeyed_for_a_day_at_most(
    receiver: Receiver, queues: MemoryQueues, header: str, least: float, most: float
) -> None:
    """With any failing status."""
    receiver.order(Status(503, headers={"Retry-After": header}))
    services = services_for(queues, {"crm": destination(receiver.url)}, QUEUE_RETRY_HOURS="168")

    deliver(services, queues, message())

    assert least <= queues.on(DELIVERIES)[0].delay <= most


def letter(queues: MemoryQueues) -> Any:  # noqa: ANN401 - JSON is anything
    """Give the one dead letter, which shows no URL."""
    (written,) = queues.on(DEAD_LETTERS)
    assert "tenant" not in written.text
    return written.json


def test_410_makes_this_outcome_a_dead_letter_at_once(
    receiver: Receiver, queues: MemoryQueues, caplog: pytest.LogCaptureFixture
) -> None:
    """The next outcome is posted again, because no state about a destination is kept."""
    receiver.order(Status(410))
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, message())

    assert queues.journal == [DEAD_LETTERS, COMPLETE]
    dead = letter(queues)
    assert (dead["reason"], dead["error"]["code"]) == ("destination_gone", "destination_gone")
    assert (dead["queue"], dead["destination"]) == (DELIVERIES, "crm")
    told = emitted(caplog)[-1]
    assert (told["event"], told["note"]) == ("delivery.dead_lettered", "destination_gone")
    assert told["destination"] == "crm"

    deliver(services, queues, message())
    assert len(receiver.taken) == 1


def tried(error: str, *, attempts: int, age: float) -> bytes:
    """Write a delivery that has been tried before."""
    history = History(
        attempts=attempts, repeats=attempts, last_error=error, first_seen=time.time() - age
    )
    return (
        Delivery(destination="crm", event=event(), history=history, caller_name="queue")
        .to_message()
        .encode()
    )


def test_a_delivery_that_fails_for_its_retry_hours_becomes_a_dead_letter(
    receiver: Receiver, queues: MemoryQueues
) -> None:
    """It can be replayed: it starts anew, with the same id, and has all its hours again."""
    receiver.order(Status(500), times=2)
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, tried("delivery_failed", attempts=100, age=25 * HOUR))

    dead = letter(queues)
    assert (dead["reason"], dead["error"]["code"]) == ("delivery_failed", "delivery_failed")
    assert dead["attempts"] == 101
    deliver(services, queues, dead["original"].encode())
    assert queues.journal == [DEAD_LETTERS, COMPLETE, DELIVERIES, COMPLETE]
    assert queues.on(DELIVERIES)[0].json["attempts"] == 1
    assert len({call.request.headers["webhook-id"] for call in receiver.calls}) == 1


INVALID = {
    "not in the settings": ({}, {}),
    "a mistake": ({"crm": {"url": "https://crm.example/?tenant=7"}}, {}),
    "no such secret": (
        {"crm": destination("http://127.0.0.1:9/?tenant=7")},
        {"delivery-crm": ()},
    ),
    "a secret that cannot sign": (
        {"crm": destination("http://127.0.0.1:9/?tenant=7")},
        {"delivery-crm": ("tenant",)},
    ),
    "no URL in the vault": ({"crm": destination(None, urlSecret="u")}, {}),  # type: ignore[arg-type]
    "no URL at all in the vault": (
        {"crm": destination(None, urlSecret="u")},  # type: ignore[arg-type]
        {"u": ("tenant",)},
    ),
    "a private address": ({"crm": destination("https://127.0.0.1/?tenant=7", private=False)}, {}),
    "the metadata service": ({"crm": destination("https://169.254.169.254/?tenant=7")}, {}),
}


@pytest.mark.parametrize(("entries", "values"), INVALID.values(), ids=INVALID)
def test_a_delivery_waits_for_what_an_operator_can_correct(
    queues: MemoryQueues,
    entries: dict[str, Any],
    values: dict[str, tuple[str, ...]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is tried every 15 minutes, and becomes a dead letter after its retry hours."""
    secrets = Secrets({"delivery-crm": (SECRET,), **values})
    services = services_for(queues, {"other": destination(), **entries}, secrets=secrets)

    deliver(services, queues, message())
    deliver(services, queues, tried("destination_invalid", attempts=97, age=24 * HOUR))

    assert queues.journal == [DELIVERIES, COMPLETE, DEAD_LETTERS, COMPLETE]
    assert queues.on(DELIVERIES)[0].delay == 900
    dead = letter(queues)
    assert (dead["reason"], dead["error"]["code"]) == ("delivery_failed", "destination_invalid")
    assert "DELIVERIES" in dead["error"]["fix"]
    assert "tenant" not in caplog.text


@pytest.mark.parametrize("away", ["delivery-crm", "u"])
def test_a_delivery_waits_for_a_vault_that_does_not_answer(queues: MemoryQueues, away: str) -> None:
    """As for other temporary errors."""
    secrets = Secrets({"delivery-crm": (SECRET,)})
    secrets.away = {away}
    entry = destination(None, urlSecret="u")  # type: ignore[arg-type]
    services = services_for(queues, {"crm": entry}, secrets=secrets)

    deliver(services, queues, message())

    assert json.loads(put_back(queues))["lasterror"] == "secrets_unavailable"


@pytest.mark.parametrize(
    "members", [{"outcomes": ["failed"]}, {"sources": ["calcom"]}, {"sources": ["clinic", "x"]}]
)
def test_an_outcome_that_the_filter_no_longer_takes_is_not_sent(
    receiver: Receiver, queues: MemoryQueues, members: dict[str, Any]
) -> None:
    """A corrected filter applies to waiting deliveries as well."""
    services = services_for(queues, {"crm": destination(receiver.url, **members)})

    deliver(services, queues, message())

    assert receiver.calls == []
    assert letter(queues)["reason"] == "destination_gone"


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"[]",
        b"{}",
        b'{"type": "virtual-appointment.join-link.delivery", "version": 1}',
        message().replace(b"resolved", b"retried"),
        message().replace(b'"crm"', b'"https://crm.example"'),
        message().replace(b"booking-1", b"booking 1"),
        message().replace(b'"source":null', b'"source":7'),
        b'{"type":"virtual-appointment.join-link.delivery","n":%s,' % (b"9" * 5_000),
        b'{"type":"virtual-appointment.join-link.delivery","n":%s,%s'
        % (b"9" * 5_000, b"[" * 40_000),
    ],
)
def test_a_message_that_is_not_a_delivery_becomes_a_dead_letter(
    queues: MemoryQueues, body: bytes
) -> None:
    """Somebody else has put it on the queue."""
    deliver(services_for(queues, {}), queues, body)

    dead = letter(queues)
    assert (dead["reason"], dead["queue"], dead["destination"]) == ("undecodable", DELIVERIES, None)
    assert dead["original"].encode() == body


def test_a_delivery_that_breaks_the_reader_becomes_a_dead_letter_and_is_not_quoted(
    queues: MemoryQueues, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the reader would affect each message of its kind."""

    def broken(_: bytes) -> Any:  # noqa: ANN401 - it never returns
        raise LookupError("https://teams.example/secret")

    services = services_for(queues, {})
    monkeypatch.setattr(strict_json, "read", broken)

    deliver(services, queues, b"{}")

    assert letter(queues)["reason"] == "undecodable"
    assert "LookupError" in caplog.text
    assert "secret" not in caplog.text + queues.written[0].text


def test_a_later_versions_delivery_comes_again(queues: MemoryQueues) -> None:
    """That version can read it. On its last delivery the message becomes a dead letter."""
    newer = json.dumps({**json.loads(message()), "version": 2}).encode()
    services = services_for(queues, {"crm": destination()})

    with pytest.raises(MessageNotCompleted, match=r"^internal_error$"):
        deliver(services, queues, newer)
    deliver(services, queues, newer, dequeue_count=MAX_DEQUEUE_COUNT)

    dead = letter(queues)
    assert dead["reason"] == "failed_on_last_delivery"
    assert dead["original"].encode() == newer


@pytest.mark.parametrize("away", [DELIVERIES, DEAD_LETTERS])
def test_a_message_is_not_completed_until_the_next_one_is_written(
    receiver: Receiver, away: str
) -> None:
    """Otherwise the delivery would be lost."""
    queues = MemoryQueues(away)
    receiver.always(Status(410 if away == DEAD_LETTERS else 500))
    services = services_for(queues, {"crm": destination(receiver.url)})

    with pytest.raises(MessageNotCompleted, match=r"^queue_unavailable$"):
        deliver(services, queues, message())

    assert queues.journal == []


def test_on_its_last_delivery_a_message_becomes_a_dead_letter(receiver: Receiver) -> None:
    """If it could not be put back five times."""
    queues = MemoryQueues(DELIVERIES)
    receiver.order(Status(500))
    services = services_for(queues, {"crm": destination(receiver.url)})

    deliver(services, queues, message(), dequeue_count=MAX_DEQUEUE_COUNT)

    assert letter(queues)["reason"] == "failed_on_last_delivery"


@pytest.mark.parametrize("body", [message(), b"\x00\xff", b"{}"])
def test_a_poison_message_becomes_a_dead_letter(queues: MemoryQueues, body: bytes) -> None:
    """No content makes this fail, because the poison queue has no poison queue."""
    deliver(services_for(queues, {}), queues, body, action=deliveries.process_poison)

    dead = letter(queues)
    assert (dead["reason"], dead["queue"]) == ("host_gave_up", DELIVERIES)


def test_a_destination_that_hangs_delays_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Of 32 messages for it a few wait. The others are put back, which does not count as a try."""
    queues = MemoryQueues()
    caplog.set_level(logging.INFO)
    with (
        Receiver(secret=SECRET) as slow,
        Receiver(secret=SECRET) as quick,
        ExitStack() as threads,
    ):
        slow.always(Delay(3600))
        services = services_for(
            queues, {"slow": destination(slow.url), "quick": destination(quick.url)}
        )
        pool = threads.enter_context(ThreadPoolExecutor(24))
        threads.callback(slow.stop)

        waiting = [pool.submit(deliver, services, queues, message("slow")) for _ in range(32)]
        others = [pool.submit(deliver, services, queues, message("quick")) for _ in range(8)]
        for other in others:
            other.result(timeout=60)

        assert len(quick.taken) == 8
        assert slow.held == MOST_AT_ONCE
        for one in islice(as_completed(waiting, timeout=60), 32 - MOST_AT_ONCE):
            one.result()
        assert sum(not one.done() for one in waiting) == MOST_AT_ONCE
        back = queues.on(DELIVERIES)
        assert len(back) == 32 - MOST_AT_ONCE
        for written in back:
            assert 5 <= written.delay <= 15
            assert (written.json["attempts"], written.json["lasterror"]) == (0, None)
            assert written.json["firstseen"] <= time.time()


def test_a_delivery_that_was_put_back_keeps_its_retry_hours(queues: MemoryQueues) -> None:
    """They count from its first arrival."""
    services = services_for(queues, {"crm": destination()})
    assert services.sender is not None
    with ExitStack() as turns:
        for _ in range(MOST_AT_ONCE):
            turns.enter_context(services.sender.turn("crm"))
        deliver(services, queues, message(), age=10 * HOUR)

    history = json.loads(put_back(queues))
    assert abs(time.time() - 10 * HOUR - history["firstseen"]) < 60


@pytest.mark.parametrize(
    ("days", "hours", "age", "again"),
    [
        (2, 24, 47 * HOUR, True),
        (2, 24, 49 * HOUR, False),
        (1, 168, 167 * HOUR, True),
        (1, 168, 169 * HOUR, False),
    ],
)
def test_a_delivery_to_a_busy_destination_is_not_put_back_for_ever(  # noqa: PLR0917 - a table
    queues: MemoryQueues,
    caplog: pytest.LogCaptureFixture,
    days: int,
    hours: int,
    age: float,
    again: bool,
) -> None:
    """After its retention or its retry hours, whichever is longer, it becomes a dead letter."""
    services = services_for(
        queues,
        {"crm": destination()},
        RETENTION_DAYS=str(days),
        QUEUE_RETRY_HOURS=str(hours),
    )
    assert services.sender is not None
    with ExitStack() as turns:
        for _ in range(MOST_AT_ONCE):
            turns.enter_context(services.sender.turn("crm"))
        deliver(services, queues, message(), age=age)

    assert queues.journal == [DELIVERIES if again else DEAD_LETTERS, COMPLETE]
    if not again:
        assert letter(queues)["reason"] == "delivery_failed"
        assert emitted(caplog)[-1]["event"] == "delivery.dead_lettered"


def test_the_id_is_the_same_for_an_outcome_that_comes_twice() -> None:
    """If the process ended after writing it, and the request was tried again."""
    first = Delivery(destination="crm", event=event(time=1.0, attempts=1), caller_name="queue")
    again = Delivery(destination="flow", event=event(time=2.0, attempts=3), caller_name="key")

    assert first.id == again.id
    assert "." not in first.id


@pytest.mark.parametrize(
    "other",
    [
        event(errors.MeetingNotFound("No.")),
        event(source="calcom"),
        {**event(), "id": "booking-2"},
        {**event(), "data": {**event()["data"], "context": {"patient": 8}}},
        {**event(), "data": {**event()["data"], "virtualAppointmentJoinWebUrl": "https://x"}},
    ],
)
def test_another_outcome_has_another_id(other: dict[str, Any]) -> None:
    """Of the same request or of another one."""
    first = Delivery(destination="crm", event=event(), caller_name="queue")
    second = Delivery(destination="crm", event=other, caller_name="queue")

    assert first.id != second.id


HISTORIES = st.builds(
    History,
    attempts=st.just(3),
    repeats=st.integers(1, 3),
    last_error=st.sampled_from(sorted(CODES)),
    first_seen=st.floats(0, 2e9),
) | st.builds(History, first_seen=st.none() | st.floats(0, 2e9))


GUID = "12345678-0000-4000-8000-000000000001"
CALLERS = {
    "key": None,
    "queue": None,
    f"app:{GUID}": None,
    f"user:{GUID}": None,
    "calcom": "calcom",
    "key-desk": "key-desk",
}
"""Who asked, and the source that it came from."""


@given(
    history=HISTORIES,
    name=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    caller=st.sampled_from(sorted(CALLERS)),
)
def test_a_delivery_is_read_as_it_was_written(history: History, name: str, caller: str) -> None:
    """Also after it was put back. It never holds its destination's URL."""
    made = event(source=CALLERS[caller])
    written = Delivery(destination=name, event=made, history=history, caller_name=caller)

    assert read_delivery(written.to_message().encode()) == written


@pytest.mark.parametrize("caller", [None, 7, "dr.meyer@clinic.example", "user:dr.meyer", "calcom"])
@pytest.mark.parametrize(("source", "told"), [(None, "queue"), ("calcom", "calcom")])
def test_a_delivery_that_names_no_caller_is_the_queues_or_its_sources(
    caller: object, source: str | None, told: str
) -> None:
    """An earlier version wrote none; and no name or address of anybody gets into an event."""
    members = json.loads(message(made=event(source=source)))

    read = read_delivery(json.dumps({**members, "caller": caller}).encode())

    assert isinstance(read, Delivery)
    assert read.caller_name == told


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps(value).encode())
    | st.binary()
)
def test_any_message_is_read_as_a_delivery_or_an_error(body: bytes) -> None:
    """Nothing is raised."""
    assert not isinstance(read_delivery(body), Delivery)
