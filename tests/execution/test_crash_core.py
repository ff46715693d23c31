"""Workers killed at every named kill point, and what the host's own log says afterwards (promise 4)."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from execution.approved_world import CLIENT, open_world
from execution.crash_worker import HurriedClock, work
from runwright.execution.kill_points import KillPoint
from runwright.model.executions import ExecutionResult, ExecutionStatus, JournalEntry
from support.postgres_server import postgres_url

__all__ = ["postgres_url"]

HEALS = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
steps:
  - {id: once, run: 'echo shown; sleep 0.1; echo once >> "$log"'}
  - {id: safe, idempotent: true, run: 'echo shown; sleep 0.1; echo safe >> "$log"'}
  - {id: asked, unless: 'grep -q asked "$log"', run: 'echo shown; sleep 0.1; echo asked >> "$log"'}
"""

ROLLS_BACK = (
    HEALS.replace("- {id: asked, unless: 'grep -q asked \"$log\"',", "- {id: asked,").replace(
        'echo asked >> "$log"', "exit 1"
    )
    + """\
rollback:
  - {id: undo, idempotent: true, run: 'echo shown; echo undo >> "$log"'}
"""
)


@dataclass
class Aftermath:
    """What is found when the execution is final."""

    log: list[str]
    result: ExecutionResult
    entries: tuple[JournalEntry, ...]
    deaths: int
    epoch: int


@pytest.fixture(scope="module")
def processes() -> Any:
    """Cheap processes: forked off a server that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["execution.crash_worker"])
    with pytest.MonkeyPatch.context() as patch:
        # the fork server of Python 3.11 does not get this process's sys.path, and passes over what it cannot import
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        forkserver.ensure_running()
    return context


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database with its schema, to copy."""
    directory = tmp_path_factory.mktemp("migrated")

    async def making() -> None:
        world = await open_world(directory, HurriedClock())
        await world.store.close()

    asyncio.run(making())
    return directory / "runwright.db"


@pytest.fixture
def bench(processes: Any, migrated: Path, tmp_path: Path) -> Bench:
    shutil.copy(migrated, tmp_path)
    return Bench(processes, tmp_path)


class Bench:
    """One execution in one directory, worked on by processes that die."""

    def __init__(self, processes: Any, directory: Path, url: str | None = None) -> None:
        self._processes, self._directory, self._url = processes, directory, url

    def seed(self, text: str) -> None:
        async def seeding() -> None:
            world = await open_world(self._directory, HurriedClock(), self._url)
            await world.seed(text, log=str(self._directory / "log"))
            await world.store.close()

        asyncio.run(seeding())

    def start(self, kill_at: str | None = None) -> Any:
        arguments = (str(self._directory), self._url, "exe_1", kill_at)
        process = self._processes.Process(target=work, args=arguments)
        process.start()
        return process

    def finish(self, process: Any, deaths: int = 0) -> Aftermath:
        """Wait for the worker; after a death start another, until one comes to its end."""
        process.join(60)
        while process.exitcode == -signal.SIGKILL:
            deaths += 1
            assert deaths < 5, "a worker without a kill point does not die"
            process.close()
            process = self.start()
            process.join(60)
        assert process.exitcode == 0
        process.close()
        return asyncio.run(self._look(deaths))

    async def _look(self, deaths: int) -> Aftermath:
        world = await open_world(self._directory, HurriedClock(), self._url)
        async with world.store.reading() as tx:
            execution = await tx.executions.get("exe_1", client=CLIENT)
            result = await tx.executions.result("exe_1", client=CLIENT)
            entries = await tx.journal.entries("exe_1")
        await world.store.close()
        assert result is not None
        assert execution.status is result.status
        log = (self._directory / "log").read_text().splitlines() if (self._directory / "log").exists() else []
        return Aftermath(log, result, entries, deaths, execution.epoch)


def check(after: Aftermath, wanted: list[str], status: ExecutionStatus) -> None:
    """Nothing lost, nothing doubled, nothing without intent; or interrupted, honestly and with nothing more done."""
    intended = {entry.intent.step_id for entry in after.entries}
    assert set(after.log) <= intended, "a step ran without intent"
    assert after.epoch == after.deaths + 1
    if after.result.status is ExecutionStatus.INTERRUPTED:
        assert after.log == wanted[: len(after.log)]
        assert after.result.error is not None
        assert after.result.error.step not in after.log, "the step in doubt was not done"
        return
    assert after.result.status is status
    assert after.log == wanted


HEALED = ["once", "safe", "asked"]
ONCE = (KillPoint.BEFORE_VERDICT, KillPoint.BEFORE_FINAL_STORE, KillPoint.AFTER_FINAL_STORE)
OFTEN = (
    KillPoint.BEFORE_INTENT,
    KillPoint.AFTER_INTENT,
    KillPoint.AFTER_START,
    KillPoint.BEFORE_OUTCOME,
    KillPoint.AFTER_OUTCOME,
)
PLACES = [f"{point.value}:1" for point in ONCE] + [f"{point.value}:{count}" for point in OFTEN for count in (1, 3)]
"""Those of a step at the first and the last one. `tests/crash` goes through every point, with a whole worker."""


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_there_loses_and_doubles_nothing(bench: Bench, place: str) -> None:
    bench.seed(HEALS)
    after = bench.finish(bench.start(place))
    assert after.deaths == 1
    if place == "after-final-store:1":
        after.epoch += 1  # a final execution is not claimed again
    check(after, HEALED, ExecutionStatus.SUCCESS)
    interrupted = after.result.status is ExecutionStatus.INTERRUPTED
    assert interrupted == (place == f"{KillPoint.AFTER_INTENT.value}:1"), "only a step in doubt needs a person"


@pytest.mark.parametrize("place", ["after-intent:4", "before-outcome:4", "after-outcome:4"])
def test_a_kill_in_rollback_loses_and_doubles_nothing(bench: Bench, place: str) -> None:
    bench.seed(ROLLS_BACK)
    after = bench.finish(bench.start(place))
    assert after.deaths == 1
    check(after, ["once", "safe", "undo"], ExecutionStatus.FAILURE)
    assert after.result.verification_after_rollback is not None


def test_two_kills_in_one_run(bench: Bench) -> None:
    bench.seed(HEALS)
    first = bench.start("after-start:1")
    first.join(60)
    assert first.exitcode == -signal.SIGKILL
    after = bench.finish(bench.start("before-outcome:2"), deaths=1)
    assert after.deaths == 2
    check(after, HEALED, ExecutionStatus.SUCCESS)


@pytest.mark.parametrize("delay", [0.2, 0.5])
def test_a_kill_at_any_moment(bench: Bench, delay: float) -> None:
    bench.seed(HEALS)
    process = bench.start()
    process.join(delay)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    killed = process.exitcode == -signal.SIGKILL
    begun = time.monotonic()
    after = bench.finish(process if not killed else bench.start(), deaths=0)
    assert time.monotonic() - begun < 30
    after.epoch = after.deaths + 1  # it may have died before it claimed, or after all was stored
    check(after, HEALED, ExecutionStatus.SUCCESS)


@pytest.mark.postgres
@pytest.mark.parametrize("place", ["after-start:1", "after-outcome:2"])
def test_a_kill_on_postgresql(processes: Any, tmp_path: Path, postgres_url: str, place: str) -> None:
    bench = Bench(processes, tmp_path, postgres_url)
    bench.seed(HEALS)
    after = bench.finish(bench.start(place))
    assert after.deaths == 1
    check(after, HEALED, ExecutionStatus.SUCCESS)
