"""The app's tokens: one credential for the process, and one token request at a time."""

import threading

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.faults import Hang
from dev.stand_ins.identity_endpoint import IdentityEndpoint
from shared.core.deadline import Deadline
from shared.core.errors import IdentityUnavailable
from shared.identity.managed_identity import (
    RENEWAL_SECONDS,
    REPLACE_SECONDS,
    RETRY_SECONDS,
    USABLE_SECONDS,
    ManagedIdentity,
    Token,
)
from tests.unit.at_once import at_once
from tests.unit.fake_identity import Clock, Credentials, make_token

SCOPE = "https://graph.microsoft.com/.default"
LIFETIME = 3600
TENANT = "10000000-0000-4000-8000-000000000001"
CLIENT = "20000000-0000-4000-8000-000000000002"


class Bench:
    """An identity, with the clock and the credentials that it was given."""

    def __init__(self, *, refresh_in: int | None = None) -> None:
        self.clock = Clock()
        self.credentials = Credentials(self.clock, lifetime=LIFETIME, refresh_in=refresh_in)
        self.identity = ManagedIdentity(
            client_id=None,
            environment={"IDENTITY_ENDPOINT": "http://127.0.0.1:1"},
            clock=self.clock,
            make_credential=self.credentials.make,
        )

    def token(self, *, seconds: float = 5) -> Token:
        """Ask for a token."""
        return self.identity.token(SCOPE, deadline=Deadline(seconds=seconds))

    def renew(self, rejected: Token) -> Token:
        """Say that Graph has rejected a token."""
        return self.identity.renew(SCOPE, rejected=rejected, deadline=Deadline(seconds=5))

    def renewed(self) -> Token:
        """Ask until the running renewal is done: it has its own thread."""
        for thread in threading.enumerate():
            if thread.name == "token request":
                thread.join(5)
        return self.token()


@pytest.fixture
def bench() -> Bench:
    """An identity with a cold cache."""
    return Bench()


def test_a_hundred_threads_on_a_cold_cache_send_one_token_request(bench: Bench) -> None:
    """They make one credential, and all get its token."""
    tokens = at_once(100, bench.token, failure=IdentityUnavailable)
    assert {token.value for token in tokens if isinstance(token, Token)} == {make_token(1)}
    assert all(isinstance(token, Token) for token in tokens)
    assert bench.credentials.requests == 1
    assert bench.credentials.made == 1


def test_a_valid_token_is_given_again_without_a_request(bench: Bench) -> None:
    """Until it is time to renew it."""
    first = bench.token()
    bench.clock.now += LIFETIME - RENEWAL_SECONDS - 1
    assert bench.token() is first
    assert bench.renewed() is first
    assert bench.credentials.requests == 1


def test_each_scope_has_a_token_of_its_own(bench: Bench) -> None:
    """From the same credential."""
    bench.token()
    bench.identity.token("https://vault.azure.net/.default", deadline=Deadline(seconds=5))
    assert bench.credentials.requests == 2
    assert bench.credentials.made == 1


def test_an_expiring_token_is_renewed_by_one_thread_while_others_use_the_old_one(
    bench: Bench,
) -> None:
    """No other thread waits for the endpoint."""
    old = bench.token()
    bench.clock.now += LIFETIME - RENEWAL_SECONDS
    bench.credentials.gate.clear()

    tokens = at_once(100, bench.token, failure=IdentityUnavailable)

    assert all(token is old for token in tokens)
    bench.credentials.gate.set()
    assert bench.renewed().value == make_token(2)
    assert bench.credentials.requests == 2


def test_a_token_is_renewed_when_azure_identity_says_so() -> None:
    """A managed identity's token is valid for a day, and is renewed after half of it."""
    bench = Bench(refresh_in=1000)
    old = bench.token()
    bench.clock.now += 999
    assert bench.token() is old
    assert bench.renewed() is old
    bench.clock.now += 1
    assert bench.token() is old
    assert bench.renewed().value == make_token(2)


def test_a_token_that_expires_at_once_is_not_given(bench: Bench) -> None:
    """A call takes time itself. One request is sent for all threads."""
    bench.token()
    bench.clock.now += LIFETIME - USABLE_SECONDS
    tokens = at_once(100, bench.token, failure=IdentityUnavailable)
    assert {token.value for token in tokens if isinstance(token, Token)} == {make_token(2)}
    assert all(isinstance(token, Token) for token in tokens)
    assert bench.credentials.requests == 2


def test_a_renewal_that_fails_leaves_the_old_token_in_use(bench: Bench) -> None:
    """It is tried again after a while, not at each request."""
    old = bench.token()
    bench.clock.now += LIFETIME - RENEWAL_SECONDS
    bench.credentials.failure = OSError("canary")
    for _ in range(3):
        assert bench.token() is old
        assert bench.renewed() is old
    assert bench.credentials.requests == 2
    bench.clock.now += RETRY_SECONDS
    assert bench.token() is old
    bench.renewed()
    assert bench.credentials.requests == 3


def test_an_endpoint_that_fails_is_identity_unavailable(bench: Bench) -> None:
    """The error quotes nothing of the cause, and each caller gets its own error object."""
    bench.credentials.failure = ValueError("canary")
    bench.credentials.gate.clear()
    threading.Timer(0.2, bench.credentials.gate.set).start()

    failures = at_once(50, bench.token, failure=IdentityUnavailable)

    assert all(isinstance(failure, IdentityUnavailable) for failure in failures)
    assert len(set(map(id, failures))) == 50
    assert "canary" not in repr(failures)
    error = failures[0]
    assert isinstance(error, IdentityUnavailable)
    assert error.__cause__ is None
    assert "MANAGED_IDENTITY_CLIENT_ID" in (error.fix or "")


def test_a_token_is_there_as_soon_as_the_endpoint_is_back(bench: Bench) -> None:
    """A failure is not cached."""
    bench.credentials.failure = OSError("away")
    with pytest.raises(IdentityUnavailable):
        bench.token()
    bench.credentials.failure = None
    assert bench.token().value == make_token(2)


def test_an_endpoint_that_hangs_delays_no_caller_past_its_deadline(bench: Bench) -> None:
    """If it answers later, its token is used."""
    bench.credentials.gate.clear()
    with pytest.raises(IdentityUnavailable):
        bench.token(seconds=0)
    bench.credentials.gate.set()
    assert bench.renewed().value == make_token(1)
    assert bench.credentials.requests == 1


def test_a_token_request_that_hangs_delays_only_its_own_caller(bench: Bench) -> None:
    """The next caller gets a token while the old request still hangs."""
    hanging = bench.credentials.gate
    hanging.clear()
    with pytest.raises(IdentityUnavailable):
        bench.token(seconds=0)
    bench.credentials.gate = threading.Event()
    bench.credentials.gate.set()

    assert bench.token().value == make_token(2)

    hanging.set()
    assert bench.renewed().value == make_token(2)


def test_a_credential_that_cannot_be_made_is_identity_unavailable() -> None:
    """Outside of Azure the fix is a different one."""

    def make() -> None:
        raise ImportError("canary")

    identity = ManagedIdentity(client_id=None, environment={}, make_credential=make)  # type: ignore[arg-type]
    with pytest.raises(IdentityUnavailable) as raised:
        identity.token(SCOPE, deadline=Deadline(seconds=5))
    assert "az login" in (raised.value.fix or "")
    assert "canary" not in str(raised.value)


def test_a_rejected_token_is_replaced_by_a_new_credentials(bench: Bench) -> None:
    """azure-identity caches tokens in the old credential."""
    rejected = bench.token()
    assert bench.renew(rejected).value == make_token(2)
    assert bench.token().value == make_token(2)
    assert bench.credentials.made == 2


def test_the_credential_is_replaced_at_most_once_a_minute(bench: Bench) -> None:
    """However often Graph rejects the token."""
    second = bench.renew(bench.token())
    bench.clock.now += REPLACE_SECONDS - 1
    with pytest.raises(IdentityUnavailable):
        bench.renew(second)
    assert bench.credentials.made == 2
    bench.clock.now += 1
    assert bench.renew(second).value == make_token(3)
    assert bench.credentials.made == 3
    assert REPLACE_SECONDS == 60


def test_a_token_that_comes_back_unchanged_is_not_sent_again(bench: Bench) -> None:
    """The endpoint has its own cache."""
    bench.credentials.unchanged = True
    with pytest.raises(IdentityUnavailable):
        bench.renew(bench.token())


def test_a_hundred_threads_with_the_same_rejected_token_replace_it_once(bench: Bench) -> None:
    """One new credential, one token request, one new token for all."""
    rejected = bench.token()
    tokens = at_once(100, lambda: bench.renew(rejected), failure=IdentityUnavailable)
    assert {token.value for token in tokens if isinstance(token, Token)} == {make_token(2)}
    assert all(isinstance(token, Token) for token in tokens)
    assert bench.credentials.made == 2
    assert bench.credentials.requests == 2


def test_a_late_rejection_of_an_older_token_replaces_nothing(bench: Bench) -> None:
    """The newer token is given, even within the minute."""
    first = bench.token()
    second = bench.renew(first)
    assert bench.renew(first) is second
    assert bench.credentials.requests == 2


def test_a_token_from_a_credential_that_was_replaced_meanwhile_is_not_kept(bench: Bench) -> None:
    """It may be the rejected one."""
    rejected = bench.token()
    bench.clock.now += LIFETIME - RENEWAL_SECONDS
    bench.credentials.gate.clear()
    bench.token()  # starts a renewal with the old credential, and it hangs
    late = threading.Thread(target=bench.renew, args=(rejected,))
    late.start()
    while bench.credentials.requests < 3:  # until the new credential is asked as well
        late.join(0.01)
    bench.credentials.gate.set()
    late.join(5)
    assert bench.renewed().value == make_token(3)


def test_a_renewal_that_fails_is_identity_unavailable(bench: Bench) -> None:
    """The rejected token is no longer used."""
    rejected = bench.token()
    bench.credentials.failure = OSError("canary")
    with pytest.raises(IdentityUnavailable):
        bench.renew(rejected)
    bench.credentials.failure = None
    assert bench.token().value == make_token(3)


def test_clients_of_the_azure_sdk_get_the_same_tokens(bench: Bench) -> None:
    """By both of their protocols, without another request."""
    info = bench.identity.get_token_info(SCOPE, options={})
    token = bench.identity.get_token(SCOPE, enable_cae=True)
    expires_on = int(bench.clock.now + LIFETIME)
    assert (info.token, info.expires_on) == (make_token(1), expires_on)
    assert (token.token, token.expires_on) == (make_token(1), expires_on)
    assert bench.credentials.requests == 1


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"IDENTITY_ENDPOINT": "http://127.0.0.1:1/"}, "ManagedIdentityCredential"),
        ({}, "DefaultAzureCredential"),
    ],
)
def test_the_credential_is_azure_identitys(environment: dict[str, str], kind: str) -> None:
    """The managed identity's where the platform has its endpoint, else the developer's."""
    identity = ManagedIdentity(client_id=None, environment=environment)
    credential = identity._azure_identity_credential()
    assert type(credential).__name__ == kind


def test_the_credential_tries_again_where_the_endpoint_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After seconds. azure-identity's default would wait for five minutes."""
    monkeypatch.setattr("shared.identity.managed_identity._READ_SECONDS", 0.2)
    with IdentityEndpoint(Authority(TENANT), client_id=CLIENT, object_id=CLIENT) as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        endpoint.order(Hang())
        identity = ManagedIdentity(client_id=None, environment=endpoint.environment)
        assert identity.token(SCOPE, deadline=Deadline(seconds=10)).value
        assert endpoint.count() == 2


def test_a_token_gives_its_roles_and_its_repr_hides_it() -> None:
    """Its claims are read without verifying, because it is the app's own."""
    token = Token(make_token(roles=["A", "B"]), 1.0, 1.0)
    assert token.roles() == {"A", "B"}
    assert token.value not in repr(token)


@pytest.mark.parametrize(
    "value", ["", "opaque", "a.!.c", "a.eyJ.c", "a.W10.c", "a.eyJyb2xlcyI6MX0.c", "a.é.c"]
)
def test_a_token_that_cannot_be_read_has_no_roles(value: str) -> None:
    """It need not be a JWT."""
    assert Token(value, 1.0, 1.0).roles() == frozenset()
