"""The worker process: the app inside the real Functions Python worker library.

The host starts it as `python -m dev.host.worker APP`, writes frames to its standard input and
reads frames from its standard output. The app's prints go to standard error instead. When the host
ends, standard input ends, and then this process.
"""

import asyncio
import io
import json
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import azure_functions_runtime as runtime

from dev.host import wire
from dev.host.messages import Message, ParameterBinding, Protos, RpcHttp, StatusResult, TypedData


class Channel:
    """Sends frames to the host, from any thread and in order."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        # As in Azure's worker, logging does not wait for the pipe.
        self._frames: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="host-writer", daemon=True)
        self._writer.start()

    def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame, soon."""
        self._frames.put(wire.encode_frame(frame))

    def close(self) -> None:
        """Wait until everything has been sent."""
        self._frames.put(None)
        self._writer.join()

    def _write(self) -> None:
        try:
            while (frame := self._frames.get()) is not None:
                self._stream.write(frame)
                if self._frames.empty():
                    self._stream.flush()
            self._stream.flush()
        except OSError:
            os._exit(1)  # without a host there is nothing left to do


class HostHandler(logging.Handler):
    """Sends log records to the host, as the worker does over gRPC."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as text, including its exception."""
        try:
            message = self.format(record)
        except Exception:  # noqa: BLE001 - a bad log call must not fail the function
            self.handleError(record)
            return
        self._channel.send(
            {
                "kind": "log",
                "level": record.levelname,
                "logger": record.name,
                "message": message,
                "invocation_id": runtime.invocation_id_cv.get() or "",
            }
        )


class Worker:
    """The app, loaded and ready to be invoked."""

    def __init__(self, *, app: Path, channel: Channel) -> None:
        self._app = str(app)
        self._channel = channel
        self._protos = Protos()

    def _request(self, **fields: Any) -> SimpleNamespace:  # noqa: ANN401 - one field, of many types
        return SimpleNamespace(
            request=SimpleNamespace(**fields),
            properties={"protos": self._protos, "host": "127.0.0.1"},
        )

    async def start(self) -> bool:
        """Load the app, and send the host its functions, or why it could not be loaded."""
        runtime.start_threadpool_executor()
        started = await runtime.worker_init_request(
            self._request(
                worker_init_request=SimpleNamespace(
                    capabilities={}, function_app_directory=self._app
                )
            )
        )
        if started.result.status != StatusResult.Success:
            self._channel.send({"kind": "failed", **_failure(started.result)})
            return False
        answer = await runtime.functions_metadata_request(self._request())
        functions = answer.function_metadata_results or []
        for function in functions:
            await runtime.function_load_request(
                self._request(
                    function_load_request=SimpleNamespace(function_id=function.function_id)
                )
            )
        self._channel.send(
            {
                "kind": "ready",
                "functions": [
                    {
                        "name": function.name,
                        "id": function.function_id,
                        "bindings": [json.loads(binding) for binding in function.raw_bindings],
                    }
                    for function in functions
                ],
            }
        )
        return True

    async def run(self, frame: Mapping[str, Any]) -> None:
        """Call a function and send the result in each case, because the host waits for it."""
        result: dict[str, Any] = {"kind": "result", "id": frame["id"]}
        try:
            result |= await self._invoke(frame)
        except Exception as error:  # noqa: BLE001 - the host must get each failure
            message = f"{type(error).__name__}: {error}"
            result |= {"ok": False, "message": message, "stack_trace": traceback.format_exc()}
        self._channel.send(result)

    async def _invoke(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        # The library sets this for functions in the thread pool only; logs need it for async ones.
        runtime.invocation_id_cv.set(frame["id"])
        answer = await runtime.invocation_request(
            self._request(
                invocation_request=SimpleNamespace(
                    invocation_id=frame["id"],
                    function_id=frame["function_id"],
                    input_data=[
                        ParameterBinding(name=name, data=_typed_data(data))
                        for name, data in frame["inputs"].items()
                    ],
                    trigger_metadata={
                        name: _typed_data(data) for name, data in frame["trigger_metadata"].items()
                    },
                    trace_context=SimpleNamespace(
                        trace_parent=frame["traceparent"],
                        trace_state=frame["tracestate"],
                        attributes={},
                    ),
                    retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
                )
            )
        )
        if answer.result.status == StatusResult.Success:
            return {"ok": True, "value": _data(answer.return_value)}
        return {"ok": False, **_failure(answer.result)}


def _failure(result: Message) -> dict[str, str]:
    exception: Any = result.exception  # type: ignore[attr-defined]  # a message's field
    return {"message": exception.message, "stack_trace": exception.stack_trace}


def _typed_data(data: wire.Data) -> TypedData:
    ((kind, value),) = data.items()
    if kind == "bytes":
        return TypedData(bytes=wire.decode_bytes(value))
    if kind == "http":
        body = value["body"]
        content = TypedData(bytes=wire.decode_bytes(body)) if body else TypedData()
        return TypedData(http=RpcHttp(**{**value, "body": content}))
    return TypedData(**data)


def _data(typed: Any) -> dict[str, Any] | None:  # noqa: ANN401 - TypedData, RpcHttp's body included
    if typed is None or (kind := typed.WhichOneof("data")) is None:
        return None
    value = getattr(typed, kind)
    if kind == "bytes":
        return {"bytes": wire.encode_bytes(value)}
    if kind == "http":
        return {
            "http": {
                "status_code": int(value.status_code),
                "headers": value.headers,
                "cookies": [_cookie(cookie) for cookie in value.cookies or []],
                "body": _data(value.body),
            }
        }
    return {kind: value}


def _cookie(cookie: Any) -> dict[str, Any]:  # noqa: ANN401 - RpcHttpCookie
    def nullable(value: Any) -> Any:  # noqa: ANN401 - NullableString, NullableBool, …
        return None if value is None else value.value

    expires = nullable(cookie.expires)
    return {
        "name": cookie.name,
        "value": cookie.value,
        "domain": nullable(cookie.domain),
        "path": nullable(cookie.path),
        "expires": None if expires is None else expires.seconds,
        "max_age": nullable(cookie.max_age),
        "secure": nullable(cookie.secure),
        "http_only": nullable(cookie.http_only),
        "same_site": cookie.same_site,
    }


async def serve(*, app: Path, frames: IO[bytes], channel: Channel) -> None:
    """Load the app and call functions for the host, until the host ends.

    This returns only if the app could not be loaded.
    """
    loop = asyncio.get_running_loop()
    worker = Worker(app=app, channel=channel)
    running: set[asyncio.Task[None]] = set()

    def begin(frame: wire.Frame) -> None:
        task = loop.create_task(worker.run(frame))
        running.add(task)
        task.add_done_callback(running.discard)

    def read() -> None:
        while frame := wire.read_frame(frames):
            loop.call_soon_threadsafe(begin, frame)
        # A function that hangs in a thread would keep the interpreter from ending.
        os._exit(0)

    threading.Thread(target=read, name="host-reader", daemon=True).start()
    if await worker.start():
        await asyncio.Event().wait()


def main() -> None:
    """Use the standard streams for the host, and start."""
    # Ctrl-C reaches all processes of the terminal, but the host decides when its worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    app = Path(sys.argv[1])
    frames = os.fdopen(os.dup(0), "rb")
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)

    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in {"1", "true"}
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    root.addHandler(HostHandler(channel))

    # As in Azure, the app is imported from its own folder, not from the host's.
    sys.path[0] = str(app)
    os.chdir(app)
    try:
        asyncio.run(serve(app=app, frames=frames, channel=channel))
    finally:
        channel.close()


if __name__ == "__main__":
    main()
