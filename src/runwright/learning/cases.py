"""What learning needs to know about a run, from the store; and the mark that it was learned from."""

from __future__ import annotations

from runwright.learning.service import Case, Failure, failure_mark
from runwright.model.executions import ExecutionResult
from runwright.model.external import ExternalLearning
from runwright.model.ids import is_external
from runwright.model.ports.store import EVERY_CLIENT, Transaction


async def gather_case(tx: Transaction, result: ExecutionResult) -> Case:
    """What learning needs to know about a failed run: a `Failure` with its version, where that is known."""
    client = result.client_id
    rules = await tx.routes.page(client=client, where={"active": True}, limit=200)
    where = {"failure_fingerprint": failure_mark(result)}
    earlier = (await tx.analyses.page(client=client, where=where, limit=50)).items
    runbooks = {rule.incident_type: rule.runbook_id for rule in rules.items}
    if is_external(result.execution_id):
        row = await tx.externals.get(result.execution_id, client=EVERY_CLIENT)
        version_id = row.version_id
    else:
        version_id = (await tx.executions.get(result.execution_id, client=EVERY_CLIENT)).version_id
    if version_id is None:
        return Case(result=result, runbooks=runbooks, earlier=earlier)
    rejected = await tx.reviews.page(client=client, where={"status": "rejected"}, limit=200)
    return Failure(
        result=result,
        runbooks=runbooks,
        earlier=earlier,
        version=await tx.versions.get(version_id, client=EVERY_CLIENT),
        rejected_digests=frozenset(item.subject.digest for item in rejected.items),
    )


async def note_learned(tx: Transaction, external_id: str, *, proposed: bool) -> None:
    """Mark a reported run as learned from, in the transaction that stores what was learned."""
    row = await tx.externals.get(external_id, client=EVERY_CLIENT)
    learning = ExternalLearning.PROPOSED if proposed else ExternalLearning.EXPLAINED
    await tx.externals.replace(row, row.model_copy(update={"learning": learning}))
