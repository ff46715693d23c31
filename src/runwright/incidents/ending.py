"""An incident that is over without us: monitoring or a person says so. What was queued for it then never runs."""

from __future__ import annotations

from runwright.incidents.intake import record_change
from runwright.model.audit import AuditEvent
from runwright.model.edges import EXECUTION_EDGES, INCIDENT_EDGES, check_edge
from runwright.model.errors import Conflict
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
from runwright.model.ids import split_version_id
from runwright.model.incidents import Incident, IncidentStatus
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Transaction

ENDINGS = (IncidentStatus.RESOLVED, IncidentStatus.CLOSED)
"""`resolved`: it is over, and the same within a day counts as recurred. `closed`: nothing is to be done about it."""

_MOST = 100


async def end(
    tx: Transaction, incident_id: str, status: IncidentStatus, *, client: str, by: str, note: str, clock: Clock
) -> Incident:
    """Resolve or close an incident in one transaction: its queued runs are cancelled, its escalations done.

    Ending it the same way again changes nothing. Raises NotFound, and Conflict while a run is on its way
    (cancel that first) or where the table of edges has no such way.
    """
    seen = await tx.incidents.get(incident_id, client=client)
    await tx.lock(f"incident:{seen.fingerprint}")  # against a worker that starts it and a report of the same
    incident = await tx.incidents.get(incident_id, client=client)
    if incident.status is status:
        return incident
    if incident.status is IncidentStatus.RUNNING:
        raise Conflict(
            f"Found incident {incident.id} running: its run decides.",
            allowed="Allowed: an incident of which no run is on its way.",
            next_step="Wait for the run, or end it with `runwright execution cancel`.",
        )
    check_edge(INCIDENT_EDGES, incident.status, status)
    now = clock.now()
    changes: dict[str, object] = {"status": status}
    if status is IncidentStatus.RESOLVED:
        changes |= {"resolved_at": now, "resolved_by": by}
    ended = incident.model_copy(update=changes)
    await tx.incidents.replace(incident, ended)
    runs = await tx.executions.page(client=incident.client_id, where={"incident_id": incident.id}, limit=_MOST)
    for run in runs.items:
        if run.status is ExecutionStatus.PENDING:
            await _never_started(tx, run, ended, by, clock)
    given = await tx.escalations.page(client=incident.client_id, where={"incident_id": incident.id}, limit=_MOST)
    for escalation in given.items:
        if escalation.done_at is None:
            await tx.escalations.replace(escalation, escalation.model_copy(update={"done_at": now}))
    facts = {"status": status.value, "from": incident.status.value}
    action = "incident.resolve" if status is IncidentStatus.RESOLVED else "incident.close"
    await record_change(tx, ended, action, by, facts, clock, note=note)
    return ended


async def _never_started(tx: Transaction, run: Execution, incident: Incident, by: str, clock: Clock) -> None:
    """Cancel a run of which nothing has happened yet."""
    now = clock.now()
    check_edge(EXECUTION_EDGES, run.status, ExecutionStatus.CANCELLED)
    done = run.model_copy(update={"status": ExecutionStatus.CANCELLED, "cancel_requested_at": now, "completed_at": now})
    host = await tx.hosts.get(run.host_id, client=run.client_id)
    message = f"Its incident was {incident.status.value} before it started: nothing ran."
    result = ExecutionResult(
        execution_id=run.id,
        client_id=run.client_id,
        host=HostBrief(hostname=host.hostname, platform=host.platform.value),
        incident=IncidentRef(
            id=incident.id,
            incident_type=incident.incident_type,
            subject=dict(incident.subject),
            severity=incident.severity,
        ),
        runbook=RunbookRef(id=run.runbook_id, version=split_version_id(run.version_id)[1], digest=run.digest),
        started_at=now,
        completed_at=now,
        duration_seconds=0.0,
        status=ExecutionStatus.CANCELLED,
        error=ExecutionError(code="cancelled", message=message),
    )
    await tx.executions.replace(run, done)
    await tx.executions.put_result(result)
    await tx.audit.append(
        AuditEvent(chain=run.client_id, actor=by, action="execution.cancel", subject=run.id, digest=run.digest, at=now)
    )
    await tx.events.append(
        Event(
            client_id=run.client_id,
            subject_id=run.id,
            kind=EventKind.EXECUTION_STATUS,
            at=now,
            data={"status": done.status.value, "incident": incident.id},
        )
    )
