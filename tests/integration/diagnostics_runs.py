"""The diagnostics as a caller sees them, for the tests of their parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from dev.local_run import DIAGNOSTICS_KEY
from shared.diagnostics.checks import CHECKS
from tests.integration.app_under_test import App

NOBODY = "11111111-1111-4111-8111-111111111111"
BESIDE = {"sign_in", "key_vault", "queues", "destinations"}
"""Checks that depend on no other check."""


@dataclass(frozen=True)
class Report:
    """The answer of the diagnostics."""

    body: dict[str, Any]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return next(check for check in self.body["checks"] if check["name"] == name)

    def with_status(self, status: str) -> list[str]:
        """The names of the checks with that status."""
        return [check["name"] for check in self.body["checks"] if check["status"] == status]

    def fails_at(self, name: str) -> dict[str, Any]:
        """Check that only this check fails, and that the checks after it were not reached."""
        names = [check.name for check in CHECKS if check.name not in BESIDE]
        failed, unreached = self.with_status("fail"), self.with_status("not_reached")
        assert self.body["verdict"] == "fail"
        assert [check for check in failed if check not in BESIDE] == [name]
        assert [check for check in unreached if check not in BESIDE] == names[
            names.index(name) + 1 :
        ]
        assert self.body["summary"].startswith(f"To fix: {self[name]['title']}")
        return self[name]


def post(
    app: App, body: object = None, *, headers: Mapping[str, str] | None = None
) -> requests.Response:
    """Call POST /api/diagnostics with the function's own key."""
    return requests.post(
        f"{app.run.url}/api/diagnostics",
        data=None if body is None else json.dumps(body),
        headers={
            "x-functions-key": DIAGNOSTICS_KEY,
            "Content-Type": "application/json",
            **(headers or {}),
        },
        timeout=30,
    )


def run_checks(app: App, body: object = None) -> Report:
    """Run the checks, and check that the answer holds neither a token nor a link."""
    answer = post(app, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found = {what for text, what in app.log.canaries.items() if text in answer.text}
    assert found <= {"a user principal name"}
    assert "https://teams" not in answer.text
    assert "https://visit" not in answer.text
    assert "eyJ" not in answer.text
    return Report(answer.json())
