"""What becomes of an unforeseen exception: the log says where it arose, and nothing it quotes.

The text of an exception, and the source lines of a traceback, may hold a link, an id or a body.
"""

import logging
import traceback

from shared.errors import InternalError, ServiceError

_logger = logging.getLogger("virtual_appointment")


def describe(error: BaseException) -> str:
    """Name an exception's type and the places it came through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__qualname__} at {places or 'an unknown place'}"


def to_service_error(error: Exception) -> ServiceError:
    """Give the error itself, or what stands for one that nobody foresaw, which is logged."""
    if isinstance(error, ServiceError):
        return error
    _logger.error("%s", describe(error))
    return InternalError("Something failed that should not; the log says where.")
