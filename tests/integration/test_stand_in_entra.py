"""The Entra stand-in's token endpoint, and Graph's `/me` with what it gives."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
import requests

from dev.stand_ins.authority import Authority
from dev.stand_ins.entra import EXCHANGE_APP_ID, Entra, EntraError, Registration, is_exchange
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_data import Meeting, User
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from tests.integration.conftest import TENANT

CLIENT = "20000000-0000-4000-8000-000000000002"
IDENTITY = "30000000-0000-4000-8000-000000000003"
GRAPH = "https://graph.microsoft.com"
FUNCTION = "getVirtualAppointmentJoinWebUrl"


@dataclass
class World:
    """Entra, the identity endpoint and Graph of one tenant."""

    authority: Authority
    entra: Entra
    registration: Registration
    endpoint: IdentityEndpoint
    graph: Graph
    doctor: User

    def assertion(self) -> str:
        """The managed identity's token for an exchange, as the platform gives it."""
        environment = self.endpoint.environment
        answer = requests.get(
            environment["IDENTITY_ENDPOINT"],
            params={"api-version": "2019-08-01", "resource": "api://AzureADTokenExchange"},
            headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
            timeout=5,
        )
        token: str = answer.json()["access_token"]
        return token

    def person(self, **claims: Any) -> str:  # noqa: ANN401 - as claims are
        """The doctor's token for the registration."""
        return self.authority.issue_to_person(
            audience=CLIENT, object_id=self.doctor.object_id, **claims
        )

    def exchange(self, **form: str | None) -> requests.Response:
        """Exchange the doctor's token, with the given parameters changed."""
        usual: dict[str, str | None] = {
            "client_id": CLIENT,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": self.assertion(),
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self.person(),
            "requested_token_use": "on_behalf_of",
            "scope": f"{GRAPH}/.default",
        }
        sent = {name: value for name, value in {**usual, **form}.items() if value is not None}
        return requests.post(f"{self.entra.url}/{TENANT}/oauth2/v2.0/token", data=sent, timeout=5)

    def refusal(self, **form: str | None) -> tuple[str, int]:
        """Exchange, and give the error and its first number."""
        said = self.exchange(**form).json()
        return said["error"], said["error_codes"][0]

    def ask_graph(self, token: str, path: str) -> requests.Response:
        """Ask Graph with a token."""
        return requests.get(
            f"{self.graph.url}/v1.0{path}", headers={"Authorization": f"Bearer {token}"}, timeout=5
        )

    def own_meeting(self) -> Meeting:
        """A meeting of the doctor's."""
        return self.graph.data.add_meeting(self.doctor)


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    """A valid setup. No access policy covers the doctor."""
    endpoint = IdentityEndpoint(authority, client_id="c", object_id=IDENTITY)
    with Entra(authority) as entra, endpoint, Graph(authority) as graph:
        registration = entra.register(CLIENT, subject=IDENTITY)
        doctor = graph.data.add_user("anna@clinic.example", covered=False)
        yield World(authority, entra, registration, endpoint, graph, doctor)


def test_the_identitys_token_for_an_exchange_is_of_version_2(world: World) -> None:
    """Its audience is an id, and its subject the identity's principal id."""
    claims = jwt.decode(world.assertion(), options={"verify_signature": False})

    assert claims["iss"] == f"https://login.microsoftonline.com/{TENANT}/v2.0"
    assert (claims["aud"], claims["sub"], claims["oid"]) == (EXCHANGE_APP_ID, IDENTITY, IDENTITY)


def test_an_exchange_gives_a_token_on_the_persons_behalf(world: World) -> None:
    """For Graph, with the consented permissions, and without a refresh token."""
    said = world.exchange().json()

    claims = jwt.decode(said["access_token"], options={"verify_signature": False})
    assert sorted(said) == ["access_token", "expires_in", "ext_expires_in", "scope", "token_type"]
    assert (claims["aud"], claims["appid"], claims["oid"]) == (
        GRAPH,
        CLIENT,
        world.doctor.object_id,
    )
    assert claims["scp"] == "OnlineMeetings.Read VirtualAppointment.Read"
    assert said["scope"] == f"{GRAPH}/OnlineMeetings.Read {GRAPH}/VirtualAppointment.Read"


def test_a_refusal_has_entras_members(world: World) -> None:
    """As in Microsoft's documents and public reports."""
    world.registration.consented = frozenset()

    answer = world.exchange()

    said = answer.json()
    assert answer.status_code == 400
    assert said["error_description"].startswith("AADSTS65001: ")
    assert f"Trace ID: {said['trace_id']}" in said["error_description"]
    assert (said["error"], said["error_codes"]) == ("invalid_grant", [65001])
    assert said["suberror"] == "consent_required"


def test_an_undocumented_parameter_is_refused(world: World) -> None:
    """Each parameter is checked."""
    assert world.refusal(client_id="x") == ("unauthorized_client", 700016)
    assert world.refusal(client_assertion=None) == ("invalid_client", 7000218)
    assert world.refusal(client_assertion_type="x") == ("invalid_client", 7000218)
    assert world.refusal(client_assertion="x") == ("invalid_client", 700027)
    assert world.refusal(client_assertion=world.person()) == ("invalid_client", 700212)
    assert world.refusal(grant_type="x") == ("unsupported_grant_type", 70003)
    assert world.refusal(requested_token_use=None) == ("invalid_request", 900144)
    assert world.refusal(scope=f"{GRAPH}/Mail.Read") == ("invalid_grant", 65001)
    assert world.refusal(scope=None) == ("invalid_grant", 65001)


def test_an_expired_assertion_is_refused(world: World) -> None:
    """The identity's and the person's, without a leeway."""
    world.endpoint.lifetime = -1
    assert world.refusal() == ("invalid_client", 700024)
    world.endpoint.lifetime = 86400
    assert world.refusal(assertion=world.person(lifetime=-1)) == ("invalid_grant", 500133)


def test_the_persons_token_is_checked(world: World) -> None:
    """Signature, audience, and that it is a person's."""
    head, payload, _ = world.person().split(".")
    service = world.authority.issue_to_application(audience=CLIENT)

    assert world.refusal(assertion=f"{head}.{payload}.AAAA") == ("invalid_grant", 50013)
    assert world.refusal(assertion=world.person(aud=GRAPH)) == ("invalid_grant", 500131)
    assert world.refusal(assertion=service) == ("invalid_grant", 7000114)
    assert world.exchange(assertion=world.person(aud=f"api://{CLIENT}")).ok


def test_an_unassigned_person_is_refused_if_assignment_is_required(world: World) -> None:
    """Assigned people pass."""
    world.registration.assigned = frozenset({"somebody-else"})
    assert world.refusal() == ("invalid_grant", 50105)
    world.registration.assigned = frozenset({world.doctor.object_id})
    assert world.exchange().ok


def test_a_new_credential_is_not_found_for_a_while(world: World) -> None:
    """For the ordered number of requests."""
    world.registration.unspread = 1

    assert world.refusal() == ("invalid_request", 70021)
    assert world.exchange().ok


def test_each_error_can_be_ordered(world: World) -> None:
    """With its claims. Only exchanges fail."""
    error = EntraError("interaction_required", 50076, "…", suberror="basic_action", claims="{}")
    world.entra.order(error, when=is_exchange)

    keys = requests.get(f"{world.entra.url}/{TENANT}/discovery/v2.0/keys", timeout=5)
    said = world.exchange().json()

    assert keys.ok
    assert (said["error_codes"], said["suberror"], said["claims"]) == (
        [50076],
        "basic_action",
        "{}",
    )


def test_client_credentials_need_the_same_assertion(world: World) -> None:
    """They name no person, and the token carries no permission."""
    form = {"grant_type": "client_credentials", "assertion": None, "requested_token_use": None}
    said = world.exchange(**form).json()
    claims = jwt.decode(said["access_token"], options={"verify_signature": False})

    assert "scp" not in claims
    assert claims["exp"] > time.time()
    world.registration.credential = None
    assert world.refusal(**form) == ("invalid_request", 70021)


def test_graph_answers_a_person_below_me(world: World) -> None:
    """Without an access policy. Below the person's own id as well."""
    meeting = world.own_meeting()
    token = world.exchange().json()["access_token"]

    for owner in ("/me", f"/users/{world.doctor.object_id}"):
        answer = world.ask_graph(token, f"{owner}/onlineMeetings/{meeting.id}/{FUNCTION}")
        assert answer.json()["value"] == world.graph.join_link(meeting)


def test_graph_gives_a_person_nothing_of_other_users(world: World) -> None:
    """400 with the message of public reports."""
    token = world.exchange().json()["access_token"]
    other = world.graph.data.add_user("ben@clinic.example")
    meeting = world.graph.data.add_meeting(other)

    answer = world.ask_graph(
        token, f"/users/{other.object_id}/onlineMeetings/{meeting.id}/{FUNCTION}"
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "General")
    assert "With delegated permission only /me endpoint" in answer.json()["error"]["message"]
    mine = world.ask_graph(token, f"/me/onlineMeetings/{meeting.id}/{FUNCTION}")
    assert mine.status_code == 404


def test_graph_refuses_me_for_an_application(world: World) -> None:
    """With 400."""
    token = world.authority.issue(
        audience=GRAPH, client_id="c", object_id=IDENTITY, roles=["VirtualAppointment.Read.All"]
    )

    answer = world.ask_graph(token, f"/me/onlineMeetings/x/{FUNCTION}")

    assert answer.status_code == 400
    assert "/me request is only valid with delegated" in answer.json()["error"]["message"]


def test_graph_requires_a_scope_of_a_person(world: World) -> None:
    """One that covers the request."""
    world.registration.consented = frozenset({"VirtualAppointment.Read"})
    meeting = world.own_meeting()
    token = world.exchange().json()["access_token"]

    link = world.ask_graph(token, f"/me/onlineMeetings/{meeting.id}/{FUNCTION}")
    lookup = world.ask_graph(
        token, f"/me/onlineMeetings?$filter=JoinWebUrl%20eq%20'{meeting.join_meeting_id}'"
    )

    assert link.status_code == 200
    assert lookup.status_code == 403
    assert "Missing scope permissions" in lookup.json()["error"]["message"]
