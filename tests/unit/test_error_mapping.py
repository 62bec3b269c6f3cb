"""Graph's error responses and their codes: each row, and each status without a known text."""

import inspect
import json
import re
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import errors
from shared.graph import error_mapping
from shared.graph.error_mapping import (
    ErrorResponse,
    Operation,
    meeting_not_found,
    to_error,
    user_not_found_by_mail,
)

CLIENT = "20000000-0000-4000-8000-000000000002"
USER = "30000000-0000-4000-8000-000000000003"
LINK, MEETING, PERSON = Operation.JOIN_LINK, Operation.FIND_MEETING, Operation.FIND_USER
MAILBOX = Operation.FIND_USER_BY_MAIL
NOW = 1_790_000_000.0


def graph_body(code: str, message: str) -> bytes:
    """Write an error as Graph does."""
    inner = {"date": "2026-09-01T10:00:00", "request-id": "r", "client-request-id": "c"}
    return json.dumps({"error": {"code": code, "message": message, "innerError": inner}}).encode()


def code_of(
    status: int,
    body: bytes = b"",
    *,
    operation: Operation = LINK,
    roles: frozenset[str] = frozenset(),
) -> str:
    """Give the code that an answer leads to."""
    response = ErrorResponse(
        operation=operation, status=status, headers={}, body=body, token_roles=roles, now=NOW
    )
    return to_error(response).code


NO_POLICY = f"No application access policy found for this app {CLIENT} on the user"
NOT_ALLOWED = f"App {CLIENT} is not allowed to perform operations on the user '{USER}'."
ON_BEHALF = f"The app is not authorized to read meetings on behalf of user {USER}"
NO_ACCESS = "3003: User does not have access to lookup meeting"
NO_ROLES = (
    "Missing role permissions on the request. API requires one of "
    "'VirtualAppointment.Read.All'. Roles on the request ''."
)

ROWS = [
    (403, "Forbidden", NO_POLICY, LINK, "access_policy_missing"),
    (403, "General", NO_POLICY.upper(), LINK, "access_policy_missing"),
    (403, "Unauthorized", NOT_ALLOWED, LINK, "access_policy_missing"),
    (403, "Forbidden", ON_BEHALF, LINK, "access_policy_missing"),
    (403, "Forbidden", NO_POLICY, MEETING, "access_policy_missing"),
    (403, "Forbidden", NOT_ALLOWED, MEETING, "access_policy_missing"),
    (403, "Forbidden", NO_ACCESS, LINK, "meeting_not_accessible"),
    (403, "Forbidden", NO_ACCESS, MEETING, "meeting_not_accessible"),
    (403, "Forbidden", NO_ROLES, LINK, "permission_missing"),
    (403, "Forbidden", NO_ROLES, MEETING, "lookup_not_permitted"),
    (403, "Authorization_RequestDenied", NO_ROLES, PERSON, "lookup_not_permitted"),
    (
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
        PERSON,
        "lookup_not_permitted",
    ),
    (
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
        LINK,
        "permission_missing",
    ),
    (403, "Forbidden", "", LINK, "permission_missing"),
    (403, "Forbidden", "", MEETING, "lookup_not_permitted"),
    (404, "NotFound", "3004: Specified meeting is not found", LINK, "meeting_not_found"),
    (404, "NotFound", "3004: Specified meeting is not found", MEETING, "meeting_not_found"),
    (404, "NotFound", f"Organizer Id mismatch User Id {USER}", LINK, "meeting_not_found"),
    (404, "UnknownError", "", LINK, "user_not_found"),
    (404, "UnknownError", "", MEETING, "user_not_found"),
    (
        404,
        "Request_ResourceNotFound",
        "Resource 'x' does not exist or one of its queried references are not present.",
        PERSON,
        "user_not_found",
    ),
    (400, "BadRequest", "Meeting Id is corrupted.", LINK, "meeting_id_malformed"),
    (400, "InvalidArgument", "Invalid meeting id AAMkADAw.", LINK, "meeting_id_malformed"),
    (403, "Authorization_RequestDenied", "Insufficient privileges.", MAILBOX, "user_not_found"),
    (403, "Forbidden", NO_POLICY, MAILBOX, "user_not_found"),
    (400, "Request_UnsupportedQuery", "Unsupported filter.", MAILBOX, "user_not_found"),
    (404, "Request_ResourceNotFound", "", MAILBOX, "user_not_found"),
    (429, "TooManyRequests", "", MAILBOX, "graph_throttled"),
    (
        400,
        "BadRequest",
        "The userId in request URL is not a valid GUID 'anna'.",
        LINK,
        "graph_refused",
    ),
    (400, "BadRequest", "1026: An error has occurred.", LINK, "graph_refused"),
    (400, "BadRequest", "Resource not found for the segment 'x'.", LINK, "graph_refused"),
    (400, "InvalidArgument", "Filter expression expected", MEETING, "graph_refused"),
    (429, "TooManyRequests", "Please retry again later.", LINK, "graph_throttled"),
    (503, "ServiceUnavailable", "The service is unavailable.", LINK, "graph_unavailable"),
    (504, "GatewayTimeout", "", LINK, "graph_unavailable"),
]


@pytest.mark.parametrize(("status", "graph_code", "message", "operation", "code"), ROWS)
def test_each_known_response_leads_to_its_code(
    status: int, graph_code: str, message: str, operation: Operation, code: str
) -> None:
    """By status and error code, and by the message where nothing else differs."""
    assert code_of(status, graph_body(graph_code, message), operation=operation) == code


def test_each_code_that_the_table_gives_has_a_row_here() -> None:
    """Among the rows for the app, those for a person, or those for a plain status."""
    parts = (
        to_error,
        error_mapping._unavailable,
        error_mapping._forbidden,
        error_mapping._forbidden_to_person,
    )
    source = "".join(inspect.getsource(part) for part in parts)
    given_codes = {getattr(errors, name).code for name in re.findall(r"errors\.(\w+)\(", source)}
    rows = {row[-1] for row in [*ROWS, *FALLBACKS, *TO_PERSONS]}
    assert given_codes <= rows


FALLBACKS = [
    (400, LINK, "graph_refused"),
    (400, MEETING, "graph_refused"),
    (403, LINK, "permission_missing"),
    (403, MEETING, "lookup_not_permitted"),
    (403, PERSON, "lookup_not_permitted"),
    (404, LINK, "meeting_not_found"),
    (404, MEETING, "meeting_not_found"),
    (404, PERSON, "user_not_found"),
    (405, LINK, "graph_refused"),
    (408, LINK, "graph_unavailable"),
    (409, LINK, "graph_refused"),
    (410, LINK, "graph_refused"),
    (425, PERSON, "graph_unavailable"),
    (429, MEETING, "graph_throttled"),
    (500, LINK, "graph_unavailable"),
    (502, PERSON, "graph_unavailable"),
    (503, LINK, "graph_unavailable"),
    (504, MEETING, "graph_unavailable"),
    (599, LINK, "graph_unavailable"),
    (301, LINK, "graph_unexpected"),
    (302, MEETING, "graph_unexpected"),
    (304, LINK, "graph_unexpected"),
]
UNRECOGNIZED = [
    graph_body("SomethingNew", "A text that nobody has seen before."),
    b"",
    b"<html>Service Unavailable</html>",
    b"\xff\xfe",
    b"[]",
    b'{"error":"a text"}',
    b'{"error":{"code":403,"message":null}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("body", UNRECOGNIZED, ids=range(len(UNRECOGNIZED)))
@pytest.mark.parametrize(("status", "operation", "code"), FALLBACKS)
def test_the_plain_status_decides_where_the_text_is_not_recognized(
    status: int, operation: Operation, code: str, body: bytes
) -> None:
    """For an unknown text, no body, or a body that is not JSON."""
    assert code_of(status, body, operation=operation) == code


@pytest.mark.parametrize(
    "role", ["VirtualAppointment.Read.All", "VirtualAppointment.ReadWrite.All"]
)
def test_a_403_for_a_token_with_the_role_is_a_refused_permission(role: str) -> None:
    """With either role for links. A role for lookups does not count."""
    assert code_of(403, roles=frozenset({role})) == "permission_refused"
    assert code_of(403, roles=frozenset({"OnlineMeetings.Read.All"})) == "permission_missing"


def test_a_policy_that_is_missing_wins_over_a_role_in_the_token() -> None:
    """The first row that fits counts."""
    body = graph_body("Forbidden", NO_POLICY)
    roles = frozenset({"VirtualAppointment.Read.All"})
    assert code_of(403, body, roles=roles) == "access_policy_missing"


@pytest.mark.parametrize("where", ["8ba73003-0d4c-4f5e-9c1b-3f2a7c1d9e00", "a-3003-b", "130031"])
def test_3003_inside_an_id_is_not_the_error_3003(where: str) -> None:
    """Messages quote ids, and an id may hold these digits."""
    body = graph_body("Forbidden", f"Something about {where}.")
    assert code_of(403, body) == "permission_missing"


@pytest.mark.parametrize("status", [429, 500, 503, 504])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 10.0),
        ("2.128", 2.128),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_is_kept_in_the_error(
    status: int, header: str | None, seconds: float | None
) -> None:
    """In each of its forms, and without the header."""
    headers = {} if header is None else {"Retry-After": header}
    error = to_error(
        ErrorResponse(operation=LINK, status=status, headers=headers, body=b"", now=NOW)
    )
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "message", "operation", "expected"),
    [
        (403, NO_POLICY, LINK, [f'-AppIds "{CLIENT}"', f'-Identity "{USER}"']),
        (403, NO_ACCESS, LINK, ["belongs to somebody else", f'-Identity "{USER}"']),
        (403, NO_ROLES, LINK, ["d4f67ec2-59b5-4bdc-b4af-d78f6f9c1954", f"--id {CLIENT}"]),
        (403, "", MEETING, ["c1684f21-1984-47fa-9d61-2dc8c296bb70", "CsApplicationAccessPolicy"]),
        (403, "", PERSON, ["97235f07-e226-4f63-ace3-39588e11d3a1", f"--id {CLIENT}"]),
        (400, "Meeting Id is corrupted.", LINK, ["calendar event", "chat thread"]),
        (404, "", PERSON, ["licence", "mail address"]),
        (403, "", MAILBOX, ["User.Read.All", "User.ReadBasic.All", "object id", "not proven"]),
        (404, "", LINK, ["60 days"]),
    ],
)
def test_an_error_that_an_operator_can_fix_has_the_exact_command(
    status: int, message: str, operation: Operation, expected: list[str]
) -> None:
    """With this deployment's ids filled in."""
    error = to_error(
        ErrorResponse(
            operation=operation,
            status=status,
            headers={},
            body=graph_body("Some", message),
            user_id=USER,
            client_id=CLIENT,
        )
    )
    assert error.fix is not None
    assert [text for text in expected if text not in error.fix] == []


def test_a_refused_permission_points_to_the_policy_and_then_to_the_diagnostics() -> None:
    """In this order."""
    roles = frozenset({"VirtualAppointment.Read.All"})
    fix = to_error(
        ErrorResponse(operation=LINK, status=403, headers={}, body=b"", token_roles=roles)
    ).fix
    assert fix is not None
    assert fix.index("policy") < fix.index("diagnostics")


def test_a_meeting_that_is_not_found_may_have_expired_or_been_deleted() -> None:
    """A 404 and an empty lookup have the same text."""
    detail = meeting_not_found().detail
    assert "expired" in detail
    assert "deleted" in detail


def test_both_names_that_were_tried_are_named() -> None:
    """If the second lookup found nobody, and if Graph refused it."""
    refused = to_error(ErrorResponse(operation=MAILBOX, status=403, headers={}, body=b""))
    for error in (refused, user_not_found_by_mail()):
        assert "sign-in name" in error.detail
        assert "mail address" in error.detail


def test_a_user_who_is_not_found_may_have_no_licence() -> None:
    """Graph answers the same in both cases."""
    error = to_error(ErrorResponse(operation=PERSON, status=404, headers={}, body=b""))
    assert "without a Teams licence" in error.detail


@given(status=st.integers(300, 599), text=st.text(), operation=st.sampled_from(Operation))
def test_no_error_quotes_graphs_text(status: int, text: str, operation: Operation) -> None:
    """It may hold an id, an address or a link."""
    canary = f"canary {text}"
    error = to_error(
        ErrorResponse(operation=operation, status=status, headers={}, body=graph_body("x", canary))
    )
    assert isinstance(error, errors.ServiceError)
    assert "canary" not in f"{error} {error.detail} {error.fix}"


def test_a_refusal_does_not_show_its_body() -> None:
    """Not even in a debugger."""
    response = ErrorResponse(operation=LINK, status=403, headers={"x": "canary"}, body=b"canary")
    assert "canary" not in repr(response)


BOTH = frozenset({"VirtualAppointment.Read", "OnlineMeetings.Read"})
NO_SCOPES = "Missing scope permissions on the request. API requires one of 'x'. Scopes ''."
TO_PERSONS = [
    (403, "Forbidden", NO_ACCESS, LINK, BOTH, "meeting_not_accessible"),
    (403, "Forbidden", NO_ACCESS, MEETING, BOTH, "meeting_not_accessible"),
    (403, "Forbidden", NO_SCOPES, LINK, frozenset[str](), "consent_missing"),
    (403, "Forbidden", NO_SCOPES, LINK, frozenset({"User.Read"}), "consent_missing"),
    (
        403,
        "Forbidden",
        NO_SCOPES,
        MEETING,
        frozenset({"VirtualAppointment.Read"}),
        "consent_missing",
    ),
    (403, "Forbidden", "", LINK, frozenset({"VirtualAppointment.Read"}), "permission_refused"),
    (403, "Forbidden", "", LINK, frozenset({"onlinemeetings.readwrite"}), "permission_refused"),
    (403, "Forbidden", "", MEETING, BOTH, "lookup_not_permitted"),
    (403, "Forbidden", NO_POLICY, LINK, BOTH, "permission_refused"),
    (404, "NotFound", f"Organizer Id mismatch User Id {USER}", LINK, BOTH, "meeting_not_found"),
    (404, "UnknownError", "", LINK, BOTH, "user_not_found"),
    (400, "BadRequest", "Meeting Id is corrupted.", LINK, BOTH, "meeting_id_malformed"),
    (429, "TooManyRequests", "", LINK, BOTH, "graph_throttled"),
    (503, "ServiceUnavailable", "", LINK, BOTH, "graph_unavailable"),
]


@pytest.mark.parametrize(
    ("status", "error", "operation", "scopes", "code"),
    [(status, (error, message), *row) for status, error, message, *row in TO_PERSONS],
)
def test_a_403_on_behalf_of_a_person_leads_to_its_code(
    status: int,
    error: tuple[str, str],
    operation: Operation,
    scopes: frozenset[str],
    code: str,
) -> None:
    """No fix is about app roles or the access policy."""
    response = ErrorResponse(
        operation=operation,
        status=status,
        headers={},
        body=graph_body(*error),
        user_id=USER,
        client_id=CLIENT,
        token_scopes=scopes,
    )

    found = to_error(response)

    assert found.code == code
    assert "CsApplicationAccessPolicy" not in (found.fix or "")
    assert "appRoleAssignedTo" not in (found.fix or "")
    if code == "consent_missing":
        assert f"az ad app permission grant --id {CLIENT}" in (found.fix or "")
