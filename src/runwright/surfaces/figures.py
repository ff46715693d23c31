"""Figures of the loop, each with numerator and denominator, counted from the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runwright.model.executions import ExecutionStatus
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.reviews import ReviewStatus


def _ratio(numerator: float, denominator: float, unit: str = "share") -> dict[str, Any]:
    value = round(numerator / denominator, 4) if denominator else None
    return {"value": value, "numerator": numerator, "denominator": denominator, "unit": unit}


async def figures(tx: Transaction, where: Mapping[str, Any]) -> dict[str, Any]:
    """Success rate of runs, outcomes by status, escalations per incident, approval rate, dollars per analysis."""
    counts = {
        status.value: await tx.executions.count(client=EVERY_CLIENT, where={**where, "status": status.value})
        for status in ExecutionStatus
    }
    ended = sum(count for name, count in counts.items() if ExecutionStatus(name).final)
    incidents = await tx.incidents.count(client=EVERY_CLIENT, where=where)
    resolved = await tx.incidents.count(client=EVERY_CLIENT, where={**where, "status": "resolved"})
    escalations = await tx.escalations.count(client=EVERY_CLIENT, where=where)
    proposals = await tx.proposals.count(client=EVERY_CLIENT, where=where)
    approved = await tx.reviews.count(client=EVERY_CLIENT, where={**where, "status": ReviewStatus.APPROVED.value})
    rejected = await tx.reviews.count(client=EVERY_CLIENT, where={**where, "status": ReviewStatus.REJECTED.value})
    return {
        "executions": counts,
        "success_rate": _ratio(counts[ExecutionStatus.SUCCESS.value], ended),
        "incidents_resolved": _ratio(resolved, incidents),
        "escalations_per_incident": _ratio(escalations, incidents, "escalations"),
        "approval_rate": _ratio(approved, approved + rejected),
        "improved_versions": {"value": proposals, "unit": "versions"},
    }
