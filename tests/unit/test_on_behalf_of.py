"""The exchange of a person's token for one of Graph's: what is sent, what is kept, and how long."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl

import pytest
from azure.core.credentials import AccessTokenInfo

from dev.stand_ins.authority import Authority
from dev.stand_ins.entra import (
    EXCHANGE_APP_ID,
    Entra,
    EntraError,
    FederatedCredential,
    is_exchange,
)
from dev.stand_ins.faults import NOT_JSON, Body, Close, CutBody, Hang, Huge, Redirect, Reset, Status
from dev.stand_ins.stand_in import Fault
from shared.core import errors
from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable, ServiceError, SignInSetupIncomplete
from shared.core.http_client import HttpClient
from shared.identity import on_behalf_of
from shared.identity.bearer_tokens import Caller
from shared.identity.managed_identity import ManagedIdentity
from shared.identity.on_behalf_of import (
    EARLY_SECONDS,
    LONGEST_FAILURE_SECONDS,
    REMEMBER_FAILURE_SECONDS,
    RENEW_SECONDS,
    OnBehalfOf,
    UserToken,
)
from tests.unit.fake_identity import Clock

TENANT = "10000000-0000-4000-8000-00000000000a"
CLIENT = "20000000-0000-4000-8000-00000000000b"
IDENTITY = "30000000-0000-4000-8000-00000000000c"
PERSON = "40000000-0000-4000-8000-00000000000d"
LIFETIME = 4000


class IdentityTokens:
    """The managed identity's credential: tokens as the platform gives them for an exchange."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self.requests = 0

    def get_token_info(self, *scopes: str, **_: object) -> AccessTokenInfo:
        """Give one."""
        assert scopes == ("api://AzureADTokenExchange/.default",)
        self.requests += 1
        token = self._authority.issue(
            audience=EXCHANGE_APP_ID,
            client_id="",
            object_id=IDENTITY,
            iss=f"https://login.microsoftonline.com/{TENANT}/v2.0",
        )
        return AccessTokenInfo(token, int(time.time()) + 86400)

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class World:
    """Entra, and the app's side of it."""

    entra: Entra
    authority: Authority
    tokens: IdentityTokens
    clock: Clock
    sleeps: list[float]
    subject: OnBehalfOf

    def caller(self, *, ends_in: float = 86400, cp1: bool = False, **claims: Any) -> Caller:  # noqa: ANN401 - as claims are
        """Make a person whose token has been checked."""
        token = self.authority.issue_to_person(audience=CLIENT, object_id=PERSON, **claims)
        return Caller(
            object_id=PERSON,
            client_id="the-caller",
            is_person=True,
            holds_app_role=False,
            expires_on=self.clock.now + ends_in,
            takes_claims_challenges=cp1,
            token=token,
        )

    def exchange(self, caller: Caller, *, seconds: float = 5) -> UserToken:
        """Ask for a token on behalf of a person."""
        return self.subject.token(caller, deadline=Deadline(seconds=seconds))

    @property
    def exchanges(self) -> int:
        """How often Entra was asked."""
        return self.entra.count(is_exchange)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The tenant."""
    return Authority(TENANT)


@pytest.fixture(scope="module")
def http() -> HttpClient:
    """One for all: what matters here is behind it."""
    return HttpClient(pool_size=8)


@contextmanager
def make_world(authority: Authority, http: HttpClient) -> Iterator[World]:
    """Set everything up as it should be."""
    with Entra(authority) as entra:
        entra.register(CLIENT, subject=IDENTITY)
        tokens, clock, sleeps = IdentityTokens(authority), Clock(time.time()), list[float]()
        subject = OnBehalfOf(
            tenant_id=TENANT,
            client_id=CLIENT,
            authority=entra.url,
            http=http,
            identity=ManagedIdentity(
                client_id=None, environment={}, make_credential=lambda: tokens
            ),
            clock=clock,
            sleep=sleeps.append,
        )
        yield World(entra, authority, tokens, clock, sleeps, subject)


@pytest.fixture
def world(authority: Authority, http: HttpClient) -> Iterator[World]:
    """One world for each test."""
    with make_world(authority, http) as world:
        yield world


def test_the_exchange_is_one_post_with_these_parameters(world: World) -> None:
    """The documented ones, and no more: nothing that would bring a refresh token."""
    caller = world.caller()

    token = world.exchange(caller)

    (call,) = world.entra.calls
    form = dict(parse_qsl(call.request.body.decode()))
    assert (call.method, call.path) == ("POST", f"/{TENANT}/oauth2/v2.0/token")
    assert len(form.pop("client_assertion").split(".")) == 3
    assert form == {
        "client_id": CLIENT,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": caller.token,
        "requested_token_use": "on_behalf_of",
        "scope": "https://graph.microsoft.com/.default",
    }
    assert token.scopes == {"VirtualAppointment.Read", "OnlineMeetings.Read"}
    assert "authorization" not in call.headers


def test_a_token_never_shows(world: World) -> None:
    """In no repr."""
    token = world.exchange(world.caller())

    assert token.value not in repr(token)


def test_a_caller_is_exchanged_once_until_shortly_before_graphs_token_ends(world: World) -> None:
    """The same token is given until then; nothing is renewed behind anybody's back."""
    caller = world.caller()
    first = world.exchange(caller)

    world.clock.now += LIFETIME - EARLY_SECONDS - 1
    assert world.exchange(caller) is first
    assert world.exchanges == 1
    world.clock.now += 1
    assert world.exchange(caller).value != first.value
    assert world.exchanges == 2


def test_nothing_outlives_the_callers_own_token(world: World) -> None:
    """However long Graph's would be good."""
    caller = world.caller(ends_in=100)
    world.exchange(caller)

    world.clock.now += 99
    world.exchange(caller)
    assert world.exchanges == 1
    world.clock.now += 1
    world.exchange(caller)
    assert world.exchanges == 2


def test_a_token_of_graph_that_ends_at_once_serves_its_own_request(world: World) -> None:
    """And is not kept."""
    world.entra.lifetime = 60
    caller = world.caller()

    assert world.exchange(caller).value
    world.exchange(caller)

    assert world.exchanges == 2


def test_two_tokens_of_one_person_are_two_exchanges(world: World) -> None:
    """Their sign-ins may have proved different things: the object id alone is no key."""
    first, second = (world.exchange(world.caller()) for _ in range(2))

    assert first.value != second.value
    assert world.exchanges == 2


def test_the_identitys_token_is_asked_for_once(world: World) -> None:
    """It is good for a day, and the same for all."""
    for _ in range(3):
        world.exchange(world.caller())

    assert world.tokens.requests == 1


def test_callers_with_one_token_wait_for_one_exchange(world: World) -> None:
    """However many there are at first."""
    world.entra.order(Hang(), when=is_exchange)
    caller = world.caller()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(world.exchange, caller) for _ in range(8)]
        while not world.entra.held:
            time.sleep(0.01)
        world.entra.release()
        tokens = {one.result().value for one in waiting}

    assert (len(tokens), world.exchanges) == (1, 1)


def test_callers_who_waited_for_an_exchange_that_failed_make_none_of_their_own(
    world: World,
) -> None:
    """Each gets an error object of its own."""
    world.entra.always(Hang(), when=is_exchange)
    caller = world.caller()

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(world.exchange, caller) for _ in range(4)]
        while not world.entra.held:
            time.sleep(0.01)
        world.entra.stop()
        failures = [one.exception() for one in waiting]

    assert {type(failure) for failure in failures} == {IdentityUnavailable}
    assert len({id(failure) for failure in failures}) == 4


def test_who_waits_for_an_exchange_and_has_more_time_makes_one_of_their_own(world: World) -> None:
    """The first caller's deadline is not the second one's."""
    world.entra.order(Hang(), when=is_exchange)
    caller = world.caller()

    with ThreadPoolExecutor(2) as pool:
        short = pool.submit(world.exchange, caller, seconds=0.5)
        while not world.entra.held:
            time.sleep(0.01)
        long = pool.submit(world.exchange, caller, seconds=30)

        assert isinstance(short.exception(), IdentityUnavailable)
        assert long.result().value
    assert world.exchanges == 2


def test_what_is_kept_is_bounded(
    authority: Authority, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used longest ago goes first."""
    monkeypatch.setattr(on_behalf_of, "REMEMBER_AT_MOST", 2)
    with make_world(authority, http) as world:
        first, second, third = (world.caller() for _ in range(3))
        for caller in (first, second, first, third, first):
            world.exchange(caller)
        assert world.exchanges == 3

        world.exchange(second)

        assert world.exchanges == 4


def refuse(world: World, error: Fault) -> None:
    """Have Entra refuse every exchange from now on."""
    world.entra.always(error, when=is_exchange)


def test_a_refusal_is_remembered_for_a_minute(world: World) -> None:
    """Then Entra is asked again: somebody may have consented."""
    refuse(world, EntraError("invalid_grant", 65001, "…", suberror="consent_required"))
    caller = world.caller()

    for _ in range(3):
        with pytest.raises(errors.ConsentMissing):
            world.exchange(caller)
    assert world.exchanges == 1
    world.entra.clear_orders()
    world.clock.now += REMEMBER_FAILURE_SECONDS - 1
    with pytest.raises(errors.ConsentMissing):
        world.exchange(caller)
    world.clock.now += 1
    assert world.exchange(caller).value


def test_a_refusal_is_its_own_tokens_alone(world: World) -> None:
    """Of the same person, even."""
    refused, other = world.caller(), world.caller()
    world.entra.order(EntraError("invalid_grant", 50173, "…"), when=is_exchange)
    with pytest.raises(errors.Unauthorized):
        world.exchange(refused)

    assert world.exchange(other).value


@pytest.mark.parametrize(
    ("asked_for", "seconds"),
    [("7", REMEMBER_FAILURE_SECONDS), ("90", 90), ("86400", LONGEST_FAILURE_SECONDS)],
)
def test_a_caller_is_told_how_long_a_busy_entra_is_left_alone(
    world: World, asked_for: str, seconds: float
) -> None:
    """A minute, or as long as Entra asks within reason; the time told shrinks."""
    refuse(world, Status(429, "temporarily_unavailable", "", {"Retry-After": asked_for}))
    caller = world.caller()
    told = []
    for _ in range(2):
        with pytest.raises(IdentityUnavailable) as caught:
            world.exchange(caller)
        told.append(caught.value.retry_after)
        world.clock.now += 2

    assert told == [pytest.approx(seconds), pytest.approx(seconds - 2)]
    assert world.exchanges == 1


def test_each_refusal_is_an_error_object_of_its_own(world: World) -> None:
    """One must not be raised by many threads at once."""
    refuse(world, EntraError("invalid_grant", 65001, "…"))
    caller = world.caller()
    caught = []
    for _ in range(2):
        with pytest.raises(errors.ConsentMissing) as failure:
            world.exchange(caller)
        caught.append(failure.value)

    assert caught[0] is not caught[1]


def test_a_credential_that_is_not_everywhere_yet_costs_one_more_try(world: World) -> None:
    """A second later, and only where there is time."""
    registration = world.entra.registrations[CLIENT]
    registration.unspread = 1
    assert world.exchange(world.caller()).value
    assert (world.exchanges, world.sleeps) == (2, [1.0])

    registration.unspread = 1
    with pytest.raises(SignInSetupIncomplete):
        world.exchange(world.caller(), seconds=1.5)
    assert (world.exchanges, len(world.sleeps)) == (3, 1)


CREDENTIALS: dict[str, FederatedCredential | None] = {
    "none": None,
    "another issuer": FederatedCredential("https://login.microsoftonline.com/x/v2.0", IDENTITY),
    "an issuer with a slash at its end": FederatedCredential(
        f"https://login.microsoftonline.com/{TENANT}/v2.0/", IDENTITY
    ),
    "another subject": FederatedCredential(
        f"https://login.microsoftonline.com/{TENANT}/v2.0", PERSON
    ),
    "the subject in capitals": FederatedCredential(
        f"https://login.microsoftonline.com/{TENANT}/v2.0", IDENTITY.upper()
    ),
    "another audience": FederatedCredential(
        f"https://login.microsoftonline.com/{TENANT}/v2.0", IDENTITY, "api://other"
    ),
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_credential_that_does_not_match_is_told_with_what_would(world: World, name: str) -> None:
    """To callers, and to the diagnostics, which need no person for it."""
    world.entra.registrations[CLIENT].credential = CREDENTIALS[name]

    with pytest.raises(SignInSetupIncomplete) as for_caller:
        world.exchange(world.caller())
    with pytest.raises(SignInSetupIncomplete) as for_operator:
        world.subject.check_credential(deadline=Deadline(seconds=5))

    for caught in (for_caller, for_operator):
        fix = caught.value.fix or ""
        assert f"https://login.microsoftonline.com/{TENANT}/v2.0" in fix
        assert IDENTITY in fix
        assert "api://AzureADTokenExchange" in fix
    assert world.exchanges == 2


def test_the_credential_is_checked_without_a_person(world: World) -> None:
    """By client credentials, and nothing of it is kept."""
    world.subject.check_credential(deadline=Deadline(seconds=5))

    (call,) = world.entra.calls
    form = dict(parse_qsl(call.request.body.decode()))
    assert form["grant_type"] == "client_credentials"
    assert "assertion" not in form


def test_a_token_that_graph_rejects_is_replaced_once_a_minute(world: World) -> None:
    """A Graph that rejects them all must not cost an exchange for each call."""
    caller, deadline = world.caller(), Deadline(seconds=5)
    first = world.exchange(caller)

    second = world.subject.renew(caller, rejected=first, deadline=deadline)
    assert second.value != first.value
    assert world.subject.renew(caller, rejected=first, deadline=deadline) is second
    with pytest.raises(IdentityUnavailable):
        world.subject.renew(caller, rejected=second, deadline=deadline)
    assert world.exchanges == 2
    world.clock.now += RENEW_SECONDS
    world.subject.renew(caller, rejected=second, deadline=deadline)
    assert world.exchanges == 3


NO_TOKEN: dict[str, Fault] = {
    "a lost connection": Reset(),
    "a closed connection": Close(),
    "half an answer": CutBody(),
    "not JSON": NOT_JSON,
    "too much": Huge(2 * 1024 * 1024),
    "a redirect": Redirect("https://login.example/"),
    "no token": Body(b'{"expires_in": 3600, "scope": ""}'),
    "an empty token": Body(b'{"access_token": "", "expires_in": 3600}'),
    "a token of two lines": Body(b'{"access_token": "a\\r\\nb", "expires_in": 3600}'),
    "no end": Body(b'{"access_token": "a"}'),
    "an end that is none": Body(b'{"access_token": "a", "expires_in": "soon"}'),
    "an end without end": Body(b'{"access_token": "a", "expires_in": 1e999}'),
    "scopes of another kind": Body(b'{"access_token": "a", "expires_in": 9, "scope": 7}'),
    "a list": Body(b"[]"),
    "a token beside an error": Body(b'{"access_token": "a", "expires_in": 3600}', status=400),
}


@pytest.mark.parametrize("name", NO_TOKEN)
def test_an_answer_that_is_no_token_is_503(world: World, name: str) -> None:
    """The same request may succeed later."""
    refuse(world, NO_TOKEN[name])

    with pytest.raises(IdentityUnavailable):
        world.exchange(world.caller())


def test_no_answer_is_not_remembered(world: World) -> None:
    """The next call may find Entra there."""
    caller = world.caller()
    world.entra.order(Reset(), when=is_exchange)
    with pytest.raises(IdentityUnavailable):
        world.exchange(caller)

    assert world.exchange(caller).value


def test_an_entra_that_hangs_takes_the_callers_time_and_no_more(world: World) -> None:
    """The deadline is the request's."""
    refuse(world, Hang())

    with pytest.raises(IdentityUnavailable) as caught:
        world.exchange(world.caller(), seconds=0.3)

    assert "in time" in caught.value.detail
    assert "Time" in (caught.value.cause or "")  # the wait's, or that of the call itself


def test_why_there_was_no_answer_is_kept(world: World) -> None:
    """The type of the innermost exception, for the event; its text may hold a token."""
    refuse(world, Reset())

    with pytest.raises(IdentityUnavailable) as caught:
        world.exchange(world.caller())

    assert caught.value.cause == "ConnectionResetError"


def test_expires_in_may_be_a_text_and_scopes_may_be_plain(world: World) -> None:
    """Both have been seen."""
    answer = {"access_token": "a.b.c", "expires_in": "3600", "scope": "User.Read openid"}
    refuse(world, Body(json.dumps(answer).encode()))

    token = world.exchange(world.caller())

    assert token.scopes == {"User.Read", "openid"}
    assert token.expires_on == world.clock.now + 3600 - EARLY_SECONDS


def test_no_error_holds_a_token(world: World) -> None:
    """Neither the caller's nor the identity's."""
    refuse(world, EntraError("invalid_client", 700213, "…"))
    caller = world.caller()

    with pytest.raises(ServiceError) as caught:
        world.exchange(caller)

    told = f"{caught.value!r} {caught.value.detail} {caught.value.fix} {caught.value.__context__!r}"
    assert "eyJ" not in told
