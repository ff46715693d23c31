"""Versions that an admitted runbook calls: each needs an approval of its own that holds now.

That its own activation is superseded does no harm: the approved caller names version and digest. Suspended does:
somebody found that version bad. There is no way to call what was not approved, and no depth without end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runwright.model.clients import scopes_for
from runwright.model.documents import Call, RunbookDocument
from runwright.model.errors import GateReason, GateRefused
from runwright.model.executions import Execution
from runwright.model.ids import version_id
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.reviews import ActivationState, Approval, ApprovalStatement
from runwright.model.versions import RunbookVersion
from runwright.review import checks
from runwright.review.checks import refuse
from runwright.runbooks.load import LoadedRunbook, load_runbook

DEEPEST = 5
"""Calls within calls. A cycle would need a digest that contains itself; this bounds what was edited by hand."""
MOST = 50
"""Versions that one run may call, all levels together."""

Check = Callable[[Approval], ApprovalStatement]
"""Opens an approval and raises GateRefused where it does not hold now."""


def calls_of(document: RunbookDocument) -> Iterator[Call]:
    """Every call that stands in a document, in its order."""
    for step in (*document.steps, *document.rollback):
        if step.call is not None:
            yield step.call


async def admit_called(
    tx: Transaction, execution: Execution, document: RunbookDocument, check: Check
) -> dict[str, LoadedRunbook]:
    """What the document calls, and what that calls, by digest. Raises GateRefused for the first that may not run."""
    found: dict[str, LoadedRunbook] = {}
    level = [document]
    for depth in range(DEEPEST + 1):
        calls = [call for caller in level for call in calls_of(caller)]
        if not calls:
            return found
        if depth == DEEPEST:
            raise refuse(GateReason.CALL, f"calls more than {DEEPEST} deep in {execution.version_id}")
        level = []
        for call in calls:
            if call.digest not in found:
                found[call.digest] = await _admitted(tx, execution, document, call, check)
                level.append(found[call.digest].document)
            _named(found[call.digest], call)
        if len(found) > MOST:
            raise refuse(GateReason.CALL, f"{len(found)} versions called by {execution.version_id}; at most {MOST}")
    return found


async def stored_calls(store: Store, document: RunbookDocument) -> dict[str, RunbookDocument]:
    """What a document calls as it is stored, approved or not: for trials on disposable machines."""
    found: dict[str, RunbookDocument] = {}
    level = [document]
    async with store.reading() as tx:
        for _ in range(DEEPEST):
            wanted = [call for caller in level for call in calls_of(caller) if call.digest not in found]
            level = []
            for call in wanted:
                version = await tx.versions.find(version_id(call.runbook, call.version), client=EVERY_CLIENT)
                if version is not None and version.digest == call.digest:
                    found[call.digest] = load_runbook(version.text).document
                    level.append(found[call.digest])
    return found


def _named(loaded: LoadedRunbook, call: Call) -> None:
    if loaded.document.id != call.runbook:
        raise refuse(GateReason.CALL, f"a call of {call.runbook} with the digest of {loaded.document.id}")


async def _admitted(
    tx: Transaction, execution: Execution, caller: RunbookDocument, call: Call, check: Check
) -> LoadedRunbook:
    name = version_id(call.runbook, call.version)
    version = await tx.versions.find(name, client=EVERY_CLIENT)
    scopes = scopes_for(execution.client_id)
    if version is None:
        raise refuse(GateReason.UNKNOWN_VERSION, f"a call of {name}, which is not stored")
    if version.scope not in scopes:
        raise refuse(GateReason.OUT_OF_SCOPE, f"a call of {name} of {version.scope}, not for {execution.client_id}")
    if version.digest != call.digest:
        raise refuse(GateReason.CALL, f"a call of {name} as {call.digest}, which is {version.digest}")
    checks.same("version", version.id, name)
    loaded = checks.check_text(version)
    if loaded.document.platform is not caller.platform:
        raise refuse(GateReason.CALL, f"a call of {name}, which is for {loaded.document.platform.value}")
    await _not_suspended(tx, name, scopes)
    await _approved(tx, version, loaded, scopes, check)
    return loaded


async def _not_suspended(tx: Transaction, name: str, scopes: tuple[str, ...]) -> None:
    where = {"version_id": name, "scope": scopes, "state": ActivationState.SUSPENDED.value}
    if await tx.activations.count(client=EVERY_CLIENT, where=where):
        raise refuse(GateReason.SUSPENDED, f"a call of {name}, which is suspended")


async def _approved(
    tx: Transaction, version: RunbookVersion, loaded: LoadedRunbook, scopes: tuple[str, ...], check: Check
) -> None:
    """One approval that holds is enough; else the refusal of the newest one, or that there is none."""
    where = {"subject_id": version.id, "scope": scopes}
    page = await tx.approvals.page(client=EVERY_CLIENT, where=where, limit=200)
    refusals: list[GateRefused] = []
    for approval in page.items:
        try:
            statement = check(approval)
            checks.check_called_approval(statement, version, loaded, scopes)
        except GateRefused as refused:
            refusals.append(refused)
        else:
            return
    if refusals:
        raise refusals[0]
    raise refuse(GateReason.NO_APPROVAL, f"a call of {version.id}, which no approval covers")
