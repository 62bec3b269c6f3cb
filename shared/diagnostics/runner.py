"""Runs checks one after the other, each with its own time limit.

A check is data: its name, the checks before it, its function, and the fix if it fails. The checks
themselves are in `checks`.
"""

import enum
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from dataclasses import dataclass, field

from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import InternalError, ServiceError, describe
from shared.core.strict_json import Json

SECONDS = 18.0
"""The limit for all checks, in seconds. A caller waits at most 20."""
_GRACE_SECONDS = 0.25  # lets a check with a time limit of its own report what it waited for

_logger = logging.getLogger("virtual_appointment")


class Status(enum.StrEnum):
    """The result of a check."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"
    FAIL = "fail"
    NOT_REACHED = "not_reached"


class Verdict(enum.StrEnum):
    """The result of all checks together."""

    PASS = "pass"  # noqa: S105 - as above
    WARN = "warn"
    INCOMPLETE = "incomplete"
    """No check failed, but some were not reached. So it is not known whether the app works."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found. Neither the texts nor `seen` may hold a token or a link."""

    status: Status = Status.PASS
    detail: str
    seen: Mapping[str, Json] = field(default_factory=dict)
    fix: str | None = None
    code: str | None = None
    graph_request_id: str | None = None

    @classmethod
    def of_error(cls, error: ServiceError, *, status: Status = Status.FAIL) -> "Finding":
        """Make a finding of an error, with the error's fix."""
        return cls(
            status=status,
            detail=error.detail,
            fix=error.fix,
            code=error.code,
            graph_request_id=error.graph_request_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check[State]:
    """One check.

    Args:
        name: the name for programs.
        title: the name for people.
        run: does the check, and may keep what it found in the state. A ServiceError is a failure.
        fix: the next step, where the failure itself has no fix.
        seconds: the check's time limit.
        needs: the checks that must succeed before this one.
        settings: the settings that must be valid for this one.
        informative: whether it is for information only. Then it cannot fail.
    """

    name: str
    title: str
    run: Callable[[State, Deadline, RequestStats], Finding]
    fix: str
    seconds: float = 4.0
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    informative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check's part of the report."""

    name: str
    title: str
    finding: Finding
    duration_ms: float | None
    informative: bool = False

    def to_json(self) -> dict[str, Json]:
        """Give the JSON members. Members without a value are left out."""
        found = self.finding
        members: dict[str, Json] = {
            "name": self.name,
            "title": self.title,
            "status": str(found.status),
            "durationMs": self.duration_ms,
            "detail": found.detail,
            "code": found.code,
            "graphRequestId": found.graph_request_id,
            "seen": dict(found.seen) or None,
            "fix": found.fix,
        }
        return {name: value for name, value in members.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of all checks."""

    results: Sequence[Result]
    duration_ms: float

    @property
    def verdict(self) -> Verdict:
        """The verdict of the worst result. A check that was not reached is worse than a warning."""
        if self._with(Status.FAIL):
            return Verdict.FAIL
        if self._with(Status.NOT_REACHED):
            return Verdict.INCOMPLETE
        return Verdict.WARN if self._with(Status.WARN) else Verdict.PASS

    def to_json(self) -> dict[str, Json]:
        """Give the report's JSON members."""
        return {
            "verdict": str(self.verdict),
            "summary": self._summary(),
            "durationMs": self.duration_ms,
            "checks": [result.to_json() for result in self.results],
        }

    def _with(self, status: Status) -> list[Result]:
        """Give the results of this status that are not for information only."""
        return [
            result
            for result in self.results
            if result.finding.status is status
            and not (result.informative and status is Status.NOT_REACHED)
        ]

    def _summary(self) -> str:
        def titles(status: Status) -> str:
            return "; ".join(result.title for result in self._with(status))

        warnings = f" Warnings: {titles(Status.WARN)}." if self._with(Status.WARN) else ""
        match self.verdict:
            case Verdict.FAIL:
                return f"To fix: {titles(Status.FAIL)}."
            case Verdict.INCOMPLETE:
                unreached = self._with(Status.NOT_REACHED)
                return (
                    f"Nothing failed, but not everything was checked. {unreached[0].finding.detail}"
                    f" Not reached: {titles(Status.NOT_REACHED)}.{warnings}"
                )
            case _:
                return f"Nothing failed.{warnings}" if warnings else "Every check passed."


def run_checks[State](
    checks: Sequence[Check[State]],
    state: State,
    *,
    invalid_settings: Collection[str],
    seconds: float = SECONDS,
) -> Report:
    """Run each check that can be reached, in order. This raises nothing.

    Args:
        checks: the checks.
        state: what the checks use, and what they find for later checks.
        invalid_settings: the names of invalid settings.
        seconds: the limit for all checks.
    """
    whole = Deadline(seconds=seconds)
    results: dict[str, Result] = {}
    for check in checks:
        obstacle = _obstacle(check, results, invalid_settings)
        if obstacle is not None:
            finding = Finding(status=Status.NOT_REACHED, detail=obstacle)
            duration = None
        else:
            started_ms = whole.elapsed_ms()
            finding = _run_check(check, state, seconds=min(check.seconds, whole.remaining()))
            duration = round(whole.elapsed_ms() - started_ms, 1)
        if finding.status is Status.NOT_REACHED:
            duration = None
        results[check.name] = Result(
            name=check.name,
            title=check.title,
            finding=finding,
            duration_ms=duration,
            informative=check.informative,
        )
    return Report(results=list(results.values()), duration_ms=whole.elapsed_ms())


def _obstacle[State](
    check: Check[State], results: Mapping[str, Result], invalid_settings: Collection[str]
) -> str | None:
    for name in check.settings:
        if name in invalid_settings:
            return f"The setting {name} is invalid."
    for name in check.needs:
        result = results[name]
        if result.finding.status is Status.FAIL:
            return f"“{result.title}” comes first, and failed."
        if result.finding.status is Status.NOT_REACHED:
            return f"“{result.title}” comes first, and was not reached."
    return None


def _run_check[State](check: Check[State], state: State, *, seconds: float) -> Finding:
    """Run one check in its own thread, so that a check that hangs fails alone."""
    deadline = Deadline(seconds=seconds)
    stats = RequestStats()
    future: Future[Finding] = Future()

    def run() -> None:
        try:
            future.set_result(check.run(state, deadline, stats))
        except BaseException as error:  # noqa: BLE001 - handled below, in the waiting thread
            future.set_exception(error)

    # In a context of the invocation's, or the host drops what is logged there.
    threading.Thread(
        target=copy_context().run, args=(run,), name=f"diagnostics-{check.name}", daemon=True
    ).start()
    try:
        finding = future.result(timeout=seconds + _GRACE_SECONDS)
    except ServiceError as error:
        finding = Finding.of_error(error)
    except FutureTimeoutError:
        finding = Finding(
            status=Status.FAIL, detail=f"No answer within {seconds:.1f} seconds.", code="timeout"
        )
    except Exception as unforeseen:  # noqa: BLE001 - the other checks go on
        _logger.error("%s", describe(unforeseen))  # noqa: TRY400 - the traceback may quote a link
        fault = InternalError("The check itself failed; the app's log says where.")
        finding = Finding.of_error(fault)
    failed = finding.status is Status.FAIL
    return Finding(
        status=Status.WARN if failed and check.informative else finding.status,
        detail=finding.detail,
        seen=finding.seen,
        fix=(finding.fix or check.fix) if failed else finding.fix,
        code=finding.code,
        graph_request_id=finding.graph_request_id or stats.graph_request_id,
    )
