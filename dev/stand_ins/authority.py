"""The Entra tenant's keys: signs tokens as Entra does, and verifies them."""

import json
import time
import uuid
from collections.abc import Iterable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

_ALGORITHM = "RS256"


class Authority:
    """Signs access tokens for one tenant, and verifies them.

    Args:
        tenant_id: The tenant's id, a GUID.
    """

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self.add_key()

    def add_key(self) -> None:
        """Sign with a new key from now on. The old keys stay valid."""
        self._key_id = uuid.uuid4().hex
        self._keys[self._key_id] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def withdraw_other_keys(self) -> None:
        """Make all keys but the newest invalid."""
        self._keys = {self._key_id: self._keys[self._key_id]}

    @property
    def keys(self) -> dict[str, Any]:
        """The JSON Web Key Set (RFC 7517) that the tenant publishes."""
        return {
            "keys": [
                {
                    **json.loads(RSAAlgorithm.to_jwk(key.public_key())),
                    "kid": key_id,
                    "use": "sig",
                    "alg": _ALGORITHM,
                }
                for key_id, key in self._keys.items()
            ]
        }

    def issue(
        self,
        *,
        audience: str,
        client_id: str,
        object_id: str,
        roles: Iterable[str] = (),
        lifetime: int = 86400,
        **claims: object,
    ) -> str:
        """Sign an access token (v1.0, for an application) that is valid from now on.

        Args:
            audience: The resource it is for.
            client_id: The application's client id.
            object_id: The object id of the application's service principal.
            roles: App roles. As in Entra, the claim is left out if there are none.
            lifetime: Seconds until it expires; negative for an expired token.
            **claims: Further claims, or other values for those above. None removes a claim.
        """
        now = int(time.time())
        payload = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant_id}/",
            "iat": now,
            "nbf": now + min(lifetime, 0),
            "exp": now + lifetime,
            "appid": client_id,
            "idtyp": "app",
            "oid": object_id,
            "roles": sorted(roles) or None,
            "sub": object_id,
            "tid": self.tenant_id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
            **claims,
        }
        present = {name: value for name, value in payload.items() if value is not None}
        key = self._keys[self._key_id]
        return jwt.encode(present, key, _ALGORITHM, headers={"kid": self._key_id})

    def issue_to_person(
        self, *, audience: str, object_id: str | None = None, **claims: object
    ) -> str:
        """Sign an access token (v2.0) for a registered app, on behalf of a person.

        Args:
            audience: The app registration's client id.
            object_id: The person's object id; a random one by default.
            **claims: Further claims, or other values than usual. None removes a claim.
        """
        person: dict[str, Any] = {
            **self._version_2(),
            "acct": 0,
            "idtyp": None,
            "scp": "JoinLink.Read",
            "sub": uuid.uuid4().hex,  # one for each person and app: never the object id
        }
        return self.issue(
            audience=audience,
            client_id="",
            object_id=object_id or str(uuid.uuid4()),
            **{**person, **claims},
        )

    def issue_to_application(self, *, audience: str, **claims: object) -> str:
        """Sign an access token (v2.0) for a registered app, to an application that has its role.

        Args:
            audience: The app registration's client id.
            **claims: As for a person.
        """
        application = {**self._version_2(), "roles": ["JoinLink.Read.All"]}
        return self.issue(
            audience=audience,
            client_id="",
            object_id=str(uuid.uuid4()),
            **{**application, **claims},
        )

    def _version_2(self) -> dict[str, Any]:
        return {
            "iss": f"https://login.microsoftonline.com/{self.tenant_id}/v2.0",
            "appid": None,
            "azp": str(uuid.uuid4()),
            "ver": "2.0",
        }

    def verify(self, token: str, *audiences: str) -> dict[str, Any]:
        """Return the claims of a token of this tenant for one of the audiences.

        Raises:
            jwt.InvalidTokenError: The token is not valid. The subclass says why.
        """
        key_id = str(jwt.get_unverified_header(token).get("kid"))
        claims: dict[str, Any] = jwt.decode(
            token,
            self._keys.get(key_id, self._keys[self._key_id]).public_key(),
            algorithms=[_ALGORITHM],
            audience=audiences,
            options={"require": ["exp", "nbf", "iss", "oid"]},
        )
        return claims
