"""Plans from their request to their report: who asks, what would answer, and the worker's look at the host."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runwright.access.permissions import Permission, require
from runwright.execution.plan import make_plan
from runwright.execution.request import RunRequest
from runwright.incidents.intake import UNDER_WAY
from runwright.incidents.recurrence import too_often
from runwright.incidents.routing import NoRoute, Route, choose
from runwright.model.audit import AuditEvent
from runwright.model.edges import INCIDENT_EDGES
from runwright.model.errors import Conflict, GateRefused, HostUnreachable, InvalidInput, RunwrightError
from runwright.model.executions import Execution, ExecutionError, HostBrief, IncidentRef, RunbookRef
from runwright.model.hosts import Host, PolicyMode
from runwright.model.ids import split_version_id
from runwright.model.incidents import Incident, IncidentBrief, IncidentStatus, NewIncident
from runwright.model.plans import PlannedApproval, PlanReport, PlanStatus, RunPlan
from runwright.model.ports.clock import Clock
from runwright.model.ports.durable import WorkQueue
from runwright.model.ports.gate import Gate
from runwright.model.ports.hosts import HostConnector
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import ENGINE, Principal, PrincipalKind

log = logging.getLogger(__name__)


class NothingRuns(Exception):
    """Why nothing would run for an incident."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class PlanRequests:
    """The half that takes the question in. Needs no key and no host."""

    store: Store
    clock: Clock
    queue: WorkQueue

    async def of_incident(self, principal: Principal, incident_id: str, *, client: str = EVERY_CLIENT) -> RunPlan:
        """What `incident run` would do now. Raises Forbidden and NotFound."""
        async with self.store.transaction() as tx:
            incident = await tx.incidents.get(incident_id, client=client)
            require(principal, Permission.RUN, incident.client_id)
            plan = await self._plan(tx, incident, principal, reported=True)
        return await self._queued(plan)

    async def of_report(self, principal: Principal, new: NewIncident, host: Host) -> RunPlan:
        """What reporting this incident would start. Nothing is reported. Raises Forbidden, InvalidInput."""
        require(principal, Permission.RUN, new.client_id)
        now = self.clock.now()
        incident = Incident(
            id=self.clock.new_id("inc"),
            client_id=new.client_id,
            host_id=host.id,
            incident_type=new.incident_type,
            severity=new.severity,
            subject=new.subject,
            labels=new.labels,
            occurred_at=new.occurred_at or now,
            received_at=now,
            source=new.source,
        )
        async with self.store.transaction() as tx:
            plan = await self._plan(tx, incident, principal, reported=False)
        return await self._queued(plan)

    async def _queued(self, plan: RunPlan) -> RunPlan:
        if plan.execution is not None:
            await self.queue.enqueue_plan(plan.id, host_id=plan.host_id, priority=plan.incident.severity.rank)
        return plan

    async def _plan(self, tx: Transaction, incident: Incident, principal: Principal, *, reported: bool) -> RunPlan:
        host = await tx.hosts.get(incident.host_id, client=incident.client_id)
        now, plan_id = self.clock.now(), self.clock.new_id("pln")
        report = PlanReport(
            plan_id=plan_id,
            client_id=incident.client_id,
            status=PlanStatus.PENDING,
            host=HostBrief(hostname=host.hostname, platform=host.platform.value),
            incident=IncidentRef(
                id=incident.id if reported else "",
                incident_type=incident.incident_type,
                subject=dict(incident.subject),
                severity=incident.severity,
            ),
            created_at=now,
        )
        execution = None
        try:
            route = await _answer(tx, incident, host, reported=reported)
        except NothingRuns as nothing:
            error = ExecutionError(code=nothing.code, message=str(nothing))
            done = {"status": PlanStatus.REFUSED, "error": error, "completed_at": now}
            report = report.model_copy(update=done)
        else:
            execution = self._execution(plan_id, incident, route, principal, reported=reported)
            report = report.model_copy(update=await _chosen(tx, execution, route))
        plan = RunPlan(
            id=plan_id,
            client_id=incident.client_id,
            incident=incident,
            reported=reported,
            execution=execution,
            report=report,
            requested_by=principal.id,
            created_at=now,
        )
        await tx.plans.add(plan)
        await tx.audit.append(
            AuditEvent(
                chain=plan.client_id,
                actor=principal.id,
                action="plan.create",
                subject=plan.id,
                digest=execution.digest if execution else None,
                at=now,
                facts={"incident": report.incident.id, "host": host.id},
            )
        )
        return plan

    def _execution(
        self, plan_id: str, incident: Incident, route: Route, principal: Principal, *, reported: bool
    ) -> Execution:
        """The run as it would be created, under the plan's id."""
        person = reported and principal.kind is PrincipalKind.PERSON
        return Execution(
            id=plan_id,
            client_id=incident.client_id,
            host_id=incident.host_id,
            incident_id=incident.id,
            runbook_id=route.activation.runbook_id,
            version_id=route.version.id,
            digest=route.version.digest,
            activation_id=route.activation.id,
            approval_id=route.activation.approval_id,
            routing_id=route.rule.id,
            requested_by=principal.id if person else ENGINE.id,
            created_at=self.clock.now(),
        )


async def _answer(tx: Transaction, incident: Incident, host: Host, *, reported: bool) -> Route:
    """What would be queued, by the rules of the dispatcher. Raises NothingRuns."""
    if reported and IncidentStatus.QUEUED not in INCIDENT_EDGES.get(incident.status, frozenset()):
        raise NothingRuns("incident-status", f"The incident is {incident.status.value}: nothing starts for it.")
    if not reported:
        where = {"fingerprint": incident.fingerprint, "status": tuple(status.value for status in UNDER_WAY)}
        page = await tx.incidents.page(client=incident.client_id, where=where)
        if page.items:
            raise NothingRuns("duplicate", f"It would be a duplicate of {page.items[-1].id}, which is under way.")
    if host.policy.mode is PolicyMode.NEVER:
        raise NothingRuns("policy", f"The policy of host {host.hostname} is never to run anything.")
    if host.policy.mode is PolicyMode.ASK and not reported:
        raise NothingRuns("policy", f"The policy of host {host.hostname} is to ask: a person would have to start it.")
    if not reported and await too_often(tx, incident):
        raise NothingRuns("ineffective", "Three runs for the same incident did not end it: a person decides.")
    try:
        return await choose(tx, incident)
    except NoRoute as missing:
        raise NothingRuns(missing.reason.value, str(missing)) from missing


async def _chosen(tx: Transaction, execution: Execution, route: Route) -> dict[str, object]:
    approval = await tx.approvals.find(execution.approval_id, client=EVERY_CLIENT)
    _, number = split_version_id(execution.version_id)
    return {
        "runbook": RunbookRef(id=execution.runbook_id, version=number, digest=execution.digest),
        "version_id": execution.version_id,
        "approval": PlannedApproval(
            approval_id=execution.approval_id,
            activation_id=execution.activation_id,
            routing_id=execution.routing_id,
            scope=route.activation.scope,
            decided_at=approval.decided_at if approval else None,
            expires_at=approval.expires_at if approval else None,
        ),
    }


class PlanMaker:
    """The worker's half: asks the gate and the host, changes nothing there, and stores the report."""

    def __init__(self, store: Store, gate: Gate, connector: HostConnector, clock: Clock) -> None:
        self._store = store
        self._gate = gate
        self._connector = connector
        self._clock = clock

    async def make(self, plan_id: str) -> PlanReport:
        """The report of a plan; that which is stored already, if it is made. Safe to call again after a crash."""
        async with self._store.reading() as tx:
            plan = await tx.plans.get(plan_id, client=EVERY_CLIENT)
            host = await tx.hosts.get(plan.host_id, client=plan.client_id)
        if plan.report.status is not PlanStatus.PENDING or plan.execution is None:
            return plan.report
        changes: dict[str, object]
        try:
            async with self._connector.open(host) as session:
                found = await make_plan(
                    _request(plan, plan.execution, host), gate=self._gate, session=session, clock=self._clock
                )
            changes = {**found, "status": PlanStatus.READY}
        except HostUnreachable as lost:
            changes = {"status": PlanStatus.FAILED, "error": _error(lost)}
        except (GateRefused, InvalidInput, Conflict) as refused:
            changes = {"status": PlanStatus.REFUSED, "error": _error(refused)}
        made = plan.with_report(**changes, completed_at=self._clock.now())
        async with self._store.transaction() as tx:
            await tx.plans.replace(plan, made)
        return made.report


def _request(plan: RunPlan, execution: Execution, host: Host) -> RunRequest:
    incident = plan.incident
    _, version = split_version_id(execution.version_id)
    return RunRequest(
        execution_id=plan.id,
        client_id=plan.client_id,
        brief=IncidentBrief(incident_type=incident.incident_type, severity=incident.severity, subject=incident.subject),
        incident_id=incident.id,
        host=HostBrief(hostname=host.hostname, platform=host.platform.value),
        host_attributes={"hostname": host.hostname, "platform": host.platform.value, **host.labels},
        runbook_ref=RunbookRef(id=execution.runbook_id, version=version, digest=execution.digest),
        become=host.become,
    )


def _error(error: RunwrightError) -> ExecutionError:
    extra = {"reason": error.reason.value} if isinstance(error, GateRefused) else {}
    return ExecutionError(code=error.code, message=str(error), extra=extra)
