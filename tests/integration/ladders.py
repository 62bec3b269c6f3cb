"""The diagnostics as a caller meets them, for the tests of each of their parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from dev.local_run import DIAGNOSTICS_KEY
from shared.diagnostics.rungs import RUNGS
from tests.integration.app_under_test import App

NOBODY = "11111111-1111-4111-8111-111111111111"
BESIDE = {"key_vault", "queues"}
"""Rungs that stand beside the way up."""


@dataclass(frozen=True)
class Ladder:
    """What the diagnostics answered."""

    body: dict[str, Any]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return next(rung for rung in self.body["rungs"] if rung["name"] == name)

    def with_status(self, status: str) -> list[str]:
        """The names of the rungs that turned out so."""
        return [rung["name"] for rung in self.body["rungs"] if rung["status"] == status]

    def fails_at(self, name: str) -> dict[str, Any]:
        """Check that on the way up this rung alone fails and nothing above it was reached."""
        names = [rung.name for rung in RUNGS if rung.name not in BESIDE]
        failed, unreached = self.with_status("fail"), self.with_status("not_reached")
        assert self.body["verdict"] == "fail"
        assert [rung for rung in failed if rung not in BESIDE] == [name]
        assert [rung for rung in unreached if rung not in BESIDE] == names[names.index(name) + 1 :]
        assert self.body["summary"].startswith(f"To mend: {self[name]['title']}")
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


def climb(app: App, body: object = None) -> Ladder:
    """Climb the ladder, and see that the answer holds neither a token nor a link."""
    answer = post(app, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    found = {what for text, what in app.log.canaries.items() if text in answer.text}
    assert found <= {"a user principal name"}
    assert "https://teams" not in answer.text
    assert "https://visit" not in answer.text
    assert "eyJ" not in answer.text
    return Ladder(answer.json())
