"""Errors as callers see them: problem details (RFC 9457)."""

import json

import pytest

from shared.core import errors
from shared.core.problem_details import MEDIA_TYPE, retry_after_header, to_problem
from shared.core.strict_json import FieldError


def test_a_problem_has_the_members_of_the_contract() -> None:
    """Message repeats detail, for Power Automate."""
    error = errors.MeetingNotFound("Not there.", fix="Check it.", graph_request_id="g-1")

    assert to_problem(error, request_id="r-1") == {
        "type": "urn:virtual-appointment:meeting_not_found",
        "title": "The meeting was not found",
        "status": 404,
        "detail": "Not there.",
        "message": "Not there.",
        "code": "meeting_not_found",
        "requestId": "r-1",
        "graphRequestId": "g-1",
        "fix": "Check it.",
    }


def test_members_without_a_value_are_left_out() -> None:
    """There are no nulls and no empty lists."""
    problem = to_problem(errors.GraphTimeout("Late."))
    assert set(problem) == {"type", "title", "status", "detail", "message", "code"}


def test_the_callers_field_errors_are_listed_with_pointers() -> None:
    """Under `errors`, as RFC 9457 suggests."""
    faults = [FieldError("/userId", "Missing."), FieldError("", "Whole.")]
    problem = to_problem(errors.InvalidRequest("Two.", field_errors=faults))
    assert problem["errors"] == [
        {"pointer": "/userId", "detail": "Missing."},
        {"pointer": "", "detail": "Whole."},
    ]


def test_invalid_settings_are_not_listed_as_the_callers_errors() -> None:
    """Their names are in the detail. `errors` is for what the caller sent."""
    error = errors.SettingsInvalid("GRAPH_ROOT.", field_errors=[FieldError("GRAPH_ROOT", "Wrong.")])
    assert "errors" not in to_problem(error)


@pytest.mark.parametrize("kind", errors.CODES.values(), ids=errors.CODES.keys())
def test_every_error_makes_a_problem_that_is_json(kind: type[errors.ServiceError]) -> None:
    """Its status is the response's."""
    problem = json.loads(json.dumps(to_problem(kind("What happened."))))
    assert problem["status"] == kind.status
    assert problem["code"] == kind.code


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (errors.GraphThrottled("Busy.", retry_after=2.128), "3"),
        (errors.GraphThrottled("Busy.", retry_after=0.0), "1"),
        (errors.GraphThrottled("Busy."), "10"),
        (errors.GraphUnavailable("Away.", retry_after=30.0), "30"),
        (errors.GraphTimeout("Late."), "10"),
        (errors.SettingsInvalid("Wrong."), "60"),
        (errors.MeetingNotFound("Not there."), None),
        (errors.AccessPolicyMissing("No policy."), None),
        (errors.InternalError("Ours."), None),
    ],
)
def test_retry_after_is_whole_seconds_and_never_zero(
    error: errors.ServiceError, header: str | None
) -> None:
    """Graph's value, else the error's default, else no header."""
    assert retry_after_header(error) == header


def test_the_media_type_is_that_of_rfc_9457() -> None:
    """Every problem has it."""
    assert MEDIA_TYPE == "application/problem+json"
