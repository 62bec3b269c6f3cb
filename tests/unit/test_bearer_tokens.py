"""Sign-in with Entra: which tokens are accepted, and when the keys are fetched."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from dev.stand_ins.authority import Authority
from dev.stand_ins.entra import Entra
from dev.stand_ins.faults import NOT_JSON, Body, Delay, Hang, Huge, Redirect, Reset, Status
from dev.stand_ins.stand_in import Fault
from shared.core.deadline import Deadline
from shared.core.errors import Forbidden, IdentityUnavailable, ServiceError, Unauthorized
from shared.core.http_client import HttpClient
from shared.identity import bearer_tokens
from shared.identity.bearer_tokens import Caller, SignIn, challenge
from shared.identity.jwks import COOL_DOWN_SECONDS, KEEP_SECONDS, REFRESH_SECONDS, SigningKeys
from tests.unit.fake_identity import Clock

TENANT = "10000000-0000-4000-8000-00000000000a"
OTHER_TENANT = "90000000-0000-4000-8000-00000000000a"
CLIENT = "20000000-0000-4000-8000-00000000000b"
V1 = f"https://sts.windows.net/{TENANT}/"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The tenant."""
    return Authority(TENANT)


@pytest.fixture
def entra(authority: Authority) -> Iterator[Entra]:
    """Where its keys are."""
    with Entra(authority) as entra:
        yield entra


@pytest.fixture(scope="module")
def transport() -> HttpClient:
    """One for all: what matters here is behind it."""
    return HttpClient(pool_size=8)


def make_sign_in(entra: Entra, transport: HttpClient) -> SignIn:
    """Make the check for this tenant, with ids in capitals as some portals show them."""
    return SignIn(
        tenant_id=TENANT.upper(),
        client_id=CLIENT.upper(),
        authority=entra.url,
        http=transport,
    )


@pytest.fixture
def check(entra: Entra, transport: HttpClient) -> Any:  # noqa: ANN401 - a small function
    """Check a token, or a whole header."""
    subject = make_sign_in(entra, transport)

    def check(token: str | None = None, *, header: str | None = None, seconds: float = 5) -> Caller:
        given = f"Bearer {token}" if header is None else header
        headers = {} if token is None and header is None else {"authorization": given}
        return subject.check(headers, deadline=Deadline(seconds=seconds))

    return check


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    """Count times from now on: tests are collected long before they run."""
    return {
        name: int(time.time()) + value if name in ("exp", "nbf") and type(value) is int else value
        for name, value in claims.items()
    }


V1_CLAIMS: dict[str, Any] = {
    "aud": f"api://{CLIENT}",
    "iss": V1,
    "ver": "1.0",
    "azp": None,
    "appid": "the-caller",
}
PERSONS: dict[str, dict[str, Any]] = {
    "v2": {},
    "v2, among other scopes": {"scp": "openid JoinLink.Read profile"},
    "v2, of a registration that asks for no optional claims": {"acct": None},
    "v2, a member whose home is elsewhere": {"idp": f"https://sts.windows.net/{OTHER_TENANT}/"},
    "v1": V1_CLAIMS,
    "v1, which names its own tenant twice": {**V1_CLAIMS, "acct": None, "idp": V1},
    "ended within the leeway": {"exp": -30},
}
APPLICATIONS: dict[str, dict[str, Any]] = {
    "v2": {},
    "v2, of a registration that asks for no optional claims": {"idtyp": None},
    "v2, whose subject is not its object id": {"sub": "/eid1/c/pub/t/x/a/y"},
    "v1, among other roles": {**V1_CLAIMS, "roles": ["Other", "JoinLink.Read.All"]},
}
SOMEBODY = "30000000-0000-4000-8000-00000000000c"


@pytest.mark.parametrize("name", PERSONS)
def test_a_persons_token_is_accepted(check: Any, authority: Authority, name: str) -> None:  # noqa: ANN401
    """Of version 1 and 2. The caller is named by the object id, and no repr shows the token."""
    claims = from_now(PERSONS[name])
    token = authority.issue_to_person(audience=CLIENT, object_id=SOMEBODY, **claims)

    caller = check(token)

    assert (caller.is_person, caller.object_id) == (True, SOMEBODY)
    assert (caller.name, caller.token) == (f"user:{SOMEBODY}", token)
    assert not caller.holds_app_role
    assert token not in repr(caller)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_applications_token_with_the_app_role_is_accepted(
    check: Any,  # noqa: ANN401
    authority: Authority,
    name: str,
) -> None:
    """Of version 1 and 2. The caller is named by the client id."""
    claims = {"azp": "the-caller", **APPLICATIONS[name]}

    caller = check(authority.issue_to_application(audience=CLIENT, **claims))

    assert (caller.is_person, caller.holds_app_role) == (False, True)
    assert caller.name == "app:the-caller"


def test_a_caller_has_the_rights_and_the_end_of_its_token(check: Any, authority: Authority) -> None:  # noqa: ANN401
    """And whether the client can handle claims challenges."""
    ends = int(time.time()) + 600
    claims: dict[str, Any] = {"roles": ["JoinLink.Read.All"], "xms_cc": ["cp1"], "exp": ends}

    able = check(authority.issue_to_person(audience=CLIENT, **claims))
    plain = check(authority.issue_to_person(audience=CLIENT, xms_cc="cp1"))

    assert (able.holds_app_role, able.takes_claims_challenges, able.expires_on) == (
        True,
        True,
        ends,
    )
    assert not plain.takes_claims_challenges


GUESTS: dict[str, dict[str, Any]] = {
    "as the claim says": {"acct": 1},
    "as the claim says, with the app role": {"acct": 1, "roles": ["JoinLink.Read.All"]},
    "as the claim says, in text": {"acct": "1"},
    "by its home, where there is no claim": {
        "acct": None,
        "idp": f"https://sts.windows.net/{OTHER_TENANT}/",
    },
    "by a personal account": {"acct": None, "idp": "live.com"},
}


@pytest.mark.parametrize("name", GUESTS)
def test_a_guest_is_forbidden_whatever_the_token_holds(
    check: Any,  # noqa: ANN401
    authority: Authority,
    name: str,
) -> None:
    """The challenge names no scope, because none would help."""
    with pytest.raises(Forbidden) as caught:
        check(authority.issue_to_person(audience=CLIENT, **GUESTS[name]))

    assert challenge(caught.value) is None


def test_the_scheme_is_read_in_any_case(check: Any, authority: Authority) -> None:  # noqa: ANN401
    """RFC 9110, section 11.1."""
    check(header=f"bEaReR  {authority.issue_to_person(audience=CLIENT)}")


WRONG: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "20000000-0000-4000-8000-0000000000ff"},
    "an audience with a slash at its end": {"aud": f"api://{CLIENT}/"},
    "Graph's audience": {"aud": "https://graph.microsoft.com"},
    "no audience": {"aud": None},
    "an audience that is a number": {"aud": 7},
    "another issuer": {"iss": "https://login.example/v2.0"},
    "another tenant's issuer": {"iss": f"https://sts.windows.net/{OTHER_TENANT}/"},
    "no issuer": {"iss": None},
    "another tenant": {"tid": OTHER_TENANT},
    "no tenant": {"tid": None},
    "it has ended": {"exp": -120},
    "it never ends": {"exp": None},
    "its end is no number": {"exp": "soon"},
    "it is not valid yet": {"nbf": 120},
    "it says not from when on": {"nbf": None},
    "it says not whose": {"oid": None},
    "whose it is is no object id": {"oid": "../me"},
    "an application's scope": {"idtyp": "app"},
    "an ID token, which carries app roles too": {
        "scp": None,
        "azp": None,
        "roles": ["JoinLink.Read.All"],
    },
    "a person's without a scope": {"scp": None, "idtyp": "user", "roles": ["JoinLink.Read.All"]},
    "a person's without a scope or kind": {"scp": None, "roles": ["JoinLink.Read.All"]},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_token_with_a_wrong_claim_is_refused(check: Any, authority: Authority, name: str) -> None:  # noqa: ANN401
    """All wrong claims give the same error, which does not name the claim."""
    with pytest.raises(Unauthorized) as caught:
        check(authority.issue_to_person(audience=CLIENT, **from_now(WRONG[name])))

    assert challenge(caught.value) == 'Bearer realm="virtual-appointment", error="invalid_token"'


def test_a_token_signed_by_another_tenants_key_is_refused(check: Any, authority: Authority) -> None:  # noqa: ANN401
    """Even under a known key id."""
    forger = Authority(TENANT)
    forger._keys = {authority._key_id: forger._keys[forger._key_id]}
    forger._key_id = authority._key_id

    with pytest.raises(Unauthorized):
        check(forger.issue_to_person(audience=CLIENT))


def forged(authority: Authority, algorithm: str) -> str:
    """Take a good token's claims, and sign them without the key."""
    good = authority.issue_to_person(audience=CLIENT)
    claims = jwt.decode(good, options={"verify_signature": False})
    if algorithm == "none":
        return jwt.encode(claims, "", "none", headers={"kid": authority._key_id})
    pem = (
        authority._keys[authority._key_id]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    header = {"typ": "JWT", "alg": "HS256", "kid": authority._key_id}
    signing_input = b".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    )
    signer = HMACAlgorithm(HMACAlgorithm.SHA256)  # by hand: jwt.encode takes no public key
    signature = base64.urlsafe_b64encode(signer.sign(signing_input, pem)).rstrip(b"=")
    return b".".join((signing_input, signature)).decode()


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_an_algorithm_other_than_rs256_is_refused(
    check: Any,  # noqa: ANN401
    authority: Authority,
    algorithm: str,
) -> None:
    """Such as no signature, and the public key used as an HMAC secret."""
    with pytest.raises(Unauthorized):
        check(forged(authority, algorithm))


def test_a_token_whose_claims_were_changed_is_refused(check: Any, authority: Authority) -> None:  # noqa: ANN401
    """The signature covers each byte."""
    head, claims, signature = authority.issue_to_person(audience=CLIENT).split(".")
    changed = jwt.utils.base64url_decode(claims).replace(b"JoinLink.Read", b"JoinLink.Reax")
    with pytest.raises(Unauthorized):
        check(".".join((head, jwt.utils.base64url_encode(changed).decode(), signature)))


WITHOUT_PERMISSION: dict[str, dict[str, Any]] = {
    "no scope": {"scp": ""},
    "another scope": {"scp": "User.Read"},
    "a scope that only begins so": {"scp": "JoinLink.ReadWrite"},
    "the app role as a scope": {"scp": "JoinLink.Read.All"},
    "the app role without the scope": {"scp": "User.Read", "roles": ["JoinLink.Read.All"]},
    "a scope of another kind": {"scp": ["JoinLink.Read"]},
}
APPLICATIONS_WITHOUT_PERMISSION: dict[str, dict[str, Any]] = {
    "no app role": {"roles": ()},
    "the scope as an app role": {"roles": ["JoinLink.Read"]},
    "another app role": {"roles": ["Other"]},
    "app roles of another kind": {"roles": "JoinLink.Read.All"},
}


@pytest.mark.parametrize("name", APPLICATIONS_WITHOUT_PERMISSION)
def test_an_application_without_the_app_role_is_forbidden(
    check: Any,  # noqa: ANN401
    authority: Authority,
    name: str,
) -> None:
    """The scope is for people only."""
    with pytest.raises(Forbidden):
        check(
            authority.issue_to_application(audience=CLIENT, **APPLICATIONS_WITHOUT_PERMISSION[name])
        )


@pytest.mark.parametrize("name", WITHOUT_PERMISSION)
def test_a_valid_token_without_the_permission_is_forbidden(
    check: Any,  # noqa: ANN401
    authority: Authority,
    name: str,
) -> None:
    """The answer is 403, because the caller is known."""
    token = authority.issue_to_person(audience=CLIENT, **WITHOUT_PERMISSION[name])

    with pytest.raises(Forbidden) as caught:
        check(token)

    assert challenge(caught.value) == (
        'Bearer realm="virtual-appointment", error="insufficient_scope", scope="JoinLink.Read"'
    )


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Negotiate x"])
def test_without_a_token_the_challenge_has_no_error_code(
    check: Any,  # noqa: ANN401
    header: str | None,
) -> None:
    """RFC 6750, section 3.1."""
    with pytest.raises(Unauthorized) as caught:
        check(header=header)

    assert challenge(caught.value) == 'Bearer realm="virtual-appointment"'


HOSTILE = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=100).map(lambda data: base64.urlsafe_b64encode(data).decode() + ".e30."),
    st.dictionaries(
        st.sampled_from(["alg", "kid", "b64", "crit", "typ"]),
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(["RS256"]),
    ).map(lambda head: base64.urlsafe_b64encode(json.dumps(head).encode()).decode() + ".e30.AA"),
)


@pytest.fixture(scope="module")
def hostile_check(transport: HttpClient) -> Iterator[SignIn]:
    """The check, for many tokens."""
    with Entra(Authority(TENANT)) as entra:
        yield make_sign_in(entra, transport)


@given(token=HOSTILE)
def test_any_malformed_header_is_unauthorized(hostile_check: SignIn, token: str) -> None:
    """No other exception is raised."""
    with pytest.raises(Unauthorized):
        hostile_check.check({"authorization": f"Bearer {token}"}, deadline=Deadline(seconds=5))


def test_a_deeply_nested_token_header_is_unauthorized(check: Any) -> None:  # noqa: ANN401
    """And a very long one."""
    nested = base64.urlsafe_b64encode(b"[" * 9000).decode()
    for token in (f"{nested}.e30.AA", "a" * 20_000):
        with pytest.raises(Unauthorized):
            check(token)


def test_an_error_never_quotes_the_token(check: Any, authority: Authority) -> None:  # noqa: ANN401
    """Neither in its text nor in its cause."""
    token = authority.issue_to_person(audience="other")

    with pytest.raises(Unauthorized) as caught:
        check(token)

    assert token.split(".")[1] not in f"{caught.value} {caught.value.__context__!r}"


def test_the_keys_are_fetched_once(
    check: Any,  # noqa: ANN401
    entra: Entra,
    authority: Authority,
) -> None:
    """For any number of callers at the start."""
    entra.order(Hang())
    tokens = [authority.issue_to_person(audience=CLIENT) for _ in range(8)]

    with ThreadPoolExecutor(8) as callers:
        waiting = [callers.submit(check, token) for token in tokens]
        while not entra.held:
            time.sleep(0.01)
        entra.release()
        for one in waiting:
            one.result()

    assert entra.count() == 1


def make_keys(entra: Entra, transport: HttpClient, clock: Clock) -> SigningKeys:
    """Make the keys with a clock of the test's."""
    return SigningKeys(url=f"{entra.url}/{TENANT}/discovery/v2.0/keys", http=transport, clock=clock)


def test_an_unknown_key_id_refreshes_the_keys_at_most_once_a_minute(
    entra: Entra, authority: Authority, transport: HttpClient
) -> None:
    """A new key is found. Made-up ids cannot cause a call each."""
    clock = Clock()
    keys = make_keys(entra, transport, clock)
    old, deadline = authority._key_id, Deadline(seconds=5)
    assert keys.find(old, deadline=deadline)

    assert keys.find("made up", deadline=deadline) is None
    assert entra.count() == 1
    authority.add_key()
    clock.now += REFRESH_SECONDS
    assert keys.find(authority._key_id, deadline=deadline)
    assert keys.find("made up", deadline=deadline) is None

    assert entra.count() == 2


def test_a_key_that_was_withdrawn_is_forgotten_within_a_day(
    entra: Entra, authority: Authority, transport: HttpClient
) -> None:
    """Even while tokens name its id."""
    clock = Clock()
    keys = make_keys(entra, transport, clock)
    old, deadline = authority._key_id, Deadline(seconds=5)
    keys.find(old, deadline=deadline)
    authority.add_key()
    authority.withdraw_other_keys()

    clock.now += KEEP_SECONDS

    assert keys.find(old, deadline=deadline) is None


def test_known_keys_are_used_while_the_authority_does_not_answer(
    entra: Entra, authority: Authority, transport: HttpClient
) -> None:
    """Callers do not each cause another fetch."""
    clock = Clock()
    keys = make_keys(entra, transport, clock)
    deadline = Deadline(seconds=5)
    keys.find(authority._key_id, deadline=deadline)
    entra.always(Status(503))
    clock.now += KEEP_SECONDS

    for _ in range(3):
        assert keys.find(authority._key_id, deadline=deadline)

    assert entra.count() == 2


def test_a_refresh_of_known_keys_delays_one_caller_only(
    entra: Entra, authority: Authority, transport: HttpClient
) -> None:
    """The others use the known keys."""
    clock = Clock()
    keys = make_keys(entra, transport, clock)
    keys.find(authority._key_id, deadline=Deadline(seconds=5))
    entra.always(Hang())
    clock.now += KEEP_SECONDS
    one = threading.Thread(
        target=keys.find, args=(authority._key_id,), kwargs={"deadline": Deadline(seconds=5)}
    )
    one.start()
    while not entra.held:
        time.sleep(0.01)
    started = time.monotonic()

    assert keys.find(authority._key_id, deadline=Deadline(seconds=5))
    assert time.monotonic() - started < 2

    entra.release()
    one.join()


def test_callers_who_waited_for_a_failed_fetch_start_no_other(
    check: Any,  # noqa: ANN401
    entra: Entra,
    authority: Authority,
) -> None:
    """Otherwise they would wait for one fetch after the other."""
    entra.always(Delay(0.5, then=Status(503)))
    tokens = [authority.issue_to_person(audience=CLIENT) for _ in range(8)]

    with ThreadPoolExecutor(8) as callers:
        waiting = [callers.submit(check, token) for token in tokens]

    assert {type(one.exception()) for one in waiting} == {IdentityUnavailable}
    assert entra.count() == 1


NO_KEYS: dict[str, Fault] = {
    "503": Status(503),
    "404": Status(404),
    "a lost connection": Reset(),
    "not JSON": NOT_JSON,
    "no keys": Body(b'{"keys": []}'),
    "keys of another shape": Body(b'{"keys": [7, {"kid": "a"}, {"kid": "b", "kty": "RSA"}]}'),
    "a shared secret": Body(b'{"keys": [{"kid": "a", "kty": "oct", "k": "AAAA"}]}'),
    "a list": Body(b"[]"),
    "too much": Huge(2 * 1024 * 1024),
    "a redirect": Redirect("https://login.example/"),
}


@pytest.mark.parametrize("name", NO_KEYS)
def test_without_keys_the_answer_is_503(
    check: Any,  # noqa: ANN401
    entra: Entra,
    authority: Authority,
    name: str,
) -> None:
    """The same token may be accepted in a minute."""
    entra.always(NO_KEYS[name])

    with pytest.raises(IdentityUnavailable) as caught:
        check(authority.issue_to_person(audience=CLIENT))

    assert challenge(caught.value) is None


def test_after_a_failed_fetch_the_keys_are_fetched_again_after_a_cool_down(
    entra: Entra, authority: Authority, transport: HttpClient
) -> None:
    """By one caller, however many come meanwhile."""
    clock = Clock()
    keys = make_keys(entra, transport, clock)
    entra.order(Status(503))

    def find() -> object:
        return keys.find(authority._key_id, deadline=Deadline(seconds=5))

    with ThreadPoolExecutor(32) as callers:
        waiting = [callers.submit(find) for _ in range(64)]
    assert {type(one.exception()) for one in waiting} == {IdentityUnavailable}
    assert entra.count() == 1

    clock.now += COOL_DOWN_SECONDS
    assert find()
    assert entra.count() == 2


def test_an_authority_that_hangs_delays_only_the_callers_that_wait_for_it(
    check: Any,  # noqa: ANN401
    entra: Entra,
    authority: Authority,
) -> None:
    """Later callers start a new fetch."""
    token = authority.issue_to_person(audience=CLIENT)
    entra.order(Hang())
    with pytest.raises(IdentityUnavailable):
        check(token, seconds=0.3)

    check(token)

    assert entra.count() == 2


def test_a_caller_waits_for_keys_until_its_deadline(
    check: Any,  # noqa: ANN401
    entra: Entra,
    authority: Authority,
) -> None:
    """Even if the authority hangs."""
    entra.always(Hang())
    started = time.monotonic()

    with pytest.raises(IdentityUnavailable):
        check(authority.issue_to_person(audience=CLIENT), seconds=0.3)

    assert time.monotonic() - started < 2


@pytest.mark.parametrize("error", [IdentityUnavailable("x"), ServiceError])
def test_only_a_refused_token_causes_a_challenge(error: Any) -> None:  # noqa: ANN401
    """Other errors have no WWW-Authenticate header."""
    assert challenge(error) is None


def test_the_permissions_are_those_of_the_app_registration() -> None:
    """As infra/graph/sign-in.bicep creates them."""
    assert (bearer_tokens.SCOPE, bearer_tokens.APP_ROLE) == ("JoinLink.Read", "JoinLink.Read.All")


PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - on purpose


def as_jwk(key: rsa.RSAPrivateKey | rsa.RSAPublicKey, **changes: object) -> dict[str, object]:
    """Write a key as a JSON Web Key."""
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "odd", **changes}


UNUSABLE: dict[str, dict[str, object]] = {
    "a private key": as_jwk(PRIVATE),
    "a weak key": as_jwk(WEAK.public_key()),
    "a key for encryption": as_jwk(PRIVATE.public_key(), use="enc"),
    "a modulus of nothing": as_jwk(PRIVATE.public_key(), n="AA"),
    "an exponent of one": as_jwk(PRIVATE.public_key(), e="AQ"),
    "a modulus that is a number": as_jwk(PRIVATE.public_key(), n=5),
    "a modulus that is no base64": as_jwk(PRIVATE.public_key(), n="\N{LATIN SMALL LETTER E}!"),
    "a key of another kind": {"kty": "oct", "k": "AAAA", "kid": "odd"},
    "a list in place of a kind": as_jwk(PRIVATE.public_key(), kty=["RSA"]),
}


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_that_cannot_be_used_is_left_out_and_the_others_stay(
    entra: Entra, transport: HttpClient, key: dict[str, object]
) -> None:
    """A token that names it is refused like one with an unknown key id."""
    good = as_jwk(PRIVATE.public_key(), kid="good")
    entra.order(Body(json.dumps({"keys": [key, good]}).encode()))
    keys = make_keys(entra, transport, Clock())
    deadline = Deadline(seconds=5)

    assert keys.find("good", deadline=deadline) is not None
    assert keys.find("odd", deadline=deadline) is None
