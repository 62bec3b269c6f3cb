"""The Functions host: an app in the real Python worker, behind HTTP and storage queues.

Only Azure has these: scale, cold start, time limits of functions, Application
Insights, the extension bundle, App Service Authentication.
"""

import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from dev.host.configuration import HostConfiguration, resolve_names
from dev.host.dispatcher import Dispatcher
from dev.host.errors import HostError
from dev.host.functions import QUEUE_TRIGGER, Function, check_bindings
from dev.host.http_server import HttpServer
from dev.host.http_trigger import AccessKeys, HttpTriggers
from dev.host.logs import LogLine, Logs
from dev.host.queue_trigger import QueueListener
from dev.host.routes import RouteTable
from dev.host.storage import queue_service
from dev.host.worker_process import WorkerProcess

START_LIMIT = 30.0  # seconds; as in Azure
GRACE = 5.0  # seconds that running functions have when the host stops


class Host:
    """Runs one app on a loopback port until it is stopped. A context manager.

    Several may run in one process. Each has its own worker process.

    Args:
        app: The folder with function_app.py and host.json.
        environment: The app settings. The app sees only these and some variables such as
            PATH and HOME.
        port: The port on 127.0.0.1, or 0 for a free port.
        lease: How long a queue message is hidden while its function runs, in seconds.
        function_key: The host's key for functions of level `function`.
        master_key: The key for all functions.
        function_keys: Keys of single functions, by name.
        on_log: Called with each log line, in many threads.
        start_limit: How many seconds the worker may take to load the app.
        python: The worker's interpreter, with the app's packages and the worker's library.

    Attributes:
        url: `http://127.0.0.1:PORT`, once started.
        functions: The app's functions, once started, with disabled ones.
    """

    def __init__(
        self,
        *,
        app: Path,
        environment: Mapping[str, str],
        port: int = 0,
        lease: float = 600.0,
        function_key: str,
        master_key: str,
        function_keys: Mapping[str, str] | None = None,
        on_log: Callable[[LogLine], None] | None = None,
        start_limit: float = START_LIMIT,
        python: str = sys.executable,
    ) -> None:
        self._python = python
        self._app = app.resolve()
        self._settings = dict(environment)
        self._port = port
        self._lease = lease
        self._keys = AccessKeys(
            master=master_key, host=function_key, functions=dict(function_keys or {})
        )
        self._logs = Logs(on_line=on_log)
        self._dispatcher = Dispatcher(launch=self._launch, logs=self._logs, start_limit=start_limit)
        self._running = ExitStack()
        self.url = ""
        self.functions: Mapping[str, Function] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def logs(self) -> list[LogLine]:
        """The last lines of the worker and of the host, oldest first."""
        return self._logs.lines()

    @property
    def worker_pid(self) -> int | None:
        """The process id of the worker, or None while a new one starts."""
        return self._dispatcher.worker_pid

    def start(self) -> None:
        """Start the worker, then HTTP, then the queue listeners.

        Raises:
            HostError: A part could not be started. Nothing is left running.
        """
        with ExitStack() as parts:
            configuration = HostConfiguration.read(app=self._app, settings=self._settings)
            parts.callback(self._dispatcher.stop)
            self.functions = self._dispatcher.start()
            check_bindings(self.functions)
            enabled = [
                function
                for function in self.functions.values()
                if not function.is_disabled(self._settings)
            ]
            server = self._http_server(enabled, configuration)
            parts.callback(server.close)
            listeners = [
                self._listener(function, configuration, parts)
                for function in enabled
                if function.trigger_type == QUEUE_TRIGGER
            ]
            parts.callback(self._drain, server, listeners)
            server.start()
            for listener in listeners:
                listener.start()
            self.url = f"http://127.0.0.1:{server.port}"
            self._running = parts.pop_all()

    def stop(self) -> None:
        """Accept nothing new, give functions a few seconds to finish, and end the worker.

        A function that still runs fails: HTTP with 500. A queue message returns after its lease.
        """
        self._running.close()

    def kill_worker(self) -> None:
        """Kill the worker process. Its invocations fail, and another worker is started."""
        self._dispatcher.kill_worker()

    def _launch(self) -> WorkerProcess:
        return WorkerProcess(
            app=self._app, settings=self._settings, logs=self._logs, python=self._python
        )

    def _http_server(
        self, functions: list[Function], configuration: HostConfiguration
    ) -> HttpServer:
        routes = RouteTable(functions=functions, prefix=configuration.route_prefix)
        triggers = HttpTriggers(
            routes=routes, keys=self._keys, dispatcher=self._dispatcher, logs=self._logs
        )
        try:
            return HttpServer(port=self._port, respond=triggers.respond, on_error=self._fault)
        except OSError as error:
            raise HostError(
                f"The host cannot listen on 127.0.0.1:{self._port} ({error.strerror}). "
                "Another program may use it. Choose another port, or 0 for a free one."
            ) from error

    def _listener(
        self, function: Function, configuration: HostConfiguration, parts: ExitStack
    ) -> QueueListener:
        binding = function.trigger
        service = queue_service(binding.get("connection") or "AzureWebJobsStorage", self._settings)
        parts.callback(service.close)
        listener = QueueListener(
            function=function,
            service=service,
            queue=resolve_names(binding["queueName"], self._settings),
            options=configuration.queues,
            lease=self._lease,
            dispatcher=self._dispatcher,
            logs=self._logs,
        )
        parts.callback(listener.close)
        return listener

    def _drain(self, server: HttpServer, listeners: list[QueueListener]) -> None:
        server.stop_accepting()
        for listener in listeners:
            listener.stop_polling()
        self._dispatcher.wait_idle(GRACE)
        self._dispatcher.stop()

    def _fault(self, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))
        self._logs.write("ERROR", "Host.Http", f"An error of the host itself:\n{text}")
