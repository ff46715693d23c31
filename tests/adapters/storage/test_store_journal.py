"""The step journal and its fence, and the telemetry beside executions."""

from __future__ import annotations

import pytest

from runwright.adapters.storage.store import SqlStore
from runwright.model.errors import Conflict, NotFound
from runwright.model.executions import ExecutionStatus, JournalEntry, StepStatus
from support import records


async def _execution(store: SqlStore, epoch: int) -> None:
    async with store.transaction() as tx:
        await tx.executions.add(records.execution(epoch=epoch))


async def _take_over(store: SqlStore, epoch: int) -> None:
    async with store.transaction() as tx:
        now = await tx.executions.get("exe-1", client="acme")
        await tx.executions.replace(now, now.model_copy(update={"epoch": epoch}))


async def test_intents_and_outcomes_in_order(store: SqlStore) -> None:
    await _execution(store, 1)
    first, second, third = (records.intent(f"att-{n}", step_id=f"step-{n}") for n in (9, 5, 7))
    done = records.attempt(stdout="ok\n")
    async with store.transaction() as tx:
        for intent in (first, second, third):
            await tx.journal.intend(intent)
        await tx.journal.finish(first, done, StepStatus.OK, "")
        await tx.journal.finish(third, None, StepStatus.INTERRUPTED, "the worker died")
    async with store.reading() as tx:
        assert await tx.journal.entries("exe-1") == (
            JournalEntry(intent=first, outcome=done, step_status=StepStatus.OK),
            JournalEntry(intent=second),
            JournalEntry(intent=third, step_status=StepStatus.INTERRUPTED, reason="the worker died"),
        )
        assert await tx.journal.entries("exe-2") == ()


async def test_an_attempt_is_journaled_once(store: SqlStore) -> None:
    await _execution(store, 1)
    async with store.transaction() as tx:
        await tx.journal.intend(records.intent())
        with pytest.raises(Conflict, match="journal already"):
            await tx.journal.intend(records.intent())
        with pytest.raises(Conflict, match="journal already"):
            await tx.journal.intend(records.intent(attempt=2))
        assert await tx.journal.entries("exe-1") == (JournalEntry(intent=records.intent()),)


async def test_a_worker_that_was_taken_over_writes_nothing(store: SqlStore) -> None:
    await _execution(store, 1)
    async with store.transaction() as tx:
        await tx.journal.intend(records.intent("before"))
    await _take_over(store, 2)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="another worker"):
            await tx.journal.intend(records.intent("after"))
        with pytest.raises(Conflict, match="another worker"):
            await tx.journal.finish(records.intent("before"), records.attempt(), StepStatus.OK, "")
    async with store.transaction() as tx:
        await tx.journal.intend(records.intent("new", epoch=2))
        adopted = records.intent("before", epoch=2)
        await tx.journal.finish(adopted, records.attempt(), StepStatus.OK, "adopted")
    async with store.reading() as tx:
        entries = await tx.journal.entries("exe-1")
        assert [(entry.intent.attempt_id, entry.reason) for entry in entries] == [("before", "adopted"), ("new", "")]
        assert entries[0].intent.epoch == 1, "the intent stays as it was journaled"


async def test_unknown_executions_and_attempts(store: SqlStore) -> None:
    await _execution(store, 1)
    async with store.transaction() as tx:
        with pytest.raises(NotFound, match="no execution"):
            await tx.journal.intend(records.intent(execution_id="exe-2"))
        with pytest.raises(NotFound, match="no intent"):
            await tx.journal.finish(records.intent("never"), None, None, "")
        await tx.journal.intend(records.intent("mine"))
        await tx.executions.add(records.execution("exe-2", epoch=1))
        with pytest.raises(NotFound, match="no intent"):
            await tx.journal.finish(records.intent("mine", execution_id="exe-2"), None, None, "")


async def test_telemetry_is_stored_renewed_and_scoped(store: SqlStore) -> None:
    await _execution(store, 1)
    running = records.result(status=ExecutionStatus.RUNNING)
    ended = records.result(completed_at=records.at(3), tags={"origin": "test"}, unknown_field=[1, 2])
    async with store.transaction() as tx:
        assert await tx.executions.result("exe-1", client="acme") is None
        await tx.executions.put_result(running)
        assert await tx.executions.result("exe-1", client="acme") == running
        await tx.executions.put_result(ended)
    async with store.reading() as tx:
        found = await tx.executions.result("exe-1", client="acme")
        assert found == ended
        assert found is not None
        assert found.extra == {"unknown_field": [1, 2]}
        assert await tx.executions.result("exe-1", client="other") is None


async def test_telemetry_under_another_clients_id_is_refused(store: SqlStore) -> None:
    await _execution(store, 1)
    async with store.transaction() as tx:
        with pytest.raises(Conflict, match="taken"):
            await tx.executions.put_result(records.result(client_id="other"))
        await tx.executions.put_result(records.result("outside", client_id="other", origin="external:ansible"))
        with pytest.raises(Conflict, match="taken"):
            await tx.executions.put_result(records.result("outside", client_id="acme"))
    async with store.reading() as tx:
        assert await tx.executions.result("exe-1", client="other") is None
        kept = await tx.executions.result("outside", client="other")
        assert kept is not None
        assert kept.origin == "external:ansible"
