"""A worker in a process of its own, for tests that kill it: `worker_process.py URL EXECUTOR_ID DIRECTORY`.

Writes `begin ID` and `end ID` to DIRECTORY/log; a run ends when DIRECTORY/go exists.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from runwright.adapters.durable.worker import DurableWorker, WorkHandlers


async def main(url: str, executor_id: str, directory: Path) -> None:
    def note(line: str) -> None:
        with (directory / "log").open("a") as log:
            log.write(line + "\n")

    async def run(execution_id: str) -> None:
        note(f"begin {execution_id}")
        while not (directory / "go").exists():
            await asyncio.sleep(0.02)
        note(f"end {execution_id}")

    async def other(*ids: str) -> None:
        note(f"other {' '.join(ids)}")

    worker = DurableWorker(url, executor_id, WorkHandlers(run, other, other))
    await worker.start()
    note(f"ready {executor_id}")
    await worker.lost.wait()
    note(f"lost {executor_id}")
    os._exit(1)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
