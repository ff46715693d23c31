"""Managed executions: claimed, run on their host, stored with their result; safe to call again after any crash."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from runwright.execution import questions
from runwright.execution.evidence import bundle_id
from runwright.execution.kill_points import KillPoint, reached
from runwright.execution.outputs import MOST
from runwright.execution.request import RunRequest
from runwright.execution.run import run_runbook
from runwright.execution.store_journal import StoreJournal
from runwright.model.audit import AuditEvent
from runwright.model.base import Moment
from runwright.model.clients import client_scope
from runwright.model.edges import EXECUTION_EDGES, check_edge
from runwright.model.errors import Conflict, HostUnreachable, NotFound
from runwright.model.executions import (
    Event,
    EventKind,
    Execution,
    ExecutionError,
    ExecutionResult,
    ExecutionStatus,
    HostBrief,
    IncidentRef,
    RunbookRef,
)
from runwright.model.hosts import Host, connection_digest
from runwright.model.ids import digest, split_version_id
from runwright.model.incidents import Incident, IncidentBrief
from runwright.model.ports.artefacts import ArtefactStore
from runwright.model.ports.clock import Clock
from runwright.model.ports.gate import Gate
from runwright.model.ports.hosts import HostConnector
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import ENGINE
from runwright.model.questions import Question
from runwright.model.reviews import StopSwitch
from runwright.verification.verify import HOLD

logger = logging.getLogger(__name__)

RECONNECTS = 5
"""How often a host that was lost in the middle of a run is tried again."""
RECONNECT_DELAY = 1.0
"""Seconds before the first of these; each doubles."""

JournalFactory = Callable[[Store], StoreJournal]


class ExecutionService:
    """Runs executions by id. Holds no approval key and makes no decision: the gate does."""

    def __init__(
        self,
        store: Store,
        gate: Gate,
        connector: HostConnector,
        clock: Clock,
        journal_factory: JournalFactory = StoreJournal,
        hold: float = HOLD,
        *,
        artefacts: ArtefactStore | None = None,
        keep_output: int = MOST,
    ) -> None:
        self._store = store
        self._gate = gate
        self._connector = connector
        self._clock = clock
        self._journal_factory = journal_factory
        self._hold = hold
        self._artefacts = artefacts
        self._keep_output = keep_output

    async def run(self, execution_id: str) -> ExecutionResult:
        """Run an execution, or go on with it; for one that is final, or waits for a person, its stored result.

        The result is `pending` where the run waits: it is in no queue then, and holds nothing.
        Raises NotFound for an unknown id, Conflict when a newer worker has taken it over meanwhile.
        """
        reached(KillPoint.BEFORE_CLAIM, execution_id)
        claimed = await self._claim(execution_id)
        if isinstance(claimed, ExecutionResult):
            return claimed
        execution, host, incident, earlier, asked = claimed
        reached(KillPoint.AFTER_CLAIM, execution_id)
        request = replace(
            self._request(execution, host, incident, earlier), answers={question.id: question for question in asked}
        )
        journal = self._journal_factory(self._store)
        while True:
            try:
                result = await self._run_on_host(request, host, journal)
            finally:
                await journal.flush()
            if result.status is not ExecutionStatus.PENDING or await self._park(execution, result):
                break
            request = replace(request, earlier=result)  # to be cancelled: it ends at the next question to the gate
        if result.status is ExecutionStatus.PENDING:
            return result
        result = result.model_copy(update={"evidence_bundle_id": bundle_id(execution.id)})
        reached(KillPoint.BEFORE_FINAL_STORE, execution_id)
        await self._store_final(execution, result, host)
        reached(KillPoint.AFTER_FINAL_STORE, execution_id)
        return result

    async def _claim(
        self, execution_id: str
    ) -> ExecutionResult | tuple[Execution, Host, Incident, ExecutionResult | None, tuple[Question, ...]]:
        """Take the execution with the next epoch, so that an older worker's writes are refused from now on."""
        async with self._store.transaction() as tx:
            was = await tx.executions.get(execution_id, client=EVERY_CLIENT)
            stored = await tx.executions.result(execution_id, client=EVERY_CLIENT)
            if was.status.final:
                if stored is None:
                    raise NotFound(f"Found execution {execution_id} {was.status.value}, and no result of it.")
                return stored
            now = self._clock.now()
            open_question = await questions.waited_for(tx, was)
            if open_question is not None and open_question.overdue(now):
                was = await questions.expire(tx, was, open_question, now)
            elif open_question is not None and stored is not None:
                return stored
            check_edge(EXECUTION_EDGES, was.status, ExecutionStatus.RUNNING)
            execution = was.model_copy(
                update={
                    "status": ExecutionStatus.RUNNING,
                    "epoch": was.epoch + 1,
                    "waiting_for": None,
                    "started_at": was.started_at or now,
                }
            )
            await tx.executions.replace(was, execution)
            host = await tx.hosts.get(execution.host_id, client=execution.client_id)
            incident = await tx.incidents.get(execution.incident_id, client=execution.client_id)
            await tx.events.append(_status_event(execution, now, {"epoch": execution.epoch}))
            return execution, host, incident, stored, await questions.asked_of(tx, execution)

    def _request(
        self, execution: Execution, host: Host, incident: Incident, earlier: ExecutionResult | None
    ) -> RunRequest:
        _, version = split_version_id(execution.version_id)

        async def cancelled() -> bool:
            async with self._store.reading() as tx:
                now = await tx.executions.get(execution.id, client=execution.client_id)
                return now.cancel_requested_at is not None

        async def stopped() -> bool:
            async with self._store.reading() as tx:
                return await stop_switch_over(tx, execution) is not None

        async def checkpoint(result: ExecutionResult) -> None:
            async with self._store.transaction() as tx:
                await _ours(tx, execution)
                await tx.executions.put_result(result)

        return RunRequest(
            execution_id=execution.id,
            client_id=execution.client_id,
            epoch=execution.epoch,
            brief=IncidentBrief(
                incident_type=incident.incident_type, severity=incident.severity, subject=incident.subject
            ),
            incident_id=incident.id,
            host=HostBrief(hostname=host.hostname, platform=host.platform.value),
            host_attributes={"hostname": host.hostname, "platform": host.platform.value, **host.labels},
            parameters=execution.parameters,
            runbook_ref=RunbookRef(id=execution.runbook_id, version=version, digest=execution.digest),
            become=host.become,
            started_at=execution.started_at,
            cancelled=cancelled,
            stopped=stopped,
            asks=True,
            checkpoint=checkpoint,
            artefacts=self._artefacts,
            keep_output=self._keep_output,
            earlier=earlier,
            hold=self._hold,
        )

    async def _run_on_host(self, request: RunRequest, host: Host, journal: StoreJournal) -> ExecutionResult:
        """Open a session and run; open a new one and go on where the host is lost in between."""
        delay = RECONNECT_DELAY
        for left in range(RECONNECTS, -1, -1):
            try:
                async with self._connector.open(host) as session:
                    result = await run_runbook(
                        request, gate=self._gate, journal=journal, session=session, clock=self._clock
                    )
            except HostUnreachable as lost:
                result = await self._unreachable(request, journal, lost)
            begun = bool(result.steps) or result.state_before is not None
            if result.error is None or result.error.code != HostUnreachable.code or left == 0 or not begun:
                return result
            logger.warning("Host %s was lost during %s; trying again.", host.hostname, request.execution_id)
            await self._clock.sleep(delay)
            delay *= 2
            request = replace(request, earlier=result)
        raise AssertionError("the last round returns")

    async def _unreachable(self, request: RunRequest, journal: StoreJournal, lost: HostUnreachable) -> ExecutionResult:
        """The result of a run whose host could not be reached at all, this time."""
        entries = await journal.entries(request.execution_id)
        unknown = [entry for entry in entries if entry.unknown]
        now, earlier = self._clock.now(), request.earlier
        error = ExecutionError(code=lost.code, message=str(lost))
        started = request.started_at or now
        if earlier is None:
            brief = request.brief
            incident = IncidentRef(
                id=request.incident_id,
                incident_type=brief.incident_type,
                subject=dict(brief.subject),
                severity=brief.severity,
            )
            earlier = ExecutionResult(
                execution_id=request.execution_id,
                client_id=request.client_id,
                host=request.host,
                incident=incident,
                runbook=request.runbook_ref,
                started_at=started,
                status=ExecutionStatus.RUNNING,
            )
        return earlier.model_copy(
            update={
                "status": ExecutionStatus.INTERRUPTED if unknown else ExecutionStatus.FAILURE,
                "error": error,
                "question": None,
                "completed_at": now,
                "duration_seconds": (now - started).total_seconds(),
            }
        )

    async def _park(self, execution: Execution, result: ExecutionResult) -> bool:
        """Ask what the run asks, and let it wait; all in one transaction. False where it is to be cancelled."""
        if result.question is None:
            raise Conflict(f"Found execution {execution.id} pending without a question.")
        now = self._clock.now()
        async with self._store.transaction() as tx:
            was = await _ours(tx, execution)
            if was.cancel_requested_at is not None:
                return False
            check_edge(EXECUTION_EDGES, was.status, ExecutionStatus.PENDING)
            question = await questions.put(tx, result.question)
            waiting = was.model_copy(update={"status": ExecutionStatus.PENDING, "waiting_for": question.id})
            await tx.executions.replace(was, waiting)
            await tx.executions.put_result(result)
            await tx.events.append(_status_event(waiting, now, {"waiting_for": question.id}))
        return True

    async def _store_final(self, execution: Execution, result: ExecutionResult, host: Host) -> None:
        """Result, status, audit entry and event in one transaction."""
        now = self._clock.now()
        async with self._store.transaction() as tx:
            was = await _ours(tx, execution)
            check_edge(EXECUTION_EDGES, was.status, result.status)
            done = was.model_copy(update={"status": result.status, "completed_at": result.completed_at or now})
            await tx.executions.replace(was, done)
            await tx.executions.put_result(result)
            await tx.audit.append(
                AuditEvent(
                    chain=execution.client_id,
                    actor=ENGINE.id,
                    action="execution.finish",
                    subject=execution.id,
                    digest=digest(result.model_dump(mode="json", by_alias=True)),
                    at=now,
                    facts=_facts(execution, result, host),
                )
            )
            await tx.events.append(_status_event(done, now, {}))


async def stop_switch_over(tx: Transaction, execution: Execution) -> StopSwitch | None:
    """The stop switch that holds the execution, if one is set."""
    for name in ("global", client_scope(execution.client_id), f"runbook:{execution.runbook_id}"):
        switch = await tx.switches.find(name, client=EVERY_CLIENT)
        if switch is not None:
            return switch
    return None


async def _ours(tx: Transaction, execution: Execution) -> Execution:
    """The execution as stored now. Raises Conflict if a newer worker has it."""
    now = await tx.executions.get(execution.id, client=execution.client_id)
    if now.epoch != execution.epoch:
        raise Conflict(
            f"Found execution {execution.id} taken over by worker epoch {now.epoch}; this one is {execution.epoch}.",
            allowed="Only the newest worker stores its result.",
        )
    return now


def _facts(execution: Execution, result: ExecutionResult, host: Host) -> dict[str, str]:
    """`host` as it was when the run took it up: where it ran, whatever the host's record says by now."""
    facts = {"status": result.status.value, "version": execution.version_id, "host": execution.host_id}
    facts["connection"] = connection_digest(host.connection)
    if result.verification is not None:
        facts["verification"] = result.verification.outcome.value
    if result.error is not None:
        facts["error"] = result.error.code
    return facts


def _status_event(execution: Execution, now: Moment, data: dict[str, object]) -> Event:
    return Event(
        client_id=execution.client_id,
        subject_id=execution.id,
        kind=EventKind.EXECUTION_STATUS,
        at=now,
        data={"status": execution.status.value, "incident": execution.incident_id, **data},
    )
