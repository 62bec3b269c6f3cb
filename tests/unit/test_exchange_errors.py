"""Errors of Entra's token endpoint and their codes: each row, and unknown errors."""

import base64
import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from shared.core.errors import IdentityUnavailable, ServiceError, Unauthorized
from shared.identity.bearer_tokens import ClaimsChallenge, challenge
from shared.identity.exchange_errors import ExchangeRefusal, codes_of, to_error

TENANT = "10000000-0000-4000-8000-00000000000a"
CLIENT = "20000000-0000-4000-8000-00000000000b"
SUBJECT = "30000000-0000-4000-8000-00000000000c"
TRACE = "a50bbe59-dd02-42f6-b6b1-3931021e0f02"
NOW = 1_790_000_000.0
CLAIMS = (
    '{"access_token":{"capolids":{"essential":true,'
    '"values":["da9d1d9d-2cf5-498f-8463-69025e65fe48"]}}}'
)
CANARY = "anna.meyer@clinic.example"


def entra_body(
    error: str, *codes: int, suberror: str | None = None, claims: str | None = None
) -> bytes:
    """Write an error as Entra does; its description names a person, as some do."""
    (number, *_) = codes
    members = {
        "error": error,
        "error_description": (
            f"AADSTS{number}: Something about {CANARY}. Trace ID: {TRACE} "
            "Correlation ID: 355da6cc-ab30-4456-91aa-0be3e8e0925c "
            "Timestamp: 2026-11-27 21:25:44Z"
        ),
        "error_codes": list(codes),
        "timestamp": "2026-11-27 21:25:44Z",
        "trace_id": TRACE,
        "correlation_id": "355da6cc-ab30-4456-91aa-0be3e8e0925c",
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
        "suberror": suberror,
        "claims": claims,
    }
    return json.dumps({name: text for name, text in members.items() if text is not None}).encode()


def judge(
    body: bytes,
    *,
    status: int = 400,
    takes_claims_challenges: bool = False,
    retry_after: str | None = None,
) -> ServiceError:
    """Give the error that an answer leads to."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return to_error(
        ExchangeRefusal(
            status=status,
            headers=CaseInsensitiveDict(headers),
            body=body,
            authority=f"https://login.microsoftonline.com/{TENANT}",
            tenant_id=TENANT,
            client_id=CLIENT,
            subject=SUBJECT,
            takes_claims_challenges=takes_claims_challenges,
            now=NOW,
        )
    )


GRANT, CLIENT_ERROR = "invalid_grant", "invalid_client"
ROWS: list[tuple[int, bytes, str]] = [
    (400, entra_body(GRANT, 65001, suberror="consent_required"), "consent_missing"),
    (
        400,
        entra_body("interaction_required", 65001, suberror="consent_required"),
        "consent_missing",
    ),
    *[
        (400, entra_body(error, code, suberror="basic_action", claims=CLAIMS), "unauthorized")
        for error in (GRANT, "interaction_required")
        for code in (50076, 50079, 50072, 50074, 50078, 50158)
    ],
    (400, entra_body(GRANT, 50076, suberror="basic_action"), "unauthorized"),
    *[
        (400, entra_body(GRANT, code, suberror="message_only", claims=CLAIMS), "unauthorized")
        for code in (53000, 53001, 53002, 53003, 530032, 530033, 530034, 530035)
    ],
    *[
        (400, entra_body(GRANT, code, suberror="message_only"), "forbidden")
        for code in (53000, 53001, 53002, 53003, 530032, 530033, 530034, 530035)
    ],
    *[
        (400, entra_body(GRANT, code), "unauthorized")
        for code in (70043, 50173, 50132, 50133, 700082)
    ],
    (400, entra_body(GRANT, 500133), "unauthorized"),
    (400, entra_body(GRANT, 70002, 500133), "unauthorized"),
    *[(400, entra_body(GRANT, code), "unauthorized") for code in (50013, 500131, 240002)],
    *[(400, entra_body(GRANT, code), "forbidden") for code in (50105, 501051)],
    *[(400, entra_body(GRANT, code), "forbidden") for code in (50020, 50034, 51004, 90072)],
    (400, entra_body(GRANT, 7000114), "forbidden"),
    *[
        (401, entra_body(CLIENT_ERROR, code), "sign_in_setup_incomplete")
        for code in (700211, 700212, 700213, 7002138)
    ],
    (400, entra_body("invalid_request", 70021), "sign_in_setup_incomplete"),
    *[
        (401, entra_body(CLIENT_ERROR, code), "sign_in_setup_incomplete")
        for code in (700024, 700027, 7000112, 7000218, 700025, 700229, 700231)
    ],
    (400, entra_body("unauthorized_client", 700016), "sign_in_setup_incomplete"),
    (400, entra_body(GRANT, 50196), "identity_unavailable"),
    *[
        (503, entra_body("temporarily_unavailable", code), "identity_unavailable")
        for code in (90024, 90033, 90055)
    ],
    (400, entra_body("temporarily_unavailable", 90033), "identity_unavailable"),
    (429, b"", "identity_unavailable"),
    (500, b"<html>", "identity_unavailable"),
]


@pytest.mark.parametrize(("status", "body", "code"), ROWS)
def test_each_known_refusal_leads_to_its_code(status: int, body: bytes, code: str) -> None:
    """By Entra's error numbers. No name from a description is shown."""
    error = judge(body, status=status)

    assert error.code == code
    assert CANARY not in f"{error} {error.fix}"


UNKNOWN: list[tuple[int, str, str]] = [
    (400, "invalid_grant", "unauthorized"),
    (400, "interaction_required", "unauthorized"),
    (401, "invalid_client", "sign_in_setup_incomplete"),
    (400, "unauthorized_client", "sign_in_setup_incomplete"),
    (400, "invalid_request", "sign_in_setup_incomplete"),
    (400, "invalid_scope", "sign_in_setup_incomplete"),
    (400, "invalid_resource", "sign_in_setup_incomplete"),
    (503, "invalid_grant", "identity_unavailable"),
    (400, "something_new", "identity_unavailable"),
]


@pytest.mark.parametrize(("status", "error", "code"), UNKNOWN)
def test_an_unknown_number_falls_back_to_the_error_and_the_status(
    status: int, error: str, code: str
) -> None:
    """Entra's numbers may change."""
    assert judge(entra_body(error, 99999999), status=status).code == code
    assert judge(json.dumps({"error": error}).encode(), status=status).code == code


def test_a_missing_consent_is_recognized_by_entras_suberror() -> None:
    """With any error number."""
    assert judge(entra_body(GRANT, 1, suberror="consent_required")).code == "consent_missing"


def test_the_commands_in_fixes_can_be_run_unchanged() -> None:
    """Each id is filled in."""
    consent = judge(entra_body(GRANT, 65001)).fix or ""
    credential = judge(entra_body(CLIENT_ERROR, 700213)).fix or ""

    assert (
        f"az ad app permission grant --id {CLIENT} --api 00000003-0000-0000-c000-000000000000 "
        '--scope "VirtualAppointment.Read OnlineMeetings.Read"'
    ) in consent
    assert f"az ad app federated-credential create --id {CLIENT} " in credential
    (parameters,) = (part for part in credential.split("'") if part.startswith("{"))
    assert json.loads(parameters) == {
        "name": "managed-identity",
        "issuer": f"https://login.microsoftonline.com/{TENANT}/v2.0",
        "subject": SUBJECT,
        "audiences": ["api://AzureADTokenExchange"],
    }
    assert "<" not in consent + credential


def test_a_detail_names_entras_numbers_and_the_trace() -> None:
    """Microsoft's support asks for both."""
    detail = judge(entra_body(GRANT, 70002, 500133)).detail

    assert f"(AADSTS70002, AADSTS500133, trace id {TRACE})" in detail
    assert "trace" not in judge(b'{"error_codes": [500133], "trace_id": "<a>"}').detail


def test_a_claims_challenge_is_relayed_unchanged() -> None:
    """In base64, with where to sign in."""
    error = judge(entra_body(GRANT, 50076, claims=CLAIMS), takes_claims_challenges=True)

    assert isinstance(error, ClaimsChallenge)
    assert challenge(error) == (
        f'Bearer realm="", authorization_uri="https://login.microsoftonline.com/{TENANT}'
        '/oauth2/v2.0/authorize", error="insufficient_claims", '
        f'claims="{base64.b64encode(CLAIMS.encode()).decode()}"'
    )
    assert CLIENT in (error.fix or "")


@pytest.mark.parametrize("claims", [None, CLAIMS, "", "x" * 5000])
def test_a_client_that_cannot_handle_challenges_is_told_to_ask_an_administrator(
    claims: str | None,
) -> None:
    """Who puts the registration into the policy."""
    error = judge(entra_body(GRANT, 50076, claims=claims))

    assert type(error) is Unauthorized
    assert challenge(error) == 'Bearer realm="virtual-appointment", error="invalid_token"'
    assert f"puts this service's app registration ({CLIENT}) into the policy" in (error.fix or "")


def test_entras_retry_after_is_kept_in_the_error() -> None:
    """In seconds or as a date."""
    assert judge(b"", status=429, retry_after="7").retry_after == 7
    date = formatdate(NOW + 9, usegmt=True)
    assert judge(b"", status=503, retry_after=date).retry_after == pytest.approx(9, abs=1)


@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "error_codes", "claims", "suberror", "trace_id"]), inner
            )
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_response_of_the_token_endpoint_becomes_one_error(status: int, body: bytes) -> None:
    """No other exception is raised."""
    assert isinstance(judge(body, status=status), ServiceError)


def test_a_malformed_response_is_not_the_callers_fault() -> None:
    """Also a deeply nested one."""
    for body in (b"", b"[]", b"{", b"[" * 200_000, b'{"error_codes": "65001"}'):
        assert isinstance(judge(body), IdentityUnavailable)


def test_error_numbers_must_be_json_integers() -> None:
    """Texts and booleans are ignored."""
    refusal = ExchangeRefusal(
        status=400,
        headers={},
        body=b'{"error_codes": [65001, true, "7", null, 1.5]}',
        authority="",
        tenant_id=TENANT,
        client_id=CLIENT,
        subject=None,
    )
    assert codes_of(refusal) == {65001}
