"""Runs last: what all the apps of these tests have logged."""

from tests.integration.app_under_test import App, LogWatch


def test_no_log_line_holds_a_link_a_key_a_token_or_a_body(app: App, log: LogWatch) -> None:
    """Every log line of the suite, against everything in it that must never be logged."""
    app.post(app.request())  # so that this test alone has something to read, too

    found = {
        f"{what} in {line.logger}"
        for line in log.lines
        for text, what in log.canaries.items()
        if text in line.message
    }

    assert log.lines
    assert log.canaries
    assert found == set()
