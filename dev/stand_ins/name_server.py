"""A name server, and an interpreter that only uses that one. It needs Linux and root."""

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Self

_SERVER = ("127.53.53.53", 53)  # a resolver always uses port 53
_LOCAL = bytes([127, 0, 0, 1])
_HEADER = struct.Struct("!6H")
_ANSWER = struct.Struct("!3HIH")
_TYPE_A, _CLASS_IN = 1, 1
_IS_ANSWER = 0x8180  # the answer to a recursive query, without an error (RFC 1035, 4.1.1)
_NAME_OF_QUESTION = 0xC00C  # a pointer to it (4.1.4)


class NameServer:
    """Resolves each name to this machine. A context manager.

    Args:
        folder: An existing folder for its files.

    Raises:
        OSError: On entry, if this user or this system does not permit it.
    """

    def __init__(self, folder: Path) -> None:
        self._configuration = folder / "resolv.conf"
        self._program = folder / "python"
        self._answering = threading.Event()
        self._answering.set()
        self._stopping = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, name="name server", daemon=True)
        self._unanswered = 0

    @property
    def python(self) -> str:
        """The path of a program that runs this interpreter with this name server."""
        return str(self._program)

    @property
    def unanswered(self) -> int:
        """The number of queries that it did not answer."""
        return self._unanswered

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Receive queries and answer none until the context ends."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def __enter__(self) -> Self:
        try:
            self._socket.bind(_SERVER)
            self._make_program()
        except OSError:
            self._socket.close()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._socket.sendto(b"", _SERVER)  # only a message wakes its thread
        self._thread.join()
        self._socket.close()

    def _make_program(self) -> None:
        self._configuration.write_text(f"nameserver {_SERVER[0]}\n", encoding="ascii")
        mount = f"mount --bind {quote(str(self._configuration))} /etc/resolv.conf"
        run = quote(f'{mount} && exec {quote(sys.executable)} "$@"')
        self._program.write_text(f'#!/bin/sh\nexec unshare --mount sh -c {run} sh "$@"\n', "utf-8")
        self._program.chmod(0o755)
        tried = subprocess.run([self.python, "-c", ""], capture_output=True, check=False)
        if tried.returncode:
            raise PermissionError("This user may not mount.")

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(512)
            if self._stopping.is_set():
                return
            if self._answering.is_set():
                self._socket.sendto(_answer(question), client)
            else:
                self._unanswered += 1


def _answer(message: bytes) -> bytes:
    """Answer the single query of a message (RFC 1035, 4)."""
    number, *_ = _HEADER.unpack_from(message)
    end = message.index(0, _HEADER.size) + 5  # after the name's end, a type and a class
    question = message[_HEADER.size : end]
    found = question[-4:] == struct.pack("!2H", _TYPE_A, _CLASS_IN)
    answer = _ANSWER.pack(_NAME_OF_QUESTION, _TYPE_A, _CLASS_IN, 0, len(_LOCAL)) + _LOCAL
    head = _HEADER.pack(number, _IS_ANSWER, 1, int(found), 0, 0)
    return head + question + (answer if found else b"")
