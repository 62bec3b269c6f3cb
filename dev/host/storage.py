"""Connects the host to the storage queues, by the app's settings and not by this process's."""

from collections.abc import Mapping
from typing import Any

import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.queue import LinearRetry, QueueServiceClient
from requests.adapters import HTTPAdapter

from dev.host.errors import HostError

API_VERSION = "2019-08-01"  # of the App Service identity endpoint
CONNECTIONS = 64  # kept open; a full batch and its refill work at the same time
TIMEOUT = 10.0  # seconds, for the identity endpoint


class ManagedIdentity:
    """Asks the identity endpoint that the app's settings name.

    azure-identity reads the environment of its own process, which here is not the app's. The
    storage client caches the token until it expires, so there is no cache here.
    """

    def __init__(self, *, settings: Mapping[str, str], client_id: str | None) -> None:
        self._endpoint = settings["IDENTITY_ENDPOINT"]
        self._header = settings["IDENTITY_HEADER"]
        self._client_id = client_id

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:  # noqa: ANN401 - the protocol's
        """Get a token, as azure.core's TokenCredential does.

        Raises:
            ClientAuthenticationError: The endpoint gave no token.
        """
        query = {"api-version": API_VERSION, "resource": scopes[0].removesuffix("/.default")}
        if self._client_id:
            query["client_id"] = self._client_id
        try:
            with requests.Session() as session:
                session.trust_env = False
                response = session.get(
                    self._endpoint,
                    params=query,
                    headers={"X-IDENTITY-HEADER": self._header},
                    timeout=TIMEOUT,
                )
            response.raise_for_status()
            answer = response.json()
            return AccessToken(answer["access_token"], int(answer["expires_on"]))
        except (requests.RequestException, KeyError, ValueError) as error:
            raise ClientAuthenticationError(
                f"The identity endpoint gave no token: {type(error).__name__}"
            ) from error


def queue_service(connection: str, settings: Mapping[str, str]) -> QueueServiceClient:
    """Make a client for a connection of the app: a connection string, or an identity's.

    Args:
        connection: The name that a binding gives, such as `AzureWebJobsStorage`.
        settings: The app settings.

    Raises:
        HostError: The settings name no queue service.
    """
    options = {
        "transport": _transport(settings),
        "retry_policy": LinearRetry(backoff=1, retry_total=2, random_jitter_range=1),
    }
    if text := settings.get(connection):
        try:
            return QueueServiceClient.from_connection_string(text, **options)
        except ValueError:
            raise HostError(f"The app setting {connection} is no connection string.") from None
    uri = settings.get(f"{connection}__queueServiceUri")
    if not uri:
        raise HostError(
            f"Neither {connection} nor {connection}__queueServiceUri is an app setting, "
            "but a queue trigger needs one of them."
        )
    if not {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"} <= settings.keys():
        raise HostError(
            f"{connection}__queueServiceUri needs an identity, but the app settings have no "
            "IDENTITY_ENDPOINT and IDENTITY_HEADER."
        )
    # As in Azure, a client id counts only together with the credential's kind.
    by_identity = settings.get(f"{connection}__credential", "").lower() == "managedidentity"
    client_id = settings.get(f"{connection}__clientId") if by_identity else None
    credential = ManagedIdentity(settings=settings, client_id=client_id)
    return QueueServiceClient(uri, credential=credential, **options)


def _transport(settings: Mapping[str, str]) -> RequestsTransport:
    session = requests.Session()
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    verify = settings.get("REQUESTS_CA_BUNDLE") or True
    return RequestsTransport(session=session, connection_verify=verify)
