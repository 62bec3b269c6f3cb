"""The check of the logs finds each forbidden text. The fixture `log` checks those of all tests."""

import uuid

from dev.host.logs import LogLine
from tests.integration.app_under_test import App, LogWatch


def test_a_link_in_a_log_line_would_be_found() -> None:
    """From any logger."""
    watch = LogWatch()
    watch.forbid("a join link", "https://visit.teams.microsoft.com/canary")

    watch.lines.append(LogLine(level="INFO", logger="any", message="got https://visit.teams."))
    before = watch.found()
    link = "<https://visit.teams.microsoft.com/canary>"
    watch.lines.append(LogLine(level="INFO", logger="any", message=link))

    assert before == set()
    assert watch.found() == {"a join link in any"}


def test_the_app_logs_no_link_no_key_no_token_and_no_body(app: App, log: LogWatch) -> None:
    """For a request that succeeds and one that fails."""
    app.post(app.request())
    app.post(app.request(language="?"))

    assert any(line.logger == "virtual_appointment" for line in log.lines)
    assert "a join link" in log.canaries.values()
    assert log.found() == set()


def test_a_link_in_the_place_of_an_id_is_not_logged(app: App, log: LogWatch) -> None:
    """As a request id, client request id, envelope id, or member name."""

    def link(what: str) -> str:
        return log.forbid(what, f"https://teams.microsoft.com/meet/{uuid.uuid4().int}?p=canary")

    mine = link("a client request id")
    answer = app.post(
        app.request(requestId=link("a request id")), headers={"x-ms-client-request-id": mine}
    )
    assert answer.headers["x-ms-client-request-id"] == mine
    app.post({**app.request(), link("a member's name"): 1})
    enveloped = link("an envelope's id")
    unnamed = app.request(requestId=None)
    app.enqueue({"specversion": "1.0", "id": enveloped, "source": "/x", "data": unnamed})
    assert app.result(enveloped)["data"]["requestId"] == enveloped
    undecodable = link("the id of what cannot be read")
    app.enqueue({"specversion": "1.0", "id": undecodable, "data": "no JSON"})
    app.result(undecodable)

    assert any(line.logger == "virtual_appointment" for line in log.lines)
    assert "a join link" in log.canaries.values()
    assert log.found() == set()
