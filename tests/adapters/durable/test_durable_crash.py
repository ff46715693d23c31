"""Worker processes that are killed: nothing that was queued is lost."""

from __future__ import annotations

import asyncio
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.durable.conftest import wait_until
from runwright.adapters.durable.lease import ExecutorLease, standing
from runwright.adapters.durable.queue import DurableQueue
from runwright.adapters.durable.system import system_address
from runwright.adapters.durable.takeover import Watch, take_over
from runwright.model.errors import Conflict


def enqueue(url: str, *ids: str) -> None:
    """From this process, while the workers are others."""

    async def doing() -> None:
        queue = DurableQueue(url)
        for execution_id in ids:
            await queue.enqueue_execution(execution_id, host_id="h1", priority=1)
        await queue.close()

    asyncio.run(doing())


Start = Callable[[str], object]


def test_a_killed_worker_takes_its_run_up_again_when_it_is_back(
    queue_url: str, start_worker: Start, tmp_path: Path
) -> None:
    first = start_worker("worker-1")
    enqueue(queue_url, "a", "b")
    first.wait_for("begin a")
    first.kill()
    assert "begin b" not in first.lines()
    second = start_worker("worker-1")
    second.wait_for("begin a", times=2)
    (tmp_path / "go").touch()
    second.wait_for("end b")
    runs = [line for line in second.lines() if not line.startswith("ready")]
    assert runs == ["begin a", "begin a", "end a", "begin b", "end b"]


def test_a_dead_workers_run_is_taken_over_by_another(queue_url: str, start_worker: Start, tmp_path: Path) -> None:
    dead = start_worker("worker-1")
    enqueue(queue_url, "a")
    dead.wait_for("begin a")
    dead.kill()
    alive = start_worker("worker-2")
    assert alive.lines().count("begin a") == 1
    assert take_over(queue_url, "worker-1") == 1
    alive.wait_for("begin a", times=2)
    (tmp_path / "go").touch()
    alive.wait_for("end a")
    assert take_over(queue_url, "worker-1") == 0


def test_a_live_worker_keeps_its_executor_id(queue_url: str, start_worker: Start) -> None:
    worker = start_worker("worker-1")
    enqueue(queue_url, "a")
    worker.wait_for("begin a")
    with pytest.raises(Conflict, match="live worker"):
        take_over(queue_url, "worker-1")


@pytest.mark.postgres
def test_a_stopped_worker_is_taken_over_and_ends_when_it_wakes(
    postgres_url: str, start_on: Callable[[str, str], Any], tmp_path: Path
) -> None:
    stopped = start_on(postgres_url, "worker-1")
    enqueue(postgres_url, "a")
    stopped.wait_for("begin a")
    stopped.signal(signal.SIGSTOP)
    alive = start_on(postgres_url, "worker-2")
    watch = Watch(postgres_url, "worker-2", 1.0)
    watch._standstill.after = 1.0  # a lease that is over sooner than in life
    wait_until(lambda: watch.look() == ["worker-1"], "the dead worker noticed", watch.look)
    assert take_over(postgres_url, "worker-1", lease_seconds=1.0) == 1
    alive.wait_for("begin a", times=2)
    stopped.signal(signal.SIGCONT)
    stopped.wait_for("lost worker-1")
    (tmp_path / "go").touch()
    alive.wait_for("end a")
    assert watch.look() == []


@pytest.mark.postgres
def test_a_worker_whose_lock_was_lost_keeps_its_name(postgres_url: str, start_on: Callable[[str, str], Any]) -> None:
    """The database was started again: sessions and their locks are gone, and the worker lives."""
    worker = start_on(postgres_url, "worker-1")
    address = system_address(postgres_url)
    ExecutorLease(address, "worker-1").end_session()
    before = standing(address)["worker-1"]
    wait_until(lambda: standing(address)["worker-1"][1] > before[1], "a sign of life", lambda: standing(address))
    with pytest.raises(Conflict, match="live worker"):
        ExecutorLease(address, "worker-1").take(patience=0.5)
    assert "lost worker-1" not in worker.lines()


def test_the_sqlite_file_is_private_and_logs_ahead(tmp_path: Path) -> None:
    enqueue(f"sqlite:///{tmp_path}/private/queue.db", "a")
    file = tmp_path / "private" / "queue.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes()[18:20] == b"\x02\x02", "write and read version 2 mean WAL"
