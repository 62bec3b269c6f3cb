"""Which meetings the caller with an Entra token may ask for, and as whom Graph is then asked.

The app role allows any organizer's meetings. A person's scope allows that person's own meetings.
Whoever comes without a token (a function key, a webhook's signature, the queue) may ask for any
organizer's meeting, and is not checked here.
"""

from copy import replace

from shared.core.errors import Forbidden
from shared.core.identifiers import is_guid
from shared.identity.bearer_tokens import APP_ROLE, SCOPE, Caller
from shared.meetings.models import ME, JoinRequest


def authorize(request: JoinRequest, caller: Caller) -> JoinRequest:
    """Check a caller's right to a meeting, and say as whom Graph is asked for it.

    Args:
        request: a valid request.
        caller: the owner of the token that came with it.

    Returns:
        The request. Where it is for the person's own meeting, it is made on that person's behalf.

    Raises:
        Forbidden: if the caller may not ask for this meeting. Graph has not been called.
    """
    if not caller.is_person:
        return request
    named = request.user_id
    organizer = request.link.organizer_id if request.link else None
    says_own = named is not None and named.lower() in (ME, caller.object_id.lower())
    link_says_other = organizer is not None and organizer.lower() != caller.object_id.lower()
    own = says_own or (named is None and not link_says_other)
    if own and (caller.holds_app_role or not link_says_other):
        return replace(request, user_id=caller.object_id, on_behalf_of=caller)
    if caller.holds_app_role:
        return request
    if named is not None and not says_own and not is_guid(named):
        detail = (
            f"The scope {SCOPE} allows only your own meetings. The app cannot tell whether this "
            "name is yours, because a name can pass to another person."
        )
    else:
        detail = f"The scope {SCOPE} allows only your own meetings. This is another organizer's."
    raise Forbidden(
        detail,
        fix=f'For a meeting that you organize, send "{ME}" as userId, or leave it out. For other '
        f"organizers' meetings, an administrator assigns the app role {APP_ROLE} to you; then get "
        "a new token.",
    )


def authorize_for_later(caller: Caller) -> None:
    """Check that a caller may ask for any organizer's meeting, as a request for later does.

    Args:
        caller: the owner of the token that came with the request.

    Raises:
        Forbidden: for a person whose scope allows only their own meetings.
    """
    if not caller.is_person or caller.holds_app_role:
        return
    raise Forbidden(
        f"The scope {SCOPE} allows only your own meetings, and only while you are signed in. The "
        "app tries a request for later without you.",
        fix="Ask for the link with POST /api/join-link instead. Or an administrator assigns the "
        f"app role {APP_ROLE} to you; then get a new token.",
    )
