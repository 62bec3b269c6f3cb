"""The local host runs an app in its own worker process, and leaves nothing behind."""

import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from dev.host.errors import HostError
from dev.host.host import Host
from dev.host.logs import LogLine
from tests.integration.sample_host import (
    APP,
    HOST_KEY,
    MASTER_KEY,
    NO_QUEUES,
    eventually,
    make_host,
)

PROJECT = Path(__file__).resolve().parents[2]
HOST_JSON = '{"version": "2.0"}'
TIMER = """
import azure.functions as func
app = func.FunctionApp()
@app.timer_trigger(arg_name="timer", schedule="0 * * * * *")
def tick(timer: func.TimerRequest) -> None: ...
"""
NO_STORAGE = """
import azure.functions as func
app = func.FunctionApp()
@app.queue_trigger(arg_name="msg", queue_name="q", connection="Missing")
def job(msg: func.QueueMessage) -> None: ...
"""


def make_app(folder: Path, code: str, host_json: str = HOST_JSON) -> Path:
    """Write an app of one file."""
    (folder / "function_app.py").write_text(code, encoding="utf-8")
    (folder / "host.json").write_text(host_json, encoding="utf-8")
    return folder


def get(host: Host, path: str) -> requests.Response:
    """Ask the host for something."""
    return requests.get(f"{host.url}/api/{path}", timeout=20)


def is_running(pid: int) -> bool:
    """Tell whether a process is there and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def lines_of(host: Host, logger: str) -> list[LogLine]:
    """Return what a logger said."""
    return [line for line in host.logs if line.logger == logger]


def test_functions_are_what_the_worker_indexed() -> None:
    """Names, triggers and bindings come from the real worker library."""
    with make_host() as host:
        assert host.functions["locked"].trigger["route"] == "locked"
        assert host.functions["locked"].trigger["authLevel"] == "FUNCTION"
        assert host.functions["work"].trigger_type == "queuetrigger"
        assert host.functions["work"].trigger["queueName"] == "%WORK_QUEUE%"


def test_the_app_sees_its_settings_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the host's environment or folder reaches the app."""
    monkeypatch.setenv("LEAK", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    with make_host({"SOME_SETTING": "some value"}) as host:
        seen = get(host, "environment").json()

    basics = {"PATH", "HOME", "TMPDIR", "LANG", "AzureWebJobsScriptRoot", "LC_CTYPE"}
    given = NO_QUEUES.keys() | {"SOME_SETTING", "FUNCTIONS_WORKER_RUNTIME"}
    assert set(seen["environment"]) <= basics | given
    assert seen["environment"]["SOME_SETTING"] == "some value"
    assert seen["path"][0] == str(APP)
    assert str(PROJECT) not in seen["path"]


def test_log_records_arrive_with_level_logger_text_and_invocation() -> None:
    """As over gRPC: the exception is part of the text, and printed text is a line as well."""
    with make_host() as host:
        invocation = get(host, "talk").text
        eventually(lambda: any(line.message == "complained" for line in host.logs))

    (warning, failure) = lines_of(host, "app.talk")
    assert (warning.level, warning.message) == ("WARNING", "a warning for everyone")
    assert warning.invocation_id == invocation
    assert (failure.level, failure.invocation_id) == ("ERROR", invocation)
    assert failure.message.startswith("a failure")
    assert "ZeroDivisionError: division by zero" in failure.message
    assert [line.message for line in lines_of(host, "Worker.Output")] == ["printed", "complained"]
    assert not any(line.message == "a detail" for line in host.logs)


def test_records_that_belong_to_no_invocation_are_dropped() -> None:
    """As in Microsoft's host and Application Insights."""
    with make_host() as host:
        get(host, "aside")
        logged = [line.message for line in lines_of(host, "app.talk")]

    assert logged == ["logged in the invocation"]


def test_debug_records_arrive_where_they_are_asked_for() -> None:
    """PYTHON_ENABLE_DEBUG_LOGGING=1 lowers the root logger's level."""
    with make_host({"PYTHON_ENABLE_DEBUG_LOGGING": "1"}) as host:
        get(host, "talk")
        found = [line for line in host.logs if line.message == "a detail"]

    assert found[0].level == "DEBUG"


def test_lines_are_handed_on_as_they_come() -> None:
    """`on_log` sees what `logs` keeps."""
    seen: list[LogLine] = []
    with make_host(on_log=seen.append) as host:
        get(host, "talk")

    assert seen == host.logs


def test_keys_are_in_no_line_and_no_repr() -> None:
    """A log may be shown to anybody."""
    with make_host() as host:
        requests.get(f"{host.url}/api/locked?code={HOST_KEY}", timeout=10)
        text = "\n".join(map(str, host.logs)) + repr(host) + repr(vars(host)["_keys"])

    assert "Functions.locked" in text
    assert HOST_KEY not in text
    assert MASTER_KEY not in text


def test_a_log_listener_that_raises_does_not_stop_the_host() -> None:
    """A closed terminal raises at each line."""

    def gone(_: LogLine) -> None:
        raise BrokenPipeError

    with make_host(on_log=gone) as host:
        assert get(host, "items/7").json() == {"item": "7"}


@pytest.mark.parametrize(
    ("code", "host_json", "said"),
    [
        ("raise RuntimeError('broken app')", HOST_JSON, "broken app"),
        ("import nothing_like_it", HOST_JSON, "nothing_like_it"),
        ("import os; os._exit(7)", HOST_JSON, "exit code 7"),
        ("app = None", HOST_JSON, "Could not find top level function app"),
        ("", "{", "host.json cannot be read"),
        ("", '{"extensions": {"queues": {"batchSize": 33}}}', "batchSize is between 1 and 32"),
        ("", '{"extensions": {"queues": {"visibilityTimeout": "soon"}}}', "'soon'"),
        (TIMER, HOST_JSON, "timerTrigger"),
        (NO_STORAGE, HOST_JSON, "Missing__queueServiceUri"),
    ],
)
def test_an_app_that_cannot_run_says_why(
    tmp_path: Path, code: str, host_json: str, said: str
) -> None:
    """The error names the cause, and nothing is left running."""
    host = make_host(app=make_app(tmp_path, code, host_json))
    before = threading.active_count()

    with pytest.raises(HostError, match=re.escape(said)):
        host.start()

    assert host.url == ""
    assert threading.active_count() == before


def test_an_app_that_does_not_load_in_time_is_ended(tmp_path: Path) -> None:
    """Even if an import hangs."""
    app = make_app(tmp_path, "import time; time.sleep(60)")
    before = threading.active_count()

    with pytest.raises(HostError, match=r"did not load the app within 0\.5 seconds"):
        make_host(app=app, start_limit=0.5).start()

    assert threading.active_count() == before


def test_a_port_that_is_taken_is_an_error() -> None:
    """Two hosts run side by side, but not on one port."""
    with make_host() as first, make_host() as second:
        assert first.url != second.url
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(HostError, match=f"cannot listen on 127.0.0.1:{port}"):
            make_host(port=port).start()


def test_a_killed_worker_fails_its_invocations_and_is_replaced() -> None:
    """Later invocations wait for the new worker."""
    with make_host() as host, ThreadPoolExecutor(1) as thread:
        first = host.worker_pid
        waiting = thread.submit(get, host, "wait")
        eventually(lambda: any(line.message == "waiting" for line in host.logs))

        host.kill_worker()
        assert host.worker_pid != first
        after = get(host, "items/7")

        assert waiting.result().status_code == 500
        assert after.json() == {"item": "7"}
        assert host.worker_pid not in {None, first}
    assert any("exit code -9" in line.message for line in lines_of(host, "Host.Worker"))


def test_a_stop_lets_functions_finish_and_leaves_nothing() -> None:
    """A running request gets its response. No process, thread or port is left."""
    before = threading.active_count()
    host = make_host()
    host.start()
    pid = host.worker_pid or 0
    session = requests.Session()
    session.get(f"{host.url}/api/items/7", timeout=10)
    with ThreadPoolExecutor(2) as threads, session:
        slow = threads.submit(get, host, "nap/0.5")
        eventually(lambda: any("'Functions.nap'" in line.message for line in host.logs))

        host.stop()

        assert slow.result().text == "rested"
        with pytest.raises(requests.ConnectionError):
            session.get(f"{host.url}/api/items/7", timeout=10)
    assert not is_running(pid)
    assert threading.active_count() == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_the_worker_ends_when_its_host_is_killed() -> None:
    """Nothing has to be cleaned up after a host that had no time to."""
    code = f"""
import time
from pathlib import Path
from dev.host.host import Host
host = Host(
    app=Path({str(APP)!r}), environment={NO_QUEUES!r}, function_key="f", master_key="m"
)
host.start()
print(host.worker_pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own code
        assert process.stdout
        worker = int(process.stdout.readline())
        assert is_running(worker)
        process.send_signal(signal.SIGKILL)

    eventually(lambda: not is_running(worker))
