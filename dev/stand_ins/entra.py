"""Microsoft Entra: publishes a tenant's keys, and exchanges tokens.

The token endpoint follows Microsoft's documentation of the on-behalf-of flow and of federated
credentials, and public reports of its errors.
"""

import datetime as dt
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import jwt

from dev.stand_ins.authority import Authority
from dev.stand_ins.messages import Call, RefusedError, Request, Response
from dev.stand_ins.stand_in import Exchange, StandIn

GRAPH = "https://graph.microsoft.com"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
EXCHANGE_APP_ID = "fb60f99c-7a34-4190-8149-302f77469936"
"""The audience in the tokens. Federated credentials name the one above."""
_ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_STATUSES = {"invalid_client": 401, "temporarily_unavailable": 503}


class EntraError(RefusedError):
    """A refusal by the token endpoint.

    Args:
        error: OAuth's error code.
        number: Entra's error number, with which the description begins.
        text: The description.
        suberror: The kind of interaction that would help, if any.
        claims: The claims that a policy requires, as a JSON text.
        also: Further error numbers.
        status: The HTTP status; by default the usual one for the error.
    """

    def __init__(
        self,
        error: str,
        number: int,
        text: str,
        *,
        suberror: str | None = None,
        claims: str | None = None,
        also: Iterable[int] = (),
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status or _STATUSES.get(error, 400), error, text, headers)
        self.number = number
        self.suberror = suberror
        self.claims = claims
        self.also = tuple(also)

    def __call__(self, exchange: Exchange) -> None:
        """Answer with this error, which a test can order as a fault."""
        exchange.send(exchange.refuse(self))


@dataclass(frozen=True)
class FederatedCredential:
    """A federated credential: what a registration accepts instead of a secret.

    Attributes:
        issuer: The assertion's issuer.
        subject: The assertion's subject, in its exact case.
        audience: The assertion's audience, as a URI.
    """

    issuer: str
    subject: str
    audience: str = EXCHANGE_AUDIENCE


@dataclass
class Registration:
    """An app registration, and the consent for it.

    Attributes:
        client_id: Its client id.
        credential: Its federated credential, if it has one.
        unspread: How many more requests do not find that credential yet.
        consented: Delegated permissions of Graph that an administrator consented to for all people.
        assigned: The object ids of those who may use it; None for everybody.
    """

    client_id: str
    credential: FederatedCredential | None = None
    unspread: int = 0
    consented: frozenset[str] = frozenset({"VirtualAppointment.Read", "OnlineMeetings.Read"})
    assigned: frozenset[str] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def find_credential(self) -> FederatedCredential | None:
        """Give the credential, if this request finds it."""
        with self._lock:
            if self.unspread:
                self.unspread -= 1
                return None
            return self.credential


class Entra(StandIn):
    """Answers for one tenant.

    Args:
        authority: Signs its tokens.

    Attributes:
        registrations: The app registrations, by client id.
        lifetime: How long new tokens for Graph are valid, in seconds.
    """

    def __init__(self, authority: Authority) -> None:
        super().__init__(name="entra")
        self.registrations: dict[str, Registration] = {}
        self.lifetime = 4000
        self._authority = authority

    @property
    def issuer(self) -> str:
        """The issuer of the tenant's tokens of version 2, including those of managed identities."""
        return f"https://login.microsoftonline.com/{self._authority.tenant_id}/v2.0"

    def register(self, client_id: str, *, subject: str | None = None) -> Registration:
        """Add an app registration.

        Args:
            client_id: Its client id.
            subject: The principal id of the managed identity that is its credential.
        """
        credential = None if subject is None else FederatedCredential(self.issuer, subject)
        registration = Registration(client_id, credential)
        self.registrations[client_id] = registration
        return registration

    def respond(self, request: Request) -> Response:
        """Answer as Entra would.

        Raises:
            RefusedError: As Entra would.
        """
        tenant = f"/{self._authority.tenant_id}"
        match request.method, request.path.removeprefix(tenant):
            case "GET", "/discovery/v2.0/keys":
                headers = {"Cache-Control": "max-age=86400, private"}
                return Response.json(200, self._authority.keys, headers)
            case "POST", "/oauth2/v2.0/token":
                return self._token(_read_form(request))
            case _:
                raise RefusedError(404, "NotFound", "")

    def refuse(self, request: Request, error: RefusedError) -> Response:
        """An error in Entra's shape."""
        del request
        if not isinstance(error, EntraError):
            plain = {"error": error.code, "error_description": error.message}
            return Response.json(error.status, plain, error.headers)
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        described = (
            f"AADSTS{error.number}: {error.message} Trace ID: {trace} "
            f"Correlation ID: {correlation} Timestamp: {stamp}"
        )
        body: dict[str, Any] = {
            "error": error.code,
            "error_description": described,
            "error_codes": [error.number, *error.also],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        }
        optional = {"suberror": error.suberror, "claims": error.claims}
        present = {name: value for name, value in optional.items() if value is not None}
        return Response.json(error.status, {**body, **present}, error.headers)

    def _token(self, form: Mapping[str, str]) -> Response:
        registration = self.registrations.get(form.get("client_id", ""))
        if registration is None:
            text = f"Application with identifier '{form.get('client_id')}' was not found."
            raise EntraError("unauthorized_client", 700016, text)
        self._check_client(registration, form)
        match form.get("grant_type"):
            case "client_credentials":
                if form.get("scope") != f"{GRAPH}/.default":
                    text = "The provided value for scope is not valid."
                    raise EntraError("invalid_scope", 70011, text)
                return self._answer(registration, object_id=str(uuid.uuid4()), idtyp="app")
            case grant if grant == _ON_BEHALF_OF:
                return self._exchange(registration, form)
            case _:
                text = "The app requested an unsupported grant type."
                raise EntraError("unsupported_grant_type", 70003, text)

    def _check_client(self, registration: Registration, form: Mapping[str, str]) -> None:
        assertion = form.get("client_assertion", "")
        if not assertion or form.get("client_assertion_type") != _JWT_ASSERTION:
            text = "The request body must contain: 'client_assertion' or 'client_secret'."
            raise EntraError("invalid_client", 7000218, text)
        try:
            claims = self._authority.verify(assertion, EXCHANGE_APP_ID)
        except jwt.ExpiredSignatureError as error:
            text = "Client assertion is not within its valid time range."
            raise EntraError("invalid_client", 700024, text) from error
        except jwt.InvalidAudienceError as error:
            raise _no_credential(700212, "audience") from error
        except jwt.InvalidTokenError as error:
            text = "Client assertion failed signature validation."
            raise EntraError("invalid_client", 700027, text) from error
        if claims.get("idtyp") != "app":
            text = "Only app-only tokens can be used as Federated Identity Credentials."
            raise EntraError("invalid_client", 700229, text)
        credential = registration.find_credential()
        if credential is None:
            text = "No matching federated identity record found for presented assertion."
            raise EntraError("invalid_request", 70021, text)
        if claims["iss"] != credential.issuer:
            raise _no_credential(700211, "issuer")
        if claims["sub"] != credential.subject:
            same = str(claims["sub"]).lower() == credential.subject.lower()
            raise _no_credential(7002138 if same else 700213, "subject")
        if credential.audience != EXCHANGE_AUDIENCE:
            raise _no_credential(700212, "audience")

    def _exchange(self, registration: Registration, form: Mapping[str, str]) -> Response:
        if form.get("requested_token_use") != "on_behalf_of":
            text = "The request body must contain: 'requested_token_use'."
            raise EntraError("invalid_request", 900144, text)
        claims = self._check_assertion(registration, form.get("assertion", ""))
        if registration.assigned is not None and claims["oid"] not in registration.assigned:
            text = "The signed in user is not assigned to a role for the application."
            raise EntraError("invalid_grant", 50105, text)
        wanted = form.get("scope", "").split()
        if wanted == [f"{GRAPH}/.default"]:
            granted = registration.consented
        else:
            granted = frozenset(scope.rpartition("/")[2] for scope in wanted)
        if not granted or not granted <= registration.consented:
            text = (
                "The user or administrator has not consented to use the application with ID "
                f"'{registration.client_id}'."
            )
            raise EntraError("invalid_grant", 65001, text, suberror="consent_required")
        return self._answer(
            registration,
            object_id=claims["oid"],
            idtyp="user",
            scp=" ".join(sorted(granted)),
            sub=uuid.uuid5(uuid.UUID(claims["oid"]), GRAPH).hex,
        )

    def _check_assertion(self, registration: Registration, assertion: str) -> dict[str, Any]:
        client_id = registration.client_id
        try:
            claims = self._authority.verify(assertion, client_id, f"api://{client_id}")
        except jwt.ExpiredSignatureError as error:
            text = "Assertion is not within its valid time range."
            raise EntraError("invalid_grant", 500133, text, also=[70002]) from error
        except jwt.InvalidAudienceError as error:
            text = "Assertion audience does not match the Client app presenting the assertion."
            raise EntraError("invalid_grant", 500131, text) from error
        except jwt.InvalidTokenError as error:
            text = "Assertion failed signature validation."
            raise EntraError("invalid_grant", 50013, text) from error
        if claims.get("idtyp") == "app" or "scp" not in claims:
            text = "Application is not allowed to make application on-behalf-of calls."
            raise EntraError("invalid_grant", 7000114, text)
        return claims

    def _answer(self, registration: Registration, *, object_id: str, **claims: Any) -> Response:  # noqa: ANN401 - as claims are
        token = self._authority.issue(
            audience=GRAPH,
            client_id=registration.client_id,
            object_id=object_id,
            lifetime=self.lifetime,
            **claims,
        )
        scopes = str(claims.get("scp", "")).split()
        body = {
            "token_type": "Bearer",
            **({"scope": " ".join(f"{GRAPH}/{scope}" for scope in scopes)} if scopes else {}),
            "expires_in": self.lifetime,
            "ext_expires_in": self.lifetime,
            "access_token": token,
        }
        return Response.json(200, body, {"Cache-Control": "no-store, no-cache"})


def is_exchange(call: Call) -> bool:
    """Say whether a call asks for a token on behalf of a person."""
    return _ON_BEHALF_OF in dict(parse_qsl(call.request.body.decode())).values()


def _read_form(request: Request) -> dict[str, str]:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip()
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True)
    form = dict(pairs)
    if content_type != "application/x-www-form-urlencoded" or len(form) != len(pairs):
        text = "The request body must be form-urlencoded, each parameter once."
        raise EntraError("invalid_request", 900144, text)
    return form


def _no_credential(number: int, what: str) -> EntraError:
    text = f"No matching federated identity record found for presented assertion {what}."
    return EntraError("invalid_client", number, text)
