"""What one run of the checks works on: whom and what, which services, what was found so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.app import Application, Services
from shared.core import errors
from shared.core.errors import InvalidRequest, ServiceError
from shared.core.field_errors import FieldError, FieldErrors
from shared.core.strict_json import Document
from shared.graph.client import GraphClient
from shared.identity.managed_identity import Token
from shared.meetings.models import MEETING_REFERENCES, JoinRequest
from shared.meetings.teams_links import MAX_LENGTH, NotATeamsLink, TeamsLink, parse_teams_link

_MEMBERS = ("userId", *MEETING_REFERENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom and what to check. Anything may be absent, and anything may be nonsense."""

    user_id: str | None = field(default=None, repr=False)
    references: Mapping[str, str] = field(default_factory=dict, repr=False)
    """One meeting reference at most, by the name of its member."""

    @classmethod
    def from_document(cls, document: Document) -> "Target":
        """Read a request's body. What the values are worth, the checks say.

        Raises:
            InvalidRequest: for anything but an object of texts with one meeting reference at most.
        """
        value = document.value
        errors = FieldErrors(document.field_errors)
        if not isinstance(value, dict):
            value = {}
            if not errors:
                errors.add("The body must be one JSON object.")
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
                "The request does not say whom and what to check.",
                fix="Correct what `errors` lists, or leave it out.",
                field_errors=errors,
            )
        return cls(user_id=texts.get("userId") or None, references=references)

    @property
    def link(self) -> TeamsLink | None:
        """The Teams link, where one was given and is one."""
        try:
            return parse_teams_link(self.references["joinWebUrl"])
        except (KeyError, NotATeamsLink):
            return None

    def request(self, user_id: str) -> JoinRequest:
        """Make the request that a caller would send for it.

        Raises:
            InvalidRequest: as it would be answered.
        """
        document = Document({"userId": user_id, **self.references})
        return JoinRequest.from_document(document, request_id="diagnostics")


@dataclass(kw_only=True)
class CheckContext:
    """What the checks work on, and hand on to later ones.

    Args:
        services: the app's own; where settings are invalid, as if those were absent.
        environment: the app's.
        field_errors: what is wrong with the settings.
        target: whom and what to check.
    """

    services: Services
    environment: Mapping[str, str]
    field_errors: Collection[FieldError]
    target: Target
    newest_token: Token | None = field(default=None, init=False)
    token: Token | None = field(default=None, init=False)
    user_id: str | None = field(default=None, init=False)
    probes: dict[str, str | ServiceError] = field(default_factory=dict, init=False, repr=False)
    """What Graph said to a first try at a link, by Graph version."""
    meeting_id: str | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, application: Application, target: Target) -> "CheckContext":
        """Prepare a run. Nothing outside is called yet."""
        error = application.settings_error
        return cls(
            services=application.services_for_diagnostics(),
            environment=application.environment,
            field_errors=() if error is None else error.field_errors,
            target=target,
        )

    @property
    def invalid_settings(self) -> frozenset[str]:
        """The invalid settings; AzureWebJobsStorage for each part of it."""
        return frozenset(
            field_error.pointer.partition("__")[0] for field_error in self.field_errors
        )

    @property
    def version(self) -> str:
        """The version of Graph that the app is set to use."""
        return self.services.settings.graph_version

    @property
    def client_id(self) -> str | None:
        """The app's client id: the one that was set, else the one that its own token names."""
        configured = self.services.settings.managed_identity_client_id
        return configured or (self.token.client_id() if self.token else None)

    def tenant_id(self) -> str | None:
        """Give the app's tenant: the one that was set, else the one that its own token names."""
        configured = self.services.settings.entra_tenant_id
        return configured or (self.token.tenant_id() if self.token else None)

    def graph(self, version: str) -> GraphClient:
        """Give Graph at one of its versions, by the app's own identity."""
        settings = self.services.settings
        return GraphClient(
            root=settings.graph_root,
            version=version,
            client_id=self.client_id,
            http=self.services.http,
            identity=self.services.identity,
        )

    def known_token(self) -> Token:
        """Give the token of the check before.

        Raises:
            IdentityUnavailable: if there is none.
        """
        if self.token is None:
            raise errors.IdentityUnavailable("There is no token.")
        return self.token
