"""A runbook that another executor ran becomes known here: as a draft, which nobody submitted and nothing runs."""

from __future__ import annotations

from runwright.model.clients import client_scope
from runwright.model.ids import version_id
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import Transaction
from runwright.model.principals import Principal
from runwright.model.versions import Author, RunbookVersion
from runwright.review.queue import submit
from runwright.runbooks.load import LoadedRunbook
from runwright.runbooks.risk import added_risk


async def known_version(tx: Transaction, client_id: str, runbook_id: str, digest: str) -> RunbookVersion | None:
    """The stored version of this content that the client may see, the client's own before the library's."""
    where = {"runbook_id": runbook_id, "digest": digest}
    page = await tx.versions.page(client=client_id, where=where, limit=50)
    own = client_scope(client_id)
    return min(page.items, key=lambda version: (version.scope != own, version.number), default=None)


async def import_version(
    tx: Transaction, loaded: LoadedRunbook, *, client_id: str, author: Principal, source: str, clock: Clock
) -> RunbookVersion:
    """The version of this content: the one that is stored, or a new draft of the client's scope.

    A draft is in nobody's queue until a person submits it, and is approved like any other. It is the parent of what
    is learned from the run.
    """
    runbook = loaded.document.id
    known = await known_version(tx, client_id, runbook, loaded.digest)
    if known is not None:
        return known
    number = await tx.versions.next_number(runbook)
    version = RunbookVersion(
        id=version_id(runbook, number),
        runbook_id=runbook,
        number=number,
        scope=client_scope(client_id),
        text=loaded.text,
        digest=loaded.digest,
        raw_digest=loaded.raw_digest,
        author=Author.of(author),
        created_at=clock.now(),
    )
    await submit(
        tx,
        version=version,
        title=f"{version.id}: {loaded.document.name}",
        reason=f"Ran elsewhere: it came with a result of external:{source}. Nobody has reviewed it here.",
        priority=loaded.document.severity.rank,
        added_risk=added_risk(None, loaded.document),
        author=author,
        clock=clock,
        draft=True,
    )
    return version
