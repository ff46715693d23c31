"""What came of an incident: resolved by a run, or handed to a person."""

from __future__ import annotations

from runwright.model.audit import AuditEvent
from runwright.model.edges import INCIDENT_EDGES, check_edge
from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.incidents import Escalation, EscalationReason, Incident, IncidentStatus
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Transaction
from runwright.model.principals import ENGINE

_ESCALATE: dict[ExecutionStatus, EscalationReason] = {
    ExecutionStatus.PARTIAL: EscalationReason.UNVERIFIABLE,
    ExecutionStatus.FAILURE: EscalationReason.RUN_FAILED,
    ExecutionStatus.TIMED_OUT: EscalationReason.RUN_FAILED,
    ExecutionStatus.CANCELLED: EscalationReason.ASKED,
    ExecutionStatus.INTERRUPTED: EscalationReason.INTERRUPTED,
}


async def settle(tx: Transaction, result: ExecutionResult, clock: Clock) -> None:
    """What a run's verdict means for its incident. Nothing for one that is not running."""
    incident = await tx.incidents.get(result.incident.id, client=result.client_id)
    if incident.status is not IncidentStatus.RUNNING:
        return
    if result.status is not ExecutionStatus.SUCCESS:
        await escalate(
            tx, incident, _ESCALATE[result.status], _why(result), execution_id=result.execution_id, clock=clock
        )
        return
    now = {"status": IncidentStatus.RESOLVED, "resolved_at": clock.now(), "resolved_by": result.execution_id}
    await tx.incidents.replace(incident, incident.model_copy(update=now))
    await _audit(tx, incident, "incident.resolve", clock)


async def escalate(
    tx: Transaction,
    incident: Incident,
    reason: EscalationReason,
    note: str,
    *,
    clock: Clock,
    execution_id: str | None = None,
) -> Incident:
    """Hand an incident to a person, with the reason. The incident as it is then."""
    now = incident
    if incident.status is not IncidentStatus.ESCALATED:
        check_edge(INCIDENT_EDGES, incident.status, IncidentStatus.ESCALATED)
        now = incident.model_copy(update={"status": IncidentStatus.ESCALATED})
        await tx.incidents.replace(incident, now)
    escalation = Escalation(
        id=clock.new_id("esc"),
        client_id=incident.client_id,
        incident_id=incident.id,
        execution_id=execution_id,
        reason=reason,
        note=note,
        created_at=clock.now(),
    )
    await tx.escalations.add(escalation)
    await _audit(tx, incident, "incident.escalate", clock, reason=reason.value)
    return now


async def _audit(tx: Transaction, incident: Incident, action: str, clock: Clock, **facts: str) -> None:
    await tx.audit.append(
        AuditEvent(
            chain=incident.client_id,
            actor=ENGINE.id,
            action=action,
            subject=incident.id,
            at=clock.now(),
            facts=facts,
        )
    )


def _why(result: ExecutionResult) -> str:
    """One sentence for the person who takes over."""
    if result.error is not None:
        return result.error.message
    if result.verification is not None:
        failed = [check.reason for check in result.verification.checks if check.outcome.value != "passed"]
        return "; ".join(failed) or result.verification.explanation
    return f"The run ended {result.status.value}."
