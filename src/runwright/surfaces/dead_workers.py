"""A live worker that takes dead ones' runs over, where the settings ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import Protocol

from runwright.model.errors import RunwrightError
from runwright.surfaces.server import KEY_VARIABLES
from runwright.surfaces.settings import Settings

log = logging.getLogger(__name__)

TAKE_OVER_SECONDS = 120.0
"""How long one takeover may last before it is given up, to be tried again."""


class Lookout(Protocol):
    """Knows which workers are dead. Blocking."""

    every: float
    """Seconds between two looks."""

    def look(self) -> list[str]:
        """Executor ids of dead workers that left work unfinished. Raises StorageUnavailable."""
        ...


async def take_over_dead(settings: Settings, lookout: Lookout, stop: asyncio.Event) -> None:
    """Look for dead workers until stopped, and put their runs back into the queue, where any live worker finds them.

    Each takeover is a process of its own: in a live worker the queue's recovery would run its own steps twice. Of
    several workers that notice at once, the dead one's lease lets one pass.
    """
    while not stop.is_set():
        try:
            for executor_id in await asyncio.to_thread(lookout.look):
                log.warning("worker %s gives no sign of life; its runs are taken over", executor_id)
                await _take_over(settings, executor_id)
        except RunwrightError as error:
            log.warning("dead workers were not looked for: %s", error)
        except Exception:
            log.exception("dead workers were not looked for; it is tried again in %s s", lookout.every)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), lookout.every)


async def _take_over(settings: Settings, executor_id: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in KEY_VARIABLES}
    environment |= {"RUNWRIGHT_DATA_DIR": str(settings.data_dir), "RUNWRIGHT_DATABASE_URL": settings.store_url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runwright", "worker", "--take-over", executor_id),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), TAKE_OVER_SECONDS)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    level = logging.WARNING if process.returncode == 0 else logging.ERROR
    log.log(level, "takeover of %s: %s", executor_id, said.decode("utf-8", "replace").strip())
