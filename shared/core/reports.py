"""What is told now and then instead of each time, since whoever pays for the log has a cap on it.

The host drops records that belong to no invocation (azure-functions-host, GrpcWorkerChannel). So
faults of the settings, which are found while the app is loaded, wait here for one.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.core.telemetry import Event, emit

FAULTS_SECONDS = 300.0
"""Between two tellings of the same fault: the alert looks at the last 15 minutes."""
REFUSALS_SECONDS = 60.0
"""Between two events of refusals that are alike."""


@dataclass(slots=True)
class _Refusals:
    """Refusals that are alike: when an event told of them, and what it has not told."""

    told_on: float
    untold: int = 0


class Reports:
    """Tells of faults in the settings, and counts refusals of callers whom nobody knows.

    Args:
        faults: of the settings; each is told again and again while it lasts.
        clock: seconds that only grow.
    """

    def __init__(
        self, faults: Sequence[Event] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._faults = faults
        self._clock = clock
        self._lock = threading.Lock()
        self._faults_told_on = float("-inf")
        self._refusals: dict[Event, _Refusals] = {}

    def refuse(self, event: Event) -> None:
        """Emit the event of a refusal; of many that are alike, one a minute, with their number.

        Args:
            event: of the refusal.
        """
        alike = Event(
            event=event.event,
            trigger=event.trigger,
            code=event.code,
            source=event.source,
            note=event.note,
        )
        now = self._clock()
        with self._lock:
            refusals = self._refusals.setdefault(alike, _Refusals(told_on=float("-inf")))
            refusals.untold += 1
            occurrences = self._due(refusals, now)
        if occurrences:
            emit(event._replace(occurrences=occurrences))
        self.tell()

    def tell(self) -> None:
        """Emit what is due, as part of the invocation that is under way."""
        if not self._faults and not self._refusals:
            return
        now = self._clock()
        with self._lock:
            due = [
                alike._replace(occurrences=occurrences)
                for alike, refusals in self._refusals.items()
                if (occurrences := self._due(refusals, now))
            ]
            if now - self._faults_told_on >= FAULTS_SECONDS:
                self._faults_told_on = now
                due.extend(self._faults)
        for event in due:
            emit(event)

    def _due(self, refusals: _Refusals, now: float) -> int:
        """Say how many are to be told now, and count them as told."""
        if refusals.untold == 0 or now - refusals.told_on < REFUSALS_SECONDS:
            return 0
        occurrences, refusals.untold, refusals.told_on = refusals.untold, 0, now
        return occurrences
