"""Figures of the loop, each with numerator and denominator, counted from the store."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from runwright.model.executions import ExecutionStatus
from runwright.model.external import ExternalLearning
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.reviews import ReviewStatus

Z95 = 1.959964
"""Standard deviations of a normal distribution that hold 95% of it."""

_ENDED = tuple(status.value for status in ExecutionStatus if status.final)


def wilson(successes: int, trials: int) -> tuple[float, float] | None:
    """The 95% Wilson score interval of a share (Wilson 1927); None without a trial.

    Unlike the normal approximation it stays within 0 and 1 and is honest for few trials: 1 of 1 is 0.21 to 1.
    """
    if trials == 0:
        return None
    share, square = successes / trials, Z95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z95 / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def share(numerator: int, denominator: int) -> dict[str, Any]:
    """A share of counted things with its 95% interval; `value` and `interval` are None without any."""
    interval = wilson(numerator, denominator)
    return {
        "value": round(numerator / denominator, 4) if denominator else None,
        "numerator": numerator,
        "denominator": denominator,
        "unit": "share",
        "interval": [round(bound, 4) for bound in interval] if interval else None,
    }


def _per(numerator: int, denominator: int, unit: str) -> dict[str, Any]:
    """So many of one thing for each of another; may exceed 1, so it has no interval."""
    value = round(numerator / denominator, 4) if denominator else None
    return {"value": value, "numerator": numerator, "denominator": denominator, "unit": unit}


async def figures(tx: Transaction, where: Mapping[str, Any]) -> dict[str, Any]:
    """Success of ended runs, runs by status, incidents resolved and recurred, escalations per incident, approvals."""
    counts = {
        status.value: await tx.executions.count(client=EVERY_CLIENT, where={**where, "status": status.value})
        for status in ExecutionStatus
    }
    incidents = await tx.incidents.count(client=EVERY_CLIENT, where=where)
    resolved = await tx.incidents.count(client=EVERY_CLIENT, where={**where, "status": "resolved"})
    recurred = await tx.incidents.count(client=EVERY_CLIENT, where={**where, "status": "recurred"})
    escalations = await tx.escalations.count(client=EVERY_CLIENT, where=where)
    external = await external_figures(tx, where)
    proposals = await tx.proposals.count(client=EVERY_CLIENT, where=where) - external["improved_versions"]["value"]
    approved = await tx.reviews.count(client=EVERY_CLIENT, where={**where, "status": ReviewStatus.APPROVED.value})
    rejected = await tx.reviews.count(client=EVERY_CLIENT, where={**where, "status": ReviewStatus.REJECTED.value})
    return {
        "executions": counts,
        "success_rate": share(counts[ExecutionStatus.SUCCESS.value], sum(counts[name] for name in _ENDED)),
        "incidents_resolved": share(resolved, incidents),
        "incidents_recurred": share(recurred, resolved + recurred),
        "escalations_per_incident": _per(escalations, incidents, "escalations"),
        "approval_rate": share(approved, approved + rejected),
        "improved_versions": {"value": proposals, "unit": "versions"},
        "external": external,
    }


async def external_figures(tx: Transaction, where: Mapping[str, Any]) -> dict[str, Any]:
    """What other executors report, counted apart: its success is claimed, nobody here verified it."""
    counts = {
        status.value: await tx.externals.count(client=EVERY_CLIENT, where={**where, "status": status.value})
        for status in ExecutionStatus
        if status.final
    }
    learning = {
        stage.value: await tx.externals.count(client=EVERY_CLIENT, where={**where, "learning": stage.value})
        for stage in ExternalLearning
    }
    return {
        "executions": counts,
        "reported_success_rate": share(counts[ExecutionStatus.SUCCESS.value], sum(counts.values())),
        "learning": learning,
        "improved_versions": {"value": learning[ExternalLearning.PROPOSED.value], "unit": "versions"},
    }


async def version_rate(tx: Transaction, where: Mapping[str, Any], version_id: str) -> dict[str, Any]:
    """How many of the ended runs of one version ended their incident, as far as `where` lets them be seen."""
    mine = {**where, "version_id": version_id}
    ended = await tx.executions.count(client=EVERY_CLIENT, where={**mine, "status": _ENDED})
    won = await tx.executions.count(client=EVERY_CLIENT, where={**mine, "status": ExecutionStatus.SUCCESS.value})
    return share(won, ended)
