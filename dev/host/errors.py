"""The errors of a host.

HostError              it could not be started. The text names the part and has the log's end
InvocationError        a function did not succeed
├── FunctionFailed     it raised, or what it returned could not be used
├── WorkerExited       the worker process ended while it ran
└── HostStopped        the host was stopped before it ended
"""

from dev.errors import StartError


class HostError(StartError):
    """The host, or a part of it, could not be started."""


class InvocationError(Exception):
    """A function did not succeed."""


class FunctionFailed(InvocationError):
    """The function raised, or what it returned could not be used."""


class WorkerExited(InvocationError):
    """The worker process ended while the function ran."""


class HostStopped(InvocationError):
    """The host was stopped before the function ended."""
