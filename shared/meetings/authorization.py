"""Who may ask for whose meeting, and as whom Graph is then asked.

A function key, a signature and the right to write to the queue open any organizer's meetings, and
so does the app role. A person's scope opens their own.
"""

from copy import replace

from shared.core.errors import Forbidden
from shared.core.identifiers import is_guid
from shared.identity.bearer_tokens import APP_ROLE, SCOPE, Caller
from shared.meetings.models import ME, JoinRequest


def authorize(request: JoinRequest, caller: Caller | None) -> JoinRequest:
    """Give the request as it may be made: a person's own meeting on behalf of that person.

    Args:
        request: a valid one.
        caller: whose token came with it; None where a key, a signature or the queue opens the app.

    Raises:
        Forbidden: for a meeting that this caller may not ask for. Nothing was called.
    """
    if caller is None or not caller.is_person:
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
            f"The scope {SCOPE} opens your own meetings, and the app cannot be sure that this name "
            "is yours, since a name can pass to another person."
        )
    else:
        detail = f"The scope {SCOPE} opens your own meetings, and this is another organizer's."
    raise Forbidden(
        detail,
        fix=f'For a meeting that you organize, send "{ME}" as userId, or leave it out. For other '
        f"organizers' meetings, an administrator assigns the app role {APP_ROLE} to you; then get "
        "a new token.",
    )


def authorize_for_later(caller: Caller | None) -> None:
    """Let through who may ask for any organizer's meeting, for that is how it is asked later.

    Args:
        caller: as of `authorize`.

    Raises:
        Forbidden: for a person whose scope opens their own meetings only.
    """
    if caller is None or not caller.is_person or caller.holds_app_role:
        return
    raise Forbidden(
        f"The scope {SCOPE} opens your own meetings, and only while you are signed in: a request "
        "for later is tried without you.",
        fix="Ask for the link at once, with POST /api/join-link. Or an administrator assigns the "
        f"app role {APP_ROLE} to you; then get a new token.",
    )
