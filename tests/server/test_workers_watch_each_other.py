"""Two real workers on one PostgreSQL: the one that is killed is taken over by the other, by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crash.houses import BOOKS, LIBRARIAN, certify, incident_of, set_up, settings_of
from crash.judge import judge, lines_of
from crash.life import Seen
from runwright.model.hosts import LocalConnection
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.wiring import open_services
from support.postgres_server import postgres_url

__all__ = ["postgres_url"]


@contextmanager
def worker(directory: Path, url: str, name: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `runwright worker` that takes work, ended whatever happens. What it says is in `NAME.log`."""
    environment = {
        **os.environ,
        "RUNWRIGHT_DATA_DIR": str(directory / "data"),
        "RUNWRIGHT_DATABASE_URL": url,
        "RUNWRIGHT_EXECUTOR_ID": name,
        "RUNWRIGHT_LAB": "false",
        **more,
    }
    with (directory / f"{name}.log").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "runwright", "worker", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), (directory / f"{name}.log").read_text()
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
        process.stdout.close()


def until(what: Callable[[], bool], seconds: float) -> float:
    """Wait for something that another process does; how long that took."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < seconds, "it never came true"
        time.sleep(0.1)
    return time.monotonic() - begun


@pytest.mark.postgres
def test_a_killed_worker_is_taken_over_by_a_live_one_by_itself(tmp_path: Path, postgres_url: str) -> None:
    log = tmp_path / "host.log"
    certify(log)
    set_up(tmp_path, postgres_url, LocalConnection())

    async def report() -> str:
        async with open_services(settings_of(tmp_path, postgres_url)) as services:
            incident = await services.loop.report_incident(LIBRARIAN, incident_of("heals", "r1", str(log)))
            async with services.store.reading() as tx:
                page = await tx.executions.page(client=EVERY_CLIENT, where={"incident_id": incident.id}, limit=1)
            return page.items[0].id

    async def seen(execution_id: str) -> Seen:
        async with open_services(settings_of(tmp_path, postgres_url)) as services, services.store.reading() as tx:
            execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
            incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
            entries = await tx.journal.entries(execution_id)
        journal = [entry.model_dump(mode="json") for entry in entries]
        return Seen(execution_id, "r1", execution.status.value, 0.0, incident.status.value, {}, journal, 0.0)

    def lines() -> int:
        return len(log.read_text().splitlines()) if log.exists() else 0

    with worker(tmp_path, postgres_url, "gone") as gone:
        execution_id = asyncio.run(report())
        until(lambda: lines() > 0, 30)
        gone.send_signal(signal.SIGKILL)
        gone.wait(10)
    with worker(tmp_path, postgres_url, "stays", RUNWRIGHT_TAKE_OVER_AFTER="10"):
        ready = lines()
        waited = until(lambda: lines() > ready + 2, 60)
        assert waited > 7, "nobody touches a run before its worker counts as dead"
        until(lambda: asyncio.run(seen(execution_id)).incident == "resolved", 60)
    found = asyncio.run(seen(execution_id))
    faults = judge(BOOKS["heals"], found, lines_of(log.read_text()), 1.0)
    assert not faults.any, faults.sentences
    assert "gives no sign of life" in (tmp_path / "stays.log").read_text()
