"""The forms of the identifiers that callers and Microsoft use."""

import base64
import hashlib
import random
import re
from urllib.parse import unquote

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,128}")
_LANGUAGE_TAG = re.compile(r"(?:[A-Za-z]{2,8}|[xXiI](?=-))(?:-[A-Za-z0-9]{1,8})*")
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CALLER = re.compile(rf"key|(?:app|user):{_GUID.pattern}")
_SECRET_NAME = re.compile(r"[A-Za-z0-9-]{1,127}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")
_NOT_IN_A_NAME = r"""\s@/\\?%<>()\[\],;:"|\x00-\x1f\x7f"""
_USER_PRINCIPAL_NAME = re.compile(rf"[^{_NOT_IN_A_NAME}]{{1,200}}@[^{_NOT_IN_A_NAME}#]{{1,120}}")
_CHAT_THREAD = r"[0-9]+:.*@(thread|unq)\."
_TAKEN_FOR_MEETING_IDS = (
    (re.compile("AAMk|AAkA|AQMk"), "the id of a calendar event"),
    (re.compile("AAQk"), "the id of a conversation in Outlook"),
    # The iCalendar UID of each event of Outlook begins with this.
    (re.compile("040000008200E00074C5B7101A82E008", re.IGNORECASE), "a calendar event's UID"),
    (re.compile(_CHAT_THREAD), "the id of a chat thread"),
    (re.compile(rf"[0-9]+#{_CHAT_THREAD}"), "an id of Teams' own library for apps, decoded"),
    (re.compile(r"https?://|msteams:|teams\.", re.IGNORECASE), "a link"),
    (re.compile(rf"\{{?{_GUID.pattern}\}}?\Z"), "a GUID, such as a user's or an appointment's id"),
    (
        re.compile(r"[0-9][0-9\s]{7,}\Z"),
        "a join meeting id (the number that a person types)",
    ),
)
_TAKEN_FOR_MEETING_IDS_IN_BASE64 = (
    (
        re.compile(rf"[0-9]+#{_CHAT_THREAD}"),
        "the id that Teams' own library for apps (Teams-JS) gives",
    ),
    (re.compile(_CHAT_THREAD), "the id of a chat thread, in base64"),
)
_FROM_BASE64URL = str.maketrans("-_", "+/")
_LOGGABLE_ID = re.compile(r"[A-Za-z0-9._~:+=-]*")


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


def find_addresses(text: str) -> list[str]:
    """Find the e-mail addresses in a text such as `Anna <a@b.example>` or `mailto:a@b.example`."""
    return [address.rstrip(".") for address in _USER_PRINCIPAL_NAME.findall(text)]


def is_traceparent(text: str) -> bool:
    """Say whether this is a traceparent header (W3C Trace Context, version 00)."""
    return _TRACEPARENT.fullmatch(text) is not None


def is_source_name(text: str) -> bool:
    """Say whether this may name a webhook source or destination.

    The name is a part of the webhook's URL and of request ids.
    """
    return _SOURCE_NAME.fullmatch(text) is not None


def is_caller_name(text: str) -> bool:
    """Say whether this is a caller's name as events show it: `key`, `app:ID` or `user:ID`."""
    return _CALLER.fullmatch(text) is not None


def is_secret_name(text: str) -> bool:
    """Say whether this may name a secret in Key Vault."""
    return _SECRET_NAME.fullmatch(text) is not None


def is_header_name(text: str) -> bool:
    """Say whether this is an HTTP header's name: letters, digits and hyphens, up to 100."""
    return _HEADER_NAME.fullmatch(text) is not None


def classify_non_meeting_id(meeting_id: str) -> str | None:
    """Say what an `onlineMeetingId` is instead, such as a link. None: it may be a meeting id."""
    plain = unquote(meeting_id)
    decoded = unquote(_decode_base64(plain))
    for text, kinds in (
        (plain, _TAKEN_FOR_MEETING_IDS),
        (decoded, _TAKEN_FOR_MEETING_IDS_IN_BASE64),
    ):
        for pattern, name in kinds:
            if pattern.match(text):
                return name
    return None


def _decode_base64(text: str) -> str:
    """Decode base64 or base64url of ASCII, which may be in UTF-16, as PowerShell writes it."""
    padded = text + "=" * (-len(text) % 4)
    try:
        decoded = base64.b64decode(padded.translate(_FROM_BASE64URL), validate=True)
    except ValueError:
        return ""
    return decoded.decode("latin-1").replace("\0", "")


def loggable_id(text: str) -> str:
    """Give a caller's id as it may be logged.

    An id with characters that a link or a mail address could need is replaced by `sha256-` and the
    first 32 hex digits of its SHA-256.
    """
    if _LOGGABLE_ID.fullmatch(text) is not None:
        return text
    return f"sha256-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def make_request_id() -> str:
    """Make a UUID (version 4, RFC 9562) that names a request.

    It need not be unguessable. `uuid4` is not used: it asks the operating system for random bytes,
    which lets another thread run in between and is slower under load.
    """
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
