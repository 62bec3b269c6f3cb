"""The webhook route: which requests are accepted, and what happens to their events."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from shared.app import Application
from shared.core.deadline import Deadline
from shared.core.errors import GraphThrottled, SecretsUnavailable
from shared.handlers import webhooks
from shared.handlers.health import health
from shared.handlers.join_links import MAX_BODY_BYTES
from shared.handlers.responses import HttpResponse
from shared.identity.key_vault import SecretStore
from shared.queues import messages
from shared.queues.client import REQUESTS, RESULTS
from shared.webhooks.mapping import SEND_LESS
from tests.unit.events import emitted
from tests.unit.memory_queues import LINK, START, MemoryQueues, ResolverOfOneMind, Written

SECRET = "open sesame"
SHORT = "https://teams.microsoft.com/meet/23456789012345?p=canary"
SOURCES: dict[str, dict[str, Any]] = {
    "own": {
        "scheme": {"type": "body-hmac", "header": "X-Sig", "encoding": "hex"},
        "secret": "own-secret",
        "mapping": {
            "when": "kind == 'booked'",
            "deliveryId": "delivery",
            "userId": "user",
            "onlineMeetingId": "meeting",
            "joinWebUrl": "url",
            "context": "context",
        },
    },
    "standard": {"preset": "standard", "secret": "standard-secret"},
    "broken": {"preset": "calcom", "secret": "s", "reply": "canary-value"},
}
INLINE = {
    **SOURCES,
    "own": {
        **SOURCES["own"],
        "reply": "inline",
        "mapping": {**SOURCES["own"]["mapping"], "sentAt": "sent"},
    },
}
BOOKED = {
    "kind": "booked",
    "sent": START,
    "delivery": "d-1",
    "user": LINK.user_id,
    "meeting": LINK.online_meeting_id,
    "context": {"patient": "canary"},
}


class MemorySecrets(SecretStore):
    """A vault in memory."""

    def __init__(self) -> None:
        key = "whsec_" + base64.b64encode(SECRET.encode()).decode()
        self.values: dict[str, tuple[str, ...]] = {
            "own-secret": (SECRET,),
            "standard-secret": (key,),
        }
        self.rotated: dict[str, tuple[str, ...]] = {}
        self.looks = 0
        self.away = False

    def current(self, name: str, *, deadline: Deadline) -> tuple[str, ...]:  # noqa: ARG002 - as it is
        """Give what is remembered."""
        if self.away:
            raise SecretsUnavailable("Key Vault did not give the secret.")
        return self.values.get(name, ())

    def newer(self, name: str, *, seen: tuple[str, ...], deadline: Deadline) -> tuple[str, ...]:  # noqa: ARG002 - as it is
        """Look again."""
        self.looks += 1
        return self.rotated.get(name, seen)


@dataclass
class Setup:
    """An app whose ways out are in memory."""

    sources: dict[str, Any] = field(default_factory=lambda: dict(SOURCES))
    error: Exception | None = None
    queues: MemoryQueues = field(default_factory=MemoryQueues)
    secrets: MemorySecrets = field(default_factory=MemorySecrets)

    def __post_init__(self) -> None:
        self.resolver = ResolverOfOneMind(self.error)
        self.application = Application(
            {
                "AzureWebJobsStorage": "UseDevelopmentStorage=true",
                "KEY_VAULT_URI": "https://unused.vault.azure.net",
                "WEBHOOK_SOURCES": json.dumps(self.sources),
            }
        )
        self.application._services = replace(
            self.application.services(),
            queues=self.queues,
            secrets=self.secrets,
            resolver=self.resolver,
        )
        self.application.event_limiter.emit_due()  # as after a request for health

    def receive(self, name: str, headers: dict[str, str], body: bytes) -> HttpResponse:
        """Post to a source."""
        headers = {"Content-Length": str(len(body)), **headers}
        return webhooks.receive(self.application, name, headers, body, now=lambda: START)

    def post(self, event: object = None, *, secret: str = SECRET, **headers: str) -> HttpResponse:
        """Post a signed event to the source of one's own."""
        body = event if isinstance(event, bytes) else json.dumps(event or BOOKED).encode()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.receive("own", {"X-Sig": sign(body, secret), **headers}, body)


def sign(body: bytes, secret: str = SECRET) -> str:
    """Sign as the source does."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def request_id(delivery: bytes, name: str = "own") -> str:
    """Say which request id a delivery must get."""
    return f"{name}-{hashlib.sha256(delivery).hexdigest()[:32]}"


def members(answer: HttpResponse) -> Any:  # noqa: ANN401
    """Read an answer's JSON."""
    return json.loads(answer.body)


@pytest.fixture
def setup(caplog: pytest.LogCaptureFixture) -> Setup:
    """An app that is well."""
    caplog.set_level("INFO")
    return Setup()


def test_a_signed_event_goes_on_the_queue(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """202 with the request id. The message holds the source."""
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"

    answer = setup.post(traceparent=traceparent, x_ms_client_request_id="mine")

    expected = request_id(b"d-1")
    assert (answer.status, members(answer)) == (202, {"status": "accepted", "requestId": expected})
    assert answer.headers["x-ms-client-request-id"] == "mine"
    (written,) = setup.queues.written
    incoming = messages.decode(written.text.encode())
    assert written.queue == REQUESTS
    assert (incoming.source, incoming.traceparent) == ("own", traceparent)
    assert incoming.document.value == {
        "requestId": expected,
        "userId": LINK.user_id,
        "onlineMeetingId": LINK.online_meeting_id,
        "context": {"patient": "canary"},
    }
    (event,) = emitted(caplog)
    assert (event["event"], event["trigger"], event["source"]) == (
        "webhook.accepted",
        "webhook",
        "own",
    )
    assert (event["requestId"], event["code"], event["note"]) == (expected, None, None)


def test_only_the_link_of_a_pasted_text_goes_on_the_queue(setup: Setup) -> None:
    """A location may hold a whole invitation."""
    location = f"Zoë Canary, room 3\nJoin: <{SHORT}&anon=true>\nMeeting ID: 234 567 890 123 45"
    setup.post({**BOOKED, "meeting": None, "url": location})
    (written,) = setup.queues.written
    assert written.json["data"]["joinWebUrl"] == SHORT
    assert "Zo" not in written.text


def test_a_replay_has_the_same_request_id(setup: Setup) -> None:
    """By the delivery's id, even if other members changed; else by the body."""
    by_id = [setup.post({**BOOKED, "attempt": number}) for number in (1, 2)]
    assert {members(one)["requestId"] for one in by_id} == {request_id(b"d-1")}

    body = json.dumps({**BOOKED, "delivery": None}).encode()
    assert members(setup.post(body))["requestId"] == request_id(body)


def test_a_standard_delivery_is_named_by_its_signed_id(setup: Setup) -> None:
    """It stays the same when the sender tries again with a new time."""
    body = json.dumps({"data": {"userId": LINK.user_id, "joinMeetingId": 234567890}}).encode()
    for second in (0, 60):
        timestamp = str(int(START) + second)
        signed = f"msg_7.{timestamp}.".encode() + body
        signature = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
        headers = {
            "webhook-id": "msg_7",
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }
        answer = setup.receive("standard", headers, body)
        assert members(answer)["requestId"] == request_id(b"msg_7", "standard")


@pytest.mark.parametrize(
    ("name", "headers", "body", "note"),
    [
        ("own", {"X-Sig": "0" * 64}, b"{}", "signature_differs"),
        ("own", {}, b"{}", "signature_missing"),
        ("own", {"X-Sig": "no hex"}, b"{}", "signature_malformed"),
        ("own", {"X-Sig": sign(b"{}")}, b"", "signature_differs body_empty"),
        ("standard", {}, b"{}", "signature_missing"),
        ("unknown", {"X-Sig": sign(b"{}")}, b"{}", "unknown_source"),
        ("canary\n", {}, b"{}", "unknown_source"),
    ],
)
def test_every_refusal_looks_the_same(  # noqa: PLR0917 - a row of the table
    setup: Setup,
    caplog: pytest.LogCaptureFixture,
    name: str,
    headers: dict[str, str],
    body: bytes,
    note: str,
) -> None:
    """Byte for byte, also for an unknown source. Only the event says why."""
    expected = Setup().receive("nobody", {}, b"anything")
    caplog.clear()

    answer = setup.receive(name, headers, body)

    assert answer == expected
    assert answer.body == expected.body
    assert answer.status == 401
    assert setup.queues.written == []
    (event,) = emitted(caplog)
    assert (event["event"], event["code"]) == ("webhook.refused", "signature_invalid")
    assert event["note"] == note
    assert event["source"] == (name if name in SOURCES else None)
    assert event["caller"] is None
    assert "canary" not in caplog.text
    assert caplog.records[-1].levelname == "WARNING"


@pytest.mark.parametrize("name", ["own", "unknown"])
def test_equal_refusals_share_an_event(
    setup: Setup, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Anybody can cause them, and must not use up the log's daily quota."""
    for _ in range(3):
        assert setup.receive(name, {}, b"{}").status == 401

    assert [event["event"] for event in emitted(caplog)] == ["webhook.refused"]


def test_the_event_says_that_a_body_came_without_content_length(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise it would look like a wrong signature."""
    webhooks.receive(setup.application, "own", {"X-Sig": sign(b"{}")}, b"", now=lambda: START)
    (event,) = emitted(caplog)
    assert event["note"] == "signature_differs body_without_content_length"


def test_a_rotated_secret_is_looked_up_before_refusing(setup: Setup) -> None:
    """The new secret is accepted at once, and the old one still is."""
    setup.secrets.rotated["own-secret"] = ("new", SECRET)
    assert setup.post(secret="new").status == 202
    assert setup.secrets.looks == 1
    assert setup.post().status == 202
    assert setup.secrets.looks == 1
    assert setup.post(secret="other").status == 401


def test_a_request_that_no_secret_could_make_valid_causes_no_read(setup: Setup) -> None:
    """Malformed requests must not keep the vault busy."""
    setup.receive("own", {}, b"{}")
    assert setup.secrets.looks == 0


def test_without_a_secret_each_request_is_refused(setup: Setup) -> None:
    """Also one that is signed by an empty secret."""
    setup.secrets.values["own-secret"] = ()
    assert setup.post(secret="").status == 401
    setup.secrets.values["own-secret"] = ("",)
    assert setup.post(secret="").status == 401


def test_without_a_vault_the_sender_tries_again(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """503. The event names the vault."""
    setup.secrets.away = True
    answer = setup.post()
    assert (answer.status, members(answer)["code"]) == (503, "secrets_unavailable")
    assert answer.headers["Retry-After"] == "10"
    assert emitted(caplog)[-1]["code"] == "secrets_unavailable"


def test_the_size_is_checked_first(setup: Setup) -> None:
    """For unknown and known sources."""
    most = MAX_BODY_BYTES
    big = setup.post(json.dumps({**BOOKED, "padding": "x" * most}).encode())
    assert (big.status, members(big)["fix"]) == (413, SEND_LESS)
    assert setup.receive("nobody", {}, b"x" * (most + 1)).body == big.body
    padding = most - len(json.dumps({**BOOKED, "padding": ""}))
    assert setup.post({**BOOKED, "padding": "x" * padding}).status == 202


def test_an_event_that_is_not_for_the_app_is_accepted_and_ignored(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason in the response. Nothing is queued."""
    answer = setup.post({**BOOKED, "kind": "cancelled"})
    assert (answer.status, members(answer)) == (
        202,
        {
            "status": "ignored",
            "reason": "not_for_us",
            "detail": "The signature is valid. The event is not for this app: the source's "
            "condition when decides.",
        },
    )
    assert setup.queues.written == []
    (event,) = emitted(caplog)
    assert (event["event"], event["note"]) == ("webhook.ignored", "not_for_us when")


@pytest.mark.parametrize("body", [b"<xml/>", b"[]", b"\xff", b"[" * 30_000, b'{"a": }'])
def test_an_unreadable_event_is_accepted_and_its_error_published(setup: Setup, body: bytes) -> None:
    """After a valid signature there is no 4xx. The error is on the result queue."""
    answer = setup.post(body)

    assert (answer.status, members(answer)["reason"]) == (202, "undecodable")
    assert members(answer)["requestId"] == request_id(body)
    (written,) = setup.queues.written
    assert written.queue == RESULTS
    assert (written.json["id"], written.json["data"]["code"]) == (
        request_id(body),
        "invalid_request",
    )


def test_an_empty_body_is_accepted_and_ignored(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """Some systems test a webhook with one."""
    answer = setup.receive("own", {"X-Sig": sign(b"")}, b"")
    assert (answer.status, members(answer)["reason"]) == (202, "undecodable")
    assert setup.queues.written == []
    assert emitted(caplog)[-1]["note"] == "undecodable body_empty"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({**BOOKED, "meeting": None}, "meeting_missing"),
        ({**BOOKED, "user": None}, "meeting_missing"),
        ({**BOOKED, "user": "nobody"}, "invalid_request"),
        ({**BOOKED, "meeting": None, "url": "https://zoom.us/j/1"}, "invalid_request"),
        ({**BOOKED, "meeting": {"id": 1}}, "invalid_request"),
    ],
)
def test_an_event_without_a_request_is_accepted_and_its_error_published(
    setup: Setup, caplog: pytest.LogCaptureFixture, event: dict[str, Any], code: str
) -> None:
    """202 to the sender, and a failure on the result queue."""
    answer = setup.post(event)

    expected = {"status": "ignored", "reason": code, "requestId": request_id(b"d-1")}
    told = members(answer)
    assert told.pop("detail").startswith("The signature is valid. ")
    assert (answer.status, told) == (202, expected)
    (written,) = setup.queues.written
    told = written.json
    assert written.queue == RESULTS
    assert told["type"] == "virtual-appointment.join-link.failed"
    assert told["source"] == "/virtual-appointment/webhooks/own"
    assert (told["id"], told["data"]["code"]) == (request_id(b"d-1"), code)
    assert told["data"]["source"] == "own"
    if isinstance(event["context"], dict):
        assert told["data"]["context"] == event["context"]
    (emission,) = emitted(caplog)
    assert (emission["event"], emission["note"]) == ("webhook.ignored", code)


@pytest.mark.parametrize(
    ("queue", "event"), [(REQUESTS, BOOKED), (RESULTS, {**BOOKED, "meeting": None})]
)
def test_an_event_that_cannot_be_queued_is_not_accepted(
    setup: Setup, caplog: pytest.LogCaptureFixture, queue: str, event: dict[str, Any]
) -> None:
    """503 and never 202, so that the sender tries again."""
    setup.queues.away = {queue}
    answer = setup.post(event)
    assert (answer.status, members(answer)["code"]) == (503, "queue_unavailable")
    assert emitted(caplog)[-1]["code"] == "queue_unavailable"


def test_an_invalid_optional_member_is_left_out(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """The log event notes it."""
    answer = setup.post({**BOOKED, "context": "x" * 5000})

    assert (answer.status, members(answer)["status"]) == (202, "accepted")
    incoming = messages.decode(setup.queues.on(REQUESTS)[0].text.encode())
    assert isinstance(incoming.document.value, dict)
    assert "context" not in incoming.document.value
    assert emitted(caplog)[-1]["note"] == "context_left_out"


def test_an_inline_reply_leaves_an_invalid_optional_member_out_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log event with the note is that of the link."""
    caplog.set_level("INFO")
    setup = Setup(sources=INLINE)

    answer = setup.post({**BOOKED, "context": "x" * 5000})

    assert (answer.status, members(answer)["context"]) == (200, None)
    event = emitted(caplog)[-1]
    assert (event["event"], event["note"]) == ("join_link.resolved", "context_left_out")


@pytest.mark.parametrize("sources", [SOURCES, INLINE])
def test_alternatives_of_an_event_are_queued_and_tried(sources: dict[str, Any]) -> None:
    """Also in an inline reply."""
    setup = Setup(sources=sources)

    setup.post({**BOOKED, "url": SHORT})

    if sources is SOURCES:
        incoming = messages.decode(setup.queues.on(REQUESTS)[0].text.encode())
        assert incoming.alternatives == ({"joinWebUrl": SHORT},)
    else:
        assert len(setup.resolver.requests[0].alternatives) == 1


def test_a_missing_link_has_the_fix_of_its_preset() -> None:
    """Or a general one."""
    calendly = {"preset": "calendly", "secret": "own-secret", "scheme": SOURCES["own"]["scheme"]}
    setup = Setup(sources={**SOURCES, "calendly": calendly})
    location = {"type": "microsoft_teams_conference", "status": "processing", "join_url": None}
    event = {"event": "invitee.created", "payload": {"scheduled_event": {"location": location}}}
    body = json.dumps(event).encode()

    setup.receive("calendly", {"X-Sig": sign(body)}, body)
    setup.post({**BOOKED, "meeting": None})

    by_preset, in_general = (written.json["data"] for written in setup.queues.on(RESULTS))
    assert by_preset["detail"] == "The booking names no Teams meeting."
    assert by_preset["fix"].startswith("Calendly posts a booking once")
    assert in_general["fix"].startswith("Look at the booking.")
    for told in (by_preset, in_general):
        assert "POST /api/join-link" in told["fix"]


@pytest.mark.parametrize(
    ("event", "members_of_data"),
    [
        ({"type": "visit.booked"}, ["onlineMeetingId", "joinWebUrl", "joinMeetingId"]),
        ({"userId": LINK.user_id, "joinWebUrl": SHORT}, ["onlineMeetingId", "joinWebUrl"]),
        ({"data": {"joinWebUrl": SHORT}}, ["userId", "organizer"]),
    ],
    ids=["no data", "the members beside data", "no organizer"],
)
def test_a_sender_of_ones_own_is_told_which_members_of_data_are_missing(
    event: dict[str, Any], members_of_data: list[str]
) -> None:
    """In the answer and on the result queue. Its source has no mapping that could be corrected."""
    sender = {"preset": "standard", "secret": "own-secret", "scheme": SOURCES["own"]["scheme"]}
    setup = Setup(sources={"own": sender})

    answer = members(setup.post(event))

    fix = setup.queues.on(RESULTS)[0].json["data"]["fix"]
    assert answer["reason"] == "meeting_missing"
    assert answer["detail"].endswith(fix)
    assert "the event's `data`" in fix
    assert "mapping" not in fix
    for name in members_of_data:
        assert name in fix


def test_a_source_with_a_mapping_of_its_own_is_told_to_correct_that() -> None:
    """What the preset says of its own expressions would be wrong there."""
    sender = {"preset": "standard", "secret": "own-secret", "scheme": SOURCES["own"]["scheme"]}
    mapping = {"joinWebUrl": "link", "organizer": "doctor"}
    setup = Setup(sources={"own": {**sender, "mapping": mapping}})

    setup.post({"type": "visit.booked"})
    setup.post({"link": SHORT})

    meeting, organizer = (written.json["data"]["fix"] for written in setup.queues.on(RESULTS))
    assert "correct the source's mapping" in meeting
    assert organizer.startswith("Give the source a mapping for the organizer")


def test_an_empty_list_is_called_one(setup: Setup) -> None:
    """It is a list, and JSON."""
    setup.post(b"[]")

    data = setup.queues.on(RESULTS)[0].json["data"]
    assert data["detail"] == "What the booking system posted cannot be read: it is an empty list."


def test_each_event_of_a_list_is_handled(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """One response with the ids in order, and one log event for each."""
    unnamed = {**BOOKED, "delivery": None}
    unusable = {**BOOKED, "delivery": "d-2", "meeting": None}
    items = [BOOKED, {"kind": "other"}, unnamed, unusable, 7]

    answer = setup.post(items)

    assert answer.status == 202
    told = members(answer)
    by_content = told["requestIds"][2]
    assert told == {
        "status": "accepted",
        "requestIds": [request_id(b"d-1"), None, by_content, request_id(b"d-2"), request_id(b"7")],
    }
    queued = [
        messages.decode(written.text.encode()).correlation.request_id
        for written in setup.queues.on(REQUESTS)
    ]
    assert queued == [request_id(b"d-1"), by_content]
    failed = [
        (written.json["id"], written.json["data"]["code"]) for written in setup.queues.on(RESULTS)
    ]
    assert failed == [
        (request_id(b"d-2"), "meeting_missing"),
        (request_id(b"7"), "invalid_request"),
    ]
    assert [(event["event"], event["requestId"], event["note"]) for event in emitted(caplog)] == [
        ("webhook.accepted", request_id(b"d-1"), None),
        ("webhook.ignored", None, "not_for_us when"),
        ("webhook.accepted", by_content, None),
        ("webhook.ignored", request_id(b"d-2"), "meeting_missing"),
        ("webhook.ignored", request_id(b"7"), "undecodable"),
    ]


def test_an_event_of_a_list_has_the_same_id_wherever_it_stands(setup: Setup) -> None:
    """Also if its members are in another order, or it is quoted once more."""
    one, other = (
        {**BOOKED, "delivery": None, "user": user} for user in ("a@b.example", "c@d.example")
    )
    first = members(setup.post([one, other]))["requestIds"]
    again = members(setup.post([dict(reversed(other.items())), one]))["requestIds"]
    assert len(set(first)) == 2
    assert again == first[::-1]
    quoted = members(setup.post(json.dumps(json.dumps([one, other])).encode()))["requestIds"]
    assert quoted == first


def test_a_list_without_events_for_the_app_is_ignored(setup: Setup) -> None:
    """The response says why, and that the signature was valid."""
    told = members(setup.post([{"kind": "other"}, {"kind": "cancelled"}]))
    assert (told["status"], told["reason"]) == ("ignored", "not_for_us")
    assert told["detail"].startswith("The signature is valid.")
    assert told["requestIds"] == [None, None]


def test_a_list_is_not_answered_inline() -> None:
    """Its sender would wait too long."""
    setup = Setup(sources=INLINE)
    answer = setup.post([BOOKED])
    assert (answer.status, members(answer)["requestIds"]) == (202, [request_id(b"d-1")])
    assert [written.queue for written in setup.queues.written] == [REQUESTS]


def test_a_list_that_cannot_be_queued_is_not_accepted(setup: Setup) -> None:
    """The whole list comes again, with the same ids."""
    setup.queues.on_send = lambda _: setup.queues.away.add(REQUESTS)
    assert setup.post([BOOKED, {**BOOKED, "delivery": "d-2"}]).status == 503


def test_everything_of_a_list_is_written_in_one_go(setup: Setup) -> None:
    """So that the queues can write it in parallel while the sender waits: requests and outcomes."""
    setup.post(
        [{**BOOKED, "delivery": f"d-{number}"} for number in range(98)]
        + [7, {**BOOKED, "meeting": None}]
    )

    assert setup.queues.sizes == [100]
    assert len(setup.queues.on(REQUESTS)) == 98
    assert len(setup.queues.on(RESULTS)) == 2


def test_a_list_may_hold_a_hundred_events(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """One more is refused before anything is queued, and the event names the source as caller."""
    assert setup.post([BOOKED] * 100).status == 202
    setup.queues.written.clear()
    caplog.clear()

    answer = setup.post([BOOKED] * 101)

    assert (answer.status, members(answer)["code"]) == (413, "payload_too_large")
    assert members(answer)["fix"] == SEND_LESS
    assert setup.queues.written == []
    (event,) = emitted(caplog)
    assert (event["event"], event["code"]) == ("webhook.refused", "payload_too_large")
    assert (event["source"], event["caller"]) == ("own", "own")


def test_each_refusal_after_a_valid_signature_has_its_own_event(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """Only those that anybody can cause share one."""
    setup.queues.away.add(REQUESTS)
    for _ in range(3):
        assert setup.post().status == 503
    events = emitted(caplog)
    assert [event["caller"] for event in events] == ["own"] * 3
    assert {event["code"] for event in events} == {"queue_unavailable"}


@pytest.mark.parametrize("quoted", [False, True])
def test_a_body_of_too_many_values_is_refused_as_a_whole(
    setup: Setup, caplog: pytest.LogCaptureFixture, *, quoted: bool
) -> None:
    """Nothing of it is accepted, so its sender knows that it has to send less."""
    few, half, many = ({**BOOKED, "beside": [0] * count} for count in (3_900, 2_100, 4_001))
    bodies: list[Any] = [few, many, [BOOKED, many], [half, half]]
    if quoted:
        bodies = [json.dumps(few), json.dumps(many), [BOOKED, json.dumps(many)]]
        bodies.append([json.dumps(half)] * 2)

    assert setup.post(json.dumps(bodies.pop(0)).encode()).status == 202
    setup.queues.written.clear()
    for body in bodies:
        answer = setup.post(json.dumps(body).encode())
        assert (answer.status, members(answer)["code"]) == (413, "payload_too_large")
        assert setup.queues.written == []
        event = emitted(caplog)[-1]
        assert (event["event"], event["code"]) == ("webhook.refused", "payload_too_large")


@pytest.mark.parametrize(("fields", "status"), [(1_000, 202), (1_001, 413)])
def test_a_form_of_too_many_fields_is_refused(setup: Setup, fields: int, status: int) -> None:
    """As JSON of too many values is."""
    body = "&".join(["kind=other"] * fields).encode()

    answer = setup.post(body, Content_Type="application/x-www-form-urlencoded")

    assert (answer.status, setup.queues.written) == (status, [])


def test_an_event_that_is_quoted_in_its_list_is_taken_up(setup: Setup) -> None:
    """By the same id; what is quoted and no JSON is told like anything else that is none."""
    plain = members(setup.post([{**BOOKED, "delivery": None}]))["requestIds"]

    told = members(setup.post([json.dumps({**BOOKED, "delivery": None}), "no JSON"]))

    assert told["requestIds"][:1] == plain
    assert setup.queues.on(RESULTS)[-1].json["id"] == told["requestIds"][1]


def test_an_inline_source_gets_the_link(caplog: pytest.LogCaptureFixture) -> None:
    """200 with the result, which is not queued as well."""
    caplog.set_level("INFO")
    setup = Setup(sources=INLINE)

    answer = setup.post()

    assert answer.status == 200
    assert members(answer) == {
        "requestId": request_id(b"d-1"),
        "userId": LINK.user_id,
        "onlineMeetingId": LINK.online_meeting_id,
        "virtualAppointmentJoinWebUrl": LINK.virtual_appointment_join_web_url,
        "context": {"patient": "canary"},
    }
    assert setup.queues.written == []
    event = emitted(caplog)[-1]
    assert (event["event"], event["trigger"], event["source"]) == (
        "join_link.resolved",
        "webhook",
        "own",
    )


@pytest.mark.parametrize("error", [GraphThrottled("No.", retry_after=3), ValueError("canary")])
def test_an_inline_source_falls_back_to_the_queue(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """For each error, because booking systems cannot handle one."""
    caplog.set_level("INFO")
    setup = Setup(sources=INLINE, error=error)

    answer = setup.post()

    assert (answer.status, members(answer)["status"]) == (202, "accepted")
    assert [written.queue for written in setup.queues.written] == [REQUESTS]
    event = emitted(caplog)[-1]
    assert event["event"] == "webhook.accepted"
    assert event["note"] in ("inline_graph_throttled", "inline_internal_error")
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (START - 299, 200),
        (START + 299, 200),
        ((START - 299) * 1000, 200),
        ("2027-01-15T08:00:00Z", 200),
        ("2027-01-15T09:00:00.5+01:00", 200),
        (START - 301, 202),
        (START + 301, 202),
        (START - 30 * 24 * 3600, 202),
        ("2027-01-15T08:00:00", 202),
        ("yesterday", 202),
        (None, 202),
        (True, 202),
        ([START], 202),
    ],
)
def test_a_replay_of_an_old_event_gets_no_link(
    caplog: pytest.LogCaptureFixture, sent: object, status: int
) -> None:
    """A signature over the body alone does not expire, so the time in the body decides."""
    caplog.set_level("INFO")
    setup = Setup(sources=INLINE)

    answer = setup.post({**BOOKED, "sent": sent})

    assert answer.status == status
    if status == 202:
        assert [written.queue for written in setup.queues.written] == [REQUESTS]
        assert emitted(caplog)[-1]["note"] == "inline_not_recent"


def test_an_inline_reply_needs_no_such_time_where_the_signature_covers_one() -> None:
    """The signature's tolerance limits its age."""
    setup = Setup(sources={"standard": {**SOURCES["standard"], "reply": "inline"}})
    data = {"userId": LINK.user_id, "onlineMeetingId": LINK.online_meeting_id}
    body = json.dumps({"data": data}).encode()
    signed = f"msg_1.{START:.0f}.".encode() + body
    signature = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": f"{START:.0f}",
        "webhook-signature": f"v1,{signature.decode()}",
    }

    assert setup.receive("standard", headers, body).status == 200


def test_an_inline_reply_leaves_time_for_the_queue() -> None:
    """All within the ten seconds that senders wait."""
    setup = Setup(sources=INLINE, error=GraphThrottled("No."))
    began = time.monotonic()

    setup.post()

    resolver = setup.application.services().resolver
    assert isinstance(resolver, ResolverOfOneMind)
    reply, queue = resolver.deadlines[0], setup.queues.written[0].deadline
    assert queue.at - reply.at == pytest.approx(webhooks.QUEUE_SECONDS, abs=0.5)
    assert queue.at <= began + 10


def test_an_unforeseen_exception_is_500(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """So that the sender tries again. The log says where, and quotes nothing."""

    def fail(_: Written) -> None:
        raise ZeroDivisionError("canary")

    setup.queues.on_send = fail

    answer = setup.post()
    assert (answer.status, members(answer)["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert "canary" not in caplog.text


def test_an_invalid_source_affects_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """503 to its sender. Log and health name it without values, and health stays 200."""
    caplog.set_level("INFO")
    setup = Setup()

    (told,) = emitted(caplog)
    assert (told["event"], told["source"]) == ("settings.invalid", "broken")
    assert told["note"] == "/reply: Must be one of queue, inline."
    broken = setup.receive("broken", {}, b"{}")
    assert (broken.status, members(broken)["code"]) == (503, "settings_invalid")
    assert emitted(caplog)[-1]["source"] == "broken"
    assert setup.post().status == 202
    healthy = health(setup.application)
    assert (healthy.status, members(healthy)) == (
        200,
        {"status": "healthy", "faultySources": [{"name": "broken", "places": ["/reply"]}]},
    )
    assert "canary-value" not in caplog.text


def test_with_invalid_settings_the_answer_is_503() -> None:
    """The sender tries again."""
    answer = webhooks.receive(Application({}), "own", {}, b"{}")
    assert (answer.status, members(answer)["code"]) == (503, "settings_invalid")


def test_a_source_with_a_secret_needs_a_vault() -> None:
    """The settings are invalid without one."""
    application = Application(
        {
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "WEBHOOK_SOURCES": json.dumps(SOURCES),
        }
    )
    assert application.settings_error is not None
    assert [field_error.pointer for field_error in application.settings_error.field_errors] == [
        "KEY_VAULT_URI"
    ]


def test_no_event_and_no_log_line_holds_what_was_posted(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """No link, context, address or secret."""
    for event in (BOOKED, {**BOOKED, "meeting": None, "url": SHORT}, {**BOOKED, "user": "canary@"}):
        setup.post(event)
    assert caplog.text
    assert "canary" not in caplog.text
    assert SECRET not in caplog.text
