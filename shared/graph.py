"""Microsoft Graph, driven: when a call is tried again, and what comes of each answer."""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared import errors, graph_errors
from shared.batch import BatchRefused
from shared.budget import Budget
from shared.connections import ConnectionLost, TimeSpent
from shared.errors import ServiceError
from shared.graph_calls import Call, Steps
from shared.graph_errors import Refusal
from shared.graph_trips import Reply, Trips
from shared.http_wire import Answer, AnswerTooLarge
from shared.identity import Identity, Token
from shared.settings import GRAPH_ROOT
from shared.transport import Transport

SCOPE = f"{GRAPH_ROOT}/.default"
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 4.0
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,512}")


@dataclass(slots=True, kw_only=True)
class Journey[Result]:
    """One request on its way through its calls, and how it ended.

    Args:
        steps: its calls.
        budget: what it may use up.
    """

    steps: Steps[Result]
    budget: Budget
    outcome: Result | Exception | None = field(default=None, init=False, repr=False)
    call: Call | None = field(default=None, init=False)
    """What it waits for; None when it has ended."""
    tries: int = field(default=0, init=False)
    due: float = field(default=0.0, init=False)
    """When the next try may be made, by the budget's clock."""

    def advance(self, reply: str | Exception | None) -> None:
        """Go on to the next call with the reply to the last one; None to set out."""
        self.tries, self.due = 0, 0.0
        try:
            if isinstance(reply, Exception):
                self.call = self.steps.throw(reply)
            else:
                self.call = self.steps.send(reply)  # type: ignore[arg-type] # None sets out
        except StopIteration as end:
            self.call, self.outcome = None, end.value
        except Exception as error:  # noqa: BLE001 - the others go on, and whoever asked judges it
            self.call, self.outcome = None, error

    def result(self) -> Result | Exception:
        """Give the outcome of a journey that has ended."""
        return self.outcome  # type: ignore[return-value] # a result may be None itself


class Graph:
    """Microsoft Graph, as this app.

    Args:
        root: `https://graph.microsoft.com`; a loopback address in a local run.
        version: `v1.0` or `beta`.
        client_id: the app's own, for the fixes that name it.
        sleep: waits between two tries.
        jitter: draws a number between two bounds.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        root: str,
        version: str,
        client_id: str | None,
        transport: Transport,
        identity: Identity,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._trips = Trips(base=f"{root}/{version}", transport=transport)
        self._client_id = client_id
        self._identity = identity
        self._sleep = sleep
        self._jitter = jitter
        self._now = now

    def ask(self, call: Call, *, budget: Budget) -> str:
        """Make one call, and give what it asks for.

        Raises:
            ServiceError: by the table of `graph_errors`, or as `Call.read` says.
        """

        def steps() -> Steps[str]:
            return (yield call)

        return self.travel(steps(), budget=budget)

    def travel[Result](self, steps: Steps[Result], *, budget: Budget) -> Result:
        """Make the calls that lead to one result.

        Raises:
            ServiceError: as `ask` does, unless the steps know better.
        """
        journey = Journey(steps=steps, budget=budget)
        self.travel_together([journey])
        result = journey.result()
        if isinstance(result, Exception):
            raise result
        return result

    def travel_together[Result](self, journeys: Sequence[Journey[Result]]) -> None:
        """Take every journey to its outcome: many calls in one trip, each tried at its own time.

        What the journeys have left of their budgets is the same for all. Nothing is raised.
        """
        for journey in journeys:
            journey.advance(None)
        renewed = False
        while under_way := [journey for journey in journeys if journey.call is not None]:
            due = self._wait_for_the_next(under_way)
            try:
                token = self._identity.token(SCOPE, budget=due[0].budget)
            except ServiceError as error:
                _end(due, error)
                continue
            rejected = self._make_calls(due, token)
            if rejected and renewed:
                _end(rejected, _token_rejected())
            elif rejected:
                renewed = True
                try:
                    self._identity.renew(SCOPE, rejected=token, budget=rejected[0].budget)
                except ServiceError as error:
                    _end(rejected, error)

    def _wait_for_the_next[Result](
        self, under_way: Sequence[Journey[Result]]
    ) -> list[Journey[Result]]:
        now = under_way[0].budget.clock()
        moment = max(now, min(journey.due for journey in under_way))
        if moment > now:
            self._sleep(moment - now)
        return [journey for journey in under_way if journey.due <= moment]

    def _make_calls[Result](
        self, journeys: Sequence[Journey[Result]], token: Token
    ) -> list[Journey[Result]]:
        """Make each journey's call once; return those whose token was rejected."""
        askers: dict[Call, list[Journey[Result]]] = {}  # equal calls are made once
        for journey in journeys:
            if journey.call is not None:
                askers.setdefault(journey.call, []).append(journey)
        budget = journeys[0].budget
        replies = self._trips.make(list(askers), token, deadline=budget.deadline)
        # One for all, so that what has to wait for the same time makes its next trip together.
        now, luck = budget.clock(), self._jitter(0, 1)
        rejected = []
        for call, reply in zip(askers, replies, strict=True):
            verdict = self._verdict(call, reply, token, budget)
            for journey in askers[call]:
                _note(reply, journey.budget)
                if verdict is None:
                    rejected.append(journey)
                else:
                    _settle(journey, verdict, now=now, luck=luck)
        return rejected

    def _verdict(
        self, call: Call, reply: Reply, token: Token, budget: Budget
    ) -> str | ServiceError | None:
        """Judge a reply: what was asked for, an error, or None where the token was rejected."""
        if not isinstance(reply.met, Answer):
            return _failure(reply.met, budget)
        error: ServiceError
        match reply.met:
            case Answer(status=401):
                return None
            case Answer(status=status, body=body) if 200 <= status < 300:
                try:
                    return call.read(status, body)
                except ServiceError as unusable:
                    error = unusable
            case Answer(status=status, headers=headers, body=body):
                error = graph_errors.to_error(
                    Refusal(
                        operation=call.operation,
                        status=status,
                        headers=headers,
                        body=body,
                        user_id=call.user_id,
                        client_id=self._client_id or token.client_id(),
                        token_roles=token.roles(),
                        now=self._now(),
                    )
                )
        error.graph_request_id = _header(reply.met, "request-id")
        return error


def _settle[Result](
    journey: Journey[Result], verdict: str | ServiceError, *, now: float, luck: float
) -> None:
    """Go on; or stay, for one more try, where that may help and fits the budget."""
    journey.tries += 1
    if (
        isinstance(verdict, (errors.GraphThrottled, errors.GraphUnavailable))
        and journey.tries < journey.budget.tries
    ):
        delay = _delay(journey.tries, verdict.retry_after, luck)
        if delay < journey.budget.remaining():
            journey.due = now + delay
            return
    journey.advance(verdict)


def _delay(tries: int, retry_after: float | None, luck: float) -> float:
    """Wait as long as was asked and a little more, else by full jitter; luck is from 0 to 1."""
    if retry_after is not None:
        return retry_after + luck * min(1.0, 0.1 + retry_after / 10)
    return luck * min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (tries - 1))


def _end[Result](journeys: Sequence[Journey[Result]], error: ServiceError) -> None:
    for journey in journeys:
        journey.advance(error)


def _note(reply: Reply, budget: Budget) -> None:
    """Keep for the log what Microsoft's support asks for."""
    budget.graph_calls += 1
    budget.graph_client_request_id = reply.client_request_id
    budget.graph_request_id = None
    if isinstance(reply.met, Answer):
        budget.graph_request_id = _header(reply.met, "request-id")
        if reply.met.status >= 400:
            budget.graph_diagnostic = _header(reply.met, "x-ms-ags-diagnostic")


def _failure(met: Exception, budget: Budget) -> ServiceError:
    match met:
        case ConnectionLost():
            return errors.GraphUnavailable("The connection to Microsoft Graph was lost.")
        case TimeSpent():
            return errors.GraphTimeout(
                f"Microsoft Graph did not answer within {budget.seconds:g} seconds."
            )
        case AnswerTooLarge():
            return errors.GraphUnexpected("Microsoft Graph's answer is too long.")
        case BatchRefused(args=(status,)):
            return errors.GraphRefused(f"Microsoft Graph refused the batch with {status}.")
        case _:
            return errors.GraphUnexpected("Microsoft Graph's answer is not the documented one.")


def _token_rejected() -> errors.IdentityUnavailable:
    return errors.IdentityUnavailable(
        "Microsoft Graph rejected the app's token, and a new one as well.",
        fix="Run the diagnostics: they show what the token says.",
    )


def _header(answer: Answer, name: str) -> str | None:
    """Read a header for the log: what is odd or long is left out."""
    value = answer.headers.get(name)
    return value if value and _HEADER_TEXT.fullmatch(value) else None
