"""A database that goes away for ten seconds, and a disk that is full for as long, in the middle of runs.

    unshare -m python -m crash.outages [postgres-stopped postgres-frozen sqlite-locked disk-full] [--seconds 10]

One worker works through all of it and is never started again: its runs go on afterwards or end honestly, nothing is
done twice or without intent, and a run that is reported then goes as if nothing had been. `unshare -m` keeps the
small file system of `disk-full` to this program.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from crash.houses import BOOKS, LIBRARIAN, certify, incident_of, set_up, settings_of
from crash.judge import Faults, judge, lines_of
from crash.life import UNSETTLED, Home, Seen, look
from crash.sweep import finished, in_child, preload, say
from runwright.loop import LoopWorker
from runwright.model.errors import NotFound, StorageUnavailable
from runwright.model.hosts import LocalConnection
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.run import sweep_until
from runwright.surfaces.wiring import open_worker
from support.postgres_server import PostgresServer

T = TypeVar("T")

BEFORE = 1.0
"""Seconds of undisturbed work before."""
PATIENCE = 90.0
MORE = 16
"""Lines on the host afterwards: what was under way, and something of a new run."""
ROOM = "40m"
LONGEST_AFTER = 45.0
"""Seconds after which, the database back, what was under way must be over: a sweep, and the longest wait of a retry."""


async def _insist(work: Callable[[], Awaitable[T]]) -> T:
    """What the one who watches does while the database is away: ask again."""
    while True:
        try:
            return await work()
        except StorageUnavailable:
            await asyncio.sleep(0.2)


async def _worker(home: Home, stop: Path, answers: Path) -> None:
    """Work on one run after another on each host until told to stop, then tell how each ended."""
    async with open_worker(settings_of(home.directory, home.url)) as (worker, loop):
        await worker.start()
        ending = asyncio.Event()
        sweeping = asyncio.ensure_future(sweep_until(loop.sweep, ending))
        reported = await asyncio.gather(*(_one_after_another(loop, book, home.log, stop) for book in BOOKS))
        seen = [await _insist(functools.partial(look, loop, one, 0.0)) for runs in reported for one in runs]
        answers.write_text(json.dumps([asdict(one) for one in seen]))
        ending.set()
        await sweeping
        await worker.stop()


async def _one_after_another(loop: LoopWorker, book: str, log: str, stop: Path) -> list[str]:
    found: list[str] = []
    while not stop.exists():
        run = f"{book}-{len(found)}"
        incident = None
        while incident is None:
            with contextlib.suppress(StorageUnavailable):
                incident = await loop.report_incident(LIBRARIAN, incident_of(book, run, log))
            incident = incident or await _insist(functools.partial(_reported, loop, run))
        found.append(await _insist(functools.partial(_over, loop, incident.id)))
    return found


async def _reported(loop: LoopWorker, run: str) -> Any:
    """The incident, where the answer was lost and the report was not."""
    async with loop.store.reading() as tx:
        page = await tx.incidents.page(client=EVERY_CLIENT, limit=10)
    return next((one for one in page.items if one.subject.get("run") == run), None)


async def _over(loop: LoopWorker, incident_id: str) -> str:
    """The execution of an incident, once both are over or too much time has passed."""
    end = time.monotonic() + PATIENCE
    while True:
        async with loop.store.reading() as tx:
            incident = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
            page = await tx.executions.page(client=EVERY_CLIENT, where={"incident_id": incident_id}, limit=1)
        if not page.items:
            raise NotFound(f"Found no execution of {incident_id}.")
        execution = page.items[0]
        if (execution.status.final and incident.status not in UNSETTLED) or time.monotonic() > end:
            return execution.id
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def postgres_stopped(_: Path, server: PostgresServer) -> Iterator[None]:
    server.stop("immediate")
    yield
    server.start()


@contextlib.contextmanager
def postgres_frozen(_: Path, server: PostgresServer) -> Iterator[None]:
    """Connections stay, and nobody answers on them."""
    leader = int((server.data / "postmaster.pid").read_text().split()[0])
    members = [leader, *_children(leader)]
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in members:
        os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def sqlite_locked(data: Path, _: object) -> Iterator[None]:
    """Another process writes to both databases and does not come to an end."""
    with contextlib.ExitStack() as stack:
        for name in ("runwright.db", "durable.db"):
            connection = stack.enter_context(
                contextlib.closing(sqlite3.connect(data / name, timeout=30, isolation_level=None))
            )
            connection.execute("BEGIN EXCLUSIVE")
            stack.callback(connection.execute, "ROLLBACK")
        yield


@contextlib.contextmanager
def disk_full(data: Path, _: object) -> Iterator[None]:
    """All room taken, and taken again whenever some is freed."""
    ballast = data / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    yield
    ballast.unlink()


OUTAGES: dict[str, Callable[[Path, Any], contextlib.AbstractContextManager[None]]] = {
    "postgres-stopped": postgres_stopped,
    "postgres-frozen": postgres_frozen,
    "sqlite-locked": sqlite_locked,
    "disk-full": disk_full,
}


def suffer(name: str, directory: Path, seconds: float) -> dict[str, Any]:
    """One worker through one outage. Its faults, and how long it took to come back."""
    data = directory / "data"
    data.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        server = None
        if name == "disk-full":
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(data)], check=True)
            stack.callback(subprocess.run, ["umount", "-l", str(data)], check=True)
        if name.startswith("postgres"):
            server = PostgresServer(settings=("fsync=on", "synchronous_commit=on", "full_page_writes=on"))
            stack.callback(server.remove)
            server.start()
        url = None if server is None else server.url(server.create_database())
        log = directory / "host.log"
        certify(log)
        set_up(directory, url, LocalConnection())
        home = Home(directory, url, str(log))
        stop, answers = directory / "stop", directory / "answers.json"
        worker = os.fork()
        if worker == 0:
            _live(home, stop, answers)
        return _outage(name, home, seconds, worker, server)


def _live(home: Home, stop: Path, answers: Path) -> None:
    status = 1
    try:
        logging.basicConfig(filename=str(home.directory / "worker.log"), level=logging.WARNING)
        asyncio.run(_worker(home, stop, answers))
        status = 0
    finally:
        os._exit(status)


def _outage(name: str, home: Home, seconds: float, worker: int, server: PostgresServer | None) -> dict[str, Any]:
    log = Path(home.log)
    _until(lambda: log.exists() and len(lines_of(log.read_text())) > 4, PATIENCE)
    time.sleep(BEFORE)
    before = len(lines_of(log.read_text()))
    with OUTAGES[name](home.directory / "data", server):
        time.sleep(seconds)
        during = len(lines_of(log.read_text())) - before
    back = time.monotonic()
    _until(lambda: len(lines_of(log.read_text())) > before + during, PATIENCE)
    again = time.monotonic() - back
    _until(lambda: len(lines_of(log.read_text())) > before + during + MORE, PATIENCE)
    (home.directory / "stop").touch()
    pid, status = os.waitpid(worker, 0)
    faults = Faults()
    answers = home.directory / "answers.json"
    if status or pid != worker or not answers.exists():
        faults.stuck_executions += 1
        faults.sentences.append(f"the worker ended with {status}")
        return {"name": name, "runs": 0, "statuses": {}, "during": during, "again": again, "faults": asdict(faults)}
    seen = [Seen(**one) for one in json.loads(answers.read_text())]
    lines = lines_of(log.read_text())
    for one in seen:
        one.taken_up = one.seconds = 0.0
        faults.add(judge(BOOKS[one.run.partition("-")[0]], one, lines, 1.0))
    if again > LONGEST_AFTER:
        faults.stuck_executions += 1
        faults.sentences.append(f"work went on only {again:.0f} s after")
    statuses = {status: sum(one.status == status for one in seen) for status in {one.status for one in seen}}
    return {
        "name": name,
        "runs": len(seen),
        "statuses": statuses,
        "during": during,
        "again": again,
        "faults": asdict(faults),
    }


def _until(what: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outages", nargs="*", default=list(OUTAGES))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    preload()
    root = Path(tempfile.mkdtemp(prefix="runwright-outage-"))
    try:
        at_work = {}
        for name in options.outages:
            (root / name).mkdir()
            result = root / name / "report.json"
            at_work[in_child(functools.partial(suffer, name, root / name, options.seconds), result)] = result
        results = finished(at_work)
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)
    wrong = 0
    for one in sorted(results, key=lambda one: str(one["name"])):
        sentences = one["faults"].pop("sentences")
        wrong += sum(one["faults"].values())
        say(
            f"{one['name']:18} {one['runs']:3} runs {one['statuses']}; {one['during']} lines while it was away; "
            f"going again after {one['again']:.1f} s; {one['faults']}",
            *sentences,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
