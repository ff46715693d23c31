"""A worker that runs one execution and dies where it is told to. Started by `test_crash_core.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from execution.approved_world import open_world
from runwright.adapters.clock import SystemClock
from runwright.execution.kill_points import install_from

HURRY = 0.02


class HurriedClock(SystemClock):
    """Real time, but waits are cut short: hold times are not what is tested here."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * HURRY)


def work(directory: str, url: str | None, execution_id: str, kill_at: str | None) -> None:
    """In a process of its own: run the execution, or die at a kill point on the way."""
    if kill_at is not None:
        install_from(kill_at)
    asyncio.run(_run(Path(directory), url, execution_id))


async def _run(directory: Path, url: str | None, execution_id: str) -> None:
    world = await open_world(directory, HurriedClock(), url)
    try:
        await world.service().run(execution_id)
    finally:
        await world.store.close()
