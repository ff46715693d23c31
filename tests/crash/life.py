"""One life of a worker: it starts, ends what an earlier life left, takes a new run, and is killed in it."""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crash.houses import LIBRARIAN, incident_of, settings_of
from runwright.execution.kill_points import KillPoint, install
from runwright.loop import LoopWorker
from runwright.model.executions import Execution
from runwright.model.incidents import IncidentStatus
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.wiring import open_worker
from runwright.verification.verify import verify

HEARTBEAT = 10.0
"""Seconds after a worker is back within which it has taken up every run that it finds: as long as a lease lasts."""
PATIENCE = 90.0
UNSETTLED = (IncidentStatus.QUEUED, IncidentStatus.RUNNING)
MARK = 160
HOLD = 0.3
"""Seconds that a verifier's finding must hold here; how long it is elsewhere changes nothing for what is tested."""


@dataclass(frozen=True)
class Order:
    """What one life is to do and where it is to die. Its `name` says all of it."""

    book: str
    point: str = ""
    """A kill point; empty: no kill, or one after `delay`."""
    place: str = ""
    nth: int = 1
    delay: float | None = None
    """Seconds after the worker took the run out of the queue."""
    recovery: bool = False
    """The run to be killed is the one that the life before left."""
    number: int = 0
    cell: str = ""
    run: bool = True
    """Whether a new run is reported."""
    open_runs: tuple[str, ...] = ()
    """Runs that earlier workers died in and that nobody has judged."""

    @property
    def name(self) -> str:
        where = f"+{self.delay:.3f}s" if self.delay is not None else f"{self.point}@{self.place}:{self.nth}"
        return f"{self.cell}/{self.book}/{where}{'/recovery' if self.recovery else ''}"


@dataclass
class Seen:
    """What a life found of one run that an earlier one left, once it was over."""

    execution_id: str
    run: str
    status: str
    seconds: float
    """From the moment at which the worker took work to the end of the run."""
    incident: str
    result: dict[str, Any] | None = None
    journal: list[dict[str, Any]] = field(default_factory=list)
    taken_up: float | None = None
    """Seconds until a worker had it again; None: none had."""


class LastPlace:
    """Where a process was last, readable after its death."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MARK)

    def write(self, text: str) -> None:
        self._memory[:MARK] = text.encode()[:MARK].ljust(MARK, b"\0")

    def read(self) -> str:
        return self._memory[:MARK].rstrip(b"\0").decode()


class Killer:
    """The hook that ends this process where it was ordered."""

    def __init__(self, order: Order, last: LastPlace) -> None:
        self._order, self._last = order, last
        self.trace: list[tuple[str, str]] = []
        """Every place that the run passed."""
        self._left = order.nth
        self._target: str | None = None
        self._armed = order.recovery
        self._timing = False
        self.claimed: dict[str, float] = {}
        """When this process took up each execution."""

    def __call__(self, point: KillPoint, execution_id: str, place: str) -> None:
        order = self._order
        if point is KillPoint.BEFORE_CLAIM:
            self.claimed.setdefault(execution_id, time.monotonic())
        if point is KillPoint.AFTER_REPORT:
            self._target, self._armed = execution_id, True
        if not self._armed or (self._target is not None and execution_id != self._target):
            return
        self._last.write(f"{point.value} {place}")
        self.trace.append((point.value, place))
        if order.delay is not None and point is KillPoint.BEFORE_CLAIM and not self._timing:
            self._timing = True
            threading.Thread(target=self._later, args=(order.delay,), daemon=True).start()
        if point.value == order.point and place == order.place:
            self._left -= 1
            if self._left == 0:
                _die()

    @staticmethod
    def _later(delay: float) -> None:
        time.sleep(delay)
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Home:
    """The world that a life works in."""

    directory: Path
    url: str | None
    log: str
    """The log's path on the host."""


def live(home: Home, order: Order, last: LastPlace, answers: Path) -> None:
    """The whole life, in a process of its own. Writes what it found to `answers` before it begins its own run."""
    logging.basicConfig(filename=str(home.directory / "worker.log"), level=logging.WARNING)
    logging.raiseExceptions = False
    killer = Killer(order, last)
    install(killer)
    verify.__kwdefaults__["hold"] = HOLD
    asyncio.run(_live(home, order, answers, killer))


async def _live(home: Home, order: Order, answers: Path, killer: Killer) -> None:
    begun = time.monotonic()
    async with open_worker(settings_of(home.directory, home.url)) as (worker, loop):
        await worker.start()
        took = time.monotonic()
        await loop.sweep()
        seen = await _await_all(loop, took, order.open_runs, killer)
        _write(answers, {"start": took - begun, "seen": [asdict(one) for one in seen]})
        if order.run:
            await loop.report_incident(LIBRARIAN, incident_of(order.book, f"r{order.number}", home.log))
            await _await_all(loop, took, (f"r{order.number}",), killer)
            _write(answers, {"start": took - begun, "seen": [asdict(one) for one in seen], "trace": killer.trace})
        await worker.stop()


async def _await_all(loop: LoopWorker, since: float, runs: Sequence[str], killer: Killer) -> list[Seen]:
    """Wait until these runs are over and nothing else is unfinished; what came of each."""
    waiting = [execution.id for execution in await _found(loop, runs)]
    done: list[Seen] = []
    end = time.monotonic() + PATIENCE
    while waiting:
        async with loop.store.reading() as tx:
            execution = await tx.executions.get(waiting[0], client=EVERY_CLIENT)
            incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
        over = execution.status.final and incident.status not in UNSETTLED
        if over or time.monotonic() > end:
            seen = await look(loop, waiting.pop(0), since)
            claimed = killer.claimed.get(seen.execution_id)
            seen.taken_up = claimed - since if claimed is not None else 0.0 if over else None
            done.append(seen)
        else:
            await asyncio.sleep(0.1)
    return done


async def _found(loop: LoopWorker, runs: Sequence[str]) -> list[Execution]:
    """The executions of these runs, and whatever else is unfinished or not settled."""
    async with loop.store.reading() as tx:
        newest = await tx.executions.page(client=EVERY_CLIENT, limit=20)
        found = []
        for execution in newest.items:
            incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
            if str(incident.subject["run"]) in runs or not execution.status.final or incident.status in UNSETTLED:
                found.append(execution)
    return found


async def look(loop: LoopWorker, execution_id: str, since: float) -> Seen:
    """All that the records say of an execution."""
    async with loop.store.reading() as tx:
        execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
        incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
        result = await tx.executions.result(execution_id, client=EVERY_CLIENT)
        entries = await tx.journal.entries(execution_id)
    return Seen(
        execution_id,
        str(incident.subject["run"]),
        execution.status.value,
        time.monotonic() - since,
        incident.status.value,
        None if result is None else result.model_dump(mode="json"),
        [entry.model_dump(mode="json") for entry in entries],
    )


def _write(path: Path, answer: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(answer))
    fresh.replace(path)
