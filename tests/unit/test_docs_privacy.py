"""What docs/privacy.md says of queues, logs and memory is what the code does."""

import re
from pathlib import Path

from shared.core.telemetry import FIELDS
from shared.identity import jwks, key_vault, on_behalf_of
from shared.meetings import resolver
from shared.queues import client
from tests.unit.docs_pages import prose, spans, table

ROOT = Path(__file__).parents[2]
PAGE = "docs/privacy.md"
HOUR = 3600


def test_it_names_every_queue_and_no_other() -> None:
    """Each with what it holds, until when, and who may read it."""
    told = [name for row in table(PAGE, "On the queues") for name in spans(row[0])]

    assert sorted(told) == sorted(
        {
            *(client.REQUESTS, client.POISON, client.RESULTS),
            *(client.DELIVERIES, client.DELIVERIES_POISON, client.DEAD_LETTERS),
        }
    )


def test_it_names_every_member_of_an_event_and_no_other() -> None:
    """Nothing else of the app's own is logged."""
    told = [name for row in table(PAGE, "In the logs") for name in spans(row[0])]

    assert sorted(told) == sorted(FIELDS)


def test_its_figures_for_memory_are_the_codes() -> None:
    """A row for each thing that a process remembers."""
    found, _, exchanged, refused, secrets, keys = (row[1:] for row in table(PAGE, "In memory"))

    assert resolver.REMEMBER_SECONDS == HOUR
    assert found == [f"{resolver.REMEMBER_AT_MOST:,}", "an hour"]
    assert on_behalf_of.EARLY_SECONDS == 5 * 60
    assert exchanged == [
        f"{on_behalf_of.REMEMBER_AT_MOST:,}",
        "until five minutes before they end",
    ]
    longest = on_behalf_of.LONGEST_FAILURE_SECONDS / 60
    assert refused[1] == f"{on_behalf_of.REMEMBER_FAILURE_SECONDS / 60:g} to {longest:g} minutes"
    assert secrets[1] == f"{key_vault.FRESH_SECONDS / 60:g} minutes"
    assert key_vault.KEEP_SECONDS == HOUR
    assert "goes on with a secret for up to an hour" in prose(PAGE)
    assert keys[1].startswith("[a day]")
    assert jwks.KEEP_SECONDS == 24 * HOUR


def test_its_days_for_the_logs_are_those_of_the_bicep() -> None:
    """Of the workspace, which Application Insights writes to."""
    bicep = (ROOT / "infra" / "modules" / "monitoring.bicep").read_text(encoding="utf-8")
    (days,) = re.findall(r"retentionInDays: (\d+)", bicep)

    assert f"keep logs for {days} days" in prose(PAGE)
