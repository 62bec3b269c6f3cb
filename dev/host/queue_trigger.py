"""Listens to a storage queue by the rules of Microsoft's queue extension.

Source: Microsoft.Azure.WebJobs.Extensions.Storage.Queues, its listener and message processor.
"""

import base64
import binascii
import contextlib
import math
import random
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime

from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.storage.queue import QueueClient, QueueMessage, QueueServiceClient

from dev.host import wire
from dev.host.configuration import QueueOptions
from dev.host.dispatcher import Dispatcher
from dev.host.errors import HostStopped, InvocationError
from dev.host.functions import Function
from dev.host.logs import Logs
from dev.host.worker_process import Value

SHORTEST_PAUSE = 0.1  # seconds between two polls of a queue
POISON = "-poison"


class QueueListener:
    """Calls one function for each message of one queue.

    Args:
        function: The function to call.
        service: The queue service.
        queue: The queue's name.
        options: The rules of host.json.
        lease: How long a message is hidden while its function runs, in seconds. It is renewed
            after half of that. Microsoft's is 600.
        dispatcher: Runs the function.
        logs: Where the listener's own lines go.
    """

    def __init__(
        self,
        *,
        function: Function,
        service: QueueServiceClient,
        queue: str,
        options: QueueOptions,
        lease: float,
        dispatcher: Dispatcher,
        logs: Logs,
    ) -> None:
        self._function = function
        self._queue = service.get_queue_client(queue)
        # A poison queue has no poison queue, or a bad message would be moved for ever.
        self._poison = None if queue.endswith(POISON) else service.get_queue_client(queue + POISON)
        self._options = options
        self._lease = lease
        self._dispatcher = dispatcher
        self._logs = logs
        self._change = threading.Condition()
        self._stopping = False
        self._running = 0
        self._trouble = ""
        self._threads = ThreadPoolExecutor(
            options.batch_size + max(options.new_batch_threshold, 0),
            thread_name_prefix=f"message-{function.name}",
        )
        self._poller = threading.Thread(target=self._poll, name=f"listen-{function.name}")

    def start(self) -> None:
        """Begin to listen."""
        self._poller.start()

    def stop_polling(self) -> None:
        """Stop taking messages."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def close(self) -> None:
        """Wait for the messages that are being processed."""
        self.stop_polling()
        if self._poller.ident:
            self._poller.join()
        self._threads.shutdown(wait=True)

    def _poll(self) -> None:
        pause = SHORTEST_PAUSE
        while self._wait_for_room():
            messages = self._receive()
            with self._change:
                self._running += len(messages)
            for message in messages:
                self._threads.submit(self._handle, message)
            if messages:
                pause = SHORTEST_PAUSE
                continue
            longest = max(self._options.max_polling_interval, SHORTEST_PAUSE)
            # Random, so that listeners do not poll at the same moment.
            pause = min(pause * random.uniform(1.2, 2.0), longest)  # noqa: S311 - no secret
            with self._change:
                self._change.wait_for(lambda: self._stopping, timeout=pause)

    def _wait_for_room(self) -> bool:
        with self._change:
            self._change.wait_for(
                lambda: self._stopping or self._running <= self._options.new_batch_threshold
            )
            return not self._stopping

    def _receive(self) -> list[QueueMessage]:
        pages = self._queue.receive_messages(
            messages_per_page=self._options.batch_size,
            visibility_timeout=self._lease_seconds,
            retry_total=0,  # the next poll is the retry
        ).by_page()
        try:
            # The host creates no queue, so it waits until the queue exists.
            messages = list(next(pages, ()))
        except Exception as error:  # noqa: BLE001 - a listener must survive each error of the service
            self._report(_name(error))
            return []
        self._report("")
        return messages

    @property
    def _lease_seconds(self) -> int:
        return max(1, math.ceil(self._lease))

    def _report(self, trouble: str) -> None:
        """Log a change of the queue's state, not each poll."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            self._log("WARNING", f"Queue {self._queue.queue_name} cannot be read: {trouble}.")
        else:
            self._log("INFO", f"Queue {self._queue.queue_name} can be read again.")

    def _handle(self, message: QueueMessage) -> None:
        try:
            self._process(message)
        except Exception as error:  # noqa: BLE001 - as in _receive
            # The message comes back when its lease ends, since delivery is at least once.
            self._log("WARNING", f"Message {message.id} could not be settled: {_name(error)}.")
        finally:
            with self._change:
                self._running -= 1
                self._change.notify_all()

    def _process(self, message: QueueMessage) -> None:
        if (message.dequeue_count or 0) > self._options.max_dequeue_count:
            self._give_up(message)
            return
        try:
            body = _decode(message.content or "", base64_encoded=self._options.base64)
        except binascii.Error:
            self._log("ERROR", f"Message {message.id} is not base64; no function sees it.")
            self._give_up(message)
            return
        except UnicodeDecodeError:
            self._log("ERROR", f"Message {message.id} is not UTF-8; no function sees it.")
            self._failed(message)
            return
        try:
            self._wait(self._invoke(message, body), message)
        except HostStopped:
            return
        except InvocationError:
            self._failed(message)
            return
        self._queue.delete_message(message)

    def _invoke(self, message: QueueMessage, body: str) -> Future[Value]:
        return self._dispatcher.run(
            self._function,
            inputs={self._function.trigger["name"]: {"string": body}},
            reason=f"New queue message detected on '{self._queue.queue_name}'.",
            trigger_metadata=dict(_trigger_metadata(message, body)),
        )

    def _wait(self, future: Future[Value], message: QueueMessage) -> None:
        """Wait for the function, and keep the message hidden meanwhile."""
        while True:
            try:
                future.result(timeout=self._lease / 2)
            except TimeoutError:
                self._renew(message)
            else:
                return

    def _renew(self, message: QueueMessage) -> None:
        try:
            self._hide(message, self._lease_seconds)
        except AzureError as error:
            self._log("WARNING", f"Message {message.id}: lease not renewed: {_name(error)}.")

    def _failed(self, message: QueueMessage) -> None:
        if self._poison is None:
            return  # it stays hidden until its lease ends
        if (message.dequeue_count or 0) >= self._options.max_dequeue_count:
            self._give_up(message)
        else:
            self._hide(message, int(self._options.visibility_timeout))

    def _hide(self, message: QueueMessage, duration: int) -> None:
        updated = self._queue.update_message(
            message.id, pop_receipt=message.pop_receipt, visibility_timeout=duration
        )
        message.pop_receipt = updated.pop_receipt

    def _give_up(self, message: QueueMessage) -> None:
        if self._poison is None:
            return
        self._log(
            "WARNING",
            f"Message has reached MaxDequeueCount of {self._options.max_dequeue_count}. "
            f"Moving message to queue '{self._poison.queue_name}'.",
        )
        _send(self._poison, message.content or "")
        self._queue.delete_message(message)

    def _log(self, level: str, text: str) -> None:
        self._logs.write(level, f"Host.Queue.{self._function.name}", text)


def _decode(content: str, *, base64_encoded: bool) -> str:
    """Read a message's text.

    Raises:
        binascii.Error: It is not base64.
        UnicodeDecodeError: It is, but not of UTF-8.
    """
    return base64.b64decode(content, validate=True).decode() if base64_encoded else content


def _send(queue: QueueClient, content: str) -> None:
    """Send a new message with the default lifetime of 7 days. Make the queue if needed."""
    try:
        queue.send_message(content)
    except HttpResponseError as error:
        if error.error_code != "QueueNotFound":  # type: ignore[attr-defined]  # storage adds it
            raise
        with contextlib.suppress(ResourceExistsError):
            queue.create_queue()
        queue.send_message(content)


def _trigger_metadata(message: QueueMessage, body: str) -> Iterator[tuple[str, wire.Data]]:
    yield "QueueTrigger", {"string": body}
    yield "Id", {"string": message.id}
    yield "PopReceipt", {"string": message.pop_receipt}
    yield "DequeueCount", {"json": str(message.dequeue_count)}
    for name, time in (
        ("InsertionTime", message.inserted_on),
        ("ExpirationTime", message.expires_on),
        ("NextVisibleTime", message.next_visible_on),
    ):
        if isinstance(time, datetime):
            yield name, {"json": f'"{time.isoformat()}"'}


def _name(error: Exception) -> str:
    """Give an error's type without its text, which differs each time and may hold an address."""
    return str(getattr(error, "error_code", None) or type(error).__name__)
