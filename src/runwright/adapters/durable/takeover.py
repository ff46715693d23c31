"""Takes the runs of a dead worker over, for any live worker to go on with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbos import DBOS

from runwright.adapters.durable.lease import BEAT, LEASE, ExecutorLease, standing
from runwright.adapters.durable.system import client, configuration, prepare, system_address
from runwright.adapters.durable.worker import _running
from runwright.model.errors import Conflict, Unavailable

PATIENCE = 30.0

Mark = tuple[str, int]


def take_over(system_url: str, executor_id: str, *, lease_seconds: float = LEASE) -> int:
    """Put the unfinished work of a dead worker back into its queues; how many pieces that were.

    A worker that holds its lease is watched for `lease_seconds`: if it gives no sign of life (it is stopped, hangs,
    or its machine is gone and PostgreSQL has not noticed) its session is ended. Whatever it still does when it
    wakes up is refused by the epoch of its executions, and what it had only intended is buried on the host.

    Launches DBOS for a moment as that worker, listening to nothing: its recovery does the rest. Blocking, and
    only in a process without a worker of its own. Raises Conflict if the worker lives, for its step in flight
    would run twice.
    """
    if _running.handlers is not None:
        raise Conflict("Found a live worker in this process.", next_step="Take over from a process of its own.")
    address = system_address(system_url)
    prepare(address)
    lease = ExecutorLease(address, executor_id)
    try:
        lease.take(patience=1.0)
    except Conflict:
        if not _stands_still(lease, lease_seconds):
            raise
        lease.end_session()
        lease.take(patience=PATIENCE)
    try:
        before = _unfinished(address, executor_id)
        if before:
            _recover(address, executor_id)
        return before
    finally:
        lease.release()


@dataclass
class Standstill:
    """Which workers gave no sign of life for `after` seconds, by this process's own clock and eyes alone.

    No clock of another machine counts. A look that comes late says that this process was stalled itself, or the
    database away, and what happened meanwhile is unknown: everything is watched anew.
    """

    after: float
    every: float
    _since: dict[str, tuple[Mark, float]] = field(default_factory=dict)
    _last: float | None = None

    def look(self, now: float, marks: Mapping[str, Mark]) -> set[str]:
        """`marks` is what `lease.standing` says now; `now` in seconds of a clock that is never set."""
        if self._last is not None and now - self._last > 3 * self.every:
            self._since.clear()
        self._last = now
        self._since = {
            name: (mark, self._since[name][1] if name in self._since and self._since[name][0] == mark else now)
            for name, mark in marks.items()
        }
        return {name for name, (_, since) in self._since.items() if now - since >= self.after}


class Watch:
    """What a live worker does to notice dead ones. Blocking."""

    def __init__(self, system_url: str, own: str, after: float) -> None:
        """`own` is never among those found; `after` in seconds, at least a lease."""
        self._address = system_address(system_url)
        self._own = own
        self.every = min(BEAT, after / 4)
        self._standstill = Standstill(max(after, LEASE), self.every)

    def look(self) -> list[str]:
        """Executors that gave no sign of life long enough and left work unfinished. Raises StorageUnavailable."""
        still = self._standstill.look(time.monotonic(), standing(self._address)) - {self._own}
        return sorted(name for name in still if _unfinished(self._address, name)) if still else []


def _stands_still(lease: ExecutorLease, seconds: float) -> bool:
    """Whether the holder of a lease gives no sign of life for so long. Without a row, its lock is one."""
    first = lease.seen()
    end = time.monotonic() + seconds
    while first is not None and time.monotonic() < end:
        time.sleep(min(BEAT / 4, seconds))
        if lease.seen() != first:
            return False
    return first is not None


def _recover(address: str, executor_id: str) -> None:
    DBOS(config=configuration(address, executor_id))
    try:
        DBOS.listen_queues(["none"])
        DBOS.launch()
        end = time.monotonic() + PATIENCE
        while _unfinished(address, executor_id):
            if time.monotonic() > end:
                raise Unavailable(
                    f"The runs of {executor_id} were not all put back within {PATIENCE:g} s.",
                    next_step="Look at the queue's database, then take over again.",
                )
            time.sleep(0.05)
    finally:
        DBOS.destroy()


def _unfinished(address: str, executor_id: str) -> int:
    looking = client(address)
    try:
        return len(looking.list_workflows(status="PENDING", executor_id=executor_id, load_input=False))
    finally:
        looking.destroy()
