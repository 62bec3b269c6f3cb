"""Secrets from Key Vault: when they are read, how long they are cached, and the deadlines."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.stand_ins.faults import NOT_JSON, Drip, Hang, Reset, Status
from dev.stand_ins.key_vault import KeyVault
from dev.stand_ins.stand_in import Fault
from shared.core.deadline import Deadline
from shared.core.errors import SecretsUnavailable
from shared.core.http_client import HttpClient
from shared.identity.key_vault import SecretStore
from shared.identity.managed_identity import ManagedIdentity
from tests.unit.fake_identity import Clock
from tests.unit.vault import VaultWorld, vault_world

NAME = "calcom"


@dataclass(frozen=True)
class Setup:
    """A store over a vault, and the clocks of both."""

    world: VaultWorld
    store: SecretStore
    clock: Clock
    now: Clock

    @property
    def vault(self) -> KeyVault:
        """The vault."""
        return self.world.vault

    def current(self, *, seconds: float = 5) -> tuple[str, ...]:
        """Ask as a webhook does."""
        return self.store.current(NAME, deadline=Deadline(seconds=seconds))

    def newer(self, seen: tuple[str, ...]) -> tuple[str, ...]:
        """Ask again, after a failed signature."""
        return self.store.newer(NAME, seen=seen, deadline=Deadline(seconds=5))


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    """A store that has read nothing yet."""
    with vault_world(tmp_path) as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        transport = HttpClient(pool_size=32, ca_bundle=world.environment["REQUESTS_CA_BUNDLE"])
        clock, now = Clock(0), Clock(time.time())
        store = SecretStore(
            vault_uri=world.vault.url,
            identity=ManagedIdentity(client_id=None, environment=world.environment),
            http=transport,
            clock=clock,
            now=now,
        )
        yield Setup(world, store, clock, now)
        transport.session.close()


def test_the_newest_two_usable_versions_count(setup: Setup) -> None:
    """Enabled, in force and not expired, the newest first."""
    now = int(setup.now())
    setup.vault.set_secret(NAME, "oldest", created=100)
    setup.vault.set_secret(NAME, "old", created=200, not_before=now - 1)
    setup.vault.set_secret(NAME, "disabled", created=300, enabled=False)
    setup.vault.set_secret(NAME, "expired", created=400, expires=now - 1)
    setup.vault.set_secret(NAME, "future", created=500, not_before=now + 60)
    setup.vault.set_secret(NAME, "new", created=600, expires=now + 60)

    assert setup.current() == ("new", "old")


def test_an_expired_version_is_not_used(setup: Setup) -> None:
    """Even while the cached reading is fresh."""
    setup.vault.set_secret(NAME, "old", created=100)
    setup.vault.set_secret(NAME, "new", created=200, expires=int(setup.now()) + 60)
    setup.current()

    setup.now.now += 61

    assert setup.current() == ("old",)
    assert setup.world.reads() == 1


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_or_empty_secret_gives_no_value(setup: Setup, value: str | None) -> None:
    """Then each scheme refuses all requests."""
    if value is not None:
        setup.vault.set_secret(NAME, value)
    assert setup.current() == ()


def test_a_value_is_read_once_in_five_minutes(setup: Setup) -> None:
    """For any number of requests."""
    setup.vault.set_secret(NAME, "old", created=100)
    setup.current()
    setup.vault.set_secret(NAME, "new", created=200)

    setup.clock.now = 299
    assert setup.current() == ("old",)
    setup.clock.now = 300
    assert setup.current() == ("new", "old")
    assert setup.world.reads() == 2


def test_many_threads_cause_one_read(setup: Setup) -> None:
    """On a cold start, and when a value is old. All threads get it."""
    setup.vault.set_secret(NAME, "value")
    for reads, now in ((1, 0), (2, 300)):
        setup.clock.now = now
        barrier = threading.Barrier(32)

        def ask(barrier: threading.Barrier = barrier) -> tuple[str, ...]:
            barrier.wait(10)
            return setup.current()

        with ThreadPoolExecutor(32) as threads:
            answers = [one.result() for one in [threads.submit(ask) for _ in range(32)]]

        assert set(answers) == {("value",)}
        assert setup.world.reads() == reads
    assert setup.world.identity.count() == 1


def test_a_failed_signature_causes_an_early_read(setup: Setup) -> None:
    """At once, although the cached value is fresh."""
    setup.vault.set_secret(NAME, "old", created=100)
    seen = setup.current()
    setup.vault.set_secret(NAME, "new", created=200)

    assert setup.newer(seen) == ("new", "old")
    assert setup.current() == ("new", "old")
    assert setup.world.reads() == 2


def test_failed_signatures_cause_one_read_in_thirty_seconds(setup: Setup) -> None:
    """So that forged requests cannot keep the vault busy."""
    setup.vault.set_secret(NAME, "value")
    seen = setup.current()
    for second in range(61):
        setup.clock.now = second
        assert setup.newer(seen) == ("value",)
    assert setup.world.reads() == 1 + 3


def test_failed_signatures_at_once_cause_one_read_and_all_wait_for_it(setup: Setup) -> None:
    """A booking system that has just changed its secret sends many requests."""
    setup.vault.set_secret(NAME, "old", created=100)
    seen = setup.current()
    setup.vault.set_secret(NAME, "new", created=200)
    barrier = threading.Barrier(8)

    def ask() -> tuple[str, ...]:
        barrier.wait(10)
        return setup.newer(seen)

    with ThreadPoolExecutor(8) as threads:
        answers = [one.result() for one in [threads.submit(ask) for _ in range(8)]]

    assert set(answers) == {("new", "old")}
    assert setup.world.reads() == 2


def test_a_caller_with_an_older_value_gets_the_newer_one_without_a_read(setup: Setup) -> None:
    """Another thread has just read it."""
    setup.vault.set_secret(NAME, "old", created=100)
    seen = setup.current()
    setup.vault.set_secret(NAME, "new", created=200)
    setup.newer(seen)

    assert setup.newer(seen) == ("new", "old")
    assert setup.world.reads() == 2


@pytest.mark.parametrize("fault", [Status(503), Status(403), Reset(), NOT_JSON, Status(429)])
def test_the_last_value_is_used_for_an_hour_while_the_vault_does_not_answer(
    setup: Setup, fault: Fault
) -> None:
    """After that, all webhooks are refused."""
    setup.vault.set_secret(NAME, "value")
    setup.current()
    setup.vault.always(fault)

    setup.clock.now = 3599
    assert setup.current() == ("value",)
    setup.clock.now = 3600
    with pytest.raises(SecretsUnavailable):
        setup.current()
    setup.vault.clear_orders()
    assert setup.current() == ("value",)


def test_a_vault_that_does_not_answer_is_tried_every_thirty_seconds(setup: Setup) -> None:
    """If a value is cached, no caller waits for the vault in between."""
    setup.vault.set_secret(NAME, "value")
    setup.current()
    setup.vault.always(Reset())
    setup.clock.now = 300
    setup.current()
    calls = setup.vault.count()

    setup.clock.now = 329
    setup.current()
    assert setup.vault.count() == calls
    setup.clock.now = 330
    setup.current()
    assert setup.vault.count() > calls


def test_after_a_failed_early_read_the_cached_values_are_used(setup: Setup) -> None:
    """They decide about the signature."""
    setup.vault.set_secret(NAME, "value")
    seen = setup.current()
    setup.vault.always(Status(503))
    assert setup.newer(seen) == ("value",)


@pytest.mark.parametrize("fault", [Hang(), Drip(0.05, part="head")])
def test_a_vault_that_hangs_delays_no_caller_past_its_deadline(setup: Setup, fault: Fault) -> None:
    """Also if it sends single bytes. The next caller starts a new read."""
    setup.vault.set_secret(NAME, "value")
    setup.vault.always(fault)
    began = time.monotonic()

    with pytest.raises(SecretsUnavailable):
        setup.current(seconds=0.3)

    assert time.monotonic() - began < 2
    setup.vault.clear_orders()
    assert setup.current() == ("value",)
    setup.vault.release()


def test_a_read_that_hangs_ends_by_itself(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two tries, so that no thread waits for long. azure-core would wait five minutes."""
    monkeypatch.setattr("shared.identity.key_vault._READ_SECONDS", 0.2)
    setup.vault.set_secret(NAME, "value")
    setup.vault.always(Hang())

    with pytest.raises(SecretsUnavailable):
        setup.current(seconds=20)

    assert setup.vault.count() == 2
    setup.vault.release()


def test_without_a_token_there_is_no_secret(setup: Setup) -> None:
    """For each exception of the credential."""
    setup.vault.set_secret(NAME, "value")
    setup.world.identity.always(Status(400))
    with pytest.raises(SecretsUnavailable):
        setup.current()


def test_no_repr_log_line_or_error_shows_a_value(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets must stay secret."""
    caplog.set_level("DEBUG", "virtual_appointment")
    setup.vault.set_secret(NAME, "canary-value")
    setup.current()
    setup.vault.always(Status(503, message="canary-value"))
    setup.clock.now = 3000
    setup.current()
    setup.clock.now = 4000

    with pytest.raises(SecretsUnavailable) as caught:
        setup.current()

    shown = repr(vars(setup.store)) + repr(setup.store) + str(caught.value) + caplog.text
    assert "The read of a secret failed: HttpResponseError" in caplog.text
    assert "canary" not in shown
