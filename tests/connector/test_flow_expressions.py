"""The expressions and schemas of docs/power-automate.md do what the page says."""

import json
import re
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from shared.core.errors import MeetingNotFound
from shared.core.identifiers import is_request_id
from shared.core.strict_json import Json
from shared.deliveries.delivery import Delivery
from shared.meetings.models import Correlation, JoinLink, JoinRequest, Outcome
from shared.queues import messages
from tests.connector.definitions import operations, read
from tests.connector.workflow_expressions import ExpressionFailed, evaluate
from tests.unit.docs_pages import blocks, spans, table, text

PAGE = "docs/power-automate.md"
EXPRESSIONS = [block.text.strip() for block in blocks(PAGE) if block.language == "text"]
ORGANIZER = "905101bd-b1dd-52de-9c28-061164d7a927"
LINK = "https://teams.microsoft.com/meet/2345678901234?p=AbCdEf"


def expression(beginning: str) -> str:
    """Give the page's only expression with this beginning."""
    (found,) = {text for text in EXPRESSIONS if text.startswith(beginning)}
    return found


def appointment(**members: Any) -> dict[str, Any]:  # noqa: ANN401
    """Make the body of Microsoft Bookings' trigger."""
    return {
        "Id": "AAMk=",
        "JoinWebURL": LINK,
        "CustomerEmail": "zoe@patient.example",
        "StaffMembers": [{"DisplayName": "Dr. Meyer", "EmailAddress": ORGANIZER}],
        **members,
    }


def outcome(context: Json, *, resolved: bool = True) -> dict[str, Any]:
    """Make a message of the result queue in the app's format."""
    link = JoinLink(
        user_id=ORGANIZER,
        online_meeting_id="MSo1",
        virtual_appointment_join_web_url="https://visit.teams.microsoft.com/x",
    )
    ended = link if resolved else MeetingNotFound("There is no such meeting.")
    correlation = Correlation(request_id="booking-42", context=context)
    event = messages.to_event(Outcome.of(correlation, ended), time=1_800_000_000, attempts=1)
    return dict(json.loads(messages.write_event(event)))


def delivery(context: Json, *, resolved: bool = True) -> dict[str, Any]:
    """Make the body of a delivery."""
    event = outcome(context, resolved=resolved)
    return dict(json.loads(Delivery(destination="flow", event=event, caller_name="queue").body()))


ATTENDEES: Json = {"bookingId": "b", "attendees": [{"name": "Zoë", "email": "zoe@x.example"}]}
NOBODY: list[Json] = [
    None,
    {},
    {"attendees": None},
    {"attendees": []},
    {"attendees": [{"name": "Zoë", "email": None}]},
]
"""Contexts without a mail address."""
CONTEXTS = [ATTENDEES, {"mail": "zoe@x.example", "booking": "b"}, *NOBODY]


def test_the_evaluator_is_as_strict_as_the_platform() -> None:
    """Otherwise the tests below would prove nothing."""
    assert evaluate("triggerBody()?['a']?['b']", trigger={"a": None}) is None
    for wrong in (
        "triggerBody()?['a']['b']",
        "triggerBody()?['list']?[0]",
        "first(triggerBody()?['a'])",
        "endsWith(triggerBody()?['a'], 'x')",
        "triggerBody()?['number']?['b']",
        "unknown()",
    ):
        with pytest.raises(ExpressionFailed):
            evaluate(wrong, trigger={"a": None, "list": [], "number": 7})


def test_each_expression_of_the_page_can_be_evaluated() -> None:
    """Also those in its sentences. They name the page's steps by their titles."""
    page = text(PAGE)
    inline = [span for span in spans(page) if re.match(r"\w+\(.*\)", span)]
    titles = set(re.findall(r"\*\*([\w ()]+)\*\*", page)) | {
        operation["summary"] for _, _, operation in operations(read("apiDefinition.swagger.json"))
    }

    assert len(EXPRESSIONS) > 10
    for found in (*EXPRESSIONS, *inline):
        steps = re.findall(r"(?:body|outputs)\('(\w+)'\)", found)
        assert {step.replace("_", " ") for step in steps} <= titles, found
        given = {step: {"type": "x.resolved"} for step in steps}
        evaluate(found, trigger={}, item={}, bodies=given, outputs=given)


def test_a_row_or_a_run_gives_a_request_id() -> None:
    """A text of visible ASCII, as the app asks for one: a number would be refused."""
    page = text(PAGE)
    row, run = "string(item()?['ID'])", "workflow()?['run']?['name']"
    assert row in page
    assert run in page

    assert evaluate(row, item={"ID": 17}) == "17"
    assert is_request_id(evaluate(run))


def test_a_booking_without_a_meeting_is_skipped() -> None:
    """By the condition of the flow for Microsoft Bookings."""
    condition = expression("empty(triggerOutputs()?['body/JoinWebURL'])")

    assert evaluate(condition, trigger=appointment()) is False
    for none in (None, ""):
        assert evaluate(condition, trigger=appointment(JoinWebURL=none)) is True


def test_the_organizer_is_the_first_staff_member() -> None:
    """Null without staff. The app then says what is missing."""
    organizer = expression("first(coalesce(triggerOutputs()?['body/StaffMembers']")

    assert evaluate(organizer, trigger=appointment()) == ORGANIZER
    assert evaluate(organizer, trigger=appointment(StaffMembers=None)) is None
    assert evaluate(organizer, trigger=appointment(StaffMembers=[])) is None


@pytest.mark.parametrize(
    "mail", ["zoe@patient.example", 'a "quoted" one\r\nand\tmore \\ {} zoë \N{SKULL}']
)
def test_a_flows_message_is_a_valid_request_with_any_values(mail: str) -> None:
    """Quotes, line feeds and braces are returned unchanged."""
    trigger = appointment(CustomerEmail=mail)
    composed = evaluate(expression("setProperty("), trigger=trigger)
    message = evaluate(expression("string("), outputs={"Compose": composed})

    reading = messages.read(message.encode())
    assert reading.error is None
    request = JoinRequest.from_document(
        reading.incoming.document, request_id=reading.correlation.request_id
    )
    assert request.user_id == ORGANIZER
    assert request.context == {"mail": mail, "booking": "AAMk="}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("resolved", [True, False])
def test_the_apps_messages_are_valid_for_the_schemas(*, context: Json, resolved: bool) -> None:
    """Parse JSON and the trigger end the run for another type."""
    queue, posted = (json.loads(block.text) for block in blocks(PAGE) if block.language == "json")

    OAS31Validator(queue).validate(outcome(context, resolved=resolved))
    OAS31Validator(posted).validate(delivery(context, resolved=resolved))


def test_a_flow_recognises_its_own_results() -> None:
    """By the mail address in the context."""
    condition = expression("empty(body('Parse_JSON')?['data']?['context']?['mail'])")
    to = expression("body('Parse_JSON')?['data']?['context']?['mail']")
    own = {"Parse_JSON": outcome({"mail": "zoe@x.example"})}

    assert evaluate(condition, bodies=own) is False
    assert evaluate(to, bodies=own) == "zoe@x.example"
    for other in (ATTENDEES, None, {}):
        assert evaluate(condition, bodies={"Parse_JSON": outcome(other)}) is True


def test_links_and_failures_are_distinguished() -> None:
    """By the end of the type."""
    condition = expression("endsWith(")

    assert evaluate(condition, bodies={"Parse_JSON": outcome(None)}) is True
    assert evaluate(condition, bodies={"Parse_JSON": outcome(None, resolved=False)}) is False


def test_a_webhooks_link_goes_to_the_first_attendee() -> None:
    """Nobody gets it if the booking has no attendee, or if there is no link."""
    condition = expression("and(endsWith(body('Parse_JSON')")
    to = expression("first(coalesce(body('Parse_JSON')")
    named = {"Parse_JSON": outcome(ATTENDEES)}

    assert evaluate(condition, bodies=named) is True
    assert evaluate(to, bodies=named) == "zoe@x.example"
    failed = {"Parse_JSON": outcome(ATTENDEES, resolved=False)}
    assert evaluate(condition, bodies=failed) is False
    for nobody in NOBODY:
        assert evaluate(condition, bodies={"Parse_JSON": outcome(nobody)}) is False


def test_a_delivered_link_goes_to_the_requests_or_bookings_address() -> None:
    """A flow's mail address, else the first attendee. Nobody if there is no link."""
    to = expression("coalesce(triggerBody()")
    condition = expression("and(equals(triggerBody()")

    def mailed(trigger: dict[str, Any]) -> Any:  # noqa: ANN401
        composed = evaluate(to, trigger=trigger)
        mails = evaluate(condition, trigger=trigger, outputs={"Compose": composed})
        return composed if mails else None

    assert mailed(delivery(ATTENDEES)) == "zoe@x.example"
    assert mailed(delivery({"mail": "own@x.example"})) == "own@x.example"
    assert mailed(delivery(ATTENDEES, resolved=False)) is None
    for nobody in NOBODY:
        assert mailed(delivery(nobody)) is None


def test_a_failed_step_shows_status_and_code() -> None:
    """Also for the host's refusal, which has no body."""
    name = "Get_virtual_appointment_join_link"
    status = expression(f"outputs('{name}')")
    code = expression(f"body('{name}')")

    assert evaluate(status, outputs={name: {"statusCode": 404}}) == 404
    assert evaluate(code, bodies={name: {"code": "meeting_not_found"}}) == "meeting_not_found"
    assert evaluate(code, bodies={name: None}) is None


def test_the_pages_table_lists_the_members_of_a_problem() -> None:
    """With their names in the connector."""
    told = {name for row in table(PAGE, "When something is wrong") for name in spans(row[0])}
    items = read("apiDefinition.swagger.json")["definitions"]["JoinLinks"]["properties"]["results"]
    problem = items["items"]["properties"]["problem"]["properties"]

    assert told == {"code", "message", "fix", "errors", "requestId", "graphRequestId"}
    assert told <= set(problem)
