"""The checks that call Microsoft Graph: the organizer, the meeting and the link.

No join link leaves this module. The report says only that Graph gave one.
"""

from shared.core import errors, remediation
from shared.core.deadline import Deadline, RequestStats
from shared.core.errors import ServiceError
from shared.core.identifiers import is_guid, is_user_principal_name
from shared.diagnostics.context import CheckContext
from shared.diagnostics.runner import Finding, Status
from shared.graph import requests as graph_requests
from shared.graph.error_mapping import Operation
from shared.meetings.resolver import find_meeting, find_user, validate_meeting_id
from shared.meetings.teams_links import NotATeamsLink, derive_meeting_id, parse_teams_link

VERSIONS = ("v1.0", "beta")
MAX_TRIES = 2
"""How often each call is tried: a check has a few seconds, and all checks have 18."""
_MADE_UP_THREAD = "19:meeting_diagnostics@thread.v2"
_MEETING = (
    "Give the meeting's Teams link as the invitation has it, the number in the invitation, or the "
    "onlineMeeting's id as Graph gives it."
)
_PERMISSION = (errors.PermissionRefused, errors.PermissionMissing)
_ABOUT_THE_MEETING = (
    errors.MeetingNotFound,
    errors.MeetingIdMalformed,
    errors.MeetingNotAccessible,
)


def organizer(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Find the object id of the organizer."""
    link = context.target.link
    given = context.target.user_id or (link.organizer_id if link else None)
    if given is None:
        detail = f"No organizer was named.{_about_the_link(context)}"
        return Finding(status=Status.NOT_REACHED, detail=detail)
    if not is_guid(given) and not is_user_principal_name(given):
        raise errors.InvalidRequest(
            "The organizer is neither an object id (a GUID), nor a sign-in name or mail address."
        )
    if link and link.organizer_id and is_guid(given) and given.lower() != link.organizer_id:
        context.user_id = given
        return Finding(
            status=Status.WARN,
            detail="The Teams link names another organizer than this one.",
            seen={"userId": given, "organizer in the link": link.organizer_id},
        )
    may_look_up = Operation.FIND_USER.value in context.known_token().roles()
    if is_guid(given) and not may_look_up:
        context.user_id = given
        return Finding(
            detail="This is an object id. The app may not look it up, and need not.",
            seen={"userId": given},
        )
    context.user_id = context.graph(context.version).execute(
        find_user(given), deadline=deadline, stats=stats, max_tries=MAX_TRIES
    )
    detail = "Graph knows the organizer."
    if not is_guid(given):
        detail += " Sending the object id instead saves a call, or two for a mail address."
    seen = {"userId": context.user_id}
    if (
        link
        and link.tenant_id
        and link.tenant_id != (context.tenant_id() or link.tenant_id).lower()
    ):
        detail += " But the Teams link was made in another tenant, and Graph knows no such meeting."
        seen["tenant in the link"] = link.tenant_id
        return Finding(status=Status.WARN, detail=detail, seen=seen)
    return Finding(detail=detail, seen=seen)


def permission(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Ask both versions of Graph for a link, to see whether they accept the app role.

    Microsoft's documentation contradicts itself about that, so the check asks the tenant's Graph.
    Where no meeting id was given, the check makes one up. Then the expected answer is "not found".
    """
    for version in _configured_first(context.version):
        context.probes[version] = _probe(context, version, deadline, stats)
    verdicts = {version: _accepts(probe) for version, probe in context.probes.items()}
    told = ", ".join(f"{version} {verdicts[version]}" for version in VERSIONS)
    detail = f"The application permission {Operation.JOIN_LINK.value}: {told}."
    seen = {f"permission {version}": verdict for version, verdict in verdicts.items()}
    probe = context.probes[context.version]
    if not isinstance(probe, ServiceError) or verdicts[context.version] == "accepted":
        return Finding(detail=detail, seen=seen)
    other = next(version for version in VERSIONS if version != context.version)
    policy = remediation.grant_access_policy(client_id=context.client_id, user_id=context.user_id)
    fix = f"{probe.fix} {policy}" if isinstance(probe, errors.PermissionRefused) else probe.fix
    if verdicts[context.version] == "refused" and verdicts[other] == "accepted":
        fix = f"Set GRAPH_VERSION to {other}. Or: {fix}"
    return Finding(
        # A refusal for an unknown reason proves nothing. The check of the meeting may show more.
        status=Status.WARN if isinstance(probe, errors.GraphRefused) else Status.FAIL,
        code=probe.code,
        graph_request_id=probe.graph_request_id,
        detail=f"{probe.detail} {detail}",
        seen=seen,
        fix=fix,
    )


def access_policy(context: CheckContext, _: Deadline, __: RequestStats) -> Finding:
    """Say whether the app may act for the organizer, by Graph's answers to earlier checks."""
    probe = context.probes[context.version]
    if isinstance(probe, ServiceError) and not isinstance(probe, _ABOUT_THE_MEETING):
        if isinstance(probe, errors.GraphRefused):
            return Finding.of_error(probe, status=Status.WARN)
        raise probe
    return Finding(detail="Graph lets the app act for this organizer.")


def meeting(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Find the meeting."""
    if context.user_id is None or not context.target.references:
        return Finding(status=Status.NOT_REACHED, detail="No meeting was named.")
    try:
        request = context.target.request(context.user_id)
    except errors.InvalidRequest as error:
        # The error's own text is about a request's members, which the diagnostics do not have.
        detail = " ".join(field_error.detail for field_error in error.field_errors)
        raise errors.InvalidRequest(detail, fix=_MEETING) from None
    if request.link is None:
        validate_meeting_id(request.online_meeting_id or "")
        probe = context.probes[context.version]
        if isinstance(probe, ServiceError):
            raise probe
        context.meeting_id = request.online_meeting_id
        return Finding(detail="Graph knows this meeting id.")
    context.meeting_id = context.graph(context.version).execute(
        find_meeting(context.user_id, request.link, tenant_id=context.tenant_id),
        deadline=deadline,
        stats=stats,
        max_tries=MAX_TRIES,
    )
    return Finding(detail="Graph found the meeting.")


def join_link_v1(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Get the link from v1.0."""
    return _join_link(context, "v1.0", deadline, stats)


def join_link_beta(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Get the link from beta."""
    return _join_link(context, "beta", deadline, stats)


def alternate_key(context: CheckContext, deadline: Deadline, stats: RequestStats) -> Finding:
    """Try the Teams link as an alternate key, which is undocumented: one call instead of two."""
    link = context.target.link
    if link is None or context.user_id is None:
        return Finding(status=Status.NOT_REACHED, detail="No Teams link was given.")
    urls = link.lookups(organizer_id=context.user_id, tenant_id=context.tenant_id()) or [link.url]
    call = graph_requests.join_link_by_join_web_url(user_id=context.user_id, join_web_url=urls[0])
    try:
        context.graph("beta").ask(call, deadline=deadline, stats=stats, max_tries=MAX_TRIES)
    except ServiceError as error:
        return Finding(
            detail=f"It would not in this tenant ({error.code}). The app does not rely on it.",
            seen={"alternateKey": "does not work", "answer": error.code},
            graph_request_id=error.graph_request_id,
        )
    return Finding(
        detail="It would in this tenant. The app does not rely on it.",
        seen={"alternateKey": "works"},
    )


def _about_the_link(context: CheckContext) -> str:
    """Say why the given link does not name the organizer."""
    if "joinWebUrl" not in context.target.references:
        return ""
    try:
        parse_teams_link(context.target.references["joinWebUrl"])
    except NotATeamsLink as error:
        return f" The link does not name one: {error}"
    return " A short Teams link does not say who organizes the meeting."


def _configured_first(configured: str) -> list[str]:
    return sorted(VERSIONS, key=lambda version: version != configured)


def _probe(
    context: CheckContext, version: str, deadline: Deadline, stats: RequestStats
) -> str | ServiceError:
    user_id = context.user_id or ""
    meeting_id = _given_meeting_id(context, user_id) or derive_meeting_id(
        organizer_id=user_id, thread_id=_MADE_UP_THREAD
    )
    call = graph_requests.join_link(user_id=user_id, meeting_id=meeting_id, language=None)
    try:
        return context.graph(version).ask(call, deadline=deadline, stats=stats, max_tries=MAX_TRIES)
    except ServiceError as error:
        return error


def _given_meeting_id(context: CheckContext, user_id: str) -> str | None:
    """Give the meeting id of the request, if it can be one."""
    if not context.target.references:
        return None
    try:
        meeting_id = context.target.request(user_id).online_meeting_id
        if meeting_id is not None:
            validate_meeting_id(meeting_id)
    except (errors.MeetingIdMalformed, errors.InvalidRequest):
        return None  # a later check says so
    return meeting_id


def _accepts(probe: str | ServiceError) -> str:
    if isinstance(probe, _PERMISSION):
        return "refused"
    if isinstance(probe, errors.Unavailable | errors.GraphUnexpected | errors.GraphRefused):
        return f"unknown ({probe.code})"
    return "accepted"


def _join_link(
    context: CheckContext, version: str, deadline: Deadline, stats: RequestStats
) -> Finding:
    """Get the link. At a version other than GRAPH_VERSION's, this is for information only."""
    call = graph_requests.join_link(
        user_id=context.user_id or "", meeting_id=context.meeting_id or "", language=None
    )
    try:
        context.graph(version).ask(call, deadline=deadline, stats=stats, max_tries=MAX_TRIES)
    except ServiceError as error:
        if version == context.version:
            raise
        return Finding.of_error(error, status=Status.WARN)
    return Finding(detail=f"Graph {version} gave the virtual appointment join link.")
