"""The health route, without azure.functions."""

from collections.abc import Iterable, Mapping

from shared.app import Application
from shared.core.strict_json import FieldError, Json
from shared.handlers.responses import HttpResponse, json_response, problem_response


def health(application: Application) -> HttpResponse:
    """Answer `GET /api/health`: whether the app has loaded and its settings are valid.

    200 `{"status": "healthy"}`, or 503 `settings_invalid`. An invalid webhook source or destination
    does not change the status: `faultySources` and `faultyDestinations` name it, with the pointers
    to its errors.
    """
    application.event_limiter.emit_due()
    if (error := application.settings_error) is not None:
        return problem_response(error)
    members: dict[str, Json] = {"status": "healthy"}
    services = application.services()
    if services.sources is not None and services.sources.invalid:
        members["faultySources"] = _places(services.sources.invalid)
    if services.destinations is not None and services.destinations.invalid:
        members["faultyDestinations"] = _places(services.destinations.invalid)
    return json_response(200, members)


def _places(invalid: Mapping[str, Iterable[FieldError]]) -> Json:
    return [
        {"name": name, "places": [field_error.pointer for field_error in field_errors]}
        for name, field_errors in invalid.items()
    ]
