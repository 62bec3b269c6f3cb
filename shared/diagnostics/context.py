"""The input of one run of the checks, and what earlier checks have found."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.app import Application, Services
from shared.core import errors
from shared.core.errors import InvalidRequest, ServiceError
from shared.core.strict_json import Document, FieldError, FieldErrors
from shared.graph.client import GraphClient
from shared.identity.managed_identity import Token
from shared.meetings.models import MEETING_REFERENCES, JoinRequest
from shared.meetings.teams_links import MAX_LENGTH, NotATeamsLink, TeamsLink, parse_teams_link

_MEMBERS = ("userId", *MEETING_REFERENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The organizer and the meeting to check. Each may be absent or invalid."""

    user_id: str | None = field(default=None, repr=False)
    references: Mapping[str, str] = field(default_factory=dict, repr=False)
    """At most one meeting reference, by its member's name."""

    @classmethod
    def from_document(cls, document: Document) -> "Target":
        """Read a request's body. The checks judge the values.

        Raises:
            InvalidRequest: if it is not an object of texts with at most one meeting reference.
        """
        value = document.value
        errors = FieldErrors(document.field_errors)
        if not isinstance(value, dict):
            value = {}
            if not errors:
                errors.add("The request must be one JSON object.")
        texts: dict[str, str] = {}
        for name, text in value.items():
            if name not in _MEMBERS:
                errors.add("There is no such member.", name)
            elif isinstance(text, str) and len(text) <= MAX_LENGTH:
                texts[name] = text
            elif text is not None:
                errors.add(f"Must be text of at most {MAX_LENGTH:,} characters.", name)
        references = {name: texts[name] for name in MEETING_REFERENCES if texts.get(name)}
        if len(references) > 1:
            errors.add(f"Give at most one of {', '.join(MEETING_REFERENCES)}.")
        if errors:
            raise InvalidRequest(
                errors.summary("the request"),
                fix="Correct what `errors` lists, or leave it out.",
                field_errors=errors,
            )
        return cls(user_id=texts.get("userId") or None, references=references)

    @property
    def link(self) -> TeamsLink | None:
        """The Teams link. None where no valid one was given."""
        try:
            return parse_teams_link(self.references["joinWebUrl"])
        except (KeyError, NotATeamsLink):
            return None

    def request(self, user_id: str) -> JoinRequest:
        """Make the request that a caller would send for this organizer and meeting.

        Raises:
            InvalidRequest: if the app would refuse that request.
        """
        document = Document({"userId": user_id, **self.references})
        return JoinRequest.from_document(document, request_id="diagnostics")


@dataclass(kw_only=True)
class CheckContext:
    """What the checks use, and what they find for later checks.

    Args:
        services: the app's services. Invalid settings count as absent.
        environment: the app's environment variables.
        field_errors: the field errors of the settings.
        target: the organizer and the meeting to check.
    """

    services: Services
    environment: Mapping[str, str]
    field_errors: Collection[FieldError]
    target: Target
    newest_token: Token | None = field(default=None, init=False)
    token: Token | None = field(default=None, init=False)
    user_id: str | None = field(default=None, init=False)
    probes: dict[str, str | ServiceError] = field(default_factory=dict, init=False, repr=False)
    """Graph's answer to the first try at a link, by Graph's version."""
    meeting_id: str | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, application: Application, target: Target) -> "CheckContext":
        """Prepare a run. This calls nothing over the network."""
        error = application.settings_error
        return cls(
            services=application.services_for_diagnostics(),
            environment=application.environment,
            field_errors=() if error is None else error.field_errors,
            target=target,
        )

    @property
    def invalid_settings(self) -> frozenset[str]:
        """The names of the invalid settings. AzureWebJobsStorage stands for each of its parts."""
        return frozenset(
            field_error.pointer.partition("__")[0] for field_error in self.field_errors
        )

    @property
    def version(self) -> str:
        """The version of Graph in GRAPH_VERSION."""
        return self.services.settings.graph_version

    @property
    def client_id(self) -> str | None:
        """The app's client id: from the settings, else from its own token."""
        configured = self.services.settings.managed_identity_client_id
        return configured or (self.token.client_id() if self.token else None)

    def tenant_id(self) -> str | None:
        """Give the app's tenant id: from the settings, else from its own token."""
        configured = self.services.settings.entra_tenant_id
        return configured or (self.token.tenant_id() if self.token else None)

    def graph(self, version: str) -> GraphClient:
        """Give a client for one version of Graph, with the app's own identity."""
        settings = self.services.settings
        return GraphClient(
            root=settings.graph_root,
            version=version,
            client_id=self.client_id,
            http=self.services.http,
            identity=self.services.identity,
        )

    def known_token(self) -> Token:
        """Give the token that an earlier check has got.

        Raises:
            IdentityUnavailable: if there is none.
        """
        if self.token is None:
            raise errors.IdentityUnavailable("There is no token.")
        return self.token
