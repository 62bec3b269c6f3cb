"""The upper rungs: what Microsoft Graph says about the organizer, the meeting and the link.

No join link leaves this module: that one was given is all a report says.
"""

from shared import errors, fixes, graph_calls
from shared.budget import Budget
from shared.diagnostics.ascent import Ascent
from shared.diagnostics.ladder import Finding, Status
from shared.errors import ServiceError
from shared.graph_errors import Operation
from shared.identifiers import is_guid, is_user_principal_name
from shared.resolver import find_meeting, refuse_what_is_no_meeting_id
from shared.teams_links import derive_meeting_id

VERSIONS = ("v1.0", "beta")
_MADE_UP_THREAD = "19:meeting_diagnostics@thread.v2"
_PERMISSION = (errors.PermissionRefused, errors.PermissionMissing)
_ABOUT_THE_MEETING = (
    errors.MeetingNotFound,
    errors.MeetingIdMalformed,
    errors.MeetingNotAccessible,
)


def organizer(ascent: Ascent, budget: Budget) -> Finding:
    """Turn whoever was named into an object id."""
    link = ascent.subject.link
    given = ascent.subject.user_id or (link.organizer_id if link else None)
    if given is None:
        return Finding(status=Status.NOT_REACHED, detail="No organizer was named.")
    if not is_guid(given) and not is_user_principal_name(given):
        raise errors.InvalidRequest(
            "The organizer is neither an object id (a GUID) nor a user principal name."
        )
    if link and link.organizer_id and is_guid(given) and given.lower() != link.organizer_id.lower():
        ascent.user_id = given
        return Finding(
            status=Status.WARN,
            detail="The Teams link names another organizer than this one.",
            seen={"userId": given, "organizer in the link": link.organizer_id},
        )
    may_look_up = Operation.FIND_USER.value in ascent.known_token().roles()
    if is_guid(given) and not may_look_up:
        ascent.user_id = given
        return Finding(
            detail="This is an object id. The app may not look it up, and need not.",
            seen={"userId": given},
        )
    call = graph_calls.user(user_principal_name=given)
    ascent.user_id = ascent.graph(ascent.version).ask(call, budget=budget)
    detail = "Graph knows the organizer."
    if not is_guid(given):
        detail += " Sending the object id instead saves a call."
    return Finding(detail=detail, seen={"userId": ascent.user_id})


def permission(ascent: Ascent, budget: Budget) -> Finding:
    """Ask for a link at both versions of Graph, and see whether the app role is taken.

    Microsoft's documents contradict one another about that, so each tenant has to be asked. Where
    no meeting id was given, one is made up: then "not found" is the good answer.
    """
    for version in _configured_first(ascent.version):
        ascent.probes[version] = _probe(ascent, version, budget)
    verdicts = {version: _accepts(probe) for version, probe in ascent.probes.items()}
    told = ", ".join(f"{version} {verdicts[version]}" for version in VERSIONS)
    detail = f"The application permission {Operation.JOIN_LINK.value}: {told}."
    seen = {f"permission {version}": verdict for version, verdict in verdicts.items()}
    probe = ascent.probes[ascent.version]
    if not isinstance(probe, ServiceError) or verdicts[ascent.version] == "accepted":
        return Finding(detail=detail, seen=seen)
    other = next(version for version in VERSIONS if version != ascent.version)
    policy = fixes.grant_access_policy(client_id=ascent.client_id, user_id=ascent.user_id)
    fix = f"{probe.fix} {policy}" if isinstance(probe, errors.PermissionRefused) else probe.fix
    if verdicts[ascent.version] == "refused" and verdicts[other] == "accepted":
        fix = f"Set GRAPH_VERSION to {other}. Or: {fix}"
    return Finding(
        # Of a refusal for no known reason nothing follows: the meeting itself may tell more.
        status=Status.WARN if isinstance(probe, errors.GraphRefused) else Status.FAIL,
        code=probe.code,
        graph_request_id=probe.graph_request_id,
        detail=f"{probe.detail} {detail}",
        seen=seen,
        fix=fix,
    )


def access_policy(ascent: Ascent, _: Budget) -> Finding:
    """Read, from what Graph has said, whether the app may act for the organizer."""
    probe = ascent.probes[ascent.version]
    if isinstance(probe, ServiceError) and not isinstance(probe, _ABOUT_THE_MEETING):
        if isinstance(probe, errors.GraphRefused):
            return Finding.of_error(probe, status=Status.WARN)
        raise probe
    return Finding(detail="Graph lets the app act for this organizer.")


def meeting(ascent: Ascent, budget: Budget) -> Finding:
    """Find the meeting."""
    if ascent.user_id is None or not ascent.subject.references:
        return Finding(status=Status.NOT_REACHED, detail="No meeting was named.")
    request = ascent.subject.request(ascent.user_id)
    if request.online_meeting_id is not None:
        refuse_what_is_no_meeting_id(request.online_meeting_id)
        probe = ascent.probes[ascent.version]
        if isinstance(probe, ServiceError):
            raise probe
        ascent.meeting_id = request.online_meeting_id
        return Finding(detail="Graph knows this meeting id.")
    steps = find_meeting(ascent.user_id, request, ascent.subject.link)
    ascent.meeting_id = ascent.graph(ascent.version).travel(steps, budget=budget)
    return Finding(detail="Graph found the meeting.")


def join_link_v1(ascent: Ascent, budget: Budget) -> Finding:
    """Get the link from v1.0."""
    return _join_link(ascent, "v1.0", budget)


def join_link_beta(ascent: Ascent, budget: Budget) -> Finding:
    """Get the link from beta."""
    return _join_link(ascent, "beta", budget)


def alternate_key(ascent: Ascent, budget: Budget) -> Finding:
    """Try the meeting's Teams link as a key of its own: one call in place of two, undocumented."""
    link = ascent.subject.link
    if link is None or ascent.user_id is None:
        return Finding(status=Status.NOT_REACHED, detail="No Teams link was given.")
    call = graph_calls.join_link_by_join_web_url(user_id=ascent.user_id, join_web_url=link.url)
    try:
        ascent.graph("beta").ask(call, budget=budget)
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


def _configured_first(configured: str) -> list[str]:
    return sorted(VERSIONS, key=lambda version: version != configured)


def _probe(ascent: Ascent, version: str, budget: Budget) -> str | ServiceError:
    user_id = ascent.user_id or ""
    meeting_id = _given_meeting_id(ascent, user_id) or derive_meeting_id(
        organizer_id=user_id, thread_id=_MADE_UP_THREAD
    )
    call = graph_calls.join_link(user_id=user_id, meeting_id=meeting_id, language=None)
    try:
        return ascent.graph(version).ask(call, budget=budget)
    except ServiceError as error:
        return error


def _given_meeting_id(ascent: Ascent, user_id: str) -> str | None:
    """Give the meeting id that was named, if Graph can be asked for it."""
    if not ascent.subject.references:
        return None
    try:
        meeting_id = ascent.subject.request(user_id).online_meeting_id
        if meeting_id is not None:
            refuse_what_is_no_meeting_id(meeting_id)
    except (errors.MeetingIdMalformed, errors.InvalidRequest):
        return None  # a later rung says so
    return meeting_id


def _accepts(probe: str | ServiceError) -> str:
    if isinstance(probe, _PERMISSION):
        return "refused"
    if isinstance(probe, errors.Unavailable | errors.GraphUnexpected | errors.GraphRefused):
        return f"unknown ({probe.code})"
    return "accepted"


def _join_link(ascent: Ascent, version: str, budget: Budget) -> Finding:
    """Get the link: a must at the version that the app is set to use, else information."""
    call = graph_calls.join_link(
        user_id=ascent.user_id or "", meeting_id=ascent.meeting_id or "", language=None
    )
    try:
        ascent.graph(version).ask(call, budget=budget)
    except ServiceError as error:
        if version == ascent.version:
            raise
        return Finding.of_error(error, status=Status.WARN)
    return Finding(detail=f"Graph {version} gave the virtual appointment join link.")
