"""The part of Microsoft Graph in which an administrator grants app roles.

It follows Microsoft's documentation of servicePrincipal, appRoleAssignments and appRoleAssignedTo,
and public reports of how long Entra needs to replicate a new service principal.
"""

import json
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jwt

from dev.stand_ins import graph_messages
from dev.stand_ins.authority import Authority
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn

GRAPH = "https://graph.microsoft.com"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
PRIVILEGED_ROLE_ADMINISTRATOR = "e8611ab8-c189-46e8-94e1-60213ab1f814"
"""The directory role's template id, as the claim `wids` of its holder's token has it."""
_GRANTERS = {PRIVILEGED_ROLE_ADMINISTRATOR, "62e90394-69f5-4237-9190-012177145e10"}
_ABSENT = "does not exist or one of its queried reference-property objects are not present."


@dataclass
class ServicePrincipal:
    """A service principal, and how far it is replicated.

    Attributes:
        app_id: Its application's id.
        kind: Application or ManagedIdentity.
        object_id: Its own id.
        unseen_reads: How many more reads do not find it yet.
        unseen_grants: How many more grants do not find it yet.
        assignments: Its grants by their ids, each a pair of resource and app role.
    """

    app_id: str
    kind: str = "ManagedIdentity"
    object_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    unseen_reads: int = 0
    unseen_grants: int = 0
    assignments: list[tuple[str, str]] = field(default_factory=list)


class GraphDirectory(StandIn):
    """Answers for one tenant, which has a service principal of Microsoft Graph.

    Args:
        authority: Issues the tokens that it accepts.

    Attributes:
        graph: The service principal of Microsoft Graph.
        page_size: How many assignments a page holds.
    """

    def __init__(self, authority: Authority) -> None:
        super().__init__(name="graph directory")
        self.graph = ServicePrincipal(GRAPH_APP_ID, kind="Application")
        self.page_size = 2
        self._authority = authority
        self._principals = [self.graph]
        self._directory_lock = threading.Lock()

    def add(self, principal: ServicePrincipal) -> ServicePrincipal:
        """Add a service principal."""
        self._principals.append(principal)
        return principal

    def token(self, *, roles: tuple[str, ...] = (PRIVILEGED_ROLE_ADMINISTRATOR,)) -> str:
        """Give a person's token, as `az login` gets it.

        Args:
            roles: Template ids of the person's directory roles.
        """
        return self._authority.issue(
            audience=GRAPH,
            client_id="04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            object_id=str(uuid.uuid4()),
            idtyp="user",
            scp="Directory.AccessAsUser.All",
            wids=list(roles),
        )

    def refuse(self, request: Request, error: RefusedError) -> Response:
        """Make an error in Graph's shape."""
        return graph_messages.error_answer(request, error)

    def respond(self, request: Request) -> Response:
        """Answer as Graph would.

        Raises:
            RefusedError: As Graph would.
        """
        claims = self._authenticate(request)
        version, segments = graph_messages.read_path(request.path)
        with self._directory_lock:
            match request.method, segments:
                case "GET", [key] if key.startswith("servicePrincipals(appId='"):
                    app_id = key.removeprefix("servicePrincipals(appId='").removesuffix("')")
                    body = self._describe(app_id)
                    context = "servicePrincipals/$entity"
                case "GET", ["servicePrincipals", object_id, "appRoleAssignments"]:
                    body = self._page(request, self._find(object_id))
                    context = f"servicePrincipals('{object_id}')/appRoleAssignments"
                case "POST", ["servicePrincipals", resource_id, "appRoleAssignedTo"]:
                    body = self._assign(claims, resource_id, json.loads(request.body))
                    context = "appRoleAssignments/$entity"
                case _:
                    raise graph_messages.segment_not_found(segments[-1] if segments else "")
        answer = graph_messages.answer(request, version, context, body)
        return replace(answer, status=201) if request.method == "POST" else answer

    def _authenticate(self, request: Request) -> Mapping[str, Any]:
        try:
            return self._authority.verify(request.bearer, GRAPH)
        except jwt.InvalidTokenError as error:
            message = "Access token validation failure."
            raise RefusedError(401, "InvalidAuthenticationToken", message) from error

    def _describe(self, app_id: str) -> dict[str, Any]:
        found = next((one for one in self._principals if one.app_id == app_id), None)
        if found is None or found.unseen_reads:
            if found is not None:
                found.unseen_reads -= 1
            raise _not_found(app_id)
        name = "Microsoft Graph" if found is self.graph else "id-standin"
        return {"id": found.object_id, "displayName": name, "servicePrincipalType": found.kind}

    def _find(self, object_id: str) -> ServicePrincipal:
        found = next((one for one in self._principals if one.object_id == object_id), None)
        if found is None:
            raise _not_found(object_id)
        return found

    def _page(self, request: Request, principal: ServicePrincipal) -> dict[str, Any]:
        options = graph_messages.read_query(request.query)
        start = int(options.get("$skiptoken", 0))
        end = start + self.page_size
        page = principal.assignments[start:end]
        value = [self._assignment(principal, resource, role) for resource, role in page]
        if end >= len(principal.assignments):
            return {"value": value}
        following = f"{self.url}{request.path}?$skiptoken={end}"
        return {"@odata.nextLink": following, "value": value}

    def _assign(
        self, claims: Mapping[str, Any], resource_id: str, body: Mapping[str, str]
    ) -> dict[str, Any]:
        if not _GRANTERS & set(claims.get("wids", ())):
            message = "Insufficient privileges to complete the operation."
            raise RefusedError(403, "Authorization_RequestDenied", message)
        principal = self._find(body["principalId"])
        if principal.unseen_grants:
            principal.unseen_grants -= 1
            raise _not_found(principal.object_id)
        if body["resourceId"] != resource_id:
            raise RefusedError(400, "Request_BadRequest", "Invalid resource.")
        assignment = (resource_id, body["appRoleId"])
        if assignment in principal.assignments:
            message = "Permission being assigned already exists on the object"
            raise RefusedError(400, "Request_BadRequest", message)
        principal.assignments.append(assignment)
        return self._assignment(principal, *assignment)

    def _assignment(
        self, principal: ServicePrincipal, resource_id: str, role_id: str
    ) -> dict[str, Any]:
        return {
            "id": uuid.uuid5(uuid.UUID(principal.object_id), resource_id + role_id).hex,
            "appRoleId": role_id,
            "principalId": principal.object_id,
            "principalType": "ServicePrincipal",
            "resourceId": resource_id,
            "resourceDisplayName": "Microsoft Graph",
        }


def _not_found(name: str) -> RefusedError:
    return RefusedError(404, "Request_ResourceNotFound", f"Resource '{name}' {_ABSENT}")
