"""What did not help: ineffective runs of the version that would answer an incident once more."""

from __future__ import annotations

from datetime import timedelta

from runwright.incidents.routing import NoRoute, choose
from runwright.model.executions import Execution, ExecutionStatus
from runwright.model.incidents import Incident, IncidentStatus
from runwright.model.ports.store import Transaction

LIMIT = 3
"""After so many ineffective runs a person decides instead of a further one."""

WINDOW = timedelta(hours=24)
"""How far back runs count, from the receipt of the incident."""

_DID_NOT_HELP = frozenset(
    {ExecutionStatus.FAILURE, ExecutionStatus.PARTIAL, ExecutionStatus.TIMED_OUT, ExecutionStatus.INTERRUPTED}
)
"""One that a person cancelled says nothing about the runbook; one that broke off ended no incident either."""

_MOST = 500
"""Incidents of one fingerprint that are looked through, newest first."""


async def too_often(
    tx: Transaction,
    incident: Incident,
    limit: int = LIMIT,
    *,
    digest: str | None = None,
    window: timedelta = WINDOW,
) -> bool:
    """Whether a person should decide instead of a further run of the same content.

    Counts runs of the version with `digest`; without it, of the version that routing would choose
    now, so that a newly approved version gets its own chances. False where nothing would run.
    """
    if digest is None:
        try:
            digest = (await choose(tx, incident)).version.digest
        except NoRoute:
            return False
    return len(await ineffective_runs(tx, incident, digest, window=window)) >= limit


async def ineffective_runs(
    tx: Transaction, incident: Incident, digest: str, *, window: timedelta = WINDOW
) -> tuple[Execution, ...]:
    """Runs of a version for the same fingerprint that did not end it for good, newest first.

    A run that failed, timed out or ended without proof did not; neither did one whose incident recurred.
    """
    since = incident.received_at - window
    found: list[Execution] = []
    same = await tx.incidents.page(client=incident.client_id, where={"fingerprint": incident.fingerprint}, limit=_MOST)
    for one in same.items:
        runs = await tx.executions.page(client=incident.client_id, where={"incident_id": one.id}, limit=_MOST)
        found += [
            run
            for run in runs.items
            if run.digest == digest and run.created_at >= since and (run.status in _DID_NOT_HELP or _undone(run, one))
        ]
    return tuple(sorted(found, key=lambda run: (run.created_at, run.id), reverse=True))


def _undone(run: Execution, incident: Incident) -> bool:
    """Its success did not last: the incident that it resolved came again."""
    return run.status is ExecutionStatus.SUCCESS and incident.status is IncidentStatus.RECURRED
