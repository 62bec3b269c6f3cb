"""Calls to Microsoft Graph: what is sent, when it is tried again, and how responses are read."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import unquote

import pytest

from shared.core import errors
from shared.core.deadline import Deadline, RequestStats
from shared.core.http_client import HttpClient
from shared.graph import requests as graph_requests
from shared.graph.client import GraphClient
from shared.graph.requests import Call
from shared.identity.managed_identity import ManagedIdentity
from tests.unit.fake_identity import Clock, Credentials, make_token
from tests.unit.scripted_server import (
    Reply,
    ScriptedServer,
    answer,
    cut,
    hang_up,
    keep_silent,
)

USER = "30000000-0000-4000-8000-000000000003"
LINK = (
    "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid=a796be92-&convId=19:meeting_=True"
)
CONTEXT = "https://graph.microsoft.com/v1.0/$metadata#Edm.String"
NOW = 1_790_000_000.0
TRANSPORT = HttpClient(pool_size=4)  # one for all: it reads a large file


def as_json(status: int, value: object, **headers: str) -> bytes:
    """Write an answer of Graph's."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    named["Content-Type"] = "application/json"
    return answer(status, json.dumps(value).encode(), named)


GOOD = as_json(200, {"@odata.context": CONTEXT, "value": LINK}, request_id="g-1")
BUSY = as_json(429, {"error": {"code": "TooManyRequests", "message": "Please retry again later."}})
AWAY = answer(503, b"")
REJECTED = as_json(401, {"error": {"code": "InvalidAuthenticationToken", "message": "x"}})


@dataclass
class Bench:
    """A Graph client, the server it talks to, and the waits between its tries."""

    server: ScriptedServer
    credentials: Credentials
    version: str = "v1.0"
    waits: list[float] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        identity = ManagedIdentity(
            client_id=None,
            environment={},
            clock=self.clock,
            make_credential=self.credentials.make,
        )
        self.graph = GraphClient(
            root=self.server.url,
            version=self.version,
            client_id=None,
            http=TRANSPORT,
            identity=identity,
            sleep=self.waits.append,
            jitter=lambda least, most: (least + most) / 2,
            now=lambda: NOW,
        )

    def ask(
        self, call: Call, *, deadline: Deadline | None = None, stats: RequestStats | None = None
    ) -> str:
        """Make one call."""
        return self.graph.ask(
            call, deadline=deadline or Deadline(seconds=10), stats=stats or RequestStats()
        )

    def join_link(
        self,
        *,
        deadline: Deadline | None = None,
        stats: RequestStats | None = None,
        language: str | None = None,
    ) -> str:
        """Ask for a join link."""
        call = graph_requests.join_link(user_id=USER, meeting_id="M1", language=language)
        return self.ask(call, deadline=deadline, stats=stats)

    def error(
        self, *, deadline: Deadline | None = None, stats: RequestStats | None = None
    ) -> errors.ServiceError:
        """Ask for a join link in vain."""
        with pytest.raises(errors.ServiceError) as raised:
            self.join_link(deadline=deadline, stats=stats)
        return raised.value


class SlowlyRejecting(ScriptedServer):
    """Rejects tokens, each two minutes after it was sent; the fifth is accepted."""

    clock: Clock

    def reply_to(self, target: str) -> Reply:  # noqa: ARG002 - whatever is asked
        """Let two minutes pass."""
        self.clock.now += 120
        return REJECTED if len(self.heads) < 5 else GOOD


@pytest.fixture
def credentials() -> Credentials:
    """Credentials whose tokens carry the role."""
    return Credentials(Clock(), roles=["VirtualAppointment.Read.All"])


type Scripted = Callable[..., Bench]


@pytest.fixture
def scripted(credentials: Credentials) -> Iterator[Scripted]:
    """Make benches whose server follows a script."""
    with ExitStack() as servers:

        def make(*replies: Reply, version: str = "v1.0") -> Bench:
            server = servers.enter_context(ScriptedServer(*replies))
            return Bench(server, credentials, version)

        yield make


def test_one_get_asks_for_the_join_link(scripted: Scripted) -> None:
    """With the token, a new client request id, and the caller's language."""
    bench = scripted(GOOD)
    assert bench.join_link(language="pt-BR") == LINK
    headers = bench.server.headers()
    assert bench.server.heads[0].startswith(
        b"GET /v1.0/users/30000000-0000-4000-8000-000000000003/onlineMeetings/M1"
        b"/getVirtualAppointmentJoinWebUrl HTTP/1.1\r\n"
    )
    assert headers["authorization"] == (
        f"Bearer {make_token(1, roles=['VirtualAppointment.Read.All'])}"
    )
    assert headers["accept-language"] == "pt-BR"
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "virtual-appointment-join-link/1"
    assert len(bench.server.heads) == 1


def test_beta_is_asked_where_the_setting_says_so(scripted: Scripted) -> None:
    """The version is a segment of the path."""
    bench = scripted(GOOD, version="beta")
    bench.join_link()
    assert bench.server.targets[0].startswith("/beta/users/")


def test_without_a_language_no_accept_language_is_sent(scripted: Scripted) -> None:
    """Only the caller's language is sent."""
    bench = scripted(GOOD)
    bench.join_link()
    assert "accept-language" not in bench.server.headers()


def test_every_call_has_an_id_of_its_own(scripted: Scripted) -> None:
    """A GUID. The event holds the id of the last call."""
    bench = scripted(AWAY, GOOD)
    stats = RequestStats()
    bench.join_link(stats=stats)
    first, second = (bench.server.headers(index)["client-request-id"] for index in (0, 1))
    for given in (first, second):
        assert uuid.UUID(given).version == 4
    assert first != second
    assert stats.graph_client_request_id == second
    assert stats.graph_calls == 2


@pytest.mark.parametrize(
    "meeting_id", ["a/b+c=", "MSo1*N2/../x", "19:meeting_x@thread.v2", "a b?c#d%2f", "ü", "'"]
)
def test_an_id_is_one_segment_of_the_path(scripted: Scripted, meeting_id: str) -> None:
    """Ids are base64 and may hold slashes."""
    bench = scripted(GOOD)
    bench.ask(graph_requests.join_link(user_id=USER, meeting_id=meeting_id, language=None))
    segments = bench.server.targets[0].split("/")
    assert len(segments) == 7
    assert unquote(segments[5]) == meeting_id
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", segments[5])


@pytest.mark.parametrize(
    "link",
    [
        "https://teams.microsoft.com/l/meetup-join/19%3ameeting_x%40thread.v2/0?context=%7b%22a%22%7d",
        'https://teams.microsoft.com/l/meetup-join/19:x@thread.v2/0?context={"Tid":"it\'s"}',
        "https://teams.microsoft.com/meet/23456?p=a+b c",
        "https://teams.microsoft.com/meet/23456?p=ü&q='''",
        "https://teams.microsoft.com/meet/23456?p=%253a#x",
    ],
)
def test_a_teams_link_stands_verbatim_in_the_filter_and_is_encoded_once(
    scripted: Scripted, link: str
) -> None:
    """Quotes are doubled, and a stored %3a becomes %253a."""
    bench = scripted(as_json(200, {"value": [{"id": "M1"}]}))
    found = bench.ask(graph_requests.meeting_by_join_web_url(user_id=USER, join_web_url=link))
    assert found == "M1"
    path, query = bench.server.targets[0].split("?", 1)
    assert path == f"/v1.0/users/{USER}/onlineMeetings"
    name, condition = query.split("=", 1)
    assert name == "$filter"
    assert re.fullmatch(r"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", condition)
    literal = link.replace("'", "''")
    assert unquote(condition) == f"JoinWebUrl eq '{literal}'"


@pytest.mark.parametrize(
    "value", [[{"id": "M1"}, {"id": "M2"}], [{"id": "M1"}, None], [None], None, {"id": "M1"}]
)
def test_a_lookup_that_gives_no_single_meeting_is_unexpected(
    scripted: Scripted, value: object
) -> None:
    """Of several meetings, the first may be the wrong one."""
    bench = scripted(as_json(200, {"value": value}))
    with pytest.raises(errors.GraphUnexpected):
        bench.ask(graph_requests.meeting_by_join_web_url(user_id=USER, join_web_url="x"))


def test_a_join_meeting_id_has_a_filter_of_its_own(scripted: Scripted) -> None:
    """It is a member of the meeting's settings."""
    bench = scripted(as_json(200, {"value": [{"id": "M1"}]}))
    bench.ask(
        graph_requests.meeting_by_join_meeting_id(user_id=USER, join_meeting_id="23456789012")
    )
    assert unquote(bench.server.targets[0]).endswith(
        "?$filter=joinMeetingIdSettings/joinMeetingId eq '23456789012'"
    )


@pytest.mark.parametrize("upn", ["anna@clinic.example", "x_y.com#EXT#@z.example", "o'neil+a@x.ie"])
def test_a_user_is_found_by_name_and_only_the_id_is_asked_for(scripted: Scripted, upn: str) -> None:
    """The app needs no other data."""
    bench = scripted(as_json(200, {"id": USER}))
    found = bench.ask(graph_requests.user(user_principal_name=upn))
    assert found == USER
    path, query = bench.server.targets[0].split("?")
    assert query == "$select=id"
    assert [unquote(segment) for segment in path.split("/")] == ["", "v1.0", "users", upn]


@pytest.mark.parametrize("upn", ["$dr@clinic.example", "$o'neil@clinic.example", "$$@x.example"])
def test_a_name_that_begins_with_a_dollar_sign_stands_in_parentheses(
    scripted: Scripted, upn: str
) -> None:
    """As a path segment, Graph would read it as an option."""
    bench = scripted(as_json(200, {"id": USER}))
    assert bench.ask(graph_requests.user(user_principal_name=upn)) == USER
    path, query = bench.server.targets[0].split("?")
    doubled = upn.replace("'", "''")
    assert query == "$select=id"
    assert unquote(path) == f"/v1.0/users('{doubled}')"
    assert "$" not in path


@pytest.mark.parametrize("mail", ["anna@clinic.example", "o'neil+a&b=c@x.ie", "$dr@clinic.example"])
def test_a_user_is_found_by_mail_address(scripted: Scripted, mail: str) -> None:
    """Two users are requested, to see whether the address is ambiguous."""
    bench = scripted(as_json(200, {"value": [{"id": USER}]}))
    assert bench.ask(graph_requests.user_by_mail(mail=mail)) == USER
    path, query = bench.server.targets[0].split("?")
    condition, *others = query.split("&")
    doubled = mail.replace("'", "''")
    assert path == "/v1.0/users"
    assert unquote(condition) == f"$filter=mail eq '{doubled}'"
    assert others == ["$select=id", "$top=2"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ([], errors.UserNotFound),
        ([{"id": USER}, {"id": "other"}], errors.UserAmbiguous),
        ([{"id": USER}] * 3, errors.UserAmbiguous),
        (None, errors.GraphUnexpected),
        ({}, errors.GraphUnexpected),
        ("x", errors.GraphUnexpected),
        ([None], errors.GraphUnexpected),
        ([{}], errors.GraphUnexpected),
        ([{"id": None}], errors.GraphUnexpected),
        ([{"id": ""}], errors.GraphUnexpected),
        ([[]], errors.GraphUnexpected),
    ],
)
def test_only_one_user_with_a_mail_address_is_an_answer(
    scripted: Scripted, value: object, error: type[errors.ServiceError]
) -> None:
    """None is not found, two are ambiguous, anything else is unexpected."""
    bench = scripted(as_json(200, {"value": value}))
    with pytest.raises(error):
        bench.ask(graph_requests.user_by_mail(mail="a@b.c"))


@pytest.mark.parametrize(
    "empty",
    [
        as_json(200, {"value": []}),
        as_json(
            404, {"error": {"code": "NotFound", "message": "3004: Specified meeting is not found"}}
        ),
    ],
)
def test_an_empty_lookup_is_a_meeting_that_is_not_found(scripted: Scripted, empty: bytes) -> None:
    """Graph says it by 404 or by an empty list."""
    bench = scripted(empty)
    with pytest.raises(errors.MeetingNotFound):
        bench.ask(graph_requests.meeting_by_join_web_url(user_id=USER, join_web_url="x"))


@pytest.mark.parametrize(
    "value", [None, {}, "x", 1, [None], [{}], ["x"], [{"id": None}], [{"id": ""}], [[]]]
)
def test_a_meeting_without_an_id_is_unexpected(scripted: Scripted, value: object) -> None:
    """No other exception is raised."""
    bench = scripted(as_json(200, {"value": value}))
    with pytest.raises(errors.GraphUnexpected):
        bench.ask(graph_requests.meeting_by_join_meeting_id(user_id=USER, join_meeting_id="1"))


@pytest.mark.parametrize("user", [{}, {"id": None}, {"id": 1}, {"id": ""}])
def test_a_user_without_an_id_is_unexpected(scripted: Scripted, user: object) -> None:
    """As for a meeting."""
    bench = scripted(as_json(200, user))
    with pytest.raises(errors.GraphUnexpected):
        bench.ask(graph_requests.user(user_principal_name="a@b.c"))


UNEXPECTED = [
    as_json(200, {"value": None}),
    as_json(200, {"value": ""}),
    as_json(200, {"value": 1}),
    as_json(200, {"value": [LINK]}),
    as_json(200, {}),
    as_json(200, [LINK]),
    as_json(200, LINK),
    answer(200, b"<html>"),
    answer(200, b""),
    answer(200, b"\xff"),
    answer(200, b"[" * 100_000),
    answer(200, b" " * 1024 * 1024 + b"{}"),
    as_json(201, {"value": LINK}),
    as_json(202, {"value": LINK}),
    answer(204, b""),
    answer(302, b"", {"Location": "https://evil.example/"}),
    as_json(200, {"value": "https://evil.example/canary"}),
    as_json(200, {"value": "http://visit.teams.microsoft.com/canary"}),
    as_json(200, {"value": "https://canary@visit.teams.microsoft.com/"}),
]


@pytest.mark.parametrize("reply", UNEXPECTED, ids=range(len(UNEXPECTED)))
def test_a_response_of_another_shape_is_unexpected(scripted: Scripted, reply: bytes) -> None:
    """It is not tried again, not followed, and not quoted."""
    bench = scripted(reply)
    error = bench.error()
    assert error.code == "graph_unexpected"
    assert "canary" not in f"{error} {error.detail} {error.fix}"
    assert len(bench.server.heads) == 1


def test_the_token_goes_to_graphs_host_only(scripted: Scripted) -> None:
    """A redirect is not followed, not even on the same machine."""
    elsewhere = scripted(GOOD).server
    bench = scripted(answer(307, b"", {"Location": f"{elsewhere.url}/v1.0/x"}))
    assert bench.error().code == "graph_unexpected"
    assert elsewhere.heads == []


@pytest.mark.parametrize(
    "fault",
    [BUSY, AWAY, answer(504, b""), answer(500, b"x"), answer(408), answer(425), hang_up],
)
def test_temporary_errors_are_tried_again(scripted: Scripted, fault: Reply) -> None:
    """Throttling, 5xx and lost connections, with growing delays and full jitter."""
    bench = scripted(fault, fault, fault, GOOD)
    assert bench.join_link() == LINK
    assert bench.waits == pytest.approx([0.25, 0.5, 1.0], abs=0.1)


@pytest.mark.parametrize(
    "fault", [BUSY, AWAY, cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")]
)
def test_a_call_is_made_four_times_at_most(scripted: Scripted, fault: Reply) -> None:
    """Then the caller gets the error with Retry-After."""
    bench = scripted(fault)
    error = bench.error()
    assert error.code == ("graph_throttled" if fault == BUSY else "graph_unavailable")
    assert len(bench.server.heads) == 4
    assert len(bench.waits) == 3


@pytest.mark.parametrize(
    ("header", "least"),
    [("2", 2.0), ("2.128", 2.128), ("0", 0.0), (formatdate(NOW + 3, usegmt=True), 3.0)],
)
@pytest.mark.parametrize("status", [429, 503, 504])
def test_retry_after_is_honoured_in_each_form(
    scripted: Scripted, status: int, header: str, least: float
) -> None:
    """Counted from the response on, with a little jitter."""
    bench = scripted(answer(status, b"", {"Retry-After": header}), GOOD)
    assert bench.join_link() == LINK
    (wait,) = bench.waits
    assert least - 0.1 <= wait <= least + 1  # less what has passed since the answer


def test_a_retry_after_that_does_not_fit_the_deadline_is_handed_to_the_caller(
    scripted: Scripted,
) -> None:
    """At once, because waiting would not help."""
    bench = scripted(answer(429, b"", {"Retry-After": "30", "request-id": "g-9"}))
    error = bench.error()
    assert (error.code, error.retry_after) == ("graph_throttled", 30.0)
    assert error.graph_request_id == "g-9"
    assert bench.waits == []
    assert len(bench.server.heads) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410])
def test_a_refusal_is_not_tried_again(scripted: Scripted, status: int) -> None:
    """The response would be the same."""
    bench = scripted(answer(status, b""))
    bench.error()
    assert len(bench.server.heads) == 1


def test_a_token_that_is_rejected_is_renewed_once(
    scripted: Scripted, credentials: Credentials
) -> None:
    """The second call has the new token."""
    bench = scripted(REJECTED, GOOD)
    assert bench.join_link() == LINK
    first, second = (bench.server.headers(index)["authorization"] for index in (0, 1))
    assert first != second
    assert bench.waits == []
    assert credentials.made == 2


def test_a_second_rejected_token_is_identity_unavailable(scripted: Scripted) -> None:
    """There is no third call."""
    bench = scripted(REJECTED)
    assert bench.error().code == "identity_unavailable"
    assert len(bench.server.heads) == 2


def test_a_token_is_renewed_once_however_long_the_calls_take(
    credentials: Credentials,
) -> None:
    """The identity could give a new token each minute, and Graph reject each one."""
    with SlowlyRejecting() as server:
        bench = Bench(server, credentials)
        server.clock = bench.clock
        assert "a new one as well" in bench.error().detail
        assert len(server.heads) == 2


def test_an_unchanged_token_is_not_sent_again(scripted: Scripted, credentials: Credentials) -> None:
    """Graph would reject it again."""
    credentials.unchanged = True
    bench = scripted(REJECTED)
    assert bench.error().code == "identity_unavailable"
    assert len(bench.server.heads) == 1


def test_without_a_token_graph_is_not_called(scripted: Scripted, credentials: Credentials) -> None:
    """The error is the identity's."""
    credentials.failure = OSError("away")
    bench = scripted(GOOD)
    stats = RequestStats()
    assert bench.error(stats=stats).code == "identity_unavailable"
    assert bench.server.heads == []
    assert stats.graph_calls == 0


def test_a_silent_graph_is_a_timeout_when_the_time_is_spent(scripted: Scripted) -> None:
    """By the wall clock, and not before."""
    bench = scripted(keep_silent)
    deadline = Deadline(seconds=0.3)
    assert bench.error(deadline=deadline).code == "graph_timeout"
    assert 250 <= deadline.elapsed_ms() <= 2000


def test_a_403_depends_on_the_roles_in_the_token(scripted: Scripted) -> None:
    """This token has the role."""
    bench = scripted(answer(403, b""))
    assert bench.error().code == "permission_refused"


def test_a_fix_names_the_client_id_that_the_token_names(scripted: Scripted) -> None:
    """For a system-assigned identity no setting holds it."""
    policy = {"error": {"code": "Forbidden", "message": "No Application Access Policy found"}}
    error = scripted(as_json(403, policy)).error()
    assert '-AppIds "20000000-0000-4000-8000-000000000002"' in (error.fix or "")
    assert f'-Identity "{USER}"' in (error.fix or "")


def test_graphs_own_ids_are_kept_for_its_support(scripted: Scripted) -> None:
    """Its request id always, and its diagnostic header for a failed call."""
    failed = answer(404, b"", {"request-id": "g-2", "x-ms-ags-diagnostic": '{"a":1}'})
    stats = RequestStats()
    error = scripted(failed).error(stats=stats)
    assert error.graph_request_id == stats.graph_request_id == "g-2"
    assert stats.graph_diagnostic == '{"a":1}'

    stats = RequestStats()
    scripted(GOOD).join_link(stats=stats)
    assert (stats.graph_request_id, stats.graph_diagnostic) == ("g-1", None)


@pytest.mark.parametrize("odd", ["x" * 513, "a\tb", "\xe9", ""])
def test_a_malformed_request_id_of_graph_is_left_out(scripted: Scripted, odd: str) -> None:
    """It would reach the log and a response."""
    stats = RequestStats()
    scripted(answer(404, b"", {"request-id": odd})).error(stats=stats)
    assert stats.graph_request_id is None
