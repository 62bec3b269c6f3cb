"""The calls to Microsoft Graph: what goes out, when it is tried again, what may come back."""

import json
import random
import re
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from shared import errors, graph_errors
from shared.budget import Budget
from shared.graph_errors import Operation, Refusal
from shared.identity import Identity, Token
from shared.settings import GRAPH_ROOT
from shared.teams_links import is_microsoft_link
from shared.transport import Answer, AnswerTooLarge, ConnectionLost, TimeSpent, Transport

SCOPE = f"{GRAPH_ROOT}/.default"
_USER_AGENT = "virtual-appointment-join-link/1"
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 4.0
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{1,512}")


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
        self._base = f"{root}/{version}"
        self._client_id = client_id
        self._transport = transport
        self._identity = identity
        self._sleep = sleep
        self._jitter = jitter
        self._now = now

    def join_link(
        self, *, user_id: str, meeting_id: str, language: str | None, budget: Budget
    ) -> str:
        """Ask for a meeting's virtual appointment join link.

        Source: https://learn.microsoft.com/graph/api/virtualappointment-getvirtualappointmentjoinweburl

        Raises:
            ServiceError: by the table of `graph_errors`; GraphUnexpected also for a link that is
                not Microsoft's.
        """
        path = (
            f"/users/{_segment(user_id)}/onlineMeetings/{_segment(meeting_id)}"
            "/getVirtualAppointmentJoinWebUrl"
        )
        answer = self._get(
            Operation.JOIN_LINK, path, user_id=user_id, language=language, budget=budget
        )
        link = answer.get("value")
        if not isinstance(link, str) or not link:
            raise self._unexpected("Microsoft Graph gave no link.", budget)
        if not is_microsoft_link(link):
            raise self._unexpected("Microsoft Graph gave a link that is not Microsoft's.", budget)
        return link

    def meeting_by_join_web_url(self, *, user_id: str, join_web_url: str, budget: Budget) -> str:
        """Find an organizer's meeting by its Teams link, as it stands.

        Raises:
            ServiceError: MeetingNotFound for an empty answer too.
        """
        return self._find_meeting(user_id, "JoinWebUrl", join_web_url, budget)

    def meeting_by_join_meeting_id(
        self, *, user_id: str, join_meeting_id: str, budget: Budget
    ) -> str:
        """Find an organizer's meeting by the number that people type.

        Raises:
            ServiceError: MeetingNotFound for an empty answer too.
        """
        return self._find_meeting(
            user_id, "joinMeetingIdSettings/joinMeetingId", join_meeting_id, budget
        )

    def user(self, *, user_principal_name: str, budget: Budget) -> str:
        """Find a user's object id.

        Raises:
            ServiceError: UserNotFound, LookupNotPermitted, or what `graph_errors` says.
        """
        answer = self._get(
            Operation.FIND_USER, f"/users/{_segment(user_principal_name)}?$select=id", budget=budget
        )
        object_id = answer.get("id")
        if not isinstance(object_id, str) or not object_id:
            raise self._unexpected("Microsoft Graph gave a user without an id.", budget)
        return object_id

    def _find_meeting(self, user_id: str, attribute: str, value: str, budget: Budget) -> str:
        literal = value.replace("'", "''")
        condition = quote(f"{attribute} eq '{literal}'", safe="")
        path = f"/users/{_segment(user_id)}/onlineMeetings?$filter={condition}"
        answer = self._get(Operation.FIND_MEETING, path, user_id=user_id, budget=budget)
        meetings = answer.get("value")
        if meetings == []:
            raise graph_errors.meeting_not_found()
        try:
            meeting_id = meetings[0]["id"]  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            meeting_id = None
        if not isinstance(meeting_id, str) or not meeting_id:
            raise self._unexpected("Microsoft Graph gave a meeting without an id.", budget)
        return meeting_id

    def _get(
        self,
        operation: Operation,
        path: str,
        *,
        budget: Budget,
        user_id: str | None = None,
        language: str | None = None,
    ) -> dict[str, Any]:
        """Send a GET until it is answered, refused, or no further try fits the budget."""
        token = self._identity.token(SCOPE, budget=budget)
        tries = 0
        renewed = False
        while True:
            tries += 1
            error: errors.ServiceError
            try:
                answer = self._send(path, token, language, budget)
            except ConnectionLost:
                error = errors.GraphUnavailable("The connection to Microsoft Graph was lost.")
            except TimeSpent:
                raise _timeout(budget) from None
            except AnswerTooLarge:
                raise self._unexpected("Microsoft Graph's answer is too long.", budget) from None
            else:
                if answer.status == 401 and not renewed:
                    renewed = True
                    token = self._identity.renew(SCOPE, rejected=token, budget=budget)
                    continue
                if 200 <= answer.status < 300:
                    return self._object(answer, budget)
                error = self._error(operation, answer, token, user_id)
            error.graph_request_id = budget.graph_request_id
            if not isinstance(error, (errors.GraphThrottled, errors.GraphUnavailable)):
                raise error
            delay = self._delay(tries, error.retry_after)
            if tries >= budget.tries or delay >= budget.remaining():
                raise error
            self._sleep(delay)

    def _send(self, path: str, token: Token, language: str | None, budget: Budget) -> Answer:
        client_request_id = str(uuid.uuid4())
        headers = {
            "Authorization": f"Bearer {token.value}",
            "Accept": "application/json",
            "User-Agent": _USER_AGENT,
            "client-request-id": client_request_id,
        }
        if language is not None:
            headers["Accept-Language"] = language
        budget.graph_calls += 1
        budget.graph_request_id = None
        budget.graph_client_request_id = client_request_id
        answer = self._transport.get(self._base + path, headers=headers, deadline=budget.deadline)
        budget.graph_request_id = _header(answer, "request-id")
        if answer.status >= 400:
            budget.graph_diagnostic = _header(answer, "x-ms-ags-diagnostic")
        return answer

    def _error(
        self, operation: Operation, answer: Answer, token: Token, user_id: str | None
    ) -> errors.ServiceError:
        if answer.status == 401:
            return errors.IdentityUnavailable(
                "Microsoft Graph rejected the app's token, and a new one as well.",
                fix="Run the diagnostics: they show what the token says.",
            )
        return graph_errors.to_error(
            Refusal(
                operation=operation,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                user_id=user_id,
                client_id=self._client_id or token.claims().get("appid"),
                token_roles=token.roles(),
                now=self._now(),
            )
        )

    def _object(self, answer: Answer, budget: Budget) -> dict[str, Any]:
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        if answer.status != 200 or not isinstance(value, dict):
            raise self._unexpected("Microsoft Graph's answer is not the documented one.", budget)
        return value

    def _delay(self, tries: int, retry_after: float | None) -> float:
        """Wait as long as was asked and a little more, else by full jitter."""
        if retry_after is not None:
            return retry_after + self._jitter(0, min(1.0, 0.1 + retry_after / 10))
        return self._jitter(0, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (tries - 1)))

    @staticmethod
    def _unexpected(detail: str, budget: Budget) -> errors.GraphUnexpected:
        return errors.GraphUnexpected(detail, graph_request_id=budget.graph_request_id)


def _timeout(budget: Budget) -> errors.GraphTimeout:
    return errors.GraphTimeout(
        f"Microsoft Graph did not answer within {budget.seconds:g} seconds.",
        graph_request_id=budget.graph_request_id,
    )


def _segment(text: str) -> str:
    """Encode an id as one segment of a path: ids are base64 and may hold `/`, `+` and `=`."""
    return quote(text, safe="")


def _header(answer: Answer, name: str) -> str | None:
    """Read a header for the log: what is odd or long is left out."""
    value = answer.headers.get(name)
    return value if value and _HEADER_TEXT.fullmatch(value) else None
