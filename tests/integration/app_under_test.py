"""The running app with helpers for its callers, and all that it logs."""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from dev.host.logs import LogLine
from dev.local_run import FUNCTION_KEY, LocalRun
from dev.stand_ins.graph_data import Meeting, User

REQUESTS = "join-link-requests"
RESULTS = "join-link-results"


class LogWatch:
    """Collects the log lines of all apps under test, and the texts that none may hold."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.canaries: dict[str, str] = {}

    def forbid(self, what: str, text: str) -> str:
        """Add a text that no log line may hold, and return it."""
        self.canaries[text] = what
        return text

    def found(self) -> set[str]:
        """Name the forbidden texts that a log line holds."""
        return {
            f"{what} in {line.logger}"
            for line in self.lines
            for text, what in self.canaries.items()
            if text in line.message
        }


@dataclass(frozen=True)
class App:
    """One local run, with what tests do with it."""

    run: LocalRun
    log: LogWatch
    session: requests.Session = field(default_factory=requests.Session)

    def post(
        self,
        body: object = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        data: Any = None,  # noqa: ANN401 - as requests takes it
    ) -> requests.Response:
        """Call POST /api/join-link, with the function key by default."""
        if data is None:
            data = json.dumps(body).encode()
        sent = {
            "x-functions-key": FUNCTION_KEY,
            "Content-Type": "application/json",
            **(headers or {}),
        }
        return self.session.post(
            f"{self.run.url}/api/join-link",
            data=data,
            headers={name: value for name, value in sent.items() if value is not None},
            timeout=30,
        )

    def organizer(
        self, *, covered: bool = True, licensed: bool = True, mail: str | None = None
    ) -> User:
        """Add a user whom the app has not cached."""
        name = f"dr.{uuid.uuid4().hex[:12]}@clinic.example"
        user = self.run.graph.data.add_user(name, mail=mail, covered=covered, licensed=licensed)
        self.log.forbid("a user principal name", name)
        self.log.forbid("a mail address", user.mail)
        return user

    def meeting(self, organizer: User | None = None, **options: Any) -> Meeting:  # noqa: ANN401
        """Add a meeting whose links must never be logged."""
        meeting = self.run.graph.data.add_meeting(organizer or self.organizer(), **options)
        self.log.forbid("a meeting id", meeting.id)
        self.log.forbid("a Teams link", meeting.join_web_url)
        self.log.forbid("a thread id", meeting.thread_id)
        self.log.forbid("a join link", self.run.graph.join_link(meeting))
        return meeting

    def request(self, meeting: Meeting | None = None, **members: Any) -> dict[str, Any]:  # noqa: ANN401
        """Make a request for a meeting by its ids, with a new id and context."""
        meeting = meeting or self.meeting()
        return {
            "requestId": uuid.uuid4().hex,
            "userId": meeting.organizer,
            "onlineMeetingId": meeting.id,
            "context": {"note": self.log.forbid("a context", f"canary-{uuid.uuid4().hex}")},
            **members,
        }

    def enqueue(self, message: object) -> None:
        """Put a message on the request queue: a text as it is, another value as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.run.queue(REQUESTS).send_message(text)

    def result(self, request_id: str, *, within: float = 15.0) -> dict[str, Any]:
        """Wait for the event on the result queue that answers a request, and take it."""
        results = self.run.queue(RESULTS)

        def take() -> dict[str, Any] | None:
            for message in results.receive_messages(messages_per_page=32, visibility_timeout=1):
                event: dict[str, Any] = json.loads(message.content)
                if event["id"] == request_id:
                    results.delete_message(message)
                    return event
            return None

        return eventually(take, within=within)

    def events(self, request_id: str, *, at_least: int = 0) -> list[dict[str, Any]]:
        """The app's own events of one request, oldest first.

        Args:
            request_id: The id that the request was given.
            at_least: Wait for so many. The app logs a queue message or a delivery only
                after it, so a test that has just seen the outcome may come too soon.
        """

        def look() -> list[dict[str, Any]]:
            return [
                json.loads(line.message)
                for line in self.run.host.logs
                if line.logger == "virtual_appointment" and request_id in line.message
            ]

        eventually(lambda: len(look()) >= at_least)
        return look()


def eventually[Value](
    look: Callable[[], Value | None], *, within: float = 15.0, every: float = 0.05
) -> Value:
    """Repeat a look until it gives a value, and return that."""
    deadline = time.monotonic() + within
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"Not found within {within:g} seconds.")
        time.sleep(every)
