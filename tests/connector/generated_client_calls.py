"""Calls all operations of the app with the generated client, also with requests that it refuses.

Run by generated_client.py in the generator's environment, with the folder that holds the client,
the app's address, its keys, an organizer, a Teams link and the join link as arguments.
"""

import json
import sys

folder, url, key, diagnostics_key, organizer, teams_link, expected_link = sys.argv[1:]
sys.path.insert(0, folder)

from join_link_client import AuthenticatedClient, Client  # noqa: E402 - generated before this runs
from join_link_client.api.join_links import (  # noqa: E402
    get_join_link,
    get_join_links,
    request_join_link,
)
from join_link_client.api.operations import (  # noqa: E402
    check_health,
    get_diagnostics_page,
    get_health,
    run_diagnostics,
    test_connection,
)
from join_link_client.api.webhooks import receive_booking  # noqa: E402
from join_link_client.models import (  # noqa: E402
    AcceptedRequest,
    BookingEvent,
    Code,
    DiagnosticsReport,
    DiagnosticsTarget,
    Health,
    JoinLink,
    JoinOutcomeList,
    JoinRequest,
    JoinRequestList,
    Problem,
)


def with_key(value: str, base_url: str = url) -> AuthenticatedClient:
    """Make a client that sends a function key."""
    return AuthenticatedClient(
        base_url=base_url,
        token=value,
        prefix="",
        auth_header_name="x-functions-key",
        timeout=60,
        raise_on_unexpected_status=True,
    )


def main() -> None:
    """Make each call, and check its answer as a program would."""
    client = with_key(key)
    meeting = JoinRequest(
        user_id=organizer, join_web_url=teams_link, request_id="one", context={"patient": 7}
    )
    nobody = JoinRequest(user_id="nobody@clinic.example", join_web_url=teams_link)

    one = get_join_link.sync(client=client, body=meeting)
    assert isinstance(one, JoinLink), one
    assert one.virtual_appointment_join_web_url == expected_link
    assert (one.request_id, str(one.user_id), one.context) == ("one", organizer, {"patient": 7})

    wrong = get_join_link.sync(client=client, body=JoinRequest(user_id=organizer))
    assert isinstance(wrong, Problem), wrong
    assert wrong.code is Code.INVALID_REQUEST
    assert wrong.errors, wrong
    assert wrong.errors[0].detail
    # A 404 is the app's, with a problem, or the host's, without a body. So the client leaves the
    # body to its caller.
    missing = get_join_link.sync_detailed(client=client, body=nobody)
    assert (missing.status_code, missing.parsed) == (404, None)
    problem = Problem.from_dict(json.loads(missing.content))
    assert (problem.status, problem.code) == (404, Code.USER_NOT_FOUND)
    astray = get_join_link.sync_detailed(client=with_key(key, f"{url}/no-such"), body=nobody)
    assert (astray.status_code, astray.parsed, astray.content) == (404, None, b"")

    many = get_join_links.sync(client=client, body=JoinRequestList(requests=[meeting, nobody]))
    assert isinstance(many, JoinOutcomeList), many
    first, second = many.results
    assert isinstance(first.result, JoinLink), first
    assert first.result.virtual_appointment_join_web_url == expected_link
    assert isinstance(second.problem, Problem), second
    assert (second.status, second.problem.code) == (404, Code.USER_NOT_FOUND)

    later = request_join_link.sync_detailed(client=client, body=meeting)
    assert later.status_code == 202, later
    assert isinstance(later.parsed, AcceptedRequest), later
    assert later.parsed.request_id == "one"

    assert test_connection.sync_detailed(client=client).status_code == 200
    # The host's 401 has no body, so that there is nothing to read.
    refused = get_join_link.sync_detailed(client=with_key("another key"), body=meeting)
    assert (refused.status_code, refused.parsed, refused.content) == (401, None, b"")

    anyone = Client(base_url=url, raise_on_unexpected_status=True)
    unsigned = receive_booking.sync_detailed(
        client=anyone, source="under_score", body=BookingEvent()
    )
    assert unsigned.status_code == 401, unsigned
    assert isinstance(unsigned.parsed, Problem), unsigned
    assert unsigned.parsed.code is Code.SIGNATURE_INVALID
    health = get_health.sync(client=anyone)
    assert isinstance(health, Health), health
    assert check_health.sync_detailed(client=anyone).status_code == 200
    assert get_diagnostics_page.sync_detailed(client=anyone).status_code == 200
    report = run_diagnostics.sync(
        client=with_key(diagnostics_key),
        body=DiagnosticsTarget(user_id=organizer, join_web_url=teams_link),
    )
    assert isinstance(report, DiagnosticsReport), report
    assert report.checks[0].title


if __name__ == "__main__":
    main()
