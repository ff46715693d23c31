"""Trials of a version in the queue, stored and attached to its review item as evidence."""

from __future__ import annotations

from collections.abc import Sequence

from runwright.model.lab import Trial, TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Transaction
from runwright.model.principals import ENGINE
from runwright.model.reviews import TestEvidence
from runwright.model.versions import RunbookVersion
from runwright.review.queue import attach_evidence


async def attach_trials(
    tx: Transaction,
    version: RunbookVersion,
    reports: Sequence[TrialReport],
    *,
    request_id: str,
    note: str,
    clock: Clock,
) -> None:
    """What the lab said of a version; `note` is the evidence where it could say nothing."""
    now = clock.now()
    if not reports:
        evidence = TestEvidence(id=request_id, source="none", passed=None, note=note, at=now)
        await attach_evidence(tx, version.id, evidence, by=ENGINE, clock=clock)
    for report in reports:
        trial = Trial(
            id=clock.new_id("tri"), version_id=version.id, digest=version.digest, report=report, created_at=now
        )
        await tx.trials.add(trial)
        evidence = TestEvidence(
            id=trial.id,
            source="trial",
            passed=report.right,
            note=f"{report.scenario}: {report.outcome.value}. {report.reason}".strip(),
            trial_id=trial.id,
            at=now,
        )
        await attach_evidence(tx, version.id, evidence, by=ENGINE, clock=clock)
