"""`python dev.py serve`, as a person at a terminal starts and ends it."""

import ast
import json
from pathlib import Path

import pytest
import requests

from dev.booking_systems import sign_as_standard
from tests.integration.serving import descendants, serving, stop, until


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_ctrl_c_stops_everything_and_leaves_no_process() -> None:
    """Azurite and the worker are processes of their own, and end with it."""
    with serving() as process:
        until(process, "Ctrl-C stops everything")
        started = list(descendants(process.pid))

        output = stop(process)

    assert process.returncode == 0
    assert "Stopping ..." in output
    assert "Traceback" not in output
    assert len(started) >= 2
    assert not [pid for pid in started if Path("/proc", str(pid)).exists()]


def test_a_system_of_ones_own_posts_what_is_printed_and_sees_its_results() -> None:
    """The address, the secret and the event, ready to paste; each result once, as it arrives."""
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


def test_sources_of_ones_own_are_tried_as_they_would_be_deployed(tmp_path: Path) -> None:
    """Beside the local run's; the secrets that they name are printed."""
    practice = {
        "scheme": {"type": "token", "header": "X-Token"},
        "secret": "webhook-practice",
        "mapping": {"organizer": "doctor", "joinWebUrl": "link"},
    }
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"practice": practice}), encoding="utf-8")
    with serving("--sources", str(file)) as process:
        guide = until(process, "Ctrl-C stops everything")
        secret = guide.partition("are, here: ")[2].split()[0]
        url, _, event = ast.literal_eval(guide.partition("\npost")[2].partition(")\n")[0] + ")")
        booking = {"doctor": event["data"]["userId"], "link": event["data"]["joinWebUrl"]}

        answer = requests.post(
            url.replace("/clinic", "/practice"),
            json=booking,
            headers={"X-Token": secret},
            timeout=30,
        )

        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        until(process, f"-> join-link-results: {answer.json()['requestId']} ")
        assert "virtualAppointmentJoinWebUrl" in until(process, "virtualAppointmentJoinWebUrl")


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_file_without_sources_is_refused_before_anything_starts(
    tmp_path: Path, content: str
) -> None:
    """In a line that names the file."""
    file = tmp_path / "sources.json"
    file.write_text(content, encoding="utf-8")
    with serving("--sources", str(file)) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "sources.json" in output
    assert "Traceback" not in output
