"""Putting something into the review queue, and attaching what tests found. Callers bring their transaction."""

from __future__ import annotations

from collections.abc import Sequence

from runwright.access.desk import record
from runwright.model.errors import Conflict, Forbidden, InvalidInput
from runwright.model.executions import Event, EventKind
from runwright.model.ids import ALL
from runwright.model.incidents import Severity
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.principals import Principal
from runwright.model.reviews import (
    ReviewAction,
    ReviewItem,
    ReviewStatus,
    ReviewSubject,
    RoutingRule,
    TestEvidence,
)
from runwright.model.risk import RiskReport, RiskVerdict
from runwright.model.versions import Author, RunbookVersion
from runwright.review.decisions import act
from runwright.review.subjects import chain_of, client_of, routing_digest, routing_subject, version_subject

FREQUENT = 5
"""From so many occurrences of the same failure on, its item comes one step earlier."""


def priority_for(severity: Severity, *, occurrences: int = 1, risk: RiskVerdict = RiskVerdict.OK) -> int:
    """1 (first) to 4: the severity's rank, one step earlier for a frequent failure, one later for a refused risk."""
    rank = severity.rank - (occurrences >= FREQUENT) + (risk is RiskVerdict.REFUSE)
    return min(4, max(1, rank))


async def submit(
    tx: Transaction,
    *,
    version: RunbookVersion | None = None,
    rule: RoutingRule | None = None,
    title: str,
    reason: str,
    priority: int,
    added_risk: RiskReport,
    author: Principal | Author,
    clock: Clock,
    evidence: Sequence[TestEvidence] = (),
    proposal_id: str | None = None,
    scope: str | None = None,
    draft: bool = False,
) -> ReviewItem:
    """Create the item of a version or a routing rule, and submit it unless it is to stay a draft.

    The version or rule is stored too if it is not yet. `scope` narrows a library version to one client.
    Raises InvalidInput for both or neither subject or a scope that is too wide, Conflict if it is queued already.
    """
    subject = await _subject(tx, version, rule, scope)
    now = clock.now()
    item = ReviewItem(
        id=subject.id,
        subject=subject,
        title=title,
        reason=reason,
        status=ReviewStatus.DRAFT,
        priority=priority,
        added_risk=added_risk,
        parent=version.parent if version else None,
        proposal_id=proposal_id or (version.proposal_id if version else None),
        author_id=author.id,
        evidence=tuple(evidence),
        created_at=now,
    )
    if not draft:
        item = act(item, ReviewAction.SUBMIT, _as_principal(author), now)
    await tx.reviews.add(item)
    await announce(tx, clock, author.id, "review.draft" if draft else "review.submit", item)
    return item


async def attach_evidence(
    tx: Transaction, subject_id: str, evidence: TestEvidence, *, by: Principal, clock: Clock
) -> ReviewItem:
    """Add a test's outcome to an item. The caller has checked that `by` may.

    Raises NotFound, Conflict if the evidence is there already, Forbidden where anything but a person closes a failed
    test, InvalidInput for a closed test that is unknown and for a trial that is not one of this version.
    """
    item = await tx.reviews.get(subject_id, client=EVERY_CLIENT)
    if any(known.id == evidence.id for known in item.evidence):
        raise Conflict(f"Found test {evidence.id} attached to {subject_id} already.")
    if evidence.closes is not None:
        if not by.decides:
            raise Forbidden(f"Found {by.kind.value} {by.name} closing a failed test.", allowed="Allowed: a person.")
        if not any(known.id == evidence.closes and known.passed is False for known in item.evidence):
            raise InvalidInput(f"Found no failed test {evidence.closes!r} to close on {subject_id}.")
    if evidence.trial_id is not None:
        trial = await tx.trials.find(evidence.trial_id, client=EVERY_CLIENT)
        if trial is None or trial.version_id != item.id or trial.digest != item.subject.digest:
            raise InvalidInput(f"Found trial {evidence.trial_id!r}, which is none of {subject_id} as it is queued.")
    attached = item.model_copy(update={"evidence": (*item.evidence, evidence)})
    await tx.reviews.replace(item, attached)
    verdict = {True: "passed", False: "failed", None: "nothing tried"}[evidence.passed]
    await announce(tx, clock, by.id, "review.test", attached, test=evidence.id, source=evidence.source, verdict=verdict)
    return attached


async def announce(tx: Transaction, clock: Clock, actor: str, action: str, item: ReviewItem, **facts: str) -> None:
    """Audit a change of an item on its scope's chain and tell whoever watches."""
    subject = item.subject
    await record(
        tx,
        clock,
        actor,
        action,
        item.id,
        chain=chain_of(subject.scope),
        digest=subject.digest,
        scope=subject.scope,
        **facts,
    )
    await tx.events.append(
        Event(
            client_id=client_of(item) or ALL,
            subject_id=item.id,
            kind=EventKind.REVIEW,
            at=clock.now(),
            data={"action": action, "status": item.status.value},
        )
    )


async def _subject(
    tx: Transaction, version: RunbookVersion | None, rule: RoutingRule | None, scope: str | None
) -> ReviewSubject:
    if version is not None and rule is None:
        stored = await tx.versions.find(version.id, client=EVERY_CLIENT)
        if stored is None:
            await tx.versions.add(version)
        elif stored != version:
            raise Conflict(f"Found another version stored as {version.id}.")
        return version_subject(version, scope)
    if rule is not None and version is None:
        if rule.active or rule.digest != routing_digest(rule.scope, rule.incident_type, rule.runbook_id):
            raise InvalidInput(f"Found routing rule {rule.id} active or with another digest than its content's.")
        if await tx.routes.find(rule.id, client=EVERY_CLIENT) is None:
            await tx.routes.add(rule)
        return routing_subject(rule)
    raise InvalidInput("Found both or neither of a version and a routing rule.", allowed="Allowed: exactly one.")


def _as_principal(author: Principal | Author) -> Principal:
    """The author as one who acts; a stored author holds no grants."""
    if isinstance(author, Principal):
        return author
    return Principal.model_validate(
        {"id": author.id, "kind": author.kind, "name": author.name, "method": "internal"}, strict=False
    )
