"""The frames between the host and its worker process, and their content.

A frame is a length of four bytes (big-endian) and a JSON text of that length. Bytes are base64.
A function's input or output is a mapping with one member that names its kind, as in the host's own
protocol: `{"string": …}`, `{"json": …}`, `{"bytes": …}`, `{"http": …}`.
"""

import base64
import json
import struct
from collections.abc import Mapping
from typing import IO, Any

LENGTH = struct.Struct(">I")
_encode = json.JSONEncoder(separators=(",", ":")).encode

type Frame = dict[str, Any]
type Data = Mapping[str, Any]


def encode_frame(frame: Mapping[str, Any]) -> bytes:
    """Give a frame's bytes, which must be written in one piece."""
    payload = _encode(frame).encode("ascii")
    return LENGTH.pack(len(payload)) + payload


def read_frame(stream: IO[bytes]) -> Frame | None:
    """Read one frame. None if the other side has ended."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(length)
    payload = stream.read(size)
    if len(payload) < size:
        return None
    frame: Frame = json.loads(payload)
    return frame


def encode_bytes(value: bytes) -> str:
    """Write bytes as the text that a frame can hold."""
    return base64.b64encode(value).decode("ascii")


def decode_bytes(value: str) -> bytes:
    """Read bytes back from a frame."""
    return base64.b64decode(value)
