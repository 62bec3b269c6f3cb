"""The error that ends a command with a sentence instead of a traceback."""


class StartError(Exception):
    """A part of the local run did not start. The text says which, what to do, and its last log."""
