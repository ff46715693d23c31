"""An alert becomes an incident: checked, matched with what is open already, and recorded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import ValidationError

from runwright.model.audit import AuditEvent
from runwright.model.edges import INCIDENT_EDGES, check_edge
from runwright.model.errors import Fault, InvalidInput
from runwright.model.executions import Event, EventKind
from runwright.model.hosts import Host
from runwright.model.incidents import Incident, IncidentBrief, IncidentStatus
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Transaction

RECURRENCE_WINDOW = timedelta(hours=24)
"""How long after its resolution the same fingerprint marks an incident `recurred`."""

UNDER_WAY = (IncidentStatus.OPEN, IncidentStatus.QUEUED, IncidentStatus.RUNNING)
"""A further incident of the same fingerprint is a duplicate of one of these."""

FUTURE = timedelta(minutes=5)
"""How far the clock of an alert's sender may be ahead of ours."""


async def accept(
    tx: Transaction,
    *,
    client_id: str,
    host_id: str,
    brief: IncidentBrief,
    labels: Mapping[str, str],
    occurred_at: datetime | None,
    source: str,
    clock: Clock,
    window: timedelta = RECURRENCE_WINDOW,
) -> Incident:
    """Store a reported incident and say where it stands: `open`, or `duplicate` of one that is under way.

    An earlier incident of the same fingerprint that was resolved less than `window` ago becomes
    `recurred`: the run that ended it did not hold. The change is audited in the same transaction.

    Raises NotFound where the client has no such host, InvalidInput where the facts do not fit.
    """
    await tx.hosts.get(host_id, client=client_id)
    incident = _incident(client_id, host_id, brief, labels, occurred_at, source, clock)
    await tx.lock(f"incident:{incident.fingerprint}")  # of two same alerts at once, one is the duplicate
    first = await _under_way(tx, incident)
    if first is not None:
        incident = incident.model_copy(update={"status": IncidentStatus.DUPLICATE, "duplicate_of": first.id})
    await tx.incidents.add(incident)
    facts = {"status": incident.status.value, "incident_type": incident.incident_type, "source": source}
    if first is not None:
        facts["duplicate_of"] = first.id
    await record_change(tx, incident, "incident.accept", source, facts, clock)
    if first is None:
        await _mark_recurred(tx, incident, window, clock)
    return incident


def _incident(
    client_id: str,
    host_id: str,
    brief: IncidentBrief,
    labels: Mapping[str, str],
    occurred_at: datetime | None,
    source: str,
    clock: Clock,
) -> Incident:
    now = clock.now()
    began = now if occurred_at is None else occurred_at
    if began.tzinfo is not None and began > now + FUTURE:
        raise InvalidInput(
            f"Found occurred_at {began.isoformat()}, which is in the future.",
            allowed=f"Allowed: at most {FUTURE.seconds // 60} minutes after now ({now.isoformat()}).",
            next_step="Set the clock of the sender.",
        )
    try:
        return Incident(
            id=clock.new_id("inc"),
            client_id=client_id,
            host_id=host_id,
            incident_type=brief.incident_type,
            severity=brief.severity,
            subject=brief.subject,
            labels=dict(labels),
            occurred_at=began,
            received_at=now,
            source=source,
        )
    except ValidationError as cause:
        faults = [
            Fault(message=error["msg"], path=".".join(str(part) for part in error["loc"]) or None)
            for error in cause.errors()
        ]
        raise InvalidInput(
            "Found an incident that does not fit: " + "; ".join(str(fault) for fault in faults) + ".", faults=faults
        ) from cause


async def _under_way(tx: Transaction, incident: Incident) -> Incident | None:
    """The oldest incident of this fingerprint that is not ended."""
    where = {"fingerprint": incident.fingerprint, "status": tuple(status.value for status in UNDER_WAY)}
    page = await tx.incidents.page(client=incident.client_id, where=where)
    return page.items[-1] if page.items else None


async def _mark_recurred(tx: Transaction, incident: Incident, window: timedelta, clock: Clock) -> None:
    where = {"fingerprint": incident.fingerprint, "status": IncidentStatus.RESOLVED.value}
    page = await tx.incidents.page(client=incident.client_id, where=where)
    for earlier in page.items:
        if earlier.resolved_at is None or incident.received_at - earlier.resolved_at > window:
            continue
        check_edge(INCIDENT_EDGES, earlier.status, IncidentStatus.RECURRED)
        recurred = earlier.model_copy(update={"status": IncidentStatus.RECURRED})
        await tx.incidents.replace(earlier, recurred)
        facts = {
            "status": recurred.status.value,
            "resolved_by": earlier.resolved_by or "",
            "recurred_as": incident.id,
        }
        await record_change(tx, recurred, "incident.recur", incident.source, facts, clock)


async def record_change(
    tx: Transaction,
    incident: Incident,
    action: str,
    actor: str,
    facts: Mapping[str, str],
    clock: Clock,
    *,
    note: str = "",
) -> None:
    """One audit entry and one event for a change of an incident. A person's `note` is in the event alone."""
    now = clock.now()
    await tx.audit.append(
        AuditEvent(
            chain=incident.client_id,
            actor=actor,
            action=action,
            subject=incident.id,
            digest=incident.fingerprint,
            at=now,
            facts=dict(facts),
        )
    )
    await tx.events.append(
        Event(
            client_id=incident.client_id,
            subject_id=incident.id,
            kind=EventKind.INCIDENT_STATUS,
            at=now,
            data={**facts, **({"note": note} if note else {})},
        )
    )


async def find_host(tx: Transaction, client_id: str, name: str) -> Host:
    """A client's host by id or hostname. Raises InvalidInput naming what was looked for."""
    host = await tx.hosts.find(name, client=client_id)
    if host is None:
        page = await tx.hosts.page(client=client_id, where={"hostname": name}, limit=1)
        host = page.items[0] if page.items else None
    if host is None:
        raise InvalidInput(
            f"Found no host {name!r} of client {client_id!r}.",
            allowed="Allowed: the id or hostname of a registered host.",
            next_step="Register it with `runwright host add`.",
        )
    return host
