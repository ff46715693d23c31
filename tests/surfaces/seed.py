"""A house with history, made by the real services from a recorded run, so that page tests need no machines.

Recorded (`recorded/`): the telemetry of a failed and of a healed run of the starter runbook for crashed services
on a systemd machine, and the trials of what was learned. Everything else happens here: the incident is reported,
routed and settled, the failure diagnosed, the candidate written, stored and submitted by the code under test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from runwright.execution.service import ExecutionService
from runwright.learning.service import LearningService
from runwright.loop import LoopWorker
from runwright.model.clients import Client
from runwright.model.documents import RunbookDocument
from runwright.model.executions import Event, EventKind, Execution, ExecutionResult, ExecutionStatus, RunbookRef
from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.ids import ALL, split_version_id
from runwright.model.incidents import NewIncident
from runwright.model.lab import TrialReport
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.principals import ENGINE
from runwright.review.authoring import submit_text
from runwright.runbooks.library import starter_runbooks
from runwright.surfaces.services import Services
from support.house import ADMIN

CLIENT = "corner-shop"
HOST = "shop-1"
RUNBOOK = "RB-LINUX-SERVICE-001"
V1 = f"{RUNBOOK}-v1"

_RECORDED = Path(__file__).parent / "recorded"


@cache
def recorded_run(name: str) -> ExecutionResult:
    """`failed_run` or `healed_run`."""
    return ExecutionResult.model_validate_json((_RECORDED / f"{name}.json").read_text())


@cache
def recorded_trials() -> tuple[TrialReport, ...]:
    reports = json.loads((_RECORDED / "trials.json").read_text())
    return tuple(TrialReport.model_validate_json(json.dumps(report)) for report in reports)


@dataclass(frozen=True)
class Seeded:
    """What the story has so far."""

    incident_id: str
    execution_id: str
    candidate: str
    """The version that was learned; it waits for review."""
    host_id: str = ""
    check_id: str = ""
    """A look at the host that no worker has made yet."""


class RecordedExecutions:
    """In the place of `ExecutionService`: what a host said once, told again under this execution's names."""

    def __init__(self, services: Services, recorded: ExecutionResult) -> None:
        self._services = services
        self._recorded = recorded

    async def run(self, execution_id: str) -> ExecutionResult:
        async with self._services.store.transaction() as tx:
            was = await tx.executions.get(execution_id, client=EVERY_CLIENT)
            running = await self._move(tx, was, ExecutionStatus.RUNNING)
            result = self._of(running)
            for step in result.steps:
                for kind in (EventKind.STEP_STARTED, EventKind.STEP_FINISHED):
                    data = {"section": step.section.value, "step": step.id, "status": step.status.value}
                    await self._tell(tx, running, kind, data)
            await tx.executions.put_result(result)
            await self._move(tx, running, result.status)
        return result

    def _of(self, execution: Execution) -> ExecutionResult:
        name, number = split_version_id(execution.version_id)
        return self._recorded.model_copy(
            update={
                "execution_id": execution.id,
                "client_id": execution.client_id,
                "incident": self._recorded.incident.model_copy(update={"id": execution.incident_id}),
                "runbook": RunbookRef(id=name, version=number, digest=execution.digest),
            }
        )

    async def _move(self, tx: Transaction, was: Execution, status: ExecutionStatus) -> Execution:
        now = self._services.clock.now()
        times = {"completed_at": now} if status.final else {"started_at": now, "epoch": was.epoch + 1}
        moved = was.model_copy(update={"status": status, **times})
        await tx.executions.replace(was, moved)
        await self._tell(tx, moved, EventKind.EXECUTION_STATUS, {"status": status.value})
        return moved

    async def _tell(self, tx: Transaction, execution: Execution, kind: EventKind, data: dict[str, str]) -> None:
        await tx.events.append(
            Event(
                client_id=execution.client_id,
                subject_id=execution.id,
                kind=kind,
                at=self._services.clock.now(),
                data=data,
            )
        )


class RecordedTrials:
    """In the place of the lab: what trials of the same change found."""

    async def try_candidate(
        self, document: RunbookDocument, version_id: str, digest: str, failed: ExecutionResult | None
    ) -> tuple[TrialReport, ...]:
        return recorded_trials()


def worker(services: Services, recorded: ExecutionResult) -> LoopWorker:
    """The real loop over recorded runs and trials."""
    return LoopWorker(
        services.store,
        services.clock,
        services.loop.queue,
        executions=cast("ExecutionService", RecordedExecutions(services, recorded)),
        learning=LearningService(services.clock, None, RecordedTrials()),
        trials=RecordedTrials(),
    )


async def library(services: Services) -> None:
    """The starter library, with the runbook for crashed services as it was when its runs were recorded."""
    texts = [loaded.text for loaded in starter_runbooks() if loaded.document.id != RUNBOOK]
    async with services.store.transaction() as tx:
        await tx.clients.add(Client(id=CLIENT, name="The corner shop", created_at=services.clock.now()))
        for text in (*texts, (_RECORDED / "runbook.yaml").read_text()):
            await submit_text(tx, text=text, scope=ALL, author=ENGINE, clock=services.clock)


async def approve(services: Services, subject_id: str, note: str = "read it whole") -> None:
    """A person approves what is in the queue."""
    item = await services.reviews.item(ADMIN, subject_id)
    await services.reviews.approve(ADMIN, subject_id, digest=item.subject.digest, note=note)


async def incident(services: Services) -> tuple[str, str]:
    """The recorded incident again: its id, and that of the run that answers it."""
    told = recorded_run("failed_run").incident
    found = await services.loop.report_incident(
        ADMIN,
        NewIncident(
            client_id=CLIENT,
            host=HOST,
            incident_type=told.incident_type,
            severity=told.severity,
            subject=told.subject,
            source="monitoring",
        ),
    )
    async with services.store.reading() as tx:
        runs = await tx.executions.page(client=CLIENT, where={"incident_id": found.id}, limit=1)
    return found.id, runs.items[0].id


async def pending_candidate(services: Services) -> Seeded:
    """An empty house becomes one where v1 failed and what was learned from it waits for review."""
    await library(services)
    new = NewHost(client_id=CLIENT, hostname=HOST, connection=LocalConnection())
    host = await services.inventory.add_host(ADMIN, new)
    check = await services.inventory.request_check(ADMIN, host)
    await approve(services, V1)
    async with services.store.reading() as tx:
        rules = await tx.routes.page(client=EVERY_CLIENT, where={"incident_type": "service_crash"}, limit=1)
    await approve(services, rules.items[0].id)
    incident_id, execution_id = await incident(services)
    loop = worker(services, recorded_run("failed_run"))
    await loop.run_execution(execution_id)
    learned = await loop.learn(execution_id)
    assert learned is not None, "the failure was learned from before"
    assert learned.version is not None, learned.refused
    return Seeded(incident_id, execution_id, learned.version.id, host.id, check.id)


async def healed_by_candidate(services: Services, seeded: Seeded) -> str:
    """The candidate is approved, the incident comes again, and the candidate ends it; the run's id."""
    await approve(services, seeded.candidate)
    _, execution_id = await incident(services)
    await worker(services, recorded_run("healed_run")).run_execution(execution_id)
    return execution_id
