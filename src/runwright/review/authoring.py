"""A text becomes a version in the queue, with the routing rules that it needs to be reached."""

from __future__ import annotations

from runwright.model.errors import Fault, InvalidInput
from runwright.model.ids import ALL, version_id
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.principals import Principal
from runwright.model.reviews import ReviewItem, ReviewStatus
from runwright.model.risk import RiskReport
from runwright.model.versions import Author, RunbookVersion
from runwright.review.queue import submit
from runwright.review.subjects import new_rule
from runwright.runbooks.lint import Level, lint
from runwright.runbooks.load import LoadedRunbook, load_runbook
from runwright.runbooks.risk import added_risk

UNDECIDED = frozenset(
    {ReviewStatus.DRAFT, ReviewStatus.PENDING_REVIEW, ReviewStatus.IN_REVIEW, ReviewStatus.NEEDS_CHANGES}
)


async def submit_text(
    tx: Transaction, *, text: str, scope: str, author: Principal, clock: Clock, reason: str = ""
) -> tuple[RunbookVersion, tuple[ReviewItem, ...]]:
    """Store a text as the next version of its line and submit it for review, parent and added risk worked out.

    For each of its incident types that no rule of the scope answers or asks for yet, a routing rule is submitted
    too. Raises InvalidInput where the text does not load or lint finds an error.
    """
    loaded = load_runbook(text)
    refuse_lint_errors(loaded)
    runbook = loaded.document.id
    number = await tx.versions.next_number(runbook)
    parent = await _live_parent(tx, runbook, scope)
    version = RunbookVersion(
        id=version_id(runbook, number),
        runbook_id=runbook,
        number=number,
        scope=scope,
        text=text,
        digest=loaded.digest,
        raw_digest=loaded.raw_digest,
        parent=parent.id if parent else None,
        author=Author.of(author),
        created_at=clock.now(),
    )
    before = load_runbook(parent.text).document if parent else None
    item = await submit(
        tx,
        version=version,
        title=f"{version.id}: {loaded.document.name}",
        reason=reason or f"Added by {author.name}.",
        priority=loaded.document.severity.rank,
        added_risk=added_risk(before, loaded.document),
        author=author,
        clock=clock,
    )
    rules = [
        await _submit_rule(tx, scope, name, loaded, author, clock)
        for name in loaded.document.incident_types
        if not await _answered(tx, scope, name)
    ]
    return version, (item, *rules)


def refuse_lint_errors(loaded: LoadedRunbook) -> None:
    """Raise InvalidInput naming every error that lint finds."""
    found = [finding for finding in lint(loaded) if finding.severity is Level.ERROR]
    if found:
        raise InvalidInput(
            f"Found {len(found)} error(s) in runbook {loaded.document.id}.",
            next_step="Mend them; `runwright runbook lint FILE` shows them too.",
            faults=[
                Fault(message=f"[{item.rule}] {item.message}", line=item.line, column=item.column) for item in found
            ],
        )


async def _live_parent(tx: Transaction, runbook_id: str, scope: str) -> RunbookVersion | None:
    """What the new version would take over from: live in the scope, else in the library."""
    for name in dict.fromkeys((scope, ALL)):
        live = await tx.activations.live(runbook_id, name)
        if live is not None:
            return await tx.versions.get(live.version_id, client=EVERY_CLIENT)
    return None


async def _answered(tx: Transaction, scope: str, incident_type: str) -> bool:
    """Whether a rule answers incidents of the type in the scope, or waits for its decision.

    One that was rejected, withdrawn or has ended does neither.
    """
    where = {"scope": scope, "incident_type": incident_type}
    cursor: str | None = None
    while True:
        page = await tx.routes.page(client=EVERY_CLIENT, where=where, cursor=cursor)
        for rule in page.items:
            item = None if rule.active else await tx.reviews.find(rule.id, client=EVERY_CLIENT)
            if rule.active or (item is not None and item.status in UNDECIDED):
                return True
        if page.next_cursor is None:
            return False
        cursor = page.next_cursor


async def _submit_rule(
    tx: Transaction, scope: str, incident_type: str, loaded: LoadedRunbook, author: Principal, clock: Clock
) -> ReviewItem:
    runbook = loaded.document.id
    rule = new_rule(clock, scope=scope, incident_type=incident_type, runbook_id=runbook)
    return await submit(
        tx,
        rule=rule,
        title=f"{incident_type} is answered by {runbook}",
        reason=f"{runbook} says that it answers {incident_type}; no rule of this scope does yet.",
        priority=loaded.document.severity.rank,
        added_risk=RiskReport(),
        author=author,
        clock=clock,
    )
