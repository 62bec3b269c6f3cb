"""Modules that the app imports only when they are needed, because imports slow the start."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEAR = (
    "azure.storage",
    "azure.keyvault",
    "jwt",
    "jmespath",
    "shared.diagnostics",
    "shared.handlers.queue_messages",
    "shared.identity.exchange_errors",
    "shared.identity.key_vault",
    "shared.identity.on_behalf_of",
    "shared.meetings.teams_links",
    "shared.webhooks.signatures",
    "shared.webhooks.sources",
    "shared.handlers.webhooks",
    "dev",
)
LOAD = """
import json, sys
import function_app
print(json.dumps(sorted(sys.modules)))
"""


@cache
def loaded() -> list[str]:
    """What has been imported when the app is loaded."""
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", LOAD],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, "AzureWebJobsStorage": "UseDevelopmentStorage=true"},
    )
    names: list[str] = json.loads(done.stdout)
    return names


def test_loading_the_app_does_not_import_what_the_first_request_may_not_need() -> None:
    """These modules are imported when they are first needed."""
    assert "shared.meetings.resolver" in loaded()
    assert [name for name in loaded() if name.startswith(DEAR)] == []
