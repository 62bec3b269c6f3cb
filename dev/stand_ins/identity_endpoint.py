"""App Service's managed identity endpoint (protocol 2019-08-01), as azure-identity calls it."""

import hmac
import threading
import uuid
from typing import Any
from urllib.parse import parse_qs

import jwt

from dev.stand_ins.authority import Authority
from dev.stand_ins.entra import EXCHANGE_APP_ID, EXCHANGE_AUDIENCE
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn

GRAPH = "https://graph.microsoft.com"
GRAPH_ROLES = frozenset(
    {"VirtualAppointment.Read.All", "OnlineMeetings.Read.All", "User.ReadBasic.All"}
)
_RESOURCES = frozenset(
    {GRAPH, "https://storage.azure.com", "https://vault.azure.net", EXCHANGE_AUDIENCE}
)
_NO_SUCH_IDENTITY = (
    "No User Assigned or Delegated Managed Identity found for specified "
    "ClientId/ResourceId/PrincipalId."
)


class IdentityEndpoint(StandIn):
    """Gives out tokens of one managed identity.

    Args:
        authority: Signs the tokens.
        client_id: The identity's client id.
        object_id: The object id of its service principal.

    Attributes:
        roles: The app roles in new tokens for Graph.
        lifetime: How long new tokens are valid, in seconds.
        system_assigned: Whether a request without a client id is answered as well, as for an app
            with a system-assigned identity.
        same_token: While true, a resource's last token is given out again.
    """

    def __init__(self, authority: Authority, *, client_id: str, object_id: str) -> None:
        super().__init__(name="identity endpoint")
        self.client_id = client_id
        self.object_id = object_id
        self.roles: frozenset[str] = GRAPH_ROLES
        self.lifetime = 86400
        self.system_assigned = True
        self.same_token = False
        self._authority = authority
        self._secret = uuid.uuid4().hex
        self._tokens: dict[str, str] = {}
        self._tokens_lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """The app settings by which an app finds the endpoint."""
        return {
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.port}/msi/token",
            "IDENTITY_HEADER": self._secret,
        }

    def respond(self, request: Request) -> Response:
        """Answer with a token.

        Raises:
            RefusedError: There is no token. The error has App Service's shape.
        """
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        secret = request.headers.get("x-identity-header", "")
        resource = query.get("resource", "")
        if request.path != "/msi/token":
            raise RefusedError(404, "", "Not found")
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            raise RefusedError(401, "", "Unauthorized")
        if request.method != "GET" or query.get("api-version") != "2019-08-01" or not resource:
            raise RefusedError(400, "", "Bad request")
        if "client_id" not in query and not self.system_assigned:
            raise RefusedError(400, "", "Unable to load the proper Managed Identity.")
        if query.get("client_id", self.client_id) != self.client_id:
            raise RefusedError(400, "", _NO_SUCH_IDENTITY)
        if resource.removesuffix("/") not in _RESOURCES:
            raise RefusedError(500, "", "An unexpected error occurred.")
        return Response.json(200, self._answer(resource))

    def refuse(self, request: Request, error: RefusedError) -> Response:  # noqa: ARG002 - not used
        """Make an error in App Service's shape."""
        body = {"statusCode": error.status, "message": error.message}
        return Response.json(error.status, body, error.headers)

    def _answer(self, resource: str) -> dict[str, Any]:
        token = self._token(resource)
        claims = jwt.decode(token, options={"verify_signature": False})
        return {
            "access_token": token,
            "expires_on": str(claims["exp"]),
            "resource": resource,
            "token_type": "Bearer",
            "client_id": self.client_id,
        }

    def _token(self, resource: str) -> str:
        with self._tokens_lock:
            if not (self.same_token and resource in self._tokens):
                self._tokens[resource] = self._issue(resource)
            return self._tokens[resource]

    def _issue(self, resource: str) -> str:
        if (
            resource == EXCHANGE_AUDIENCE
        ):  # of version 2: it has another issuer, and an id as its audience
            return self._authority.issue(
                audience=EXCHANGE_APP_ID,
                client_id=self.client_id,
                object_id=self.object_id,
                lifetime=self.lifetime,
                iss=f"https://login.microsoftonline.com/{self._authority.tenant_id}/v2.0",
                appid=None,
                azp=self.client_id,
                ver="2.0",
            )
        return self._authority.issue(
            audience=resource,
            client_id=self.client_id,
            object_id=self.object_id,
            roles=self.roles if resource.removesuffix("/") == GRAPH else (),
            lifetime=self.lifetime,
        )
