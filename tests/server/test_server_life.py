"""A real server: its story from report to verdict, and what a kill in the middle leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runwright.model.errors import Unavailable
from runwright.model.executions import ExecutionStatus
from runwright.model.incidents import IncidentStatus
from runwright.surfaces.server import WorkerProcess
from runwright.surfaces.settings import Settings
from support.server import Server, approve_runbook, finished, first_admin, report

RUNBOOK = """\
schema: runwright/v1
id: RB-TEST-SLOW-001
name: Takes its time
platform: linux
incident_types: [service_crash]
severity: high
parameters:
  log: {type: string, pattern: '/[A-Za-z0-9._/-]+', from: incident.subject.log}
steps:
  - id: first
    run: echo first >> "$log"
  - id: slow
    run: |
      echo slow-begun >> "$log"
      until test -e "$log.go"; do sleep 0.1; done
      echo slow-done >> "$log"
    timeout: 100s
  - id: last
    run: echo last >> "$log"
verify:
  - id: all-done
    run: test "$(wc -l < "$log")" -eq 4
"""


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_kill_nine_in_the_middle_of_a_step_loses_and_doubles_nothing(server: Server, tmp_path: Path) -> None:
    admin = first_admin(server)
    approve_runbook(admin, RUNBOOK)
    log = tmp_path / "host.log"
    incident = report(admin, {"service": "slowd", "log": str(log)})
    assert incident.status is IncidentStatus.QUEUED
    until(lambda: log.exists() and "slow-begun" in log.read_text())
    execution = admin.executions(incident_id=incident.id)[0]

    server.end(signal.SIGKILL)
    until(lambda: not server.workers())
    Path(f"{log}.go").touch()
    until(lambda: "slow-done" in log.read_text())
    assert "last" not in log.read_text()

    server.start()
    again = server.person()
    result = finished(again, execution.id)
    assert log.read_text().split() == ["first", "slow-begun", "slow-done", "last"]
    assert [(step.id, step.status.value, len(step.attempts)) for step in result.steps] == [
        ("first", "ok", 1),
        ("slow", "ok", 1),
        ("last", "ok", 1),
    ]
    own = next(check for check in result.verification.checks if check.id == "all-done") if result.verification else None
    assert own is not None
    assert own.outcome.value == "passed"
    assert again.execution(execution.id).epoch == 2
    assert server.run("audit", "verify").returncode == 0


def test_a_second_server_on_the_same_data_is_refused(server: Server) -> None:
    second = server.run("serve", "--port", "0")
    assert second.returncode == 1
    assert "conflict" in second.stderr
    assert str(server.process.pid if server.process else "") in second.stderr
    assert "Traceback" not in second.stderr


def test_a_stop_switch_holds_before_the_next_step(server: Server, tmp_path: Path) -> None:
    admin = first_admin(server)
    approve_runbook(admin, RUNBOOK)
    log = tmp_path / "host.log"
    incident = report(admin, {"service": "slowd", "log": str(log)})
    until(lambda: log.exists() and "slow-begun" in log.read_text())
    admin.stop("global", "something is wrong")
    Path(f"{log}.go").touch()
    until(lambda: "slow-done" in log.read_text())
    execution = admin.executions(incident_id=incident.id)[0]
    time.sleep(2)  # the promise is that nothing happens: there is nothing to wait for
    assert "last" not in log.read_text()
    assert admin.execution(execution.id).status is ExecutionStatus.RUNNING
    admin.release("global")
    finished(admin, execution.id)
    assert log.read_text().split()[-1] == "last"


def test_the_worker_is_started_again_when_it_dies(server: Server, tmp_path: Path) -> None:
    admin = first_admin(server)
    approve_runbook(admin, RUNBOOK)
    log = tmp_path / "host.log"
    incident = report(admin, {"service": "slowd", "log": str(log)})
    until(lambda: log.exists() and "slow-begun" in log.read_text())
    (worker,) = server.workers()
    os.kill(worker, signal.SIGKILL)
    Path(f"{log}.go").touch()
    result = finished(admin, admin.executions(incident_id=incident.id)[0].id)
    assert log.read_text().split() == ["first", "slow-begun", "slow-done", "last"]
    assert [step.status.value for step in result.steps] == ["ok", "ok", "ok"]
    assert server.workers() != [worker]


class Failing(WorkerProcess):
    """Cannot be started a few times: its database is away."""

    starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self.starts in (2, 3):
            self._process = None
            raise Unavailable("The worker process did not start.")
        self._process = await asyncio.create_subprocess_exec("sh", "-c", "exec sleep 600" if self.starts > 3 else ":")


async def test_a_worker_that_does_not_start_again_is_tried_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwright.surfaces.server.FIRST_DELAY", 0.01)
    worker, stop = Failing(Settings(data_dir=tmp_path)), asyncio.Event()
    await worker.start()
    supervising = asyncio.ensure_future(worker.supervise(stop))
    async with asyncio.timeout(20):
        while worker.starts < 4:
            await asyncio.sleep(0.01)
    stop.set()
    await supervising
    assert worker.starts == 4


def test_the_worker_holds_no_approval_key(server: Server) -> None:
    (worker,) = server.workers()
    key = (server.folder / "data" / "keys" / "approval.key").resolve()
    assert key.stat().st_mode & 0o077 == 0
    opened = [link.readlink() for link in Path(f"/proc/{worker}/fd").iterdir() if link.is_symlink()]
    assert key not in opened
    assert b"RUNWRIGHT_APPROVAL_KEY" not in Path(f"/proc/{worker}/environ").read_bytes()
