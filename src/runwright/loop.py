"""The stages in order: from an alert to a better runbook. Read this file to see the whole way.

    report_incident   an alert becomes an Incident; routing finds the live approved version; a run is queued
    run_execution     the version runs on the host under the gate; the verdict settles the incident
    learn             a failed run becomes signals, a diagnosis, edits, a candidate tried in the lab
    (review)          a person decides in the queue: `review.service`; approving makes the candidate live
    report_incident   the next incident of the kind meets the better version

`Dispatcher` is the half that takes incidents in (the API process); `LoopWorker` the half that works on
them (the child process, which holds no approval key). Between them lies a queue that survives restarts;
`sweep` puts back what a crash between database and queue left behind.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runwright.access.permissions import Permission, require
from runwright.execution.external import Received, differing, receive
from runwright.execution.kill_points import KillPoint, reached
from runwright.execution.questions import answer_open, expire_due, waited_for, withdraw
from runwright.execution.service import ExecutionService
from runwright.incidents.ending import end
from runwright.incidents.intake import accept, find_host
from runwright.incidents.recurrence import too_often
from runwright.incidents.routing import NoRoute, choose
from runwright.incidents.settling import escalate, settle
from runwright.learning.cases import gather_case, note_learned
from runwright.learning.service import Failure, Learned, LearningService, persist
from runwright.model.audit import AuditEvent
from runwright.model.clients import scope_client
from runwright.model.edges import INCIDENT_EDGES, check_edge
from runwright.model.errors import Conflict, NoMachine
from runwright.model.executions import OWN_ORIGIN, Event, EventKind, Execution, ExecutionResult, ExecutionStatus
from runwright.model.external import ExternalExecution, ExternalLearning
from runwright.model.hosts import Host, PolicyMode
from runwright.model.ids import is_external
from runwright.model.incidents import (
    EscalationReason,
    Incident,
    IncidentBrief,
    IncidentStatus,
    NewIncident,
)
from runwright.model.lab import TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.durable import WorkQueue
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.ports.trials import TrialRunner
from runwright.model.principals import ENGINE, Principal, PrincipalKind
from runwright.model.versions import RunbookVersion
from runwright.review.importing import import_version, known_version
from runwright.review.queue import submit
from runwright.review.trials import attach_trials
from runwright.runbooks.load import load_runbook

log = logging.getLogger(__name__)

LEARN_FROM = frozenset({ExecutionStatus.FAILURE, ExecutionStatus.TIMED_OUT})
"""A partial run goes to a person and is not learned from."""

NO_TEXT = "The text of the runbook did not come along, or is no runbook of this language: there is nothing to edit."
"""Why a run of another executor may only be explained."""


@dataclass(frozen=True)
class Dispatcher:
    """Takes incidents in and queues runs. Needs no key and no host."""

    store: Store
    clock: Clock
    queue: WorkQueue

    async def report_incident(self, principal: Principal, new: NewIncident) -> Incident:
        """Store an incident and start what answers it: a run, or an escalation that says why none.

        Raises Forbidden, NotFound for an unknown host, InvalidInput for a subject that does not fit.
        """
        require(principal, Permission.REPORT_INCIDENT, new.client_id)
        async with self.store.transaction() as tx:
            host = await find_host(tx, new.client_id, new.host)
            brief = IncidentBrief(incident_type=new.incident_type, severity=new.severity, subject=new.subject)
            incident = await accept(
                tx,
                client_id=new.client_id,
                host_id=host.id,
                brief=brief,
                labels=new.labels,
                occurred_at=new.occurred_at,
                source=new.source,
                clock=self.clock,
            )
            execution = None
            if incident.status is IncidentStatus.OPEN:
                incident, execution = await self._dispatch(tx, incident, host, principal, asked=False)
        if execution is not None:
            reached(KillPoint.AFTER_REPORT, execution.id)
            await self._enqueue(execution, incident)
        return incident

    async def run(self, principal: Principal, incident_id: str, *, client: str = EVERY_CLIENT) -> Execution:
        """A person starts (again) what answers an open or escalated incident.

        Raises Forbidden, NotFound, Conflict where the incident cannot be run now or has no live version.
        """
        async with self.store.transaction() as tx:
            incident = await tx.incidents.get(incident_id, client=client)
            require(principal, Permission.RUN, incident.client_id)
            check_edge(INCIDENT_EDGES, incident.status, IncidentStatus.QUEUED)
            host = await tx.hosts.get(incident.host_id, client=incident.client_id)
            incident, execution = await self._dispatch(tx, incident, host, principal, asked=True)
        if execution is None:
            raise Conflict(
                f"Found no live approved version that may run for incident {incident.id}.",
                next_step="Its escalation says what is missing: `runwright incident show`.",
            )
        await self._enqueue(execution, incident)
        return execution

    async def end_incident(
        self, principal: Principal, incident_id: str, status: IncidentStatus, *, note: str = ""
    ) -> Incident:
        """It is over without us, or nothing is to be done: what is queued for it never runs. Raises as `ending.end`."""
        async with self.store.transaction() as tx:
            incident = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
            require(principal, Permission.HANDLE_INCIDENTS, incident.client_id)
            return await end(
                tx, incident_id, status, client=incident.client_id, by=principal.id, note=note, clock=self.clock
            )

    async def answer(
        self, principal: Principal, execution_id: str, value: object, *, question_id: str | None = None
    ) -> Execution:
        """A person answers what a run waits for, and it goes on. Raises as `execution.questions.answer_open`."""
        try:
            execution = await answer_open(
                self.store, self.clock, principal, execution_id, value, question_id=question_id
            )
        except Conflict:
            await self._expire_questions()
            raise
        await self._enqueue_again(execution)
        return execution

    async def _expire_questions(self) -> int:
        """Runs whose question nobody answered in time go on without an answer."""
        free = await expire_due(self.store, self.clock)
        for execution in free:
            await self._enqueue_again(execution)
        return len(free)

    async def _enqueue_again(self, execution: Execution) -> None:
        async with self.store.reading() as tx:
            incident = await tx.incidents.get(execution.incident_id, client=EVERY_CLIENT)
        await self._enqueue(execution, incident)

    async def cancel(self, principal: Principal, execution_id: str, *, client: str = EVERY_CLIENT) -> Execution:
        """Ask a run to stop: its process tree is ended and nothing further starts. One that waits ends at once."""
        async with self.store.transaction() as tx:
            execution = await tx.executions.get(execution_id, client=client)
            require(principal, Permission.RUN, execution.client_id)
            if execution.status.final:
                raise Conflict(f"Found execution {execution.id} {execution.status.value}: it has ended already.")
            question = await waited_for(tx, execution)
            known = await tx.executions.result(execution.id, client=execution.client_id)
            if question is not None and known is not None:
                await self._audit(tx, execution.client_id, principal.id, "execution.cancel", execution.id)
                done, ended = await withdraw(tx, execution, question, known, principal.id, self.clock.now())
                await settle(tx, ended, self.clock)
                return done
            asked = execution.model_copy(update={"cancel_requested_at": self.clock.now()})
            await tx.executions.replace(execution, asked)
            await self._audit(tx, execution.client_id, principal.id, "execution.cancel", execution.id)
        return asked

    async def report_execution(self, principal: Principal, result: ExecutionResult) -> tuple[ExternalExecution, bool]:
        """Take in what another executor did: its row, and whether it is new. A failed one is queued for learning.

        It names an incident and changes none; its runbook becomes a draft if it is not known. Raises Forbidden,
        NotFound for an unknown client, InvalidInput with every fault, Conflict for other content under a known id.
        """
        require(principal, Permission.REPORT_EXECUTION, result.client_id)
        received = receive(result, now=self.clock.now())
        key, client = received.result.execution_id, received.result.client_id
        async with self.store.transaction() as tx:
            await tx.clients.get(client, client=client)
            await tx.lock(f"external:{key}")  # of two same reports at once, one is the repetition
            known = await tx.externals.find(key, client=client)
            if known is not None and known.content_digest == received.content_digest:
                return known, False
            stored = await tx.executions.result(key, client=client) if known is not None else None
            if stored is not None:
                raise differing(stored, received.result)
            row = await self._take_in(tx, principal, received)
        if row.learning is ExternalLearning.WAITING:
            await self.queue.enqueue_learning(row.id)
        return row, True

    async def _take_in(self, tx: Transaction, principal: Principal, received: Received) -> ExternalExecution:
        """Store a reported run, with the version that it ran as far as that is known."""
        result, client = received.result, received.result.client_id
        if received.runbook is not None:
            version: RunbookVersion | None = await import_version(
                tx, received.runbook, client_id=client, author=principal, source=received.source, clock=self.clock
            )
        else:
            version = await known_version(tx, client, result.runbook.id, result.runbook.digest)
        number = version.number if version is not None else None
        result = result.model_copy(update={"runbook": result.runbook.model_copy(update={"version": number})})
        incident = await tx.incidents.find(result.incident.id, client=client)
        failed = result.status in LEARN_FROM
        row = ExternalExecution(
            id=result.execution_id,
            client_id=client,
            source=received.source,
            external_id=received.external_id,
            status=result.status,
            hostname=result.host.hostname,
            incident_type=result.incident.incident_type,
            incident_id=incident.id if incident is not None else None,
            runbook_id=result.runbook.id,
            version_id=version.id if version is not None else None,
            content_digest=received.content_digest,
            masked=received.masked,
            learning=ExternalLearning.WAITING if failed else ExternalLearning.NOTHING,
            reported_by=principal.id,
            received_at=self.clock.now(),
        )
        await tx.externals.add(row)
        await tx.executions.put_result(result)
        facts = {"source": row.source, "status": row.status.value, "runbook": row.runbook_id}
        await self._audit(tx, client, principal.id, "execution.report", row.id, digest=row.content_digest, **facts)
        return row

    async def request_test(self, principal: Principal, subject_id: str, *, client: str = EVERY_CLIENT) -> str:
        """Queue a trial of a review subject; the id of the request."""
        async with self.store.reading() as tx:
            item = await tx.reviews.get(subject_id, client=client)
            version = await tx.versions.get(subject_id, client=client)
        require(principal, Permission.TEST_REVIEW, scope_client(version.scope))
        request = self.clock.new_id("tst")
        await self.queue.enqueue_test(item.id, request)
        return request

    async def sweep(self) -> int:
        """Enqueue again every pending run: a crash may have come between database and queue."""
        async with self.store.reading() as tx:
            page = await tx.executions.page(
                client=EVERY_CLIENT,
                where={"status": (ExecutionStatus.PENDING.value, ExecutionStatus.RUNNING.value)},
                limit=500,
            )
            # What waits for a person is in no queue, and is put back by its answer.
            queued = [item for item in page.items if item.waiting_for is None]
            waiting = [(item, await tx.incidents.get(item.incident_id, client=EVERY_CLIENT)) for item in queued]
        for execution, incident in waiting:
            await self._enqueue(execution, incident)
        return len(waiting) + await self._expire_questions()

    async def _dispatch(
        self, tx: Transaction, incident: Incident, host: Host, principal: Principal, *, asked: bool
    ) -> tuple[Incident, Execution | None]:
        """Route, and either create the run or escalate. `asked`: a person wants it, whatever the policy `ask`."""
        try:
            await self._may_run(tx, incident, host, asked=asked)
            route = await choose(tx, incident)
        except NoRoute as missing:
            return await escalate(tx, incident, missing.reason, str(missing), clock=self.clock), None
        execution = Execution(
            id=self.clock.new_id("exe"),
            client_id=incident.client_id,
            host_id=incident.host_id,
            incident_id=incident.id,
            runbook_id=route.activation.runbook_id,
            version_id=route.version.id,
            digest=route.version.digest,
            activation_id=route.activation.id,
            approval_id=route.activation.approval_id,
            routing_id=route.rule.id,
            requested_by=principal.id if principal.kind is PrincipalKind.PERSON and asked else ENGINE.id,
            created_at=self.clock.now(),
        )
        await tx.executions.add(execution)
        queued = incident.model_copy(update={"status": IncidentStatus.QUEUED})
        await tx.incidents.replace(incident, queued)
        await self._audit(
            tx, incident.client_id, principal.id, "execution.create", execution.id, digest=execution.digest
        )
        return queued, execution

    async def _may_run(self, tx: Transaction, incident: Incident, host: Host, *, asked: bool) -> None:
        """Raises NoRoute where the host's policy or what was tried before wants a person first."""
        if host.policy.mode is PolicyMode.NEVER:
            raise NoRoute(
                f"The policy of host {host.hostname} is never to run anything.", reason=EscalationReason.POLICY
            )
        if host.policy.mode is PolicyMode.ASK and not asked:
            raise NoRoute(
                f"The policy of host {host.hostname} is to ask: start it with `runwright incident run {incident.id}`.",
                reason=EscalationReason.POLICY,
            )
        if not asked and await too_often(tx, incident):
            raise NoRoute("Three runs for the same incident did not end it.", reason=EscalationReason.INEFFECTIVE)

    async def _enqueue(self, execution: Execution, incident: Incident) -> None:
        # A run that a crash left behind is taken once more for each worker that had it (`epoch`).
        await self.queue.enqueue_execution(
            execution.id, host_id=execution.host_id, priority=incident.severity.rank, take=execution.epoch
        )

    async def _audit(
        self,
        tx: Transaction,
        chain: str,
        actor: str,
        action: str,
        subject: str,
        digest: str | None = None,
        **facts: str,
    ) -> None:
        await tx.audit.append(
            AuditEvent(
                chain=chain,
                actor=actor,
                action=action,
                subject=subject,
                digest=digest,
                at=self.clock.now(),
                facts=facts,
            )
        )


@dataclass(frozen=True)
class LoopWorker(Dispatcher):
    """Works on what is queued. Every method may be called again after a crash and then goes on."""

    executions: ExecutionService
    learning: LearningService
    trials: TrialRunner | None

    async def run_execution(self, execution_id: str) -> ExecutionResult:
        """Run an execution to its end and settle its incident; a failed one is queued for learning."""
        async with self.store.transaction() as tx:
            execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
            incident = await tx.incidents.get(execution.incident_id, client=execution.client_id)
            await tx.lock(f"incident:{incident.fingerprint}")  # against one who ends the incident at this moment
            incident = await tx.incidents.get(incident.id, client=execution.client_id)
            if incident.status is IncidentStatus.QUEUED:
                await tx.incidents.replace(
                    incident,
                    incident.model_copy(
                        update={
                            "status": IncidentStatus.RUNNING,
                            "acknowledged_at": incident.acknowledged_at or self.clock.now(),
                        }
                    ),
                )
        result = await self.executions.run(execution_id)
        if not result.status.final:
            return result  # it waits for a person, and holds nothing
        async with self.store.transaction() as tx:
            await settle(tx, result, self.clock)
        reached(KillPoint.AFTER_SETTLE, execution_id)
        if result.status in LEARN_FROM:
            await self.queue.enqueue_learning(execution_id)
            reached(KillPoint.AFTER_LEARNING_QUEUED, execution_id)
        return result

    async def learn(self, execution_id: str) -> Learned | None:
        """From a failed run to an item in the review queue, or to the reason why there is none.

        None where this run was learned from already.
        """
        async with self.store.reading() as tx:
            result = await tx.executions.result(execution_id, client=EVERY_CLIENT)
            done = await tx.analyses.count(client=EVERY_CLIENT, where={"execution_id": execution_id})
            if result is None or done:
                return None
            case = await gather_case(tx, result)
        await self._tell(result, {"stage": "started"})
        if isinstance(case, Failure):
            learned = await self.learning.learn(case)
        else:
            learned = await self.learning.explain(case, refused=NO_TEXT)
        async with self.store.transaction() as tx:
            if await tx.analyses.count(client=EVERY_CLIENT, where={"execution_id": execution_id}):
                return None
            stored = await persist(tx, learned, self.clock)
            if stored.version is not None and stored.proposal is not None:
                told = "" if result.origin == OWN_ORIGIN else f"As {result.origin} reported it: "
                await submit(
                    tx,
                    version=stored.version,
                    title=f"{stored.version.id}: {learned.title}",
                    reason=told + learned.analysis.diagnosis.reasoning,
                    priority=result.incident.severity.rank,
                    added_risk=stored.proposal.added_risk,
                    author=ENGINE,
                    proposal_id=stored.proposal.id,
                    evidence=stored.evidence,
                    clock=self.clock,
                )
            if is_external(execution_id):
                await note_learned(tx, execution_id, proposed=stored.proposal is not None)
        diagnosis = learned.analysis.diagnosis
        await self._tell(
            result,
            {
                "stage": "finished",
                "failure_type": diagnosis.failure_type.value,
                "candidate": stored.version.id if stored.version else None,
                "refused": learned.refused,
            },
        )
        return stored

    async def test_subject(self, subject_id: str, request_id: str) -> None:
        """Try a version of the queue in the lab and attach what came of it to its review item."""
        async with self.store.reading() as tx:
            version = await tx.versions.get(subject_id, client=EVERY_CLIENT)
            failed = (
                await tx.executions.result(version.origin_execution, client=EVERY_CLIENT)
                if version.origin_execution
                else None
            )
        reports: tuple[TrialReport, ...] = ()
        note = "not tried: no lab here"
        if self.trials is not None:
            try:
                reports = await self.trials.try_candidate(
                    load_runbook(version.text).document, version.id, version.digest, failed
                )
                note = "not tried: no scenario fits this runbook"
            except NoMachine as reason:
                note = f"not tried: {reason}"
        async with self.store.transaction() as tx:
            await attach_trials(tx, version, reports, request_id=request_id, note=note, clock=self.clock)

    async def sweep(self) -> int:
        """Also queue for learning what failed and was never learned from."""
        found = await super().sweep()
        async with self.store.reading() as tx:
            page = await tx.executions.page(
                client=EVERY_CLIENT, where={"status": tuple(status.value for status in LEARN_FROM)}, limit=500
            )
            unlearned = [
                item.id
                for item in page.items
                if not await tx.analyses.count(client=EVERY_CLIENT, where={"execution_id": item.id})
            ]
            waiting = {"learning": ExternalLearning.WAITING.value}
            reported = await tx.externals.page(client=EVERY_CLIENT, where=waiting, limit=500)
            unlearned += [item.id for item in reported.items]
        for execution_id in unlearned:
            # Learning that broke off is tried again, but not more often than every ten minutes.
            await self.queue.enqueue_learning(execution_id, take=int(self.clock.now().timestamp() // 600))
        return found + len(unlearned)

    async def _tell(self, result: ExecutionResult, data: dict[str, object]) -> None:
        async with self.store.transaction() as tx:
            await tx.events.append(
                Event(
                    client_id=result.client_id,
                    subject_id=result.execution_id,
                    kind=EventKind.LEARNING,
                    at=self.clock.now(),
                    data=data,
                )
            )
