"""What a reviewer sees: the facts first (change, added risk, trials), then why the engine proposed it."""

from __future__ import annotations

from collections.abc import Callable

from runwright.model.base import Record
from runwright.model.diagnoses import Diagnosis, Signal
from runwright.model.ids import ALL
from runwright.model.lab import Trial
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.proposals import Edit
from runwright.model.reviews import ReviewItem, RoutingSubject
from runwright.model.risk import RiskReport
from runwright.runbooks.diff import RunbookDiff, diff_runbooks


class Comparison(Record):
    """A review item beside what it would replace."""

    item: ReviewItem
    parent_text: str | None
    """What is live in the item's scope now, else its parent, whole; None where there is nothing yet."""
    parent_id: str | None
    candidate_text: str
    """The whole text that would be approved; for a routing rule, the rule in words."""
    diff: RunbookDiff | None
    """None for a routing rule."""
    added_risk: RiskReport
    edits: tuple[Edit, ...] = ()
    signals: tuple[Signal, ...] = ()
    diagnosis: Diagnosis | None = None
    """Edits, signals and diagnosis are shown only to those who may read the client's executions."""
    trials: tuple[Trial, ...] = ()


async def compare(tx: Transaction, item: ReviewItem, reads: Callable[[str], bool]) -> Comparison:
    """Build the comparison of an item. `reads`: whether a client's telemetry may be shown."""
    subject = item.subject
    if isinstance(subject, RoutingSubject):
        return await _compare_rule(tx, item, subject)
    version = await tx.versions.get(subject.id, client=EVERY_CLIENT)
    parent_id = await _replaced(tx, version.runbook_id, subject.scope, item)
    parent = await tx.versions.find(parent_id, client=EVERY_CLIENT) if parent_id else None
    trials = await tx.trials.page(client=EVERY_CLIENT, where={"version_id": version.id, "digest": subject.digest})
    proposal = await tx.proposals.find(item.proposal_id, client=EVERY_CLIENT) if item.proposal_id else None
    if proposal is not None and not reads(proposal.client_id):
        proposal = None
    analysis = await tx.analyses.find(proposal.analysis_id, client=EVERY_CLIENT) if proposal else None
    return Comparison(
        item=item,
        parent_text=parent.text if parent else None,
        parent_id=parent.id if parent else None,
        candidate_text=version.text,
        diff=diff_runbooks(parent.text if parent else None, version.text),
        added_risk=item.added_risk,
        edits=proposal.edits if proposal else (),
        signals=proposal.signals if proposal else (),
        diagnosis=analysis.diagnosis if analysis else None,
        trials=trials.items,
    )


async def _replaced(tx: Transaction, runbook_id: str, scope: str, item: ReviewItem) -> str | None:
    """The version that is live where this one would be, else the one it was made from."""
    for name in dict.fromkeys((scope, ALL)):
        live = await tx.activations.live(runbook_id, name)
        if live is not None and live.version_id != item.id:
            return live.version_id
    return item.parent


async def _compare_rule(tx: Transaction, item: ReviewItem, subject: RoutingSubject) -> Comparison:
    where = {"scope": subject.scope, "incident_type": subject.incident_type, "active": True}
    page = await tx.routes.page(client=EVERY_CLIENT, where=where, limit=1)
    now = next((rule for rule in page.items if rule.id != subject.id), None)
    return Comparison(
        item=item,
        parent_text=_words(subject.scope, now.incident_type, now.runbook_id) if now else None,
        parent_id=now.id if now else None,
        candidate_text=_words(subject.scope, subject.incident_type, subject.runbook_id),
        diff=None,
        added_risk=item.added_risk,
    )


def _words(scope: str, incident_type: str, runbook_id: str) -> str:
    return f"scope {scope}: incidents of type {incident_type} are answered by runbook {runbook_id}\n"
