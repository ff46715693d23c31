"""A run on this machine itself, with a gate and a journal of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from runwright.adapters.hosts.local import LocalConnector
from runwright.execution.memory_journal import MemoryJournal
from runwright.execution.run import RunRequest, run_runbook
from runwright.model.admission import LabRunbook
from runwright.model.documents import RunbookDocument
from runwright.model.executions import ExecutionResult, HostBrief, RunbookRef, Section, StepIntent
from runwright.model.hosts import Host, HostIdentity, LocalConnection
from runwright.model.incidents import IncidentBrief, Severity
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.runbooks.load import LoadedRunbook, load_runbook

MACHINE = "this-test"
DISK = {"incident_type": "disk_full", "subject": {"mount": "/", "threshold_percent": 100}}
"""An incident that is over on any machine: nothing can be fuller than full."""

HEAD = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
"""


class BoundSession:
    """A session that says it is the lab machine of this test; all else is the real one's."""

    def __init__(self, session: HostSession) -> None:
        self._session = session

    @property
    def identity(self) -> HostIdentity:
        return HostIdentity(host_id="here", kind="local", lab_machine=MACHINE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@dataclass
class ScriptedGate:
    """Admits one runbook for this test's machine; raises what was planned for the n-th question."""

    loaded: LoadedRunbook
    journal: MemoryJournal
    planned: dict[int, Exception] = field(default_factory=dict)
    asked: list[StepIntent | None] = field(default_factory=list)
    called: dict[str, RunbookDocument] = field(default_factory=dict)

    async def admit(self, execution_id: str, intent: StepIntent | None = None) -> LabRunbook:
        self.asked.append(intent)
        if len(self.asked) in self.planned:
            raise self.planned[len(self.asked)]
        if intent is not None:
            await self.journal.intend(intent)
        return LabRunbook(
            self.loaded.document, "RB-TEST-001-v1", self.loaded.digest, machine=MACHINE, called=self.called
        )


@dataclass
class Run:
    """Everything one run needs. `go` runs it; calling it again resumes."""

    session: HostSession
    clock: Clock
    gate: ScriptedGate
    journal: MemoryJournal
    request: RunRequest
    log_file: Path
    checkpoints: list[ExecutionResult] = field(default_factory=list)

    async def go(self, **changes: Any) -> ExecutionResult:
        async with asyncio.timeout(60):
            return await run_runbook(
                replace(self.request, **changes),
                gate=self.gate,
                journal=self.journal,
                session=self.session,
                clock=self.clock,
            )

    def log(self) -> list[str]:
        """What the steps themselves wrote down."""
        return self.log_file.read_text().splitlines() if self.log_file.exists() else []

    def intent(self, step: str, number: int = 1, *, section: Section = Section.STEPS, epoch: int = 1) -> StepIntent:
        """An intent as an earlier worker journaled it."""
        execution_id = self.request.execution_id
        return StepIntent(
            execution_id=execution_id,
            epoch=epoch,
            section=section,
            step_id=step,
            attempt=number,
            attempt_id=f"{execution_id}.{section.value}.{step}.{number}",
            idempotent=False,
            at=self.clock.now(),
        )


MakeRun = Callable[..., Run]


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[HostSession]:
    """A real session on this machine."""
    host = Host.model_validate(
        {
            "id": "here",
            "client_id": "acme",
            "hostname": "here",
            "connection": LocalConnection(),
            "created_at": "2026-01-05T09:00:00Z",
        },
        strict=False,
    )
    async with LocalConnector(base=str(tmp_path / "supervisor")).open(host) as opened:
        yield opened


def _with_digests(text: str, digests: Mapping[str, str]) -> str:
    for name, digest in digests.items():
        text = text.replace(f"@{name}@", digest)
    return text


@pytest.fixture
def make_run(session: HostSession, clock: Clock, tmp_path: Path) -> MakeRun:
    """`make_run(steps_text)` with the language's own text below the test's head."""

    def make(
        text: str,
        *,
        incident: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        called: Mapping[str, str] | None = None,
    ) -> Run:
        """`called`: runbooks by the name under which a text says `@NAME@` for their digest, callees first."""
        documents: dict[str, RunbookDocument] = {}
        digests: dict[str, str] = {}
        for name, content in (called or {}).items():
            other = load_runbook(_with_digests(content, digests))
            documents[other.digest] = other.document
            digests[name] = other.digest
        text = _with_digests(text, digests)
        loaded = load_runbook(text if text.startswith("schema:") else HEAD + text)
        journal = MemoryJournal()
        checkpoints: list[ExecutionResult] = []

        async def checkpoint(result: ExecutionResult) -> None:
            checkpoints.append(result)

        chosen = dict(incident or DISK)
        request = RunRequest(
            execution_id=clock.new_id("exe"),
            client_id="acme",
            brief=IncidentBrief(severity=Severity.HIGH, **chosen),
            incident_id="inc_1",
            host=HostBrief(hostname="here", platform="linux"),
            runbook_ref=RunbookRef(id="RB-TEST-001", version=1, digest=loaded.digest),
            parameters=given if given is not None else {"log": str(tmp_path / "log")},
            checkpoint=checkpoint,
        )
        return Run(
            session=BoundSession(session),  # type: ignore[arg-type]  # all of the port is passed through
            clock=clock,
            gate=ScriptedGate(loaded, journal, called=documents),
            journal=journal,
            request=request,
            log_file=tmp_path / "log",
            checkpoints=checkpoints,
        )

    return make
