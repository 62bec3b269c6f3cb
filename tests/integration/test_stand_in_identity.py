"""The managed identity endpoint, asked by the real azure-identity."""

import json
import threading
from collections.abc import Iterator

import jwt
import pytest
import requests
from azure.core.exceptions import AzureError, ServiceResponseError
from azure.identity import ManagedIdentityCredential

from dev.stand_ins.authority import Authority
from dev.stand_ins.faults import NOT_JSON, Delay, Hang, Reset, Status
from dev.stand_ins.identity_endpoint import GRAPH_ROLES, IdentityEndpoint
from tests.integration.conftest import TENANT

CLIENT = "20000000-0000-4000-8000-000000000002"
IDENTITY = "30000000-0000-4000-8000-000000000003"
GRAPH = "https://graph.microsoft.com"


@pytest.fixture
def endpoint(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """An endpoint that azure-identity finds by its environment."""
    with IdentityEndpoint(authority, client_id=CLIENT, object_id=IDENTITY) as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        yield endpoint


def token(
    client_id: str | None = CLIENT, *, scope: str = f"{GRAPH}/.default", retries: int = 0
) -> str:
    """Ask as the app does, with a credential that has nothing cached."""
    with ManagedIdentityCredential(client_id=client_id, retry_total=retries) as credential:
        access_token: str = credential.get_token(scope).token
        return access_token


def ask(endpoint: IdentityEndpoint, **query: str) -> requests.Response:
    """Ask as azure-identity does, but with other parameters."""
    environment = endpoint.environment
    return requests.get(
        environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", **query},
        headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
        timeout=5,
    )


def test_gives_a_token_that_its_authority_signed(
    authority: Authority, endpoint: IdentityEndpoint
) -> None:
    """The claims are those of a managed identity, with the app roles for Graph."""
    claims = authority.verify(token(), GRAPH)

    assert claims["iss"] == f"https://sts.windows.net/{TENANT}/"
    assert (claims["tid"], claims["appid"], claims["oid"]) == (TENANT, CLIENT, IDENTITY)
    assert set(claims["roles"]) == GRAPH_ROLES
    assert claims["exp"] - claims["iat"] == endpoint.lifetime


def test_answers_as_app_service_does(endpoint: IdentityEndpoint) -> None:
    """expires_on is a string, and there is no refresh_in."""
    answer = ask(endpoint, resource=GRAPH).json()

    assert set(answer) == {"access_token", "expires_on", "resource", "token_type", "client_id"}
    assert isinstance(answer["expires_on"], str)
    assert answer["token_type"] == "Bearer"


@pytest.mark.parametrize("resource", [GRAPH, f"{GRAPH}/"])
def test_accepts_each_spelling_of_the_resource(
    authority: Authority, endpoint: IdentityEndpoint, resource: str
) -> None:
    """The audience is the resource, with a trailing slash or without. The roles are the same."""
    claims = authority.verify(ask(endpoint, resource=resource).json()["access_token"], resource)

    assert claims["aud"] == resource
    assert set(claims["roles"]) == GRAPH_ROLES


@pytest.mark.parametrize("resource", ["https://storage.azure.com", "https://vault.azure.net"])
def test_gives_tokens_for_storage_and_key_vault(
    authority: Authority, endpoint: IdentityEndpoint, resource: str
) -> None:
    """Their roles are in Azure, not in the token."""
    claims = authority.verify(token(scope=f"{resource}/.default"), resource)

    assert "roles" not in claims
    assert endpoint.count() == 1


def test_roles_and_lifetime_can_be_changed(
    authority: Authority, endpoint: IdentityEndpoint
) -> None:
    """The change applies to the next token."""
    endpoint.roles = frozenset({"OnlineMeetings.Read.All"})
    endpoint.lifetime = 300

    claims = authority.verify(token(), GRAPH)

    assert claims["roles"] == ["OnlineMeetings.Read.All"]
    assert claims["exp"] - claims["iat"] == 300


def test_a_system_assigned_identity_needs_no_client_id(endpoint: IdentityEndpoint) -> None:
    """Without a client id it answers, unless no such identity is set."""
    assert token(None)

    endpoint.system_assigned = False

    with pytest.raises(AzureError):
        token(None)
    assert endpoint.calls[-1].status == 400


def test_refuses_another_client_id(endpoint: IdentityEndpoint) -> None:
    """With App Service's message."""
    answer = ask(endpoint, resource=GRAPH, client_id=IDENTITY)

    assert answer.status_code == 400
    assert answer.json()["statusCode"] == 400
    assert "No User Assigned or Delegated Managed Identity" in answer.json()["message"]
    with pytest.raises(AzureError):
        token(IDENTITY)


def test_answers_500_for_an_unknown_resource(endpoint: IdentityEndpoint) -> None:
    """The error does not name the resource."""
    answer = ask(endpoint, resource="https://graph.microsoft.example")

    assert answer.status_code == 500
    assert "graph" not in answer.text


def test_refuses_a_request_without_the_header(endpoint: IdentityEndpoint) -> None:
    """IDENTITY_HEADER protects the endpoint against forged requests."""
    answer = requests.get(
        endpoint.environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": GRAPH},
        headers={"X-IDENTITY-HEADER": "guessed"},
        timeout=5,
    )

    assert answer.status_code == 401


def test_records_requests_without_the_secret(endpoint: IdentityEndpoint) -> None:
    """Tests count token requests. The header's value is not recorded."""
    token()
    token()

    assert endpoint.count() == 2
    assert endpoint.calls[0].headers["x-identity-header"] == "[redacted]"
    assert endpoint.environment["IDENTITY_HEADER"] not in repr(endpoint.calls)
    assert f"client_id={CLIENT}" in endpoint.calls[0].query


def test_gives_new_tokens_by_default(endpoint: IdentityEndpoint) -> None:
    """Azure's own cache may give the same token again."""
    first, second = token(), token()
    endpoint.same_token = True
    third = token()

    assert first != second
    assert third == second


def test_fails_as_often_as_ordered(endpoint: IdentityEndpoint) -> None:
    """azure-identity tries again after a 500, and the third answer is a token."""
    endpoint.order(Status(500, message="An unexpected error occurred."), times=2)

    assert token(retries=3)

    assert [call.status for call in endpoint.calls] == [500, 500, 200]


def test_fails_until_the_orders_are_cleared(endpoint: IdentityEndpoint) -> None:
    """As in an outage."""
    endpoint.always(Status(500))
    for _ in range(3):
        with pytest.raises(AzureError):
            token()

    endpoint.clear_orders()

    assert token()


def test_resets_or_sends_an_invalid_answer_on_order(endpoint: IdentityEndpoint) -> None:
    """azure-identity raises another error than its own authentication error."""
    endpoint.order(Reset())
    endpoint.order(NOT_JSON)

    with pytest.raises(ServiceResponseError):
        token()
    with pytest.raises(json.JSONDecodeError):
        token()

    assert [call.status for call in endpoint.calls] == [None, 200]


def test_hangs_until_released(endpoint: IdentityEndpoint) -> None:
    """A test can wait for held requests, which are answered when released."""
    endpoint.order(Hang())
    endpoint.order(Delay(0.01))
    tokens: list[str] = []
    caller = threading.Thread(target=lambda: tokens.append(token()))
    caller.start()
    while endpoint.held == 0:
        caller.join(0.01)
    assert tokens == []

    endpoint.release()
    caller.join(5)

    assert len(tokens) == 1
    assert token() != tokens[0]


def test_authority_publishes_the_key_of_its_tokens(authority: Authority) -> None:
    """The key set verifies its tokens, as the app verifies a caller's."""
    signed = authority.issue(audience="api://app", client_id=CLIENT, object_id=IDENTITY, ver="2.0")
    keys = jwt.PyJWKSet.from_dict(authority.keys)

    claims = jwt.decode(
        signed,
        keys[jwt.get_unverified_header(signed)["kid"]],
        algorithms=["RS256"],
        audience="api://app",
    )

    assert claims["ver"] == "2.0"


def test_authority_refuses_a_token_that_is_not_valid(authority: Authority) -> None:
    """Another tenant's signature, an expired token, another audience."""
    foreign = Authority(TENANT).issue(audience=GRAPH, client_id=CLIENT, object_id=IDENTITY)
    ended = authority.issue(audience=GRAPH, client_id=CLIENT, object_id=IDENTITY, lifetime=-1)
    other = authority.issue(audience="https://else", client_id=CLIENT, object_id=IDENTITY)

    with pytest.raises(jwt.InvalidSignatureError):
        authority.verify(foreign, GRAPH)
    with pytest.raises(jwt.ExpiredSignatureError):
        authority.verify(ended, GRAPH)
    with pytest.raises(jwt.InvalidAudienceError):
        authority.verify(other, GRAPH)
