"""Entra's key document: where an app finds the keys that a tenant's tokens are signed with."""

from dev.stand_ins.authority import Authority
from dev.stand_ins.messages import RefusedError, Request, Response
from dev.stand_ins.stand_in import StandIn


class AuthorityKeys(StandIn):
    """Publishes the keys of one tenant.

    Args:
        authority: Whose keys.
    """

    def __init__(self, authority: Authority) -> None:
        super().__init__(name="authority")
        self._authority = authority

    @property
    def url(self) -> str:
        """Its root, in place of https://login.microsoftonline.com."""
        return f"http://127.0.0.1:{self.port}"

    def respond(self, request: Request) -> Response:
        """Answer as Entra would.

        Raises:
            RefusedError: There is nothing else here.
        """
        path = f"/{self._authority.tenant_id}/discovery/v2.0/keys"
        if request.method != "GET" or request.path != path:
            raise RefusedError(404, "NotFound", "")
        return Response.json(200, self._authority.keys, {"Cache-Control": "max-age=86400, private"})

    def refuse(self, request: Request, error: RefusedError) -> Response:
        """An error, of which nobody reads more than the status."""
        del request
        body = {"error": error.code, "error_description": error.message}
        return Response.json(error.status, body, error.headers)
