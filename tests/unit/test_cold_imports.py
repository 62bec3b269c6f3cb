"""What is not imported before it is needed: a cold start pays for every import."""

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
    "shared.identity.key_vault",
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


def test_loading_the_app_imports_nothing_that_the_first_request_may_not_need() -> None:
    """Cold start counts: these come when they are first needed."""
    assert "shared.meetings.resolver" in loaded()
    assert [name for name in loaded() if name.startswith(DEAR)] == []
