"""Takes the runs of a dead worker over, for any live worker to go on with."""

from __future__ import annotations

import time

from dbos import DBOS

from runwright.adapters.durable.lease import ExecutorLease
from runwright.adapters.durable.system import client, configuration, prepare, system_address
from runwright.adapters.durable.worker import _running
from runwright.model.errors import Conflict, Unavailable

PATIENCE = 30.0


def take_over(system_url: str, executor_id: str) -> int:
    """Put the unfinished work of a dead worker back into its queues; how many pieces that were.

    Launches DBOS for a moment as that worker, listening to nothing: its recovery does the rest. Blocking, and
    only in a process without a worker of its own. Raises Conflict if the worker lives, for its step in flight
    would run twice.
    """
    if _running.handlers is not None:
        raise Conflict("Found a live worker in this process.", next_step="Take over from a process of its own.")
    address = system_address(system_url)
    prepare(address)
    lease = ExecutorLease(address, executor_id)
    lease.take(patience=1.0)
    try:
        before = _unfinished(address, executor_id)
        if before:
            _recover(address, executor_id)
        return before
    finally:
        lease.release()


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
