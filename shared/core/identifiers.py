"""The forms of the identifiers that callers and Microsoft use."""

import random
import re
from urllib.parse import unquote

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")
_LANGUAGE_TAG = re.compile(r"(?:[A-Za-z]{2,8}|[xXiI](?=-))(?:-[A-Za-z0-9]{1,8})*")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_USER_PRINCIPAL_NAME = re.compile(
    r"[^\s@/\\?%\x00-\x1f\x7f]{1,200}@[^\s@/\\?%#\x00-\x1f\x7f]{1,120}"
)
_CHAT_THREAD = re.compile(r"[0-9]+:.*@(thread|unq)\.")
_LINK = re.compile(r"https?://", re.IGNORECASE)
_JOIN_MEETING_ID = re.compile(r"[0-9][0-9 ]{7,}")


def is_guid(text: str) -> bool:
    """Say whether this is a GUID in its usual form, as Entra writes object ids."""
    return _GUID.fullmatch(text) is not None


def is_request_id(text: str) -> bool:
    """Say whether this may serve as a request id: 1 to 128 visible ASCII characters."""
    return _VISIBLE_ASCII.fullmatch(text) is not None


def is_language_tag(text: str) -> bool:
    """Say whether this is a well-formed language tag (BCP 47, RFC 5646) of sensible length."""
    return len(text) <= 64 and _LANGUAGE_TAG.fullmatch(text) is not None


def is_user_principal_name(text: str) -> bool:
    """Say whether this looks like a user principal name or an e-mail address."""
    return _USER_PRINCIPAL_NAME.fullmatch(text) is not None


def is_traceparent(text: str) -> bool:
    """Say whether this is a traceparent header (W3C Trace Context, version 00)."""
    return _TRACEPARENT.fullmatch(text) is not None


def is_source_name(text: str) -> bool:
    """Say whether this may name a webhook source: it is a part of an address and of ids."""
    return _SOURCE_NAME.fullmatch(text) is not None


def is_secret_name(text: str) -> bool:
    """Say whether this may name a secret in Key Vault."""
    return _SECRET_NAME.fullmatch(text) is not None


def is_header_name(text: str) -> bool:
    """Say whether this may name an HTTP header, of those that are in use."""
    return _HEADER_NAME.fullmatch(text) is not None


def classify_non_meeting_id(meeting_id: str) -> str | None:
    """Name what somebody took for an onlineMeeting id, where it plainly is something else."""
    if meeting_id.startswith(("AAMk", "AQMk")):
        return "the id of a calendar event"
    if _CHAT_THREAD.match(unquote(meeting_id)):
        return "the id of a chat thread"
    if _LINK.match(meeting_id):
        return "a link"
    if _JOIN_MEETING_ID.fullmatch(meeting_id):
        return "a join meeting id (the number that a person types)"
    return None


def make_request_id() -> str:
    """Make a UUID (version 4, RFC 9562) that names a request, and guards nothing.

    Not by `uuid4`: that asks the system, and threads change places while it answers.
    """
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
