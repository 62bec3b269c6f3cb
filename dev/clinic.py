"""The fictional clinic of the local run: its organizers and meetings."""

from dataclasses import dataclass
from typing import Self

from dev.stand_ins.graph_data import GraphData, Meeting, User


@dataclass(frozen=True)
class Clinic:
    """A tenant with one meeting of each kind.

    Attributes:
        doctor: An organizer for whom the app may act.
        locum: An organizer whom no access policy covers.
        busy: An organizer for whom Graph throttles the app half of the time.
        meeting: The doctor's, with a short Teams link, which is the usual form today.
        older_meeting: The doctor's, with a Teams link of the long form.
        locum_meeting: The locum's.
        busy_meeting: The busy organizer's.
        deleted_meeting: A meeting of the doctor's that Graph no longer knows.
    """

    doctor: User
    locum: User
    busy: User
    meeting: Meeting
    older_meeting: Meeting
    locum_meeting: Meeting
    busy_meeting: Meeting
    deleted_meeting: Meeting

    @classmethod
    def open(cls, data: GraphData) -> Self:
        """Add the clinic to a tenant."""
        doctor = data.add_user("dr.meyer@clinic.example")
        locum = data.add_user("dr.locum@clinic.example", covered=False)
        busy = data.add_user("dr.busy@clinic.example", busy=True)
        deleted = data.add_meeting(doctor)
        data.remove_meeting(deleted)
        return cls(
            doctor=doctor,
            locum=locum,
            busy=busy,
            meeting=data.add_meeting(doctor),
            older_meeting=data.add_meeting(doctor, long_link=True),
            locum_meeting=data.add_meeting(locum),
            busy_meeting=data.add_meeting(busy),
            deleted_meeting=deleted,
        )
