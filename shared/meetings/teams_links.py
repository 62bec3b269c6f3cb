"""Reads the Teams link in pasted text: the meeting's ids, without a call to any service.

Two forms lead to a meeting. The long form names the organizer and the thread:
`https://teams.microsoft.com/l/meetup-join/{thread}/{message}?context={"Tid":…,"Oid":…}`. The short
form, `https://teams.microsoft.com/meet/{joinMeetingId}?p=…`, names only the join meeting id.
Browsers, mail security and other programs rewrite both. This module reads the rewritten links as
well, and writes the link again as Teams writes it.
"""

import base64
import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from shared.meetings.pasted_text import (
    CUT_OFF,
    decode_fully,
    find_links,
    has_white_space,
    plain,
    read_link,
    without_invisible,
    without_white_space,
)
from shared.meetings.rewritten_links import decode_base64, unwrap

MAX_LENGTH = 8192
"""The longest text that is read, in characters."""
MAX_LINK_LENGTH = 2048
"""The longest link that Graph is asked for, in characters. Teams' own links are much shorter."""
_MOST_WRAPPERS = 4
"""How often one link may be rewritten."""

_HOSTS = frozenset({"teams.microsoft.com", "teams.cloud.microsoft"})
_PERSONAL_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of all personal Microsoft accounts."""

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+?)\.?(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
# In lower case, as Teams writes it. Most patterns below ignore case, but not _AS_TEAMS_WRITES_IT.
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_THREAD = r"[0-9]{1,3}[:_][A-Za-z0-9_.+=~'-]{1,200}@thread\.[a-z0-9]{1,20}"
_NUMBER = r"[0-9]{6,20}"
_KEY = rf"[A-Za-z0-9_-]{{0,1999}}[A-Za-z0-9](?![A-Za-z0-9{CUT_OFF}])"
_ANY_CASE = re.IGNORECASE | re.ASCII
_ROUTE_PREFIX = re.compile(r"/+(?:_|v2)(?=/)")
_LONG = re.compile(
    rf"/+(?:l/+meetup-join|pre-join-calling)/+({_THREAD})(?:/+([0-9]{{1,20}}))?(?![^/?#&])",
    _ANY_CASE,
)
_CONTEXT = re.compile("context=(.*)", re.IGNORECASE | re.DOTALL)
_SHORT = re.compile(rf"/+meet/+({_NUMBER})(?![^/?#&])", _ANY_CASE)
_PASSCODE = re.compile(rf"[?&](?:amp;)?[pP]=({_KEY})")
_OTHER_LINK_OF_A_MEETING = re.compile(r"/+(?:l/+meetingrecap|meetingoptions)(?![^/?#])", _ANY_CASE)
_LIGHT_MEETING = re.compile(r"/+light-meetings/[^?]*\?(?:[^&]*&)*?coords=([\w+/-]+)", _ANY_CASE)
_EVENT = re.compile(
    r"/+(?:(?:registration|event)/|convene/+(?:townhall|webinar)s?(?![^/?#]))", _ANY_CASE
)
_QUOTES = r"""["'\u2018-\u201f\u2032\u2033{]{0,4}"""
"""Around a JSON member: also the quotes of word processors, doubled ones, and braces of a GUID."""


def _member(names: str, form: str) -> re.Pattern[str]:
    """Match a JSON member, with or without its quotes, or a query parameter."""
    return re.compile(
        rf"(?<![A-Za-z])(?:{names}){_QUOTES}[\s+]*[:=][\s+]*{_QUOTES}({form})(?![A-Za-z0-9])",
        _ANY_CASE,
    )


_TID, _OID = _member("Tid", _GUID), _member("Oid", _GUID)
_THREAD_ID = _member("conversationId|threadId", _THREAD)
_MESSAGE_ID = _member("messageId", "[0-9]{1,20}")
_TENANT_ID, _ORGANIZER_ID = _member("tenantId", _GUID), _member("organizerId", _GUID)
_MEETING_CODE = _member("meetingCode|meetingId", _NUMBER)
_MEETING_PASSCODE = _member("passcode", _KEY)

_ENCODED_ONCE = r"(?:[\w.~-]|%(?!25)[0-9a-f]{2})+"
_AS_TEAMS_WRITES_IT = re.compile(
    rf"https://teams\.microsoft\.com/(?:meet/{_NUMBER}\?p={_KEY}"
    rf"|l/meetup-join/{_ENCODED_ONCE}/[0-9]+\?context="
    rf"%7b%22Tid%22%3a%22{_GUID}%22%2c%22Oid%22%3a%22{_GUID}%22{_ENCODED_ONCE})",
    re.ASCII,
)

_LABELLED_NUMBER = re.compile(r"[:\uff1a]\s*([0-9](?:[^\S\r\n]?[0-9]){8,19}+)(?![^\S\r\n]?[0-9#])")
_NUMBER_ALONE = re.compile(
    r"(?:(?P<label>[^0-9]{1,40}?)[:\uff1a]?\s*)?(?P<number>[0-9](?:\s*[0-9]){5,19})"
)
_AROUND_A_NUMBER = " \t\r\n\u00a0\u202f.,;'\""
_LABEL_LENGTH = 40
_MEETING = re.compile(
    r"meeting|besprechung|r[eé]uni|riunion|vergader|m[öø][dt]e|kokouk|spotkani|schůzk|schôdz"
    r"|toplant|értekezlet|întâlnir|[șş]edin[țţ]|s[ae]stan|srečanj|koosolek|sapulc|susitikim"
    r"|posėdž|bilera|cyfarfod|rapat|mesyuarat|cuộc họp|собрани|събрани|нарад|збор|састан|σύσκεψ"
    r"|פגיש|ישיב|اجتماع|ประชุม|मीटिंग|बैठक|会议|会議|會議|모임|회의",
    re.IGNORECASE,
)
"""Words in the label of a join meeting id, in the languages of invitations."""
_OTHER_NUMBER = re.compile(
    r"phone|telefon|téléphon|conf[eé]r|konferen|video|vidéo|dial|pass|kenn|pin\b|zoom|webex"
    r"|โทรศัพท์|电话|電話|전화",
    re.IGNORECASE,
)


class Cause(enum.Enum):
    """Why a text leads to no meeting that this app can ask for. The first that applies is shown."""

    TOO_LONG = f"The text is longer than {MAX_LENGTH:,} characters."
    SEVERAL_MEETINGS = "It holds the links of several meetings. Send only one link."
    JOIN_LINK = "It already is a virtual appointment join link."
    PERSONAL = (
        "It is the link of a personal meeting (teams.live.com). Personal accounts have no virtual "
        "appointments in Microsoft Graph."
    )
    EVENT = (
        "It is the registration page of an event (a webinar or town hall), not a meeting's link."
    )
    US_GOVERNMENT = (
        "It is a link of the US Government's cloud. Microsoft Graph makes virtual appointment join "
        "links in the global cloud only."
    )
    CHINA = (
        "It is a link of the cloud in China. Microsoft Graph makes virtual appointment join links "
        "in the global cloud only."
    )
    OTHER_PRODUCT = "It is a link of another product, not of Teams."
    NOT_A_MEETING = "It is a Teams address, but not a meeting's, or a part of it is missing."
    NO_TEAMS_LINK = (
        "Its host is none that Teams uses in the global cloud (teams.microsoft.com, "
        "teams.cloud.microsoft). If mail security has rewritten the link, send the original."
    )
    NO_LINK = "It holds no link of a Teams meeting."


_CAUSES = {
    "visit.teams.microsoft.com": Cause.JOIN_LINK,
    "visit.teams.cloud.microsoft": Cause.JOIN_LINK,
    "events.teams.microsoft.com": Cause.EVENT,
    "events.teams.cloud.microsoft": Cause.EVENT,
    "teams.live.com": Cause.PERSONAL,
    "teams.microsoft.us": Cause.US_GOVERNMENT,
    "teams.microsoftonline.cn": Cause.CHINA,
    **dict.fromkeys(_HOSTS, Cause.NOT_A_MEETING),
    **dict.fromkeys(
        [
            *("zoom.us", "zoom.com", "zoomgov.com", "meet.google.com", "webex.com", "goto.com"),
            *("gotomeeting.com", "whereby.com", "meet.jit.si", "doxy.me", "bluejeans.com"),
            *("chime.aws", "ringcentral.com", "meet.lync.com", "join.skype.com", "daily.co"),
            "8x8.vc",
        ],
        Cause.OTHER_PRODUCT,
    ),
}
"""What the links of a domain are, where they are not a meeting's."""
_MOST_LABELS = max(domain.count(".") for domain in _CAUSES) + 1


class NotATeamsLink(ValueError):
    """The text leads to no Teams meeting. The message says why, and does not quote the text."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsLink:
    """What identifies a meeting: a thread, a join meeting id, or both.

    Attributes:
        thread_id: The id of the meeting's chat thread.
        message_id: The id of the channel message that the meeting belongs to; "0" for a meeting
            outside of channels, None where the link does not say.
        organizer_id: The organizer's object id, in lower case.
        tenant_id: The organizer's tenant, in lower case.
        join_meeting_id: The number that people type.
        passcode: The passcode after the number in a short link.
        given: The links as they came, because Graph may know the meeting by one of them.
    """

    thread_id: str | None = field(default=None, repr=False)
    message_id: str | None = field(default=None, repr=False)
    organizer_id: str | None = None
    tenant_id: str | None = None
    join_meeting_id: str | None = field(default=None, repr=False)
    passcode: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def has_only_number(self) -> bool:
        """Whether only the join meeting id is known, and neither organizer nor thread."""
        return self.thread_id is None

    @property
    def is_complete(self) -> bool:
        """Whether this has all parts of a link: the organizer, or the passcode of a short link."""
        return self.organizer_id is not None or self.passcode is not None

    def continues(self, part: "TeamsLink") -> bool:
        """Say whether a link that was cut off after that part may have been this one."""
        if part.thread_id is not None:
            return self.thread_id == part.thread_id
        return (self.join_meeting_id or "").startswith(part.join_meeting_id or "")

    @property
    def in_channel(self) -> bool:
        """Whether the meeting is in a channel, whose thread several meetings share."""
        return (self.thread_id or "").endswith(".tacv2") or self.message_id not in (None, "0")

    @property
    def meeting(self) -> tuple[str, str, str]:
        """The meeting's key: everything that its link says.

        A text with a long and a short link may name two meetings. So what was found for both links
        must not be cached for the long link alone.
        """
        message_id = "" if self.thread_id is None else self.message_id or "0"
        return self.thread_id or "", message_id, self.join_meeting_id or ""

    @property
    def url(self) -> str:
        """The link as Teams writes it, without the text around it.

        Where both forms are known, this is both of them with a blank between.
        """
        links = [self._long(self.organizer_id, self.tenant_id), self._short()]
        known = [link for link in links if link is not None]
        return both if len(both := " ".join(known)) <= MAX_LINK_LENGTH else known[0]

    def lookups(self, *, organizer_id: str, tenant_id: str | None) -> list[str]:
        """Give at most two links by which Graph may find the meeting, the likeliest first.

        Graph may compare links letter by letter. So the form in which Teams stores a link comes
        first.

        Args:
            organizer_id: the organizer's object id, used where the link has none.
            tenant_id: the organizer's tenant, used where the link has none.
        """
        given = [link for link in self.given if _AS_TEAMS_WRITES_IT.fullmatch(link)]
        short = self._short() if self.passcode else None
        tenant = self.tenant_id or tenant_id
        long = self._long(self.organizer_id or organizer_id, tenant) if tenant else None
        links = [*given, short, long, *self.given]
        return list(dict.fromkeys(link for link in links if link is not None))[:2]

    def _long(self, organizer_id: str | None, tenant_id: str | None) -> str | None:
        if self.thread_id is None:
            return None
        members = {"Tid": tenant_id, "Oid": organizer_id}
        context = ",".join(f'"{name}":"{value}"' for name, value in members.items() if value)
        query = f"?context={_escaped(f'{{{context}}}')}" if context else ""
        return (
            f"https://teams.microsoft.com/l/meetup-join/{_escaped(self.thread_id)}"
            f"/{self.message_id or '0'}{query}"
        )

    def _short(self) -> str | None:
        if self.join_meeting_id is None:
            return None
        url = f"https://teams.microsoft.com/meet/{self.join_meeting_id}"
        whole = f"{url}?p={self.passcode}" if self.passcode else url
        return whole if len(whole) <= MAX_LINK_LENGTH else url


def parse_teams_link(text: str) -> TeamsLink:
    """Find and read the link of one meeting in a text.

    Args:
        text: at most MAX_LENGTH characters.

    Raises:
        NotATeamsLink: if the text has no link of a Teams meeting in the global cloud, or those of
            several meetings. The message says which.
    """
    if len(text) > MAX_LENGTH:
        raise NotATeamsLink(Cause.TOO_LONG)
    found, causes = _find(text)
    if whole := _find_broken(text, found):
        return whole
    if found is not None:
        return found
    cause = next((cause for cause in Cause if cause in causes), Cause.NO_LINK)
    if cause in (Cause.NOT_A_MEETING, Cause.NO_TEAMS_LINK, Cause.NO_LINK) and (
        number := _labelled_number(text) or _number_alone(text)
    ):
        return TeamsLink(join_meeting_id=number)
    raise NotATeamsLink(cause)


def parse_join_meeting_id(text: str) -> str | None:
    """Read a join meeting id as invitations print it. None: this is not a join meeting id.

    White space between the digits and a label before them are left out, and what follows a number
    with a label, such as the passcode.
    """
    return _number_alone(text) or _labelled_number(text)


def derive_meeting_id(*, organizer_id: str, thread_id: str) -> str:
    """Compute a meeting id from a long link. The format is widely used, but undocumented."""
    return base64.b64encode(f"1*{organizer_id}*0**{thread_id}".encode()).decode()


def _find(text: str) -> tuple[TeamsLink | None, set[Cause]]:
    """Find the meeting that the links of a text lead to, and why other links lead to none.

    Raises:
        NotATeamsLink: if the links are of several meetings.
    """
    found: TeamsLink | None = None
    causes: set[Cause] = set()
    for address in find_links(text):
        read = _read(address, _MOST_WRAPPERS)
        if isinstance(read, Cause):
            causes.add(read)
        else:
            found = read if found is None else _merge(found, read)
    return found, causes


def _find_broken(text: str, part: TeamsLink | None) -> TeamsLink | None:
    """Find a link that white space breaks, as in wrapped mails and copies from PDFs.

    White space may as well be the end of the link. So what it separates is joined only if the link
    is not complete, and counts only if it completes the link.

    Args:
        text: the pasted text.
        part: what was read from it as it is.
    """
    if (part is not None and part.is_complete) or not has_white_space(text):
        return None
    try:
        whole, _ = _find(without_white_space(plain(text)))
    except NotATeamsLink:
        return None
    if whole is None or not whole.is_complete or (part is not None and not whole.continues(part)):
        return None
    # The next word may stand at the end of the passcode, and the number needs none.
    return replace(whole, passcode=None, given=())


def _read(address: str, wrappers: int) -> TeamsLink | Cause:
    """Read one web address: the meeting that it leads to, or why it leads to none."""
    match = _ADDRESS.fullmatch(address)
    if match is None or (match["port"] or "443") not in ("443", "80"):
        return Cause.NO_TEAMS_LINK
    host, rest = match["host"].lower(), match["rest"] or "/"
    if host not in _HOSTS:
        if (inner := unwrap(host, rest)) is None:
            return _cause_of(host)
        nested = read_link(inner)
        return _read(nested, wrappers - 1) if nested and wrappers else Cause.NO_TEAMS_LINK
    decoded = decode_fully(rest)
    for route in _routes(decoded):
        if link := _read_route(route):
            if link.tenant_id == _PERSONAL_TENANT:
                return Cause.PERSONAL
            direct = _LONG.match(decoded) or _SHORT.match(decoded)
            may_be_stored = (
                direct
                and match["scheme"] == "https"
                and len(address) <= MAX_LINK_LENGTH
                and not address.endswith(CUT_OFF)
            )
            return replace(link, given=(address,)) if may_be_stored else link
    return Cause.EVENT if _EVENT.match(decoded) else Cause.NOT_A_MEETING


def _cause_of(host: str) -> Cause:
    """Say what the links of a host, or of its domain, are, where they are not a meeting's."""
    labels = host.split(".")[-_MOST_LABELS:]
    domains = (".".join(labels[start:]) for start in range(len(labels)))
    return next((_CAUSES[name] for name in domains if name in _CAUSES), Cause.NO_TEAMS_LINK)


def _routes(decoded: str) -> Iterator[str]:
    """Yield the parts of a Teams address that can name the meeting.

    The web client puts the meeting into the fragment, the launcher into a parameter.
    """
    before, _, fragment = decoded.partition("#")
    yield before
    if before.lower().startswith("/dl/launcher/"):
        launched = before.partition("url=")[2]
        inner = _ADDRESS.fullmatch(launched)
        if inner is None:
            yield launched
        elif inner["host"].lower() in _HOSTS:
            yield inner["rest"] or ""
    yield fragment


def _read_route(route: str) -> TeamsLink | None:
    if prefix := _ROUTE_PREFIX.match(route):
        route = route[prefix.end() :]
    if long := _LONG.match(route):
        context = _first(_CONTEXT, route) or ""
        return _long_link(long[1], long[2] or "0", _first(_TID, context), _first(_OID, context))
    if short := _SHORT.match(route):
        return TeamsLink(join_meeting_id=short[1], passcode=_first(_PASSCODE, route))
    if _OTHER_LINK_OF_A_MEETING.match(route):
        return _link_of_members(route)
    if meeting := _LIGHT_MEETING.match(route):
        return _link_of_members(decode_fully(decode_base64(meeting[1])))
    return None


def _link_of_members(text: str) -> TeamsLink | None:
    """Read a link that names the meeting's ids in members or parameters."""
    if thread := _first(_THREAD_ID, text):
        organizer, tenant = _first(_ORGANIZER_ID, text), _first(_TENANT_ID, text)
        return _long_link(thread, _first(_MESSAGE_ID, text), tenant, organizer)
    if number := _first(_MEETING_CODE, text):
        return TeamsLink(join_meeting_id=number, passcode=_first(_MEETING_PASSCODE, text))
    return None


def _long_link(
    thread: str, message: str | None, tenant: str | None, organizer: str | None
) -> TeamsLink:
    kind, name = re.split("[:_]", thread, maxsplit=1)  # some links have 19_ in place of 19:
    return TeamsLink(
        thread_id=f"{kind}:{name}",
        message_id=message,
        organizer_id=organizer and organizer.lower(),
        tenant_id=tenant and tenant.lower(),
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None


def _merge(one: TeamsLink, other: TeamsLink) -> TeamsLink:
    """Merge two links of one text: an invitation may hold several links of its meeting.

    Raises:
        NotATeamsLink: if the links are of two meetings.
    """
    threads = {link.thread_id for link in (one, other)} - {None}
    messages = {link.message_id for link in (one, other)} - {None}
    numbers = {link.join_meeting_id for link in (one, other)} - {None}
    if max(len(threads), len(messages), len(numbers)) > 1:
        raise NotATeamsLink(Cause.SEVERAL_MEETINGS)
    return TeamsLink(
        thread_id=one.thread_id or other.thread_id,
        message_id=one.message_id or other.message_id,
        organizer_id=one.organizer_id or other.organizer_id,
        tenant_id=one.tenant_id or other.tenant_id,
        join_meeting_id=one.join_meeting_id or other.join_meeting_id,
        passcode=one.passcode or other.passcode,
        given=(*one.given, *other.given),
    )


def _number_alone(text: str) -> str | None:
    """Read a text that holds a join meeting id, perhaps with its label, and nothing else."""
    match = _NUMBER_ALONE.fullmatch(without_invisible(text).strip(_AROUND_A_NUMBER))
    label = (match["label"] or "").strip() if match else ""
    if match is None or (label and label.lower() != "id" and not _is_of_a_meeting(label)):
        return None
    return "".join(match["number"].split())


def _labelled_number(text: str) -> str | None:
    """Find the join meeting id in an invitation. Its label distinguishes it from phone numbers."""
    text = plain(text)
    for match in _LABELLED_NUMBER.finditer(text):
        before = text[max(0, match.start() - _LABEL_LENGTH) : match.start()]
        label = re.split(r"[\r\n0-9:\uff1a]", before)[-1]
        if _is_of_a_meeting(label):
            return "".join(match[1].split())
    return None


def _is_of_a_meeting(label: str) -> bool:
    return _MEETING.search(label) is not None and _OTHER_NUMBER.search(label) is None


def _escaped(text: str) -> str:
    """Percent-encode as Teams does: every reserved character, with lower-case hex digits."""
    return re.sub("%..", lambda match: match[0].lower(), quote(text, safe=""))
