"""`python dev.py serve`, as a person at a terminal starts and ends it."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests

from dev.booking_systems import (
    ANY_SECRET,
    DELIVERY_SECRET,
    PRESETS,
    SECRETS,
    SOURCES,
    event_of,
    secret_of,
    sign_as_standard,
)
from dev.clinic import Clinic
from dev.stand_ins.graph_data import GraphData
from dev.stand_ins.receiver import Receiver
from shared.webhooks import presets
from tests.integration.app_under_test import eventually
from tests.integration.serving import (
    PROJECT,
    descendants,
    end_of,
    serving,
    started,
    stop,
    until,
)

BASH = shutil.which("bash")
OWN: dict[str, dict[str, Any]] = {
    "practice": {
        "secret": "webhook-practice",
        "scheme": {"type": "body-hmac", "header": "X-Practice-Signature", "encoding": "base64"},
        "mapping": {
            "when": "type == 'visit.booked' && visit.online",
            "deliveryId": "[visit.id, type, time]",
            "organizer": "visit.doctor.email",
            "joinWebUrl": "visit.teamsLink",
            "context": "visit.{id: id, patient: patient.id}",
        },
    },
    "square": {
        "secret": "webhook-square",
        "scheme": {
            "type": "body-hmac",
            "header": "X-Square-HmacSha256-Signature",
            "encoding": "base64",
            "url": "https://clinic.example/hooks?a=b",
        },
        "mapping": {"userId": "people[0].id", "joinMeetingId": "number || other.number"},
    },
    "github": {
        "secret": "webhook-github",
        "scheme": {"type": "body-hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="},
        "mapping": {
            "when": 'contains(`["made", "moved"]`, "it\'s".action) || never',
            "userId": "who",
            "onlineMeetingId": "id",
        },
    },
    "zoho": {
        "secret": "webhook-zoho",
        "scheme": {
            "type": "timestamped",
            "header": "X-Zoho-Webhook-Signature",
            "signatureKey": "v",
            "timestampUnit": "ms",
        },
        "mapping": {"userId": "who", "onlineMeetingId": "id"},
    },
    "fhir": {
        "secret": "webhook-fhir",
        "scheme": {"type": "token", "header": "Authorization", "prefix": "Bearer "},
        "mapping": {"userId": "who", "onlineMeetingId": "id"},
    },
    "staff": {
        "preset": "msbookings",
        "secret": "webhook-staff",
        "mapping": {"organizer": "StaffMembers[].EmailAddress"},
    },
    "own": {"preset": "standard", "scheme": "standard", "secret": "webhook-own"},
}
"""A reader's own: each option of the schemes that changes what is signed."""


def pasted(lines: str) -> str:
    """Run what is printed as a person does, and give what it prints."""
    return subprocess.run(  # noqa: S603 - ours
        [BASH or "", "-c", lines], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_ctrl_c_stops_everything_and_leaves_no_process() -> None:
    """Azurite and the worker are separate processes, and end as well."""
    with serving() as process:
        until(process, "Ctrl-C stops everything")
        started = list(descendants(process.pid))

        output = stop(process)

    assert process.returncode == 0
    assert "Stopping ..." in output
    assert "Traceback" not in output
    assert len(started) >= 2
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


def test_a_users_own_source_gets_an_address_a_secret_and_its_results() -> None:
    """Ready to paste. Each result is printed once, when it arrives."""
    with serving() as process:
        guide = until(process, "Ctrl-C stops everything")
        url, secret, event = ast.literal_eval(
            guide.partition("\npost")[2].partition(")\n")[0] + ")"
        )
        ids = []
        for number in (1, 2):
            body = json.dumps(event).encode()
            headers = sign_as_standard(body, secret, delivery_id=f"delivery-{number}")
            ids.append(requests.post(url, data=body, headers=headers, timeout=30).json())
            output = until(process, f"-> join-link-results: {ids[-1]['requestId']} ")
            result = until(process, "virtualAppointmentJoinWebUrl")

            assert output.count("-> join-link-results") == 1
            assert json.loads(result)["requestId"] == ids[-1]["requestId"]

        assert "-> join-link-results" not in stop(process)


def test_the_line_with_a_persons_token_works_as_it_is_printed() -> None:
    """It gives the link of the person's own meeting, and the other tokens give theirs."""
    with serving() as process:
        guide = until(process, "Ctrl-C stops everything")
        lines = "TOKEN=" + guide.partition("\nTOKEN=")[2].partition("\n\n")[0]
        own = pasted(lines)
        others = re.findall(r"^eyJ\S+$", guide.partition("Tokens of others")[2], re.MULTILINE)
        (organizer,) = re.findall(r"^ *organizer +([0-9a-f-]{36})$", guide, re.MULTILINE)
        (meeting,) = re.findall(r"^ *her meeting +onlineMeetingId (\S+)$", guide, re.MULTILINE)[:1]
        (url,) = re.findall(r"(http://127\.0\.0\.1:\d+/api/join-link) ", lines)
        statuses = [
            requests.post(
                url,
                json={"userId": organizer, "onlineMeetingId": meeting},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            ).status_code
            for token in others
        ]
        stop(process)

    assert own.startswith("HTTP/1.1 200"), own
    assert "virtualAppointmentJoinWebUrl" in own
    assert statuses == [200, 200, 403]


def test_the_signed_curls_work_as_they_are_printed(tmp_path: Path) -> None:
    """One for each source and scheme, also for a user's own source. Each gives a link."""
    (tmp_path / "own.json").write_text(json.dumps(OWN), encoding="utf-8")
    with serving("--sources", str(tmp_path / "own.json")) as process:
        guide = until(process, "Ctrl-C stops everything")
        sections = dict(
            re.findall(r"^== (\S+)\n(.*?)(?=^== |^For the)", guide, re.DOTALL | re.MULTILINE)
        )

        for name, section in sections.items():
            lines = section.partition("\n\n")[2]
            answer = pasted(lines)
            assert answer.startswith("HTTP/1.1 202"), (name, answer)
            accepted = json.loads(answer.splitlines()[-1])
            assert accepted["status"] == "accepted", name
            until(process, f"-> join-link-results: {accepted['requestId']} ")
            result = until(process, "virtualAppointment")
            assert "virtualAppointmentJoinWebUrl" in result, name
            if name == "practice":
                assert json.loads(result)["context"] == {"id": "id-1", "patient": "id-1"}
        stop(process)

    schemes = {re.findall(r"scheme +(\S+)", section)[0] for section in sections.values()}
    assert schemes == {"standard", "timestamped", "body-hmac", "token"}
    assert set(sections) == {*OWN, *SOURCES}
    for name, section in sections.items():
        assert f"/api/webhooks/{name}\n" in section
        assert secret_of({**SOURCES, **OWN}[name]) in section.partition("\n\n")[0]


def test_a_path_is_relative_to_the_current_folder(tmp_path: Path) -> None:
    """dev.py itself runs in the project's folder."""
    with started(
        str(PROJECT / "dev.py"), "serve", "--sources", "mine.json", folder=tmp_path
    ) as process:
        output = end_of(process)

    assert process.returncode == 2
    assert f"there is no file {tmp_path / 'mine.json'}." in output.replace("\n", " ")


def test_mistakes_in_sources_come_first_with_a_line_for_each(tmp_path: Path) -> None:
    """Before the log, which tells the same at length; an unnamed one by its number in the file.

    What a misspelt preset would have brought is not missed as well, and there is no curl for it.
    """
    file = tmp_path / "sources.json"
    typo = {"preset": "calcmo", "secret": "s"}
    two = {"preset": "standard", "secret": "_", "replies": "inline"}
    file.write_text(json.dumps({"typo": typo, "not a name": two}), encoding="utf-8")
    with serving("--sources", str(file)) as process:
        guide = until(process, "Ctrl-C stops everything")
        until(process, "settings.invalid")
        stop(process)

    _, _, told = guide.partition("\nYour sources have mistakes")
    lines = told.partition("\n\n")[0].splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        "typo/preset",
        "#2",
        "#2/#3",
        "#2/secret",
    ]
    assert "settings.invalid" not in guide
    assert "\n== typo" not in guide
    assert "\n== not a name" not in guide
    assert "\n== calcom" in guide


def test_a_printed_event_says_what_its_mapping_asks_for() -> None:
    """Also the parts of its id and of its context, so that a reader sees where they come from."""
    clinic = Clinic.open(GraphData("72f988bf-0000-4000-8000-000000000001"))

    event = event_of(OWN["practice"], clinic)

    assert event == {
        "type": "visit.booked",
        "time": "time-1",
        "visit": {
            "online": True,
            "id": "id-1",
            "doctor": {"email": clinic.doctor.user_principal_name},
            "patient": {"id": "id-1"},
            "teamsLink": clinic.meeting.join_web_url,
        },
    }


def test_a_made_up_part_never_makes_an_event_one_that_is_not_for_the_app() -> None:
    """Such as the reason of a cancellation, which the context hands back."""
    clinic = Clinic.open(GraphData("72f988bf-0000-4000-8000-000000000001"))
    mapping = {"when": "!cancelled", "userId": "who", "onlineMeetingId": "id"}

    event = event_of({"mapping": {**mapping, "context": "{reason: cancelled}"}}, clinic)

    assert event == {"who": clinic.doctor.object_id, "id": clinic.meeting.id}


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"organizer": "staff[].mail"}, {"staff": [{"mail": "DOCTOR"}]}),
        ({"organizer": "visit.staff[*].mail"}, {"visit": {"staff": [{"mail": "DOCTOR"}]}}),
        ({"organizer": "mails[]"}, {"mails": ["DOCTOR"]}),
        (
            {"organizer": "staff[?role=='host'].mail"},
            {"staff": [{"mail": "DOCTOR", "role": "host"}]},
        ),
        (
            {"userId": "staff[].id", "organizer": "staff[].mail"},
            {"staff": [{"id": "ID", "mail": "DOCTOR"}]},
        ),
        ({"organizer": "staff | [0].mail"}, {"staff": [{"mail": "DOCTOR"}]}),
        ({"organizer": "staff[].mail | [0]"}, None),
        (
            {
                "organizer": "mail",
                "when": {"kind": "kind == 'booked'", "ours": "contains(mail, 'clinic')"},
            },
            {"mail": "DOCTOR", "kind": "booked"},
        ),
    ],
)
def test_an_event_is_made_for_lists_filters_and_named_conditions(
    mapping: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """The mapping finds the organizer in it, and its conditions hold."""
    clinic = Clinic.open(GraphData("72f988bf-0000-4000-8000-000000000001"))
    words = {"DOCTOR": clinic.doctor.user_principal_name, "ID": clinic.doctor.object_id}

    event = json.dumps(event_of({"mapping": mapping}, clinic))

    for word, value in words.items():
        event = event.replace(value, word)
    assert json.loads(event) == expected


def test_each_preset_has_an_event_to_try() -> None:
    """And a source in the local run, with a secret of its own."""
    assert set(PRESETS) == set(presets.PRESETS)
    assert {source["preset"] for source in SOURCES.values()} == set(presets.PRESETS)
    assert {source["secret"] for source in SOURCES.values()} == SECRETS.keys()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_file_without_sources_is_refused_before_anything_starts(
    tmp_path: Path, content: str
) -> None:
    """The error names the file."""
    file = tmp_path / "sources.json"
    file.write_text(content, encoding="utf-8")
    with serving("--sources", str(file)) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sources.json" in output
    assert "Traceback" not in output


def test_outcomes_are_delivered_to_a_users_own_program() -> None:
    """Signed with the secret that is printed."""
    with (
        Receiver(secret=DELIVERY_SECRET) as there,
        serving("--deliver-to", there.url) as process,
    ):
        guide = until(process, "Ctrl-C stops everything")
        section = guide.partition("Outcomes are delivered to")[2]
        said, _, rest = section.partition("\n\n")
        done = pasted(rest.partition("\n\n")[2].partition("\n\n")[0])

        assert " ".join(said.split()) == f"{there.url}, signed with the secret {DELIVERY_SECRET}"
        assert done.startswith("HTTP/1.1 202"), done
        assert eventually(lambda: there.taken, within=30)

    assert DELIVERY_SECRET not in {ANY_SECRET, *SECRETS.values()}


def test_a_meeting_is_printed_whose_organizer_graph_throttles() -> None:
    """The printed call gets 429 and a Retry-After that is longer than the app itself waits."""
    with serving() as process:
        guide = until(process, "Ctrl-C stops everything")
        call = guide.partition("Graph throttles for")[2].partition("\n\n")[2].partition("\n\n")[0]
        answer = pasted(call)
        stop(process)

    assert answer.startswith("HTTP/1.1 429"), answer
    assert json.loads(answer.splitlines()[-1])["code"] == "graph_throttled"
    (seconds,) = re.findall(r"^retry-after: (\d+)\r?$", answer, re.MULTILINE | re.IGNORECASE)
    assert 10 < int(seconds) <= 20


def test_a_url_that_is_not_allowed_is_reported_at_the_start() -> None:
    """Otherwise nothing would arrive, and nothing would show why."""
    with serving("--deliver-to", "http://crm.example/") as process:
        assert "Nothing is delivered" in until(process, "Ctrl-C stops everything")
