"""One climb: about whom and what, with which services, and what was found on the way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared import errors
from shared.application import Application, Services
from shared.appointments import JoinRequest
from shared.errors import Fault, InvalidRequest, ServiceError
from shared.graph import Graph
from shared.identity import Token
from shared.strict_json import MAX_FAULTS, Document, pointer
from shared.teams_links import MAX_LENGTH, NotATeamsLink, TeamsLink, parse_teams_link

_REFERENCES = ("onlineMeetingId", "joinWebUrl", "joinMeetingId")
_MEMBERS = ("userId", *_REFERENCES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom and what to climb for. Anything may be absent, and anything may be nonsense."""

    user_id: str | None = field(default=None, repr=False)
    references: Mapping[str, str] = field(default_factory=dict, repr=False)
    """One meeting reference at most, by the name of its member."""

    @classmethod
    def from_document(cls, document: Document) -> "Subject":
        """Read a request's body. What the values are worth, the rungs say.

        Raises:
            InvalidRequest: for anything but an object of texts with one meeting reference at most.
        """
        value = document.value
        faults = list(document.faults)
        if not isinstance(value, dict):
            value = {}
            faults = faults or [Fault("", "The body must be one JSON object.")]
        texts: dict[str, str] = {}
        for name, text in value.items():
            if name not in _MEMBERS:
                faults.append(Fault(pointer(name), "There is no such member."))
            elif isinstance(text, str) and 0 < len(text) <= MAX_LENGTH:
                texts[name] = text
            elif text is not None:
                faults.append(
                    Fault(pointer(name), f"Must be a string of 1 to {MAX_LENGTH:,} characters.")
                )
        references = {name: texts[name] for name in _REFERENCES if name in texts}
        if len(references) > 1:
            faults.append(Fault("", f"Give at most one of {', '.join(_REFERENCES)}."))
        if faults:
            raise InvalidRequest(
                "The request does not say whom and what to check.",
                fix="Correct what `errors` lists, or leave it out.",
                faults=faults[:MAX_FAULTS],
            )
        return cls(user_id=texts.get("userId"), references=references)

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
        document = Document({"userId": user_id, **self.references}, ())
        return JoinRequest.from_document(document, default_request_id="diagnostics")


@dataclass(kw_only=True)
class Ascent:
    """What the checks work on, and hand on to later ones.

    Args:
        services: the app's own; where settings are faulty, as if those were absent.
        environment: the app's.
        faults: what is wrong with the settings.
        subject: whom and what to climb for.
    """

    services: Services
    environment: Mapping[str, str]
    faults: Collection[Fault]
    subject: Subject
    newest_token: Token | None = field(default=None, init=False)
    token: Token | None = field(default=None, init=False)
    user_id: str | None = field(default=None, init=False)
    probes: dict[str, str | ServiceError] = field(default_factory=dict, init=False, repr=False)
    """What Graph said to a first try at a link, by Graph version."""
    meeting_id: str | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, application: Application, subject: Subject) -> "Ascent":
        """Prepare a climb. Nothing outside is called yet."""
        error = application.settings_error
        return cls(
            services=application.sound_services(),
            environment=application.environment,
            faults=() if error is None else error.faults,
            subject=subject,
        )

    @property
    def faulty_settings(self) -> frozenset[str]:
        """The faulty settings; AzureWebJobsStorage for each part of it."""
        return frozenset(fault.pointer.partition("__")[0] for fault in self.faults)

    @property
    def version(self) -> str:
        """The version of Graph that the app is set to use."""
        return self.services.settings.graph_version

    @property
    def client_id(self) -> str | None:
        """The app's client id: the one that was set, else the one that its own token names."""
        configured = self.services.settings.managed_identity_client_id
        return configured or (self.token.client_id() if self.token else None)

    def graph(self, version: str) -> Graph:
        """Give Graph at one of its versions, by the app's own identity."""
        settings = self.services.settings
        return Graph(
            root=settings.graph_root,
            version=version,
            client_id=self.client_id,
            transport=self.services.transport,
            identity=self.services.identity,
        )

    def known_token(self) -> Token:
        """Give the token of the rung before.

        Raises:
            IdentityUnavailable: if there is none.
        """
        if self.token is None:
            raise errors.IdentityUnavailable("There is no token.")
        return self.token
