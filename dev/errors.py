"""What ends a command with a sentence instead of a traceback."""


class StartError(Exception):
    """A part of the local run did not start; says which, what to do, and how its log ends."""
