"""The running app of the integration tests."""

from tests.integration.conftest import app, fresh_app, log, shared_app

__all__ = ["app", "fresh_app", "log", "shared_app"]
