"""The running app, as the integration tests have it."""

from tests.integration.conftest import app, fresh_app, log, shared_app

__all__ = ["app", "fresh_app", "log", "shared_app"]
