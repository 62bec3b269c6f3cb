"""Plain stand-ins for the protobuf messages that the Python worker's library builds and reads.

The library (PyPI azure-functions-runtime) does not import its messages. It gets them from its host,
and needs attributes, keyword arguments and `WhichOneof` of them. Only messages with enums or
type checks that affect an app are written out here.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Message:
    """A protobuf message. Its keyword arguments become attributes."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - as open as protobuf
        self.__dict__.update(fields)


class StatusResult(Message):
    """How an invocation, or a step of the start, ended."""

    Failure, Success, Cancelled = 0, 1, 2


class BindingInfo(Message):
    """The enums that the library compares a binding's direction and data type with."""

    out, inout = 1, 2
    undefined, string, binary, stream = 0, 1, 2, 3


class RpcHttpCookie(Message):
    """A cookie of a response."""

    SameSite = type("SameSite", (), {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})


class TypedData(Message):
    """One value and its kind. It is as strict about types as the real message."""

    KINDS: ClassVar[Mapping[str, type]] = {
        "string": str,
        "json": str,
        "bytes": bytes,
        "int": int,
        "double": float,
        "http": Message,
    }

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - as open as protobuf
        for kind, value in fields.items():
            if not isinstance(value, self.KINDS[kind]):
                raise TypeError(f"TypedData.{kind} does not take a {type(value).__name__}")
        super().__init__(**fields)

    def WhichOneof(self, _: str) -> str | None:  # noqa: N802 - protobuf's name
        """Return the kind of the value, or None when there is none."""
        return next(iter(self.__dict__), None)


class RpcHttp(Message):
    """An HTTP request or response. Header names and values must be texts."""

    def __init__(self, headers: Mapping[str, str] | None = None, **fields: Any) -> None:  # noqa: ANN401 - as open as protobuf
        for name, value in (headers or {}).items():
            if not (isinstance(name, str) and isinstance(value, str)):
                raise TypeError(f"RpcHttp.headers[{name!r}] is not a text")
        super().__init__(headers=dict(headers or {}), **fields)


class ParameterBinding(Message):
    """The value of one binding."""

    def WhichOneof(self, _: str) -> str:  # noqa: N802 - protobuf's name
        """Say that the value is here, not in shared memory."""
        return "data"


class Protos:
    """The module of messages that the library gets."""

    StatusResult = StatusResult
    BindingInfo = BindingInfo
    TypedData = TypedData
    ParameterBinding = ParameterBinding
    RpcHttp = RpcHttp
    RpcHttpCookie = RpcHttpCookie

    def __getattr__(self, name: str) -> type[Message]:
        """Make any other message, which only has its fields."""
        return type(name, (Message,), {})
