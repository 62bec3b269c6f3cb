"""The exchange of a person's token for one of Graph: the request, the cache, and its times."""

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
    """Only the documented ones, and none that would bring a refresh token."""
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


def test_no_repr_shows_a_token(world: World) -> None:
    """Tokens must stay secret."""
    token = world.exchange(world.caller())

    assert token.value not in repr(token)


def test_a_callers_token_is_exchanged_once_until_shortly_before_graphs_token_expires(
    world: World,
) -> None:
    """The same token is given until then. Nothing is renewed in the background."""
    caller = world.caller()
    first = world.exchange(caller)

    world.clock.now += LIFETIME - EARLY_SECONDS - 1
    assert world.exchange(caller) is first
    assert world.exchanges == 1
    world.clock.now += 1
    assert world.exchange(caller).value != first.value
    assert world.exchanges == 2


def test_graphs_token_is_not_used_longer_than_the_callers_own(world: World) -> None:
    """However long it would be valid."""
    caller = world.caller(ends_in=100)
    world.exchange(caller)

    world.clock.now += 99
    world.exchange(caller)
    assert world.exchanges == 1
    world.clock.now += 1
    world.exchange(caller)
    assert world.exchanges == 2


def test_a_token_of_graph_that_expires_at_once_is_used_for_one_request(world: World) -> None:
    """It is not cached."""
    world.entra.lifetime = 60
    caller = world.caller()

    assert world.exchange(caller).value
    world.exchange(caller)

    assert world.exchanges == 2


def test_two_tokens_of_one_person_are_two_exchanges(world: World) -> None:
    """One sign-in may have fulfilled more conditions, so the object id is not the key."""
    first, second = (world.exchange(world.caller()) for _ in range(2))

    assert first.value != second.value
    assert world.exchanges == 2


def test_the_identitys_token_is_asked_for_once(world: World) -> None:
    """It is valid for a day, and is the same for all exchanges."""
    for _ in range(3):
        world.exchange(world.caller())

    assert world.tokens.requests == 1


def test_callers_with_one_token_wait_for_one_exchange(world: World) -> None:
    """For any number of callers."""
    world.entra.order(Hang(), when=is_exchange)
    caller = world.caller()

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(world.exchange, caller) for _ in range(8)]
        while not world.entra.held:
            time.sleep(0.01)
        world.entra.release()
        tokens = {one.result().value for one in waiting}

    assert (len(tokens), world.exchanges) == (1, 1)


def test_callers_who_waited_for_a_failed_exchange_start_no_other(
    world: World,
) -> None:
    """Each gets its own error object."""
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


def test_a_waiter_with_more_time_makes_its_own_exchange(world: World) -> None:
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


def test_the_cache_is_bounded(
    authority: Authority, http: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used token is removed first."""
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


def test_a_refusal_is_cached_for_a_minute(world: World) -> None:
    """Then Entra is asked again, because somebody may have consented."""
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


def test_a_refusal_is_cached_for_its_own_token_only(world: World) -> None:
    """Not for another token of the same person."""
    refused, other = world.caller(), world.caller()
    world.entra.order(EntraError("invalid_grant", 50173, "…"), when=is_exchange)
    with pytest.raises(errors.Unauthorized):
        world.exchange(refused)

    assert world.exchange(other).value


@pytest.mark.parametrize(
    ("asked_for", "seconds"),
    [("7", REMEMBER_FAILURE_SECONDS), ("90", 90), ("86400", LONGEST_FAILURE_SECONDS)],
)
def test_after_a_busy_entra_retry_after_says_when_it_is_asked_again(
    world: World, asked_for: str, seconds: float
) -> None:
    """After a minute, or after the time that Entra names, within a limit."""
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
    """Several threads must not raise the same exception."""
    refuse(world, EntraError("invalid_grant", 65001, "…"))
    caller = world.caller()
    caught = []
    for _ in range(2):
        with pytest.raises(errors.ConsentMissing) as failure:
            world.exchange(caller)
        caught.append(failure.value)

    assert caught[0] is not caught[1]


def test_a_credential_that_is_not_found_yet_causes_one_more_try(world: World) -> None:
    """A second later, and only if there is time."""
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
def test_the_error_for_a_wrong_credential_names_the_right_one(world: World, name: str) -> None:
    """For callers and in the diagnostics, which need no person for it."""
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
    """By client credentials. The token is not kept."""
    world.subject.check_credential(deadline=Deadline(seconds=5))

    (call,) = world.entra.calls
    form = dict(parse_qsl(call.request.body.decode()))
    assert form["grant_type"] == "client_credentials"
    assert "assertion" not in form


def test_a_token_that_graph_rejects_is_replaced_once_a_minute(world: World) -> None:
    """If Graph rejects each token, not each call causes an exchange."""
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
def test_a_response_without_a_token_is_503(world: World, name: str) -> None:
    """The same request may succeed later."""
    refuse(world, NO_TOKEN[name])

    with pytest.raises(IdentityUnavailable):
        world.exchange(world.caller())


def test_a_missing_response_is_not_cached(world: World) -> None:
    """Entra may answer the next call."""
    caller = world.caller()
    world.entra.order(Reset(), when=is_exchange)
    with pytest.raises(IdentityUnavailable):
        world.exchange(caller)

    assert world.exchange(caller).value


def test_an_entra_that_hangs_delays_no_caller_past_its_deadline(world: World) -> None:
    """The deadline is the request's."""
    refuse(world, Hang())

    with pytest.raises(IdentityUnavailable) as caught:
        world.exchange(world.caller(), seconds=0.3)

    assert "in time" in caught.value.detail
    assert "Time" in (caught.value.cause or "")  # the wait's, or that of the call itself


def test_the_cause_of_a_missing_response_is_kept(world: World) -> None:
    """The type of the innermost exception, for the event. Its text may hold a token."""
    refuse(world, Reset())

    with pytest.raises(IdentityUnavailable) as caught:
        world.exchange(world.caller())

    assert caught.value.cause == "ConnectionResetError"


def test_expires_in_may_be_a_text_and_scopes_may_be_plain(world: World) -> None:
    """Both have been reported."""
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
