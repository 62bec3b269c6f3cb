"""How an unforeseen exception is logged: where it arose, and nothing that it quotes.

The text of an exception, and the source lines of a traceback, may hold a link, an id or a body.
"""

import traceback


def describe(error: BaseException) -> str:
    """Name an exception's type and the places it came through, innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__qualname__} at {places or 'an unknown place'}"
