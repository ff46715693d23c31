"""A worker that is stopped in the middle of a run, taken over, and wakes up.

    python -m crash.stalled

It must start nothing any more: what it intended and had not begun was buried on the host, what it asks the gate or
tells the journal is refused, and it ends as soon as it sees that another holds its name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crash.houses import BOOKS, EXECUTOR, LIBRARIAN, certify, incident_of, set_up, settings_of
from crash.judge import Faults, judge, lines_of
from crash.life import UNSETTLED, Seen, look
from crash.sweep import finished, in_child, preload, say
from runwright.adapters.durable.takeover import take_over
from runwright.execution.kill_points import KillPoint, install
from runwright.model.hosts import LocalConnection
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.wiring import open_worker
from support.postgres_server import PostgresServer

MOMENTS = (
    (KillPoint.BEFORE_INTENT, "steps:safe"),
    (KillPoint.AFTER_INTENT, "steps:once"),
    (KillPoint.AFTER_INTENT, "steps:safe"),
    (KillPoint.AFTER_START, "steps:once"),
    (KillPoint.BEFORE_OUTCOME, "steps:safe"),
)
LEASE_SECONDS = 1.0
"""As a lease is in this test: how long the stopped worker is watched before its session is ended."""
PATIENCE = 60.0
LATE = 1.5
"""Seconds in which a worker that woke up could do something on the host."""


def _fork(work: Callable[[], Any]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def _stop_at(point: KillPoint, place: str) -> None:
    def hook(here: KillPoint, _: str, where: str) -> None:
        if (here, where) == (point, place):
            install(None)
            os.kill(os.getpid(), signal.SIGSTOP)

    install(hook)


async def _first(directory: Path, url: str, log: str) -> None:
    """Report a run, work on it until stopped, and end when another has it."""
    async with open_worker(settings_of(directory, url)) as (worker, loop):
        await worker.start()
        await loop.report_incident(LIBRARIAN, incident_of("heals", "r1", log))
        await worker.lost.wait()
        os._exit(0)


async def _second(directory: Path, url: str, answer: Path) -> None:
    """Another worker, which goes on with what is put back."""
    async with open_worker(settings_of(directory, url, "crash-2")) as (worker, loop):
        await worker.start()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            async with loop.store.reading() as tx:
                (execution,) = (await tx.executions.page(client=EVERY_CLIENT, limit=1)).items
                incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
            if execution.status.final and incident.status not in UNSETTLED:
                break
            await asyncio.sleep(0.05)
        seen = await look(loop, execution.id, 0.0)
        answer.write_text(json.dumps(asdict(dataclasses.replace(seen, taken_up=0.0, seconds=0.0))))
        await worker.stop()


def stall(point: KillPoint, place: str, directory: Path, url: str) -> dict[str, Any]:
    """One worker stopped there, another that takes over; what was wrong with that."""
    log, answer = directory / "host.log", directory / "seen.json"
    certify(log)
    set_up(directory, url, LocalConnection())
    logging.basicConfig(filename=str(directory / "worker.log"), level=logging.WARNING)

    def first() -> None:
        _stop_at(point, place)
        asyncio.run(_first(directory, url, str(log)))

    stalled = _fork(first)
    _, status = os.waitpid(stalled, os.WUNTRACED)
    faults = Faults()
    if not os.WIFSTOPPED(status):
        raise RuntimeError(f"the worker was not stopped but ended with {status}; see {directory}/worker.log")
    taking = _fork(lambda: take_over(url, EXECUTOR, lease_seconds=LEASE_SECONDS))
    if os.waitpid(taking, 0)[1]:
        raise RuntimeError("it was not taken over")
    os.waitpid(_fork(lambda: asyncio.run(_second(directory, url, answer))), 0)
    seen = Seen(**json.loads(answer.read_text()))
    before = log.read_text() if log.exists() else ""
    os.kill(stalled, signal.SIGCONT)
    time.sleep(LATE)
    os.kill(stalled, signal.SIGCONT)
    end = time.monotonic() + PATIENCE
    while os.waitpid(stalled, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(stalled, signal.SIGKILL)
            faults.stuck_executions += 1
            faults.sentences.append("the stalled worker did not end")
        time.sleep(0.05)
    after = log.read_text() if log.exists() else ""
    if after != before:
        faults.doubled_steps += 1
        faults.sentences.append(f"the stalled worker did something on the host: {after[len(before) :]!r}")
    faults.add(judge(BOOKS["heals"], seen, lines_of(after), 1.0))
    return {"name": f"{point.value} {place}", "status": seen.status, "faults": asdict(faults)}


def main() -> int:
    preload()
    root = Path(tempfile.mkdtemp(prefix="runwright-stalled-"))
    server = PostgresServer()
    try:
        server.start()
        at_work = {}
        for number, (point, place) in enumerate(MOMENTS):
            directory = root / str(number)
            directory.mkdir()
            work = functools.partial(stall, point, place, directory, server.url(server.create_database()))
            at_work[in_child(work, directory / "report.json")] = directory / "report.json"
        results = finished(at_work)
    finally:
        server.remove()
        shutil.rmtree(root, ignore_errors=True)
    wrong = 0
    for one in sorted(results, key=lambda one: str(one["name"])):
        sentences = one["faults"].pop("sentences")
        wrong += sum(one["faults"].values())
        say(f"stalled {one['name']:32} {one['status']:12} {one['faults']}", *sentences)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
