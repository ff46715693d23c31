"""What the pages show, gathered from the store in one read each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runwright.model.executions import AttemptRecord, ExecutionResult, JournalEntry, Section, StepStatus
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.states import StateChange
from runwright.surfaces.api.guard import Caller


@dataclass(frozen=True)
class StepView:
    """A step as the timeline shows it; `status` None while it runs."""

    id: str
    kind: str
    section: Section
    status: StepStatus | None
    attempts: tuple[AttemptRecord, ...]
    state_changes: tuple[StateChange, ...] = ()
    reason: str = ""


def steps_of(result: ExecutionResult | None, journal: tuple[JournalEntry, ...], *, final: bool) -> list[StepView]:
    """From the stored telemetry once the run is over, from the journal while it goes on."""
    if result is not None and final:
        return [
            StepView(step.id, step.kind, step.section, step.status, step.attempts, step.state_changes, step.reason)
            for step in result.steps
        ]
    found: dict[tuple[Section, str], StepView] = {}
    for entry in journal:
        key = (entry.intent.section, entry.intent.step_id)
        known = found.get(key)
        attempts = (*(known.attempts if known else ()), *((entry.outcome,) if entry.outcome else ()))
        found[key] = StepView(
            id=entry.intent.step_id,
            kind="step",
            section=entry.intent.section,
            status=entry.step_status,
            attempts=attempts,
            reason=entry.reason,
        )
    return list(found.values())


async def execution_view(tx: Transaction, execution_id: str) -> dict[str, Any]:
    """Everything the timeline of one run shows. The caller has checked that it may be seen."""
    execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
    result = await tx.executions.result(execution_id, client=EVERY_CLIENT)
    journal = await tx.journal.entries(execution_id)
    analyses = await tx.analyses.page(client=EVERY_CLIENT, where={"execution_id": execution_id}, limit=1)
    analysis = analyses.items[0] if analyses.items else None
    proposal = (
        await tx.proposals.find(analysis.proposal_id, client=EVERY_CLIENT)
        if analysis is not None and analysis.proposal_id
        else None
    )
    return {
        "execution": execution,
        "result": result,
        "steps": steps_of(result, journal, final=execution.status.final),
        "analysis": analysis,
        "candidate": proposal.candidate if proposal else None,
    }


async def hostnames(tx: Transaction, ids: set[str]) -> dict[str, str]:
    """Hostnames by host id."""
    found = {key: await tx.hosts.find(key, client=EVERY_CLIENT) for key in ids}
    return {key: host.hostname for key, host in found.items() if host is not None}


async def lineage(tx: Transaction, caller: Caller, runbook_id: str) -> list[dict[str, Any]]:
    """A line of versions, newest first, with review status, where each is live, and how its runs ended."""
    from runwright.model.clients import scope_client

    page = await tx.versions.page(client=EVERY_CLIENT, where={"runbook_id": runbook_id}, limit=200)
    live = await tx.activations.page(client=EVERY_CLIENT, where={"runbook_id": runbook_id, "state": "live"}, limit=200)
    rows: list[dict[str, Any]] = []
    for version in page.items:
        if not caller.sees(scope_client(version.scope)):
            continue
        item = await tx.reviews.find(version.id, client=EVERY_CLIENT)
        where = {**caller.where(), "version_id": version.id}
        rows.append(
            {
                "version": version,
                "status": item.status if item else None,
                "live": [
                    entry.scope
                    for entry in live.items
                    if entry.version_id == version.id and caller.sees(scope_client(entry.scope))
                ],
                "runs": await tx.executions.count(client=EVERY_CLIENT, where=where),
                "successes": await tx.executions.count(client=EVERY_CLIENT, where={**where, "status": "success"}),
            }
        )
    return rows
