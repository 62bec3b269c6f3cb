"""The Graph stand-in: each known behaviour of Graph, over a plain connection."""

import http.client
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import pytest

from dev.stand_ins.authority import Authority
from dev.stand_ins.graph import Graph
from dev.stand_ins.graph_data import Meeting, User, make_meeting_id
from dev.stand_ins.identity_endpoint import GRAPH_ROLES
from tests.integration.conftest import TENANT

CLIENT = "20000000-0000-4000-8000-000000000002"
AUDIENCE = "https://graph.microsoft.com"
FUNCTION = "getVirtualAppointmentJoinWebUrl"


@dataclass(frozen=True)
class Reply:
    """What Graph answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The body."""
        return json.loads(self.text)

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Status, code and message of an error."""
        error = self.json["error"]
        return self.status, error["code"], error["message"]


@pytest.fixture
def graph(authority: Authority) -> Iterator[Graph]:
    """A separate Graph for each test."""
    with Graph(authority) as graph:
        yield graph


@pytest.fixture
def organizer(graph: Graph) -> User:
    """A user whom the access policy covers."""
    return graph.data.add_user("anna@clinic.example", mail="dr.anna@clinic.example")


@pytest.fixture
def meeting(graph: Graph, organizer: User) -> Meeting:
    """A meeting of that user."""
    return graph.data.add_meeting(organizer)


@pytest.fixture
def token(authority: Authority) -> str:
    """A token with every role that the app can have."""
    return issue(authority)


def issue(authority: Authority, **changes: Any) -> str:  # noqa: ANN401 - claims are anything
    """A valid token for Graph with some claims changed."""
    claims = {
        "audience": AUDIENCE,
        "client_id": CLIENT,
        "object_id": str(uuid.uuid4()),
        "roles": GRAPH_ROLES,
        **changes,
    }
    return authority.issue(**claims)


def get(graph: Graph, target: str, token: str | None, **headers: str) -> Reply:
    """Send the target as it is, and read the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection("127.0.0.1", graph.port, timeout=5)
    try:
        connection.request("GET", target, headers=named)
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.headers), answer.read().decode())
    finally:
        connection.close()


def link_path(user_id: str, meeting_id: str, *, version: str = "v1.0") -> str:
    """The documented path, both ids as single segments."""
    return (
        f"/{version}/users/{quote(user_id, safe='')}/onlineMeetings"
        f"/{quote(meeting_id, safe='')}/{FUNCTION}"
    )


def filter_path(user_id: str, expression: str) -> str:
    """A lookup, its filter percent-encoded once."""
    return f"/v1.0/users/{user_id}/onlineMeetings?$filter={quote(expression, safe='')}"


def by_link(user_id: str, link: str) -> str:
    """A lookup by Teams link."""
    doubled = link.replace("'", "''")
    return filter_path(user_id, f"JoinWebUrl eq '{doubled}'")


def by_mail(mail: str, *, top: str = "2") -> str:
    """A lookup of users by mail address."""
    doubled = mail.replace("'", "''")
    expression = quote(f"mail eq '{doubled}'", safe="")
    return f"/v1.0/users?$filter={expression}&$select=id&$top={top}"


def by_number(user_id: str, number: str) -> str:
    """A lookup by joinMeetingId."""
    return filter_path(user_id, f"joinMeetingIdSettings/joinMeetingId eq '{number}'")


class TestTheJoinLink:
    """The function that this product calls."""

    @pytest.mark.parametrize("version", ["v1.0", "beta"])
    @pytest.mark.parametrize("end", ["", "()"])
    def test_is_given(
        self, graph: Graph, meeting: Meeting, token: str, version: str, end: str
    ) -> None:
        """On both versions, with and without the parentheses that SDKs send."""
        reply = get(graph, link_path(meeting.organizer, meeting.id, version=version) + end, token)

        assert reply.status == 200
        assert reply.json == {
            "@odata.context": f"https://graph.microsoft.com/{version}/$metadata#Edm.String",
            "value": graph.join_link(meeting),
        }
        assert reply.json["value"].startswith(
            "https://visit.teams.microsoft.com/webrtc-svc/api/route?tid="
        )

    def test_is_the_same_each_time_but_for_the_language(
        self, graph: Graph, organizer: User, meeting: Meeting, token: str
    ) -> None:
        """Another language or another meeting has another link."""
        other = graph.data.add_meeting(organizer)
        path = link_path(organizer.object_id, meeting.id)

        plain, again = get(graph, path, token).json, get(graph, path, token).json
        german = get(graph, path, token, Accept_Language="de-DE").json
        others = get(graph, link_path(organizer.object_id, other.id), token).json

        assert plain == again
        assert german["value"] == graph.join_link(meeting, language="de-DE")
        assert len({plain["value"], german["value"], others["value"]}) == 3

    def test_takes_each_id_as_one_segment_encoded_once(
        self, graph: Graph, organizer: User, token: str
    ) -> None:
        """An id with `/`, `+` and `=` is found when encoded once, and not otherwise."""
        awkward = graph.data.add_meeting(organizer, thread_id="19:meeting_>ab?a@thread.v2")
        assert {"/", "+", "="} <= set(awkward.id)
        user_id = organizer.object_id
        once = link_path(user_id, awkward.id)
        raw = f"/v1.0/users/{user_id}/onlineMeetings/{awkward.id}/{FUNCTION}"
        twice = link_path(user_id, quote(awkward.id, safe=""))

        assert get(graph, once, token).status == 200
        assert get(graph, raw, token).status == 400
        assert get(graph, twice, token).status == 400

    @pytest.mark.parametrize(
        "target",
        [
            "/v1.0/users/{user}/onlineMeetings/{meeting}/getVirtualAppointmentJoinWebUurl",
            "/v1.0/users/{user}/onlineMeetings/{meeting}/getVirtualAppointmentJoinWebUrl/more",
            "/v1.0/users/{user}/meetings/{meeting}/getVirtualAppointmentJoinWebUrl",
            "/v1.0/users//onlineMeetings/{meeting}/getVirtualAppointmentJoinWebUrl",
            "/v1.0/users/{user}/onlineMeetings/%zz/getVirtualAppointmentJoinWebUrl",
            "/v1.0/groups",
            "/v1.0",
        ],
    )
    def test_has_only_one_path(
        self, graph: Graph, meeting: Meeting, token: str, target: str
    ) -> None:
        """The misspelled path of an early page and all others do not exist."""
        path = target.format(user=meeting.organizer, meeting=quote(meeting.id, safe=""))

        status, code, message = get(graph, path, token).refusal

        assert (status, code) == (400, "BadRequest")
        assert message.startswith("Resource not found for the segment '")

    def test_an_unknown_segment_is_named(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """As Graph does for the misspelled path."""
        path = link_path(meeting.organizer, meeting.id).replace("WebUrl", "WebUurl")

        assert "'getVirtualAppointmentJoinWebUurl'" in get(graph, path, token).text

    def test_other_versions_do_not_exist(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """Only v1.0 and beta."""
        path = link_path(meeting.organizer, meeting.id, version="v2.0")

        assert get(graph, path, token).refusal[:2] == (400, "BadRequest")


class TestTheToken:
    """Each invalid token is refused before anything else is checked."""

    def test_empty(self, graph: Graph, meeting: Meeting) -> None:
        """No Authorization header, or one without a token."""
        path = link_path(meeting.organizer, meeting.id)

        for reply in (get(graph, path, None), get(graph, path, "")):
            assert reply.refusal == (
                401,
                "InvalidAuthenticationToken",
                "Access token is empty.",
            )
            assert reply.headers["WWW-Authenticate"].startswith("Bearer ")

    def test_garbage(self, graph: Graph, meeting: Meeting) -> None:
        """Not a JWT."""
        reply = get(graph, link_path(meeting.organizer, meeting.id), "garbage")

        assert reply.refusal[0] == 401
        assert reply.refusal[2].startswith("CompactToken parsing failed")

    def test_expired(self, graph: Graph, authority: Authority, meeting: Meeting) -> None:
        """Its lifetime is over."""
        token = issue(authority, lifetime=-1)

        reply = get(graph, link_path(meeting.organizer, meeting.id), token)

        assert reply.refusal[0] == 401
        assert reply.refusal[2].startswith("Access token has expired")

    def test_for_another_audience(
        self, graph: Graph, authority: Authority, meeting: Meeting
    ) -> None:
        """Such as a token for the vault."""
        token = issue(authority, audience="https://vault.azure.net")

        reply = get(graph, link_path(meeting.organizer, meeting.id), token)

        assert reply.refusal[0] == 401
        assert "Invalid audience" in reply.refusal[2]

    def test_not_signed_by_the_tenant(self, graph: Graph, meeting: Meeting) -> None:
        """The same claims, signed with another key."""
        reply = get(graph, link_path(meeting.organizer, meeting.id), issue(Authority(TENANT)))

        assert reply.refusal[:2] == (401, "InvalidAuthenticationToken")

    @pytest.mark.parametrize("audience", [f"{AUDIENCE}/", "00000003-0000-0000-c000-000000000000"])
    def test_each_spelling_of_the_audience_is_accepted(
        self, graph: Graph, authority: Authority, meeting: Meeting, audience: str
    ) -> None:
        """With a slash, without one, or the app id."""
        token = issue(authority, audience=audience)

        assert get(graph, link_path(meeting.organizer, meeting.id), token).status == 200


class TestPermissions:
    """App roles and the application access policy."""

    def test_the_link_needs_its_role(
        self, graph: Graph, authority: Authority, meeting: Meeting
    ) -> None:
        """The message names the roles that are needed and those of the token."""
        token = issue(authority, roles=["OnlineMeetings.Read.All", "User.ReadBasic.All"])

        status, code, message = get(graph, link_path(meeting.organizer, meeting.id), token).refusal

        assert (status, code) == (403, "Forbidden")
        assert message == (
            "Missing role permissions on the request. API requires one of "
            "'VirtualAppointment.Read.All, VirtualAppointment.ReadWrite.All'. "
            "Roles on the request 'OnlineMeetings.Read.All, User.ReadBasic.All'."
        )

    def test_the_link_is_given_for_readwrite_as_well(
        self, graph: Graph, authority: Authority, meeting: Meeting
    ) -> None:
        """ReadWrite includes Read."""
        token = issue(authority, roles=["VirtualAppointment.ReadWrite.All"])

        assert get(graph, link_path(meeting.organizer, meeting.id), token).status == 200

    def test_a_lookup_needs_another_role(
        self, graph: Graph, authority: Authority, meeting: Meeting
    ) -> None:
        """VirtualAppointment.Read.All alone finds no meeting."""
        token = issue(authority, roles=["VirtualAppointment.Read.All"])

        reply = get(graph, by_link(meeting.organizer, meeting.join_web_url), token)

        assert reply.refusal[:2] == (403, "Forbidden")
        assert "'OnlineMeetings.Read.All, OnlineMeetings.ReadWrite.All'" in reply.refusal[2]

    def test_a_user_needs_another_role(
        self, graph: Graph, authority: Authority, organizer: User
    ) -> None:
        """The error is the directory's."""
        token = issue(authority, roles=["VirtualAppointment.Read.All"])

        assert get(graph, f"/v1.0/users/{organizer.user_principal_name}", token).refusal == (
            403,
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        )

    def test_a_mail_address_may_need_a_further_role(
        self, graph: Graph, authority: Authority, organizer: User
    ) -> None:
        """No document says which role the filter needs, so both cases are tested here."""
        basic = issue(authority, roles=["User.ReadBasic.All"])
        more = issue(authority, roles=["User.Read.All"])
        assert get(graph, by_mail(organizer.mail), basic).status == 200

        graph.mail_needs_more = True

        assert get(graph, by_mail(organizer.mail), basic).refusal[:2] == (
            403,
            "Authorization_RequestDenied",
        )
        assert get(graph, by_mail(organizer.mail), more).status == 200

    @pytest.mark.parametrize("target", ["link", "lookup"])
    def test_the_access_policy_must_cover_the_user(
        self, graph: Graph, organizer: User, meeting: Meeting, token: str, target: str
    ) -> None:
        """The message names the app's client id. A grant works at once."""
        user_id = organizer.object_id
        paths = {
            "link": link_path(user_id, meeting.id),
            "lookup": by_link(user_id, meeting.join_web_url),
        }
        uncovered = graph.data.change_user(organizer, covered=False)

        refused = get(graph, paths[target], token)
        graph.data.change_user(uncovered, covered=True)

        assert refused.refusal == (
            403,
            "Forbidden",
            f"No application access policy found for this app {CLIENT} on the user {user_id}.",
        )
        assert get(graph, paths[target], token).status == 200


class TestUsers:
    """The users in a request's path."""

    def test_must_be_named_by_object_id(
        self, graph: Graph, organizer: User, meeting: Meeting, token: str
    ) -> None:
        """A user principal name is no GUID."""
        reply = get(graph, link_path(organizer.user_principal_name, meeting.id), token)

        assert reply.refusal[:2] == (400, "BadRequest")
        assert reply.refusal[2].startswith("The userId in request URL is not a valid GUID")

    def test_must_exist(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """Here a GUID that is no user's."""
        reply = get(graph, link_path(str(uuid.uuid4()), meeting.id), token)

        assert reply.refusal[:2] == (404, "UnknownError")

    def test_are_throttled_each_and_answered_after_retry_after(
        self, graph: Graph, token: str
    ) -> None:
        """A caller that waits for Retry-After is answered."""
        busy = graph.data.add_user("busy@clinic.example", busy=True)
        path = link_path(busy.object_id, graph.data.add_meeting(busy).id)
        now = 1000.0
        graph.clock = lambda: now

        replies = [get(graph, path, token)]
        for passed in (12.5, 7.5, 19.5, 0.5):
            now += passed
            replies.append(get(graph, path, token))

        assert [reply.status for reply in replies] == [429, 429, 200, 200, 429]
        assert [reply.headers.get("Retry-After") for reply in replies] == [
            "20",
            "8",
            None,
            None,
            "20",
        ]

    def test_need_a_licence(
        self, graph: Graph, organizer: User, meeting: Meeting, token: str
    ) -> None:
        """Without a Teams licence the answer is the same as for an unknown user."""
        graph.data.change_user(organizer, licensed=False)

        reply = get(graph, link_path(organizer.object_id, meeting.id), token)

        assert reply.refusal[:2] == (404, "UnknownError")

    @pytest.mark.parametrize("name", ["anna@clinic.example", "Anna@Clinic.Example", None])
    def test_are_resolved_by_principal_name_or_id(
        self, graph: Graph, organizer: User, token: str, name: str | None
    ) -> None:
        """Names are compared without case. Only the selected members come."""
        path = f"/v1.0/users/{quote(name or organizer.object_id, safe='')}?$select=id"

        assert get(graph, path, token).json == {
            "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users(id)/$entity",
            "id": organizer.object_id,
        }

    @pytest.mark.parametrize("name", ["nobody@clinic.example", "dr.anna@clinic.example"])
    def test_are_not_resolved_by_anything_else(
        self, graph: Graph, organizer: User, token: str, name: str
    ) -> None:
        """A mail address that differs from the principal name finds nobody."""
        assert name != organizer.user_principal_name

        reply = get(graph, f"/v1.0/users/{name}?$select=id", token)

        assert reply.refusal[:2] == (404, "Request_ResourceNotFound")


class TestMeetings:
    """Which meeting ids are found, and how the others are refused."""

    def test_not_found(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """As for a deleted or expired meeting."""
        graph.data.remove_meeting(meeting)

        assert get(graph, link_path(meeting.organizer, meeting.id), token).refusal == (
            404,
            "NotFound",
            "3004: Specified meeting is not found.",
        )

    @pytest.mark.parametrize(
        "meeting_id", ["AAMkAGI2THVSAAA=", "MTIz", make_meeting_id("someone", "19:x@thread.v2")]
    )
    def test_corrupted(self, graph: Graph, organizer: User, token: str, meeting_id: str) -> None:
        """An event's id can be decoded, but not to a meeting."""
        reply = get(graph, link_path(organizer.object_id, meeting_id), token)

        assert reply.refusal == (400, "BadRequest", "Meeting Id is corrupted.")

    @pytest.mark.parametrize("meeting_id", ["19:meeting_abc@thread.v2", "not base64", "abc"])
    def test_invalid(self, graph: Graph, organizer: User, token: str, meeting_id: str) -> None:
        """A thread's id cannot be decoded."""
        reply = get(graph, link_path(organizer.object_id, meeting_id), token)

        assert reply.refusal[:2] == (400, "InvalidArgument")
        assert reply.refusal[2].startswith("Invalid meeting id")

    def test_of_another_user(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """A meeting id names its organizer."""
        other = graph.data.add_user("ben@clinic.example")

        reply = get(graph, link_path(other.object_id, meeting.id), token)

        assert reply.refusal[:2] == (404, "NotFound")
        assert reply.refusal[2].startswith("Organizer Id mismatch User Id")

    def test_of_another_user_for_an_attendee(
        self, graph: Graph, organizer: User, token: str
    ) -> None:
        """By id and number, if the policy covers the organizer."""
        guest = graph.data.add_user("ben@clinic.example")
        meeting = graph.data.add_meeting(organizer, attendees=[guest])
        paths = [
            link_path(guest.object_id, meeting.id),
            by_number(guest.object_id, meeting.join_meeting_id),
        ]

        assert [get(graph, path, token).status for path in paths] == [200, 200]

        graph.data.change_user(organizer, covered=False)

        for path in paths:
            assert get(graph, path, token).refusal == (
                403,
                "Forbidden",
                "3003: User does not have access to lookup meeting.",
            )


class TestFindingUsers:
    """Users by their names and mail addresses."""

    @pytest.mark.parametrize("encode", [lambda text: text, lambda text: quote(text, safe="")])
    def test_with_a_dollar_sign_at_the_start_only_in_parentheses(
        self, graph: Graph, token: str, encode: Callable[[str], str]
    ) -> None:
        """As a path segment the name would be read as an option."""
        user = graph.data.add_user("$dr.o'neil@clinic.example")
        name = user.user_principal_name
        doubled = name.replace("'", "''")

        plain = get(graph, f"/v1.0/users/{encode(name)}?$select=id", token)
        quoted = get(graph, f"/v1.0/users('{encode(doubled)}')?$select=id", token)

        assert plain.refusal[:2] == (400, "BadRequest")
        assert quoted.json["id"] == user.object_id

    def test_by_each_name_in_parentheses(self, graph: Graph, organizer: User, token: str) -> None:
        """The same key in another notation. A single quote must be doubled."""
        found = get(graph, f"/v1.0/users('{organizer.user_principal_name}')", token)
        assert found.json["id"] == organizer.object_id
        assert get(graph, "/v1.0/users('o'neil@x.example')", token).status == 400

    def test_by_mail_address(self, graph: Graph, organizer: User, token: str) -> None:
        """The list has one user, none, or as many as were requested."""
        graph.data.add_user("anna2@clinic.example", mail=organizer.mail.upper())
        graph.data.add_user("anna3@clinic.example", mail=organizer.mail)

        found = get(graph, by_mail(organizer.mail), token)
        one = get(graph, by_mail(organizer.mail, top="1"), token)
        none = get(graph, by_mail("nobody@clinic.example"), token)

        assert [len(reply.json["value"]) for reply in (found, one, none)] == [2, 1, 0]
        assert found.json["value"][0] == {"id": organizer.object_id}
        assert (none.status, found.json["@odata.context"][-9:]) == (200, "users(id)")

    @pytest.mark.parametrize("query", ["", "?$filter=displayName%20eq%20'anna'", "?$filter=mail"])
    def test_by_nothing_else(self, graph: Graph, token: str, query: str) -> None:
        """Other queries are refused, because this product lists no users."""
        assert get(graph, f"/v1.0/users{query}", token).status == 400


class TestLookups:
    """Meetings found by their Teams link or their number."""

    @pytest.mark.parametrize("long_link", [False, True])
    def test_by_teams_link(
        self, graph: Graph, organizer: User, token: str, long_link: bool
    ) -> None:
        """The meeting's id works for the join link. Short and long links alike."""
        meeting = graph.data.add_meeting(organizer, long_link=long_link)
        start = "https://teams.microsoft.com/" + ("l/meetup-join/" if long_link else "meet/")
        assert meeting.join_web_url.startswith(start)

        reply = get(graph, by_link(organizer.object_id, meeting.join_web_url), token)

        assert [found["id"] for found in reply.json["value"]] == [meeting.id]
        assert get(graph, link_path(organizer.object_id, meeting.id), token).status == 200

    @pytest.mark.parametrize(
        "link",
        [
            "https://teams.microsoft.com/l/meetup-join/19%3ameeting_a%40thread.v2/0",
            "https://teams.microsoft.com/meet/123?p=a+b",
            "https://teams.microsoft.com/meet/123?p=O'Brien''s",
            "https://teams.microsoft.com/meet/123?p=a b&c=d#e",
            "https://teams.microsoft.com/meet/123?p=Käse→",
        ],
    )
    def test_compare_the_link_verbatim_encoded_once(
        self, graph: Graph, organizer: User, token: str, link: str
    ) -> None:
        """The stored link with its quotes doubled. Encoded twice it is another link."""
        meeting = graph.data.add_meeting(organizer, join_web_url=link)
        twice = by_link(organizer.object_id, quote(link, safe=""))

        found = get(graph, by_link(organizer.object_id, link), token)

        assert found.json["value"][0]["id"] == meeting.id
        assert get(graph, twice, token).status == 404

    @pytest.mark.parametrize("long_link", [False, True])
    def test_find_another_spelling_only_if_lenient(
        self, graph: Graph, organizer: User, token: str, long_link: bool
    ) -> None:
        """It is not documented whether Graph does, so the app must not depend on it."""
        meeting = graph.data.add_meeting(organizer, long_link=long_link)
        other = unquote(meeting.join_web_url).replace("teams.microsoft.com", "TEAMS.example")
        path = by_link(organizer.object_id, f"{other}&anon=true")
        assert get(graph, path, token).status == 404

        graph.lenient_links = True

        assert get(graph, path, token).json["value"][0]["id"] == meeting.id
        nothing = by_link(organizer.object_id, "https://teams.microsoft.com/meet/1")
        assert get(graph, nothing, token).status == 404

    def test_read_a_plain_plus_as_a_space(self, graph: Graph, organizer: User, token: str) -> None:
        """An unencoded `+` is not a plus."""
        link = "https://teams.microsoft.com/meet/123?p=a+b"
        graph.data.add_meeting(organizer, join_web_url=link)
        encoded = by_link(organizer.object_id, link)

        assert get(graph, encoded, token).status == 200
        assert get(graph, encoded.replace("%2B", "+"), token).status == 404

    def test_refuse_single_quotes_that_are_not_doubled(
        self, graph: Graph, organizer: User, token: str
    ) -> None:
        """The literal ends early, and the filter is invalid."""
        expression = "JoinWebUrl eq 'https://teams.microsoft.com/meet/1?p=O'Brien'"

        reply = get(graph, filter_path(organizer.object_id, expression), token)

        assert reply.refusal[:2] == (400, "BadRequest")

    def test_by_number(self, graph: Graph, organizer: User, meeting: Meeting, token: str) -> None:
        """Without the spaces with which it is printed."""
        number = meeting.join_meeting_id
        spaced = f"{number[:3]} {number[3:]}"

        found = get(graph, by_number(organizer.object_id, number), token)

        assert found.json["value"][0]["joinMeetingIdSettings"]["joinMeetingId"] == number
        assert get(graph, by_number(organizer.object_id, spaced), token).status == 404

    @pytest.mark.parametrize("path", [by_link, by_number])
    def test_without_a_result_answer_in_one_of_two_ways(
        self, graph: Graph, organizer: User, token: str, path: Callable[[str, str], str]
    ) -> None:
        """404 3004, or 200 with an empty list."""
        target = path(organizer.object_id, "https://teams.microsoft.com/meet/0")

        refused = get(graph, target, token)
        graph.empty_lookups = True
        empty = get(graph, target, token)

        assert refused.refusal == (404, "NotFound", "3004: Specified meeting is not found.")
        assert (empty.status, empty.json["value"]) == (200, [])

    def test_need_a_filter(self, graph: Graph, organizer: User, token: str) -> None:
        """Graph has no list operation for meetings."""
        reply = get(graph, f"/v1.0/users/{organizer.object_id}/onlineMeetings", token)

        assert reply.refusal[:2] == (400, "InvalidArgument")

    def test_by_link_find_only_the_organizers_own(
        self, graph: Graph, organizer: User, token: str
    ) -> None:
        """Attendees do not find it."""
        guest = graph.data.add_user("ben@clinic.example")
        meeting = graph.data.add_meeting(organizer, attendees=[guest])

        reply = get(graph, by_link(guest.object_id, meeting.join_web_url), token)

        assert reply.refusal[:2] == (403, "Forbidden")
        assert reply.refusal[2].startswith("3003")

    def test_by_number_find_meetings_of_attendees(
        self, graph: Graph, meeting: Meeting, token: str
    ) -> None:
        """Other users do not find it."""
        other = graph.data.add_user("ben@clinic.example")

        reply = get(graph, by_number(other.object_id, meeting.join_meeting_id), token)

        assert reply.refusal[2].startswith("3004")

    def test_by_alternate_key_only_if_enabled(
        self, graph: Graph, authority: Authority, organizer: User, meeting: Meeting
    ) -> None:
        """It gives the link in one request with one role. It is not known whether Graph has it."""
        token = issue(authority, roles=["VirtualAppointment.Read.All"])
        key = quote(f"onlineMeetings(joinWebUrl='{meeting.join_web_url}')", safe="")
        target = f"/beta/users/{organizer.object_id}/{key}/{FUNCTION}"

        refused = get(graph, target, token)
        graph.alternate_key = True
        given = get(graph, target, token)

        assert refused.refusal[:2] == (400, "BadRequest")
        assert given.json["value"] == graph.join_link(meeting)


class TestMessages:
    """Headers and bodies, and the record of a call."""

    def test_answers_carry_their_ids(self, graph: Graph, meeting: Meeting, token: str) -> None:
        """Graph's own request id, and the caller's."""
        given = str(uuid.uuid4())

        reply = get(graph, link_path(meeting.organizer, meeting.id), token, client_request_id=given)

        assert uuid.UUID(reply.headers["request-id"])
        assert reply.headers["client-request-id"] == given
        assert "ServerInfo" in json.loads(reply.headers["x-ms-ags-diagnostic"])
        assert reply.headers["Content-Type"].startswith("application/json")

    def test_errors_carry_them_in_the_body_too(self, graph: Graph, token: str) -> None:
        """The innerError holds the date and both ids."""
        reply = get(graph, "/v1.0/nothing", token, client_request_id="mine")

        inner = reply.json["error"]["innerError"]
        assert inner["request-id"] == reply.headers["request-id"]
        assert inner["client-request-id"] == "mine"
        assert len(inner["date"]) == len("2026-01-01T00:00:00")

    def test_calls_are_recorded_without_their_tokens(
        self, graph: Graph, meeting: Meeting, token: str
    ) -> None:
        """The number of calls, their targets and callers, but never the token."""
        path = link_path(meeting.organizer, meeting.id)
        get(graph, path, token, client_request_id="mine")
        get(graph, "/v1.0/nothing?$top=1", None)

        first, second = graph.calls

        assert (first.method, first.path, first.status) == ("GET", path, 200)
        assert first.client_request_id == "mine"
        assert first.claims["appid"] == CLIENT
        assert first.headers["authorization"] == "[redacted]"
        assert (second.path, second.query, second.status) == ("/v1.0/nothing", "$top=1", 401)
        assert second.claims == {}
        assert first.received <= second.received
        assert graph.count() == 2
        assert graph.count(lambda call: call.status == 401) == 1
        assert token not in repr(graph.calls)
        assert token not in str(vars(first))

        graph.clear()

        assert graph.calls == []

    def test_only_reading_is_allowed(self, graph: Graph, organizer: User, token: str) -> None:
        """This product writes nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", graph.port, timeout=5)
        connection.request(
            "DELETE",
            f"/v1.0/users/{organizer.object_id}",
            headers={"Authorization": f"Bearer {token}"},
        )
        status = connection.getresponse().status
        connection.close()

        assert status == 405
