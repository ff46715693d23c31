"""Both databases that the queue runs on, and worker processes to kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.postgres_server import postgres_url

__all__ = ["postgres_url"]

WORKER = Path(__file__).with_name("worker_process.py")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty queue database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/queue.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


class WorkerProcess:
    """A worker process and what it wrote down."""

    def __init__(self, url: str, executor_id: str, directory: Path) -> None:
        self.executor_id = executor_id
        self._log = directory / "log"
        self._errors = (directory / "stderr").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url, executor_id, str(directory)],
            stdin=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,
        )

    def lines(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_until(lambda: self.lines().count(line) >= times, f"{line!r} in the worker's log", self.lines)

    def signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL, as a crash is."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._errors.close()


def wait_until(holds: Callable[[], bool], what: str, seen: Callable[[], object], timeout: float = 30) -> None:
    """Poll for something that another process does. Fails with what was seen."""
    end = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout} s for {what}; saw {seen()}")
        time.sleep(0.02)


@pytest.fixture
def start_worker(queue_url: str, start_on: Callable[[str, str], WorkerProcess]) -> Callable[[str], WorkerProcess]:
    return lambda executor_id: start_on(queue_url, executor_id)


@pytest.fixture
def start_on(tmp_path: Path) -> Iterator[Callable[[str, str], WorkerProcess]]:
    started: list[WorkerProcess] = []

    def start(url: str, executor_id: str) -> WorkerProcess:
        started.append(WorkerProcess(url, executor_id, tmp_path))
        started[-1].wait_for(f"ready {executor_id}", sum(one.executor_id == executor_id for one in started))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()
