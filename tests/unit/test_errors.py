"""The tree of errors: each code, with its HTTP status and its rule on the queue."""

import re

import pytest

from shared.core import errors
from shared.core.errors import CODES, InvalidRequest, Retry, ServiceError
from shared.core.strict_json import FieldError

CONTRACT = {
    "invalid_request": (400, Retry.NEVER),
    "unsupported_media_type": (415, Retry.NEVER),
    "payload_too_large": (413, Retry.NEVER),
    "signature_invalid": (401, Retry.NEVER),
    "unauthorized": (401, Retry.NEVER),
    "forbidden": (403, Retry.NEVER),
    "meeting_missing": (400, Retry.NEVER),
    "user_ambiguous": (409, Retry.NEVER),
    "meeting_not_found": (404, Retry.FEW),
    "user_not_found": (404, Retry.FEW),
    "meeting_id_malformed": (400, Retry.NEVER),
    "meeting_not_accessible": (403, Retry.OPERATOR),
    "permission_missing": (403, Retry.OPERATOR),
    "permission_refused": (403, Retry.OPERATOR),
    "access_policy_missing": (403, Retry.OPERATOR),
    "lookup_not_permitted": (403, Retry.OPERATOR),
    "consent_missing": (403, Retry.OPERATOR),
    "sign_in_setup_incomplete": (503, Retry.OPERATOR),
    "graph_throttled": (429, Retry.BACK_OFF),
    "graph_unavailable": (503, Retry.BACK_OFF),
    "identity_unavailable": (503, Retry.BACK_OFF),
    "secrets_unavailable": (503, Retry.BACK_OFF),
    "queue_unavailable": (503, Retry.BACK_OFF),
    "diagnostics_busy": (429, Retry.BACK_OFF),
    "graph_timeout": (504, Retry.BACK_OFF),
    "graph_unexpected": (502, Retry.FEW),
    "graph_refused": (502, Retry.NEVER),
    "delivery_failed": (502, Retry.BACK_OFF),
    "destination_invalid": (502, Retry.OPERATOR),
    "destination_gone": (502, Retry.NEVER),
    "settings_invalid": (503, Retry.HOST),
    "internal_error": (500, Retry.HOST),
}


def test_the_codes_are_those_of_the_contract() -> None:
    """With their HTTP status and retry rule."""
    assert {code: (kind.status, kind.retry) for code, kind in CODES.items()} == CONTRACT


@pytest.mark.parametrize("kind", CODES.values(), ids=CODES.keys())
def test_each_error_is_in_the_tree_of_the_modules_docstring(kind: type[ServiceError]) -> None:
    """With its base class above it, or on its own."""
    tree = errors.__doc__ or ""
    assert re.search(rf"\b{kind.__name__}\b", tree)
    base = kind.__base__
    assert base is not None
    if base is not ServiceError:
        branch = re.search(rf"^├── {base.__name__}\b.*\n((?:│.*\n)+)", tree, re.MULTILINE)
        assert branch is not None
        assert re.search(rf"\b{kind.__name__}\b", branch[1])


@pytest.mark.parametrize("kind", CODES.values(), ids=CODES.keys())
def test_retry_after_is_sent_exactly_where_waiting_helps(kind: type[ServiceError]) -> None:
    """With 429, 503 and 504."""
    assert (kind.default_retry_after is not None) == (kind.status in (429, 503, 504))


@pytest.mark.parametrize("kind", CODES.values(), ids=CODES.keys())
def test_each_code_has_its_own_title(kind: type[ServiceError]) -> None:
    """A title names the kind of problem, not the single case."""
    assert kind.title
    assert [other.title for other in CODES.values()].count(kind.title) == 1


def test_the_text_of_an_error_holds_only_code_and_detail() -> None:
    """The fix and the field errors are for the caller."""
    error = InvalidRequest(
        "Two things.", fix="Send it again.", field_errors=[FieldError("/a", "Wrong.")]
    )
    assert str(error) == "invalid_request: Two things."
    assert error.field_errors == (FieldError("/a", "Wrong."),)
