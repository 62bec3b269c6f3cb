"""The check that Entra accepts the identity as the app registration's credential."""

from dev.stand_ins.entra import FederatedCredential, is_exchange
from dev.stand_ins.faults import Reset, Status
from tests.integration.conftest import FreshApp
from tests.integration.diagnostics_runs import run_checks


def test_with_keys_the_check_is_not_needed(fresh_app: FreshApp) -> None:
    """No request is sent to Entra."""
    app = fresh_app()

    assert run_checks(app)["sign_in"]["status"] == "pass"
    assert app.run.entra.count() == 0


def test_the_credential_is_checked_without_a_person(fresh_app: FreshApp) -> None:
    """The fix shows the credential's three values, and no person's token is exchanged."""
    app = fresh_app({"HTTP_AUTH": "entra"})
    registration = app.run.registration

    good = run_checks(app)["sign_in"]
    registration.credential = FederatedCredential(app.run.entra.issuer, "another")
    wrong = run_checks(app)["sign_in"]

    assert (good["status"], good["seen"]) == ("pass", {"ENTRA_CLIENT_ID": registration.client_id})
    assert (wrong["status"], wrong["code"]) == ("fail", "sign_in_setup_incomplete")
    for value in (
        app.run.entra.issuer,
        app.run.identity.object_id,
        "api://AzureADTokenExchange",
        registration.client_id,
    ):
        assert value in wrong["fix"]
    assert app.run.entra.count(is_exchange) == 0


def test_a_failure_of_entra_or_of_the_identity_is_shown(fresh_app: FreshApp) -> None:
    """A lost connection fails the check. Without the identity's token it is not reached."""
    app = fresh_app({"HTTP_AUTH": "entra"})
    app.run.entra.order(Reset())

    lost = run_checks(app)["sign_in"]
    app.run.identity.always(Status(400, "", "No such identity."))
    without = run_checks(app)["sign_in"]

    assert (lost["status"], lost["code"]) == ("fail", "identity_unavailable")
    assert without["status"] == "not_reached"
