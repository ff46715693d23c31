"""Managed executions on this machine, with the real gate and store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from execution.approved_world import CLIENT, World, open_world
from runwright.access.audit import verify_chain
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.secrets import FileSecrets
from runwright.execution.store_journal import StoreJournal
from runwright.model.errors import Conflict, HostUnreachable, NotFound
from runwright.model.executions import Event, EventKind, ExecutionStatus
from runwright.model.hosts import Host, connection_digest
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.store import EVERY_CLIENT

TEXT = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  host: {type: string, from: host.hostname}
steps:
  - {id: first, run: 'echo "first $host" >> "$log"; echo shown'}
  - {id: second, run: 'echo second >> "$log"', unless: 'test -e "$log.done"'}
"""


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    opened = await open_world(tmp_path, clock)
    yield opened
    await opened.store.close()


def log_of(world: World) -> list[str]:
    file = world.directory / "log"
    return file.read_text().splitlines() if file.exists() else []


async def seeded(world: World, text: str = TEXT) -> str:
    execution = await world.seed(text, log=str(world.directory / "log"))
    return execution.id


ECHO = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  token: {type: secret, from: secret.api}
  port: {type: integer, from: caller}
steps:
  - {id: look, http: {port: $port}}
  - {id: use, run: 'printf %s "$token" | wc -c'}
  - {id: wait, wait_for: {path: /none, for: 0s}, on_failure: continue}
verify:
  - {id: shows, http: {port: $port, contains: nothing of the kind}}
"""


async def test_a_secret_that_the_host_says_by_itself_is_stored_nowhere(world: World) -> None:
    """A service may tell anyone what a step once told it: here before the first step that uses the secret."""
    canary = "canary-with-umläut-5f1d"
    folder = world.directory / "secrets" / CLIENT
    folder.mkdir(parents=True)
    (folder / "api").write_text(canary)
    (folder / "api").chmod(0o600)

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"my token is {canary}\n".encode())

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        execution = await world.seed(ECHO, log="unused", port=server.server_address[1])
        secrets = FileSecrets(world.directory / "secrets")
        connector = LocalConnector(base=str(world.directory / "supervisor"), secrets=secrets)
        result = await world.service(connector).run(execution.id)
        server.shutdown()
        thread.join()
    assert "my token is [secret api]" in result.steps[0].attempts[0].stdout
    assert result.steps[1].attempts[0].stdout.strip() == str(len(canary.encode()))
    assert result.verification is not None
    assert "[secret api]" in next(check.evidence for check in result.verification.checks if check.id == "shows")
    stored = b"".join(path.read_bytes() for path in world.directory.glob("runwright.db*"))
    assert b"[secret api]" in stored
    assert canary.encode() not in stored
    assert b"canary-with" not in stored


async def test_a_run_ends_in_the_store_with_its_result_event_and_audit_entry(world: World) -> None:
    execution_id = await seeded(world)
    result = await world.service().run(execution_id)
    assert result.status is ExecutionStatus.SUCCESS
    assert log_of(world) == ["first here", "second"]
    async with world.store.reading() as tx:
        execution = await tx.executions.get(execution_id, client=CLIENT)
        assert await tx.executions.result(execution_id, client=CLIENT) == result
        events = await tx.events.since(0, client=CLIENT, subject_id=execution_id)
        entries = await tx.audit.entries(CLIENT)
        journal = await tx.journal.entries(execution_id)
    assert (execution.status, execution.epoch) == (ExecutionStatus.SUCCESS, 1)
    assert execution.started_at is not None
    assert execution.completed_at == result.completed_at
    assert [e.data["status"] for e in events if e.kind is EventKind.EXECUTION_STATUS] == ["running", "success"]
    assert any(e.kind is EventKind.STEP_OUTPUT and e.data["text"] == "shown\n" for e in events)
    finish = entries[-1].event
    assert (finish.action, finish.subject, finish.facts["status"]) == ("execution.finish", execution_id, "success")
    async with world.store.reading() as tx:
        host = await tx.hosts.get(execution.host_id, client=CLIENT)
    assert finish.facts["connection"] == connection_digest(host.connection)  # where it ran, also once that is edited
    assert not verify_chain(entries)
    assert [entry.outcome for entry in journal] == [step.attempts[0] for step in result.steps]


async def test_running_a_final_execution_again_returns_its_stored_result(world: World) -> None:
    execution_id = await seeded(world)
    first = await world.service().run(execution_id)
    again = await world.service().run(execution_id)
    assert again == first
    assert log_of(world) == ["first here", "second"]


async def test_an_unknown_execution_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.service().run("exe_nobody")


async def test_a_revoked_approval_stops_the_run_before_it_touches_the_host(world: World) -> None:
    execution_id = await seeded(world)
    async with world.store.transaction() as tx:
        was = await tx.approvals.get("apr_1", client=EVERY_CLIENT)
        await tx.approvals.replace(was, was.model_copy(update={"revoked_at": world.clock.now(), "revoked_by": "x"}))
    result = await world.service().run(execution_id)
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert result.error.extra == {"reason": "revoked"}
    assert log_of(world) == []


async def test_a_cancel_request_in_the_store_reaches_the_run(world: World) -> None:
    text = TEXT.replace("echo shown", "sleep 600")
    execution_id = await seeded(world, text)
    running = asyncio.create_task(world.service().run(execution_id))
    while not log_of(world):
        await asyncio.sleep(0.01)
    async with world.store.transaction() as tx:
        was = await tx.executions.get(execution_id, client=CLIENT)
        await tx.executions.replace(was, was.model_copy(update={"cancel_requested_at": world.clock.now()}))
    result = await running
    assert result.status is ExecutionStatus.CANCELLED
    async with world.store.reading() as tx:
        execution = await tx.executions.get(execution_id, client=CLIENT)
    assert execution.status is ExecutionStatus.CANCELLED
    assert execution.cancel_requested_at is not None, "the request is kept beside the new status"


class Flaky:
    """A connector to a real host that is away at some openings, and cut at others once a step has run."""

    def __init__(self, world: World, *, away: set[int], cut: set[int] | None = None) -> None:
        self._inner = LocalConnector(base=str(world.directory / "supervisor"))
        self._away, self._cut, self.opened = away, cut or set(), 0

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        self.opened += 1
        if self.opened in self._away:
            raise HostUnreachable("Found no answer from here.", next_step="Check the network.")
        async with self._inner.open(host) as session:
            if self.opened in self._cut:
                really = session.run_attempt

                async def cut(*given: Any) -> Any:
                    await really(*given)
                    raise HostUnreachable("The way to here was cut.")

                session.run_attempt = cut  # type: ignore[method-assign]
            yield session


async def test_a_host_that_is_away_from_the_start_is_a_failure_at_once(world: World) -> None:
    execution_id = await seeded(world)
    connector = Flaky(world, away={1})
    result = await world.service(connector).run(execution_id)
    assert connector.opened == 1
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert (result.error.code, result.steps) == ("host-unreachable", ())
    assert "Check the network" in result.error.message
    async with world.store.reading() as tx:
        assert (await tx.executions.get(execution_id, client=CLIENT)).status is ExecutionStatus.FAILURE


async def test_a_host_that_is_lost_in_the_middle_is_tried_again_and_nothing_runs_twice(world: World) -> None:
    execution_id = await seeded(world)
    connector = Flaky(world, away={2, 3}, cut={1, 4})
    result = await world.service(connector).run(execution_id)
    assert connector.opened == 5
    assert result.status is ExecutionStatus.SUCCESS
    assert log_of(world) == ["first here", "second"]


async def test_a_host_that_stays_away_leaves_the_run_interrupted(world: World) -> None:
    execution_id = await seeded(world)
    result = await world.service(Flaky(world, away=set(range(2, 100)), cut={1})).run(execution_id)
    assert result.status is ExecutionStatus.INTERRUPTED
    assert result.error is not None
    assert result.error.code == "host-unreachable"
    assert result.state_before is not None, "what was seen before stays known"


async def test_a_worker_whose_execution_was_taken_over_stores_nothing(world: World) -> None:
    text = TEXT.replace("echo shown", 'until test -e "$log.go"; do sleep 0.05; done')
    execution_id = await seeded(world, text)
    old = asyncio.create_task(world.service().run(execution_id))
    while not log_of(world):
        await asyncio.sleep(0.01)
    new = asyncio.create_task(world.service().run(execution_id))
    while True:
        async with world.store.reading() as tx:
            if (await tx.executions.get(execution_id, client=CLIENT)).epoch == 2:
                break
        await asyncio.sleep(0.01)
    (world.directory / "log.go").touch()
    with pytest.raises(Conflict):
        await old
    result = await new
    assert result.status is ExecutionStatus.SUCCESS
    assert log_of(world) == ["first here", "second"]


async def test_events_are_written_in_order_and_losing_them_loses_nothing(world: World) -> None:
    await seeded(world)
    journal = StoreJournal(world.store)
    for number in range(20):
        await journal.emit(event(world, number))
    await journal.flush()
    async with world.store.reading() as tx:
        stored = await tx.events.since(0, client=CLIENT, subject_id="exe_1")
    assert [e.data["number"] for e in stored] == list(range(20))
    await journal.emit(event(world, 20).model_copy(update={"client_id": "nobody-here"}))
    await journal.flush()


def event(world: World, number: int) -> Event:
    return Event(
        client_id=CLIENT,
        subject_id="exe_1",
        kind=EventKind.STEP_OUTPUT,
        at=world.clock.now(),
        data={"number": number},
    )
