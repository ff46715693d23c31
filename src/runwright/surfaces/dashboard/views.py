"""What the pages show, gathered from the store in one read each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runwright.execution.questions import waited_for
from runwright.loop import LEARN_FROM
from runwright.model.audit import AuditEntry
from runwright.model.clients import scope_client
from runwright.model.executions import (
    AttemptRecord,
    Execution,
    ExecutionResult,
    JournalEntry,
    Section,
    StepStatus,
)
from runwright.model.hosts import Host
from runwright.model.lab import Trial
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.reviews import StopSwitch, TestEvidence
from runwright.model.states import HostState, StateChange
from runwright.review.service import Comparison
from runwright.surfaces.api.guard import Caller
from runwright.surfaces.figures import version_rate

LEARNING = timedelta(minutes=5)
"""So long after a failed run its page waits for what is learned from it."""


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
            kind="",
            section=entry.intent.section,
            status=entry.step_status,
            attempts=attempts,
            reason=entry.reason,
        )
    return list(found.values())


async def execution_view(tx: Transaction, execution_id: str, now: datetime) -> dict[str, Any]:
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
    ended = execution.completed_at or execution.created_at
    learning = analysis is None and execution.status in LEARN_FROM and now - ended < LEARNING
    return {
        "execution": execution,
        "result": result,
        "steps": steps_of(result, journal, final=execution.status.final),
        "states": _states(result),
        "question": await waited_for(tx, execution),
        "held_by": None if execution.status.final else await _held_by(tx, execution),
        "analysis": analysis,
        "candidate": proposal.candidate if proposal else None,
        "learning": learning,
        "live": learning or not execution.status.final,
    }


async def _held_by(tx: Transaction, execution: Execution) -> StopSwitch | None:
    """The stop switch that keeps the run from its next step, if one is set."""
    for name in ("global", f"client:{execution.client_id}", f"runbook:{execution.runbook_id}"):
        switch = await tx.switches.find(name, client=EVERY_CLIENT)
        if switch is not None:
            return switch
    return None


def _states(result: ExecutionResult | None) -> list[tuple[str, list[tuple[str, str]]]]:
    """The captured states as lines of facts: what it was before, what it was after."""
    if result is None:
        return []
    both = (("before", result.state_before), ("after", result.state_after))
    return [(name, _facts(state)) for name, state in both if state is not None]


def _facts(state: HostState) -> list[tuple[str, str]]:
    """The facts of a state that a person looks at first; what could not be read says why."""
    lines = [
        (f"service {item.name}", " ".join(part for part in (item.active, item.sub) if part))
        for item in state.services[:20]
    ]
    lines.append(("failed units", ", ".join(state.failed_units) or "none"))
    if state.memory is not None:
        memory = state.memory
        lines.append(("memory", f"{memory.available_kb // 1024} of {memory.total_kb // 1024} MB available"))
    if state.load1 is not None:
        lines.append(("load, 1 min", f"{state.load1:.2f}"))
    lines += [(f"disk {item.mount}", f"{item.used_percent:.0f}% used") for item in state.disks[:10]]
    if state.ports:
        lines.append(("listening", ", ".join(dict.fromkeys(f"{item.protocol} {item.port}" for item in state.ports))))
    lines += [(item.fact, f"not read: {item.reason}") for item in state.missing]
    return lines


@dataclass(frozen=True)
class EvidenceView:
    """A test of a review item, with the trial it tells of where there is one."""

    evidence: TestEvidence
    trial: Trial | None


def evidence_of(comparison: Comparison) -> list[EvidenceView]:
    """Every test of the item in order, then trials that no test tells of (invalid ones)."""
    trials = {trial.id: trial for trial in comparison.trials}
    found = [
        EvidenceView(entry, trials.pop(entry.trial_id, None) if entry.trial_id else None)
        for entry in comparison.item.evidence
    ]
    for trial in trials.values():
        note = f"{trial.report.scenario}: {trial.report.outcome.value}. {trial.report.reason}"
        entry = TestEvidence(id=trial.id, source="trial", passed=None, note=note, at=trial.created_at)
        found.append(EvidenceView(entry, trial))
    return found


async def host_of(tx: Transaction, host_id: str) -> Host | None:
    """The host of a record, if it is still registered."""
    return await tx.hosts.find(host_id, client=EVERY_CLIENT)


async def hostnames(tx: Transaction, ids: set[str]) -> dict[str, str]:
    """Hostnames by host id."""
    found = {key: await host_of(tx, key) for key in ids}
    return {key: host.hostname for key, host in found.items() if host is not None}


async def lineage(
    tx: Transaction, caller: Caller, runbook_id: str, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """A line of versions, newest first, with review status, where each is live, and how its runs ended."""
    where = {"runbook_id": runbook_id, **caller.scopes()}
    page = await tx.versions.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=20)
    live = await tx.activations.page(client=EVERY_CLIENT, where={"runbook_id": runbook_id, "state": "live"}, limit=200)
    rows: list[dict[str, Any]] = []
    for version in page.items:
        item = await tx.reviews.find(version.id, client=EVERY_CLIENT)
        rows.append(
            {
                "version": version,
                "status": item.status if item else None,
                "title": item.title.removeprefix(f"{version.id}: ") if item else "",
                "live": [
                    entry.scope
                    for entry in live.items
                    if entry.version_id == version.id and caller.sees(scope_client(entry.scope))
                ],
                "rate": await version_rate(tx, caller.where(), version.id),
            }
        )
    return rows, page.next_cursor


async def names_of(tx: Transaction, actors: set[str]) -> dict[str, str]:
    """Names of the persons and machines among these ids."""
    found: dict[str, str] = {}
    for key in actors:
        user = await tx.users.find(key, client=EVERY_CLIENT)
        token = None if user else await tx.tokens.find(key, client=EVERY_CLIENT)
        if user is not None:
            found[key] = user.display_name or user.name
        elif token is not None:
            found[key] = f"{token.name} (machine)"
    return found


async def last_sequence(tx: Transaction, chain: str) -> int:
    """The number of a chain's last entry, 0 for an empty one, found in a few dozen short reads."""

    async def beyond(sequence: int) -> bool:
        return bool(await tx.audit.entries(chain, after=sequence, limit=1))

    low, high = 0, 1
    while await beyond(high):
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if await beyond(middle):
            low = middle + 1
        else:
            high = middle
    return low


async def newest_entries(
    tx: Transaction, chain: str, before: int | None, limit: int
) -> tuple[tuple[AuditEntry, ...], int | None]:
    """Entries of a chain, newest first, and what to give as `before` for the next older ones."""
    last = await last_sequence(tx, chain)
    end = last if before is None else min(last, before - 1)
    start = max(0, end - limit)
    found = await tx.audit.entries(chain, after=start, limit=end - start) if end > start else ()
    return tuple(reversed(found)), start + 1 if start > 0 else None
