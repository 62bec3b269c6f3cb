"""What SECURITY.md says of keys, tokens and signing keys is what the code does."""

from shared.identity import bearer_tokens, jwks
from tests.unit.docs_pages import prose, spans, table
from tests.worker.test_functions import ROUTES

PAGE = "SECURITY.md"
HOUR = 3600


def opened(holder: str) -> set[str]:
    """The routes that a holder opens, by the row whose first cell begins with this."""
    rows = table(PAGE, "What opens what")
    (cell,) = [row[1] for row in rows if row[0].replace("*", "").startswith(holder)]
    return set(spans(cell))


def routes(*, level: str, without: tuple[str, ...] = ()) -> set[str]:
    """The routes at a level of the host's, but for some functions."""
    return {
        f"{method} /api/{route}"
        for function, (route, methods, authorization) in ROUTES.items()
        for method in methods
        if authorization == level and function not in without
    }


def test_a_host_key_opens_what_the_host_guards_the_diagnostics_included() -> None:
    """The worker tests hold the levels."""
    assert opened("a host key") == routes(level="FUNCTION")
    assert opened("the key of the function `diagnostics`") == {"POST /api/diagnostics"}


def test_tokens_open_the_routes_that_the_app_guards_itself() -> None:
    """Later is for those who may ask for any organizer's."""
    everything = routes(level="FUNCTION", without=("diagnostics",))
    own = routes(level="FUNCTION", without=("diagnostics", "request_join_link"))

    assert opened(f"the app role `{bearer_tokens.APP_ROLE}`") == everything
    assert opened(f"the scope `{bearer_tokens.SCOPE}`") == own


def test_nothing_opens_what_is_for_everybody() -> None:
    """A webhook needs its signature."""
    assert opened("nothing at all") == routes(level="ANONYMOUS", without=("webhooks",))


def test_its_figures_for_a_withdrawn_signing_key_are_the_codes() -> None:
    """How long it is trusted, and how often keys are fetched."""
    told = " ".join(prose(PAGE).split())

    assert f"trusted for {jwks.KEEP_SECONDS / HOUR:g} hours at most" in told
    assert f"a fetch takes {jwks.FETCH_SECONDS:g} seconds at most" in told
    assert jwks.REFRESH_SECONDS == 60
    assert "(once a minute at most)" in told
