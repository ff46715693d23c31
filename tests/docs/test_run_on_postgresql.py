"""run-on-postgresql.md and take-over-a-dead-worker.md, done for real: PostgreSQL, two workers, one killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.model.executions import EventKind, StepStatus
from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.incidents import NewIncident
from runwright.surfaces.client import RunwrightClient
from support.postgres_server import postgres_url
from support.server import CLIENT, Server, approve_runbook, finished, first_admin

__all__ = ["postgres_url"]

pytestmark = pytest.mark.postgres

RUNBOOK = """\
schema: runwright/v1
id: RB-DOCS-1
name: Wait for a file
incident_types: [service_crash]
parameters:
  service: {type: string, pattern: '[a-z0-9/._-]+', from: incident.subject.service}
steps:
  - id: begin
    run: 'echo "$$" >> "$service.began"'
  - id: wait
    wait_for: {path: $service, for: 60s, every: 100ms}
verify:
  - id: there
    run: test -e "$service"
"""


class Worker:
    """`runwright worker --json`, ready when its first line is there."""

    def __init__(self, server: Server, executor_id: str) -> None:
        self.executor_id = executor_id
        with (server.folder / f"{executor_id}.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runwright", "worker", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**server.environment, "RUNWRIGHT_EXECUTOR_ID": executor_id},
                start_new_session=True,
            )
        assert self.process.stdout is not None
        self.said = json.loads(self.process.stdout.readline())

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def server(tmp_path: Path, postgres_url: str) -> Iterator[Server]:
    found = Server(tmp_path, RUNWRIGHT_DATABASE_URL=postgres_url, RUNWRIGHT_EXECUTOR_ID="here-1")
    found.start()
    yield found
    found.close()


def owner(url: str, execution_id: str) -> str | None:
    """The executor id of the worker that has a run."""
    import psycopg

    question = "SELECT executor_id FROM runwright_queue.workflow_status WHERE workflow_uuid LIKE %s"
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(question, (f"execution:{execution_id}:%",)).fetchone()
    return None if row is None else str(row[0])


def begun(client: RunwrightClient, execution_id: str) -> None:
    """Return when the first step has ended."""
    for event in client.events(execution_id, 0):
        if event.kind is EventKind.STEP_FINISHED:
            return


def test_two_workers_share_the_work_and_a_dead_one_is_taken_over(
    server: Server, tmp_path: Path, postgres_url: str
) -> None:
    admin = first_admin(server)
    approve_runbook(admin, RUNBOOK)
    second = Worker(server, "here-2")
    marks: dict[str, Path] = {}
    try:
        assert second.said == {"executor_id": "here-2"}
        for number in range(12):  # whoever asks first gets a run: each is a toss between the two
            host = f"host-{number}"
            admin.add_host(NewHost(client_id=CLIENT, hostname=host, connection=LocalConnection()))
            mark = tmp_path / f"mark-{number}"
            new = NewIncident(
                client_id=CLIENT, host=host, incident_type="service_crash", subject={"service": str(mark)}
            )
            run = admin.executions(incident_id=admin.report_incident(new).id)[0].id
            marks[run] = mark
            begun(admin, run)
            if owner(postgres_url, run) == "here-2":
                break
        else:
            pytest.fail("the second worker got nothing to do")
    finally:
        second.end(signal.SIGKILL)

    taken = server.run("worker", "--take-over", "here-2", "--json")
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout) == {"executor_id": "here-2", "put_back": 1}
    for run, mark in marks.items():
        mark.touch()
        result = finished(admin, run)
        assert [step.status for step in result.steps] == [StepStatus.OK] * 2, result.error
        assert len(Path(f"{mark}.began").read_text().splitlines()) == 1, "begun once, whoever ran it"
    assert owner(postgres_url, run) == "here-1"
    assert not list((tmp_path / "data").glob("*.db")), "all of it is in PostgreSQL"
