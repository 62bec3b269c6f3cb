"""Azurite starts on a free port, answers, and ends with the process that started it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.queue import QueueServiceClient

from dev.azurite import Azurite, AzuriteError
from dev.stand_ins.certificates import make_certificates

PROJECT = Path(__file__).resolve().parents[2]


def queue_names(connection_string: str, **options: str) -> list[str]:
    """List a queue service's queues."""
    client = QueueServiceClient.from_connection_string(connection_string, **options)
    with client:
        return [queue.name for queue in client.list_queues()]


def test_two_run_side_by_side_and_share_no_data(tmp_path: Path) -> None:
    """Each has its own port, its own key and its own queues."""
    with Azurite(folder=tmp_path / "one") as one, Azurite(folder=tmp_path / "two") as two:
        with QueueServiceClient.from_connection_string(one.connection_string) as client:
            client.create_queue("mine")
        stolen = two.connection_string.replace(f":{two.port}/", f":{one.port}/")

        assert queue_names(one.connection_string) == ["mine"]
        assert queue_names(two.connection_string) == []
        with pytest.raises(ClientAuthenticationError):
            queue_names(stolen, retry_total="0")


def test_with_certificates_it_speaks_https(tmp_path: Path) -> None:
    """Its address works as `__queueServiceUri`."""
    tls = make_certificates("localhost", folder=tmp_path)
    with Azurite(folder=tmp_path, tls=tls) as azurite:
        assert azurite.queue_service_uri == f"https://localhost:{azurite.port}/devstoreaccount1"
        assert queue_names(azurite.connection_string, connection_verify=str(tls.ca)) == []


def test_a_failure_to_start_shows_the_log(tmp_path: Path) -> None:
    """Here of a certificate that cannot be read."""
    tls = make_certificates("localhost", folder=tmp_path)
    tls.certificate.unlink()

    with pytest.raises(AzuriteError, match=r"(?s)exit code 1.*no such file.*server\.pem"):
        Azurite(folder=tmp_path, tls=tls).start()


def test_the_error_without_node_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line, without a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AzuriteError, match="Install Node 20 or newer"):
        Azurite(folder=tmp_path).start()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc about processes")
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Its standard input ends, and it exits."""
    code = f"""
import time
from pathlib import Path
from dev.azurite import Azurite
azurite = Azurite(folder=Path({str(tmp_path)!r}))
azurite.start()
print(azurite._process.pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as parent:  # noqa: S603 - our own code
        assert parent.stdout
        process = Path("/proc", parent.stdout.readline().decode().strip())
        assert process.exists()
        parent.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while process.exists() and "(zombie)" not in (process / "status").read_text():
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)
