"""Calls Microsoft Graph, decides whether to try a call again, and reads its responses.

A request for a join link needs one call or several, and each depends on the response before it. So
a request is a generator of calls (`Steps`). The client executes many requests at the same time: it
sends the calls that are due together, in batches where there are several, and equal calls once.
"""

import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from copy import replace
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING

from shared.core import errors
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import ServiceError
from shared.core.http_client import (
    USER_AGENT,
    ConnectionFailed,
    DeadlineExceeded,
    HttpClient,
    NoResponse,
    Response,
    ResponseTooLarge,
)
from shared.core.identifiers import make_request_id
from shared.core.settings import GRAPH_SCOPE
from shared.graph import batch, error_mapping
from shared.graph.batch import BatchRefused, NotABatch
from shared.graph.error_mapping import ErrorResponse
from shared.graph.requests import Call, Steps
from shared.identity.bearer_tokens import Caller
from shared.identity.managed_identity import ManagedIdentity, Token

if TYPE_CHECKING:
    from shared.identity.on_behalf_of import OnBehalfOf, UserToken

MAX_TRIES = 4
"""How often one call is tried in all, where a caller waits for the response."""
_JSON = "application/json"
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 4.0
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,512}")


class _TokenRejected(Exception):
    """Graph answered 401. The caller renews the token and tries again, or fails the request."""


@dataclass(slots=True, kw_only=True)
class PendingRequest[Result]:
    """One request that is being executed: the call it waits for, and then its result.

    Args:
        steps: the request's calls.
        deadline: the moment by which its result must be there.
        stats: counts the calls, and keeps the ids of the last one.
        max_tries: how often each of its calls may be tried.
        on_behalf_of: the person on whose behalf Graph is asked; None for the app itself.
    """

    steps: Steps[Result]
    deadline: Deadline
    stats: RequestStats
    max_tries: int = MAX_TRIES
    on_behalf_of: Caller | None = None
    result: Future[Result] = field(default_factory=Future, init=False, repr=False)
    call: Call | None = field(default=None, init=False)
    """The call that it waits for. None before the start and after the end."""
    tries: int = field(default=0, init=False)
    due: float = field(default=0.0, init=False)
    """When the next try may be made, in seconds of the deadline's clock."""

    def start(self) -> None:
        """Run the steps up to the first call."""
        self._advance(lambda: next(self.steps))

    def resume(self, answer: str) -> None:
        """Run the steps up to the next call, with the answer to the last one."""
        self._advance(lambda: self.steps.send(answer))

    def fail(self, error: Exception) -> None:
        """Raise the last call's error in the steps. They may handle it and make another call."""
        self._advance(lambda: self.steps.throw(error))

    def outcome(self) -> Result | Exception:
        """Give the result or the error of a request that has ended."""
        error = self.result.exception()
        return error if isinstance(error, Exception) else self.result.result()

    def _advance(self, step: Callable[[], Call]) -> None:
        self.tries, self.due = 0, 0.0
        try:
            self.call = step()
        except StopIteration as end:
            self.call = None
            self.result.set_result(end.value)
        except Exception as error:  # noqa: BLE001 - one request's error must not end the others
            self.call = None
            self.result.set_exception(error)


class GraphClient:
    """The client of Microsoft Graph. It calls Graph as the app or on behalf of a person.

    Args:
        root: `https://graph.microsoft.com`; a loopback address in a local run.
        version: `v1.0` or `beta`.
        client_id: the managed identity's client id, for the fixes that name it.
        http: the process's HTTP client.
        identity: gets the app's tokens.
        on_behalf_of: gets people's tokens; None where nobody signs in.
        sleep: waits so many seconds between two tries.
        jitter: draws a random number between two bounds.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        root: str,
        version: str,
        client_id: str | None,
        http: HttpClient,
        identity: ManagedIdentity,
        on_behalf_of: "OnBehalfOf | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base = f"{root}/{version}"
        self._client_id = client_id
        self._http = http
        self._identity = identity
        self._on_behalf_of = on_behalf_of
        self._sleep = sleep
        self._jitter = jitter
        self._now = now

    @property
    def tenant_id(self) -> str | None:
        """The id of the app's tenant. None until the first token is there."""
        return self._identity.known_tenant_id(GRAPH_SCOPE)

    def ask(
        self, call: Call, *, deadline: Deadline, stats: RequestStats, max_tries: int = MAX_TRIES
    ) -> str:
        """Make one call, and give its answer.

        Raises:
            ServiceError: by the table in `error_mapping`, or as in `Call.read`.
        """

        def steps() -> Steps[str]:
            return (yield call)

        return self.execute(steps(), deadline=deadline, stats=stats, max_tries=max_tries)

    def execute[Result](
        self,
        steps: Steps[Result],
        *,
        deadline: Deadline,
        stats: RequestStats,
        max_tries: int = MAX_TRIES,
        on_behalf_of: Caller | None = None,
    ) -> Result:
        """Make the calls of one request, and give its result.

        Raises:
            ServiceError: as in `ask`, unless the steps handle it.
        """
        request = PendingRequest(
            steps=steps,
            deadline=deadline,
            stats=stats,
            max_tries=max_tries,
            on_behalf_of=on_behalf_of,
        )
        self.execute_many([request])
        return request.result.result()

    def execute_many[Result](self, requests: Sequence[PendingRequest[Result]]) -> None:
        """Execute requests that share a deadline, until each has its result.

        This raises nothing. A request's error is in its `result`.
        """
        groups: dict[Caller | None, list[PendingRequest[Result]]] = {}
        for request in requests:
            groups.setdefault(request.on_behalf_of, []).append(request)
        if len(groups) == 1:
            self._execute_as(*next(iter(groups.items())))
            return
        # In parallel, so that Entra's slow response for one person delays no other request.
        with ThreadPoolExecutor(len(groups) or 1, thread_name_prefix="graph-credential") as pool:
            under_way = [
                # In a context of the invocation's, or the host drops what is logged there.
                pool.submit(copy_context().run, self._execute_as, person, group)
                for person, group in groups.items()
            ]
            for each in under_way:
                each.result()

    def _execute_as[Result](
        self, person: Caller | None, requests: Sequence[PendingRequest[Result]]
    ) -> None:
        """Execute requests that use the same token, until each has its result."""
        for request in requests:
            request.start()
        renewed = False
        while waiting := [request for request in requests if request.call is not None]:
            due = self._wait_until_due(waiting)
            try:
                token = self._token(person, due[0].deadline)
            except ServiceError as error:
                _fail_all(due, error)
                continue
            rejected = self._send_due(due, token)
            if rejected and renewed:
                _fail_all(rejected, _rejected_again(person))
            elif rejected:
                renewed = True
                try:
                    self._renew(person, token, rejected[0].deadline)
                except ServiceError as error:
                    _fail_all(rejected, error)

    def _token(self, person: Caller | None, deadline: Deadline) -> "Token | UserToken":
        if person is None:
            return self._identity.token(GRAPH_SCOPE, deadline=deadline)
        return self._exchange().token(person, deadline=deadline)

    def _renew(
        self, person: Caller | None, rejected: "Token | UserToken", deadline: Deadline
    ) -> None:
        if isinstance(rejected, Token):
            self._identity.renew(GRAPH_SCOPE, rejected=rejected, deadline=deadline)
        elif person is not None:
            self._exchange().renew(person, rejected=rejected, deadline=deadline)

    def _exchange(self) -> "OnBehalfOf":
        if self._on_behalf_of is None:
            raise errors.InternalError("Sign-in is off, so nobody has a token.")
        return self._on_behalf_of

    def _wait_until_due[Result](
        self, waiting: Sequence[PendingRequest[Result]]
    ) -> list[PendingRequest[Result]]:
        now = waiting[0].deadline.clock()
        moment = max(now, min(request.due for request in waiting))
        if moment > now:
            self._sleep(moment - now)
        return [request for request in waiting if request.due <= moment]

    def _send_due[Result](
        self, requests: Sequence[PendingRequest[Result]], token: "Token | UserToken"
    ) -> list[PendingRequest[Result]]:
        """Send each request's call once, and give the requests whose token Graph rejected."""
        waiters: dict[Call, list[PendingRequest[Result]]] = {}  # equal calls are sent once
        for request in requests:
            if request.call is not None:
                waiters.setdefault(request.call, []).append(request)
        deadline = requests[0].deadline
        ids = [make_request_id() for _ in waiters]
        responses = self._send(list(zip(waiters, ids, strict=True)), token, deadline)
        # One random number for all, so that calls with the same delay are sent together again.
        now, jitter = deadline.clock(), self._jitter(0, 1)
        rejected = []
        for (call, waiting), sent_id, response in zip(waiters.items(), ids, responses, strict=True):
            answer = self._read_response(call, response, token, deadline)
            for request in waiting:
                _note(request.stats, sent_id, response)
                if isinstance(answer, _TokenRejected):
                    rejected.append(request)
                else:
                    _apply(request, answer, now=now, jitter=jitter)
        return rejected

    def _send(
        self, calls: Sequence[tuple[Call, str]], token: "Token | UserToken", deadline: Deadline
    ) -> Sequence[Response | Exception]:
        """Send calls, each with its client request id. An exception stands for no response."""
        if len(calls) == 1:
            ((call, request_id),) = calls
            headers = {**_authorization(token), **_headers(call, request_id)}
            try:
                return [
                    self._http.get(self._base + call.path, headers=headers, deadline=deadline.at)
                ]
            except NoResponse as error:
                return [error]
        batches = list(batched(calls, batch.LARGEST, strict=False))
        if len(batches) == 1:
            return self._send_batch(batches[0], token, deadline)
        # In parallel: one after the other, slow batches could use up the deadline of all.
        with ThreadPoolExecutor(len(batches), thread_name_prefix="graph-batch") as pool:
            replies = pool.map(lambda part: self._send_batch(part, token, deadline), batches)
            return [response for reply in replies for response in reply]

    def _send_batch(
        self, calls: Sequence[tuple[Call, str]], token: "Token | UserToken", deadline: Deadline
    ) -> Sequence[Response | Exception]:
        headers = {
            **_authorization(token),
            "Accept": _JSON,
            "Content-Type": _JSON,
            "client-request-id": make_request_id(),
        }
        items = [(call.path, _headers(call, request_id)) for call, request_id in calls]
        try:
            envelope = self._http.post(
                f"{self._base}/$batch",
                headers=headers,
                body=batch.write(items),
                deadline=deadline.at,
            )
        except NoResponse as error:
            return [error] * len(items)
        return batch.read(envelope, count=len(items))

    def _read_response(
        self,
        call: Call,
        response: Response | Exception,
        token: "Token | UserToken",
        deadline: Deadline,
    ) -> str | ServiceError | _TokenRejected:
        """Give the call's answer from a response, or the error that the response stands for."""
        if not isinstance(response, Response):
            return _no_response(response, deadline)
        if response.status == 401:
            return _TokenRejected()
        error: ServiceError
        if 200 <= response.status < 300:
            try:
                return call.read(response.status, response.body)
            except ServiceError as unusable:
                error = unusable
        else:
            refusal = ErrorResponse(
                operation=call.operation,
                status=response.status,
                headers=response.headers,
                body=response.body,
                user_id=call.user_id,
                now=self._now(),
            )
            error = error_mapping.to_error(self._with_credential(refusal, token))
        error.graph_request_id = _header(response, "request-id")
        return error

    def _with_credential(self, refusal: ErrorResponse, token: "Token | UserToken") -> ErrorResponse:
        """Add the client id and the permissions of the token that was used."""
        if isinstance(token, Token):
            client_id = self._client_id or token.client_id()
            return replace(refusal, client_id=client_id, token_roles=token.roles())
        registration = self._exchange().client_id
        return replace(refusal, client_id=registration, token_scopes=token.scopes)


def _authorization(token: "Token | UserToken") -> dict[str, str]:
    return {"Authorization": f"Bearer {token.value}", "User-Agent": USER_AGENT}


def _headers(call: Call, client_request_id: str) -> Mapping[str, str]:
    headers = {"Accept": _JSON, "client-request-id": client_request_id}
    return headers if call.language is None else {**headers, "Accept-Language": call.language}


def _apply[Result](
    request: PendingRequest[Result], answer: str | ServiceError, *, now: float, jitter: float
) -> None:
    """Resume a request with its answer, schedule one more try, or fail the request.

    A try is scheduled if the error may pass and the deadline leaves time for it.
    """
    if isinstance(answer, str):
        request.resume(answer)
        return
    request.tries += 1
    retryable = isinstance(answer, (errors.GraphThrottled, errors.GraphUnavailable))
    if retryable and request.tries < request.max_tries:
        delay = _delay(request.tries, answer.retry_after, jitter)
        if delay < request.deadline.remaining():
            request.due = now + delay
            return
    request.fail(answer)


def _delay(tries: int, retry_after: float | None, jitter: float) -> float:
    """Give the seconds until the next try: Retry-After and a little more, else full jitter.

    Args:
        tries: how often the call has been tried.
        retry_after: the seconds that Graph asked for, if it did.
        jitter: a random number from 0 to 1.
    """
    if retry_after is not None:
        return retry_after + jitter * min(1.0, 0.1 + retry_after / 10)
    return jitter * min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** (tries - 1))


def _fail_all[Result](requests: Sequence[PendingRequest[Result]], error: ServiceError) -> None:
    for request in requests:
        request.fail(error)


def _note(stats: RequestStats, client_request_id: str, response: Response | Exception) -> None:
    """Keep the ids that Microsoft's support asks for, to log them."""
    stats.graph_calls += 1
    stats.graph_client_request_id = client_request_id
    stats.graph_request_id = None
    if isinstance(response, Response):
        stats.graph_request_id = _header(response, "request-id")
        if response.status >= 400:
            stats.graph_diagnostic = _header(response, "x-ms-ags-diagnostic")


def _no_response(reason: Exception, deadline: Deadline) -> ServiceError:
    match reason:
        case ConnectionFailed(reason=cause):
            return errors.GraphUnavailable(
                "The connection to Microsoft Graph was lost.", cause=cause
            )
        case DeadlineExceeded(reason=cause):
            return errors.GraphTimeout(
                f"Microsoft Graph did not answer within {deadline.seconds:g} seconds.", cause=cause
            )
        case ResponseTooLarge(reason=cause):
            return errors.GraphUnexpected("Microsoft Graph's answer is too long.", cause=cause)
        case BatchRefused(args=(status,)):
            return errors.GraphRefused(f"Microsoft Graph refused the batch with {status}.")
        case NotABatch():
            return errors.GraphUnexpected("Microsoft Graph's answer is not the documented one.")
        case _:  # pragma: no cover - no other exception stands for a missing response
            raise reason


def _rejected_again(person: Caller | None) -> errors.IdentityUnavailable:
    if person is not None:
        return errors.IdentityUnavailable(
            "Microsoft Graph rejected the token that the app got on your behalf, and a new one as "
            "well.",
            fix="Sign in again and send the request again. If that does not help, an administrator "
            "looks for the reason in the tenant's sign-in logs.",
        )
    return errors.IdentityUnavailable(
        "Microsoft Graph rejected the app's token, and a new one as well.",
        fix="Run the diagnostics: they show what the token says.",
    )


def _header(response: Response, name: str) -> str | None:
    """Read a header for the log. An unusual or long value is left out."""
    value = response.headers.get(name)
    return value if value and _HEADER_TEXT.fullmatch(value) else None
