"""The events of booking systems: one booking of each, and cases that differ from it.

The vectors have placeholders in capitals, which a test replaces by its own meeting.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VECTORS = Path(__file__).parent / "vectors" / "bookings"


@dataclass(frozen=True)
class Place:
    """The values for the vectors' placeholders."""

    link: str
    long_link: str
    meeting_id: str
    organizer: str
    mail: str = "mail@clinic.example"
    colleague: str = "colleague@clinic.example"

    def fill(self, value: Any) -> Any:  # noqa: ANN401 - JSON is anything
        """Replace the placeholders in a value."""
        words = {
            "LINK": self.link,
            "LONG LINK": self.long_link,
            "MEETING": self.meeting_id,
            "ORGANIZER": self.organizer,
            "MAIL": self.mail,
            "COLLEAGUE": self.colleague,
        }
        match value:
            case str():
                return words.get(value, value)
            case list():
                return [self.fill(item) for item in value]
            case dict():
                return {name: self.fill(item) for name, item in value.items()}
            case _:
                return value


@dataclass(frozen=True)
class Case:
    """A booking that differs from the usual one, and its expected outcome.

    Attributes:
        name: What differs.
        system: Its booking system, as the name of a preset.
        expect: `ignored` with the condition that decides, `missing` with what is missing, or
            `members` of the request; beside these `context`, `left_out` and others.
    """

    name: str
    system: str
    changes: Mapping[str, Any]
    removals: tuple[str, ...]
    expect: Mapping[str, Any]

    def event(self, place: Place) -> Any:  # noqa: ANN401 - JSON is anything
        """Make the event that the booking system posts."""
        event = read(self.system)
        for path in self.removals:
            *parents, last = path.split(".")
            del _reach(event, parents)[last]
        for path, value in self.changes.items():
            *parents, last = path.split(".")
            _reach(event, parents)[last] = value
        return place.fill(event)

    def __str__(self) -> str:
        return self.name


def read(system: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Read the usual booking of a system, with placeholders."""
    return json.loads((_VECTORS / f"{system}.json").read_text("utf-8"))


def cases() -> list[Case]:
    """Read all cases."""
    return [
        Case(
            each["name"],
            each["system"],
            each.get("set", {}),
            tuple(each.get("remove", ())),
            each["expect"],
        )
        for each in json.loads((_VECTORS / "cases.json").read_text("utf-8"))
    ]


def _reach(event: Any, parents: list[str]) -> Any:  # noqa: ANN401 - JSON is anything
    for parent in parents:
        event = event[parent]
    return event
