"""The checks of the settings, the identity, its token, and the roles in the token."""

from datetime import UTC, datetime

from shared.core import remediation
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import PermissionMissing, SettingsInvalid
from shared.core.settings import GRAPH_ROOT, GRAPH_SCOPE
from shared.core.strict_json import Json
from shared.diagnostics.context import CheckContext
from shared.diagnostics.runner import Finding, Status
from shared.graph.error_mapping import JOIN_LINK_ROLES, Operation
from shared.identity.managed_identity import ManagedIdentity, Token
from shared.webhooks.sources import Sources

_AUDIENCES = frozenset({GRAPH_ROOT, f"{GRAPH_ROOT}/", remediation.GRAPH_APP_ID})
_OPTIONAL = {
    Operation.FIND_MEETING.value: "find a meeting by its Teams link or joinMeetingId",
    Operation.FIND_USER.value: "take a user principal name or e-mail for an organizer",
}


def settings(context: CheckContext, _: Deadline, __: RequestStats) -> Finding:
    """Name each invalid setting."""
    if context.field_errors:
        told = " ".join(map(str, context.field_errors))
        return Finding(
            status=Status.FAIL,
            code=SettingsInvalid.code,
            detail=f"These settings are not valid. {told}",
            seen={"invalid": [field_error.pointer for field_error in context.field_errors]},
        )
    read = context.services.settings
    sources = context.services.sources or Sources()
    seen: dict[str, Json] = {
        "GRAPH_VERSION": read.graph_version,
        "HTTP_AUTH": read.http_auth,
        "storage": "connection string" if read.storage.connection_string else "identity",
        "booking systems": [*sources.valid],
    }
    if sources.invalid:
        mistakes: list[Json] = [
            f"{name}{field_error.pointer}: {field_error.detail}"
            for name, field_errors in sources.invalid.items()
            for field_error in field_errors
        ]
        told = " ".join(map(str, mistakes))
        return Finding(
            status=Status.WARN,
            detail=f"These booking systems are not configured well, and disabled. {told}",
            seen={**seen, "invalid": [*sources.invalid], "mistakes": mistakes},
            fix="Correct them in WEBHOOK_SOURCES.",
        )
    return Finding(detail="All settings are valid.", seen=seen)


def identity(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Ask for a token as a new process does, without the cache."""
    read = context.services.settings
    fresh = ManagedIdentity(
        client_id=read.managed_identity_client_id, environment=context.environment
    )
    context.newest_token = fresh.token(GRAPH_SCOPE, deadline=deadline)
    managed = "IDENTITY_ENDPOINT" in context.environment
    return Finding(
        detail="The managed identity gives tokens."
        if managed
        else "There is no managed identity here. The app uses the signed-in developer's tokens.",
        seen={"identity": "managed" if managed else "developer"},
    )


def token(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Read the app's token: its application, its audience, and when it was issued and expires."""
    context.token = context.services.identity.token(GRAPH_SCOPE, deadline=deadline)
    claims = context.token.claims()
    issued, ends = _moment(claims.get("iat")), _moment(claims.get("exp"))
    seen: dict[str, Json] = {
        "appid": _text(claims.get("appid")),
        "oid": _text(claims.get("oid")),
        "tid": _text(claims.get("tid")),
        "aud": _text(claims.get("aud")),
        "issued": issued,
        "ends": ends,
    }
    configured = context.services.settings.managed_identity_client_id
    if not claims:
        return Finding(
            status=Status.WARN, detail="The token is not one that can be read.", seen=seen
        )
    if claims.get("aud") not in _AUDIENCES:
        return Finding(status=Status.FAIL, detail="The token is not for Graph.", seen=seen)
    if configured and configured.lower() != str(claims.get("appid")).lower():
        return Finding(
            status=Status.FAIL,
            detail="The token is another application's than MANAGED_IDENTITY_CLIENT_ID says.",
            seen=seen,
        )
    return Finding(detail=f"Issued {issued}, ends {ends}.", seen=seen)


def roles(context: CheckContext, _: Deadline, __: RequestStats) -> Finding:
    """Say whether the token has the app role for join links, and which optional roles it lacks."""
    held = context.known_token().roles()
    missing = {role: use for role, use in _OPTIONAL.items() if role not in held}
    seen: dict[str, Json] = {"roles": [*sorted(held)]}
    if held & JOIN_LINK_ROLES:
        without = "".join(f" Without {role} the app cannot {use}." for role, use in missing.items())
        return Finding(detail=f"The token allows join links.{without}", seen=seen)
    role = Operation.JOIN_LINK.value
    return Finding(
        status=Status.FAIL,
        code=PermissionMissing.code,
        detail=f"The token does not carry the app role {role}."
        f"{_age(context.known_token())}{_newer(context.newest_token)}",
        seen=seen,
        fix=remediation.grant_app_role(role, client_id=context.client_id),
    )


def sign_in(context: CheckContext, deadline: Deadline, _: RequestStats) -> Finding:
    """Ask Entra whether it accepts the managed identity as the registration's credential.

    This needs no person. Whether an administrator has consented is not checked: reading the grant
    would need one more permission.
    """
    exchange = context.services.on_behalf_of
    if exchange is None:
        return Finding(detail="Not needed: callers use function keys.")
    if context.newest_token is None:
        detail = "The credential is the managed identity, and that gave no token."
        return Finding(status=Status.NOT_REACHED, detail=detail)
    exchange.check_credential(deadline=deadline)
    return Finding(
        detail="Entra takes the managed identity as the app registration's credential. Whether "
        "somebody has consented shows when a person first asks for a meeting of their own.",
        seen={"ENTRA_CLIENT_ID": exchange.client_id},
    )


def _age(held: Token) -> str:
    claims = held.claims()
    issued, ends = _moment(claims.get("iat")), _moment(claims.get("exp"))
    if issued is None or ends is None:
        return ""
    return (
        f" It was issued {issued} and ends {ends}; a new one, with what was granted since, may "
        "take that long."
    )


def _newer(newest: Token | None) -> str:
    if newest is None or not newest.roles() & JOIN_LINK_ROLES:
        return ""
    return " The identity's newest token carries it already: restart the app to use that one."


def _moment(seconds: object) -> str | None:
    """Write seconds since the epoch as a time of RFC 3339."""
    if not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return None


def _text(claim: object) -> str | None:
    return claim if isinstance(claim, str) else None
