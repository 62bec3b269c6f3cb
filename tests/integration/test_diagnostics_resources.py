"""The checks of the queues, and of Key Vault with each secret."""

import json

from dev.stand_ins.faults import Status
from dev.stand_ins.receiver import Receiver
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import run_checks


def test_a_missing_queue_fails_and_dead_letters_warn(fresh_app: FreshApp) -> None:
    """A dead letter needs an operator, but links can be had."""
    app = fresh_app()
    app.run.queue("join-link-dead-letters").send_message("{}")
    warned = run_checks(app)
    app.run.queue("join-link-results").delete_queue()
    failed = run_checks(app)

    assert warned["queues"]["status"] == "warn"
    assert warned["queues"]["seen"]["join-link-dead-letters"] == 1
    assert "dead_letters.py" in warned["queues"]["fix"]
    assert failed.with_status("fail") == ["queues"]
    assert "join-link-results does not exist" in failed["queues"]["detail"]
    assert "Storage Queue Data Contributor" in failed["queues"]["fix"]


def test_queues_are_checked_with_the_identity(fresh_app: FreshApp) -> None:
    """As in Azure. Without a token they are not reached."""
    app = fresh_app(storage_by_identity=True)

    valid = run_checks(app)
    app.run.identity.always(Status(400, "", "No such identity."))
    without = run_checks(app)

    assert valid["queues"]["status"] == "pass"
    assert without["queues"]["status"] == "not_reached"


SOURCES = {
    "hospital": {"preset": "calcom", "secret": "webhook-hospital"},
    "wrong": {"preset": "calcom", "secret": "webhook-wrong", "reply": "?"},
}


def test_key_vault_is_checked_for_each_sources_secret(fresh_app: FreshApp) -> None:
    """The secret's name and number of versions are shown. An invalid source is a warning."""
    app = fresh_app({"WEBHOOK_SOURCES": json.dumps(SOURCES)})
    vault = app.run.vault
    secret = app.log.forbid("a webhook's secret", "whsec-canary-4711")

    missing = run_checks(app)
    vault.set_secret("webhook-hospital", secret)
    there = run_checks(app)
    vault.always(Status(403, "Forbidden", "No."))
    forbidden = run_checks(app)
    app.run.identity.always(Status(400, "", "No such identity."))
    without_token = run_checks(app)

    assert missing["settings"]["status"] == "warn"
    assert missing["settings"]["seen"]["invalid"] == ["wrong"]
    assert "wrong/reply: " in missing["settings"]["detail"]
    assert missing.with_status("fail") == ["key_vault"]
    assert missing["key_vault"]["seen"] == {"versions of webhook-hospital": 0}
    assert (
        "`az keyvault secret set --vault-name stand-in --name webhook-hospital --file FILE`"
        in missing["key_vault"]["fix"]
    )
    assert there["key_vault"]["status"] == "pass"
    assert there["key_vault"]["seen"] == {"versions of webhook-hospital": 1}
    assert forbidden["key_vault"]["code"] == "secrets_unavailable"
    assert "Key Vault Secrets User" in forbidden["key_vault"]["fix"]
    assert without_token["key_vault"]["status"] == "not_reached"


def test_each_destination_is_checked_and_sent_nothing(fresh_app: FreshApp) -> None:
    """The problem of each is shown, but no URL."""
    secret = "whsec_YSBzZWNyZXQgb2YgdGhlIGRlbGl2ZXJpZXMgb2YgdGVzdHM="
    with Receiver(secret=secret) as plain:
        entry = {"url": plain.url, "secret": "delivery-crm", "private": True}
        app = fresh_app(
            {
                "DELIVERIES": json.dumps(
                    {
                        "good": entry,
                        "tls": {**entry, "urlSecret": "tls-url", "url": None},
                        "public": {"url": "https://localhost/", "secret": "delivery-crm"},
                        "unsigned": {**entry, "secret": "delivery-none"},
                        "nowhere": {**entry, "url": "http://127.0.0.1:9/?tenant=7"},
                        "mistaken": {"url": plain.url, "secret": "delivery-crm"},
                    }
                )
            }
        )
        app.run.vault.set_secret("delivery-crm", app.log.forbid("a secret", secret))
        with Receiver(secret=secret, tls=app.run.tls) as secure:
            app.run.vault.set_secret("tls-url", secure.url)
            check = run_checks(app)["destinations"]
            assert secure.calls == []
        assert plain.calls == []

    assert check["status"] == "fail"
    assert check["detail"] == "Outcomes do not reach: mistaken, nowhere, public, unsigned."
    assert check["seen"] == {
        "good": "reached; its secret can sign",
        "tls": "reached; its secret can sign",
        "public": "The name leads to a private address.",
        "unsigned": "There is no such secret.",
        "nowhere": "cannot be reached: ConnectionRefusedError",
        "mistaken": "has a mistake in DELIVERIES: /url",
    }
    assert "tenant" not in json.dumps(check)


def test_without_destinations_the_check_passes(fresh_app: FreshApp) -> None:
    """There is nothing to check."""
    assert run_checks(fresh_app())["destinations"]["status"] == "pass"
