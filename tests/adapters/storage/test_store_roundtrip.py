"""Any record stored comes back equal, from either database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.adapters.storage.collection import SqlCollection
from runwright.adapters.storage.specs import SPECS, TableSpec
from runwright.adapters.storage.store import SqlStore
from runwright.model.audit import AuditEvent
from runwright.model.executions import AttemptRecord, Event, StepIntent, StepStatus
from runwright.model.ids import version_id
from runwright.model.ports.store import EVERY_CLIENT
from support import records
from support.strategies import records_of

FEW = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Undone(Exception):
    """Ends an example."""


def _fitting(record: Any) -> Any:
    """The record with an id that its table takes."""
    kind = type(record).__name__
    if kind == "RunbookVersion":
        number = abs(record.number) + 1
        return record.model_copy(update={"number": number, "id": version_id(record.runbook_id, number)})
    if kind == "Session":
        return record.model_copy(update={"user_id": "usr-1"})
    return record


def _text_without_nul(record: Any, spec: TableSpec[Any]) -> bool:
    columns = [spec.key(record), *spec.columns(record).values()]
    return not any(isinstance(value, str) and "\x00" in value for value in columns)


@pytest.mark.parametrize("spec", SPECS, ids=[spec.table.name for spec in SPECS])
@FEW
@given(data=st.data())
async def test_records(store: SqlStore, spec: TableSpec[Any], data: st.DataObject) -> None:
    strategy = records_of(spec.record).map(_fitting).filter(lambda record: _text_without_nul(record, spec))
    record, other = data.draw(strategy), data.draw(strategy)
    changed = _fitting(other.model_copy(update={"id": spec.key(record)})) if "id" in spec.record.model_fields else None

    async def store_and_read() -> None:
        async with store.transaction() as tx:
            await tx.users.add(records.user("usr-1", name="owner-of-sessions"))
            collection = SqlCollection(tx._unit, spec)
            await collection.add(record)
            assert await collection.get(spec.key(record), client=EVERY_CLIENT) == record
            assert record in (await collection.page(client=EVERY_CLIENT)).items
            if changed is not None and spec.table.name != "runbooks":
                await collection.replace(record, changed)
                assert await collection.get(spec.key(record), client=EVERY_CLIENT) == changed
            raise Undone

    with pytest.raises(Undone):
        await store_and_read()


@FEW
@given(
    intent=records_of(StepIntent),
    outcome=st.none() | records_of(AttemptRecord),
    status=st.none() | st.sampled_from(StepStatus),
    event=records_of(Event),
    audited=records_of(AuditEvent),
)
async def test_journal_events_and_audit(
    store: SqlStore,
    intent: StepIntent,
    outcome: AttemptRecord | None,
    status: StepStatus | None,
    event: Event,
    audited: AuditEvent,
) -> None:
    intent = intent.model_copy(update={"execution_id": "exe-1", "attempt_id": "att-1", "epoch": 1})
    audited = audited.model_copy(update={"chain": "acme"})
    event = event.model_copy(update={"client_id": "acme", "subject_id": "exe-1"})

    async def store_and_read() -> None:
        async with store.transaction() as tx:
            await tx.executions.add(records.execution(epoch=1))
            await tx.journal.intend(intent)
            await tx.journal.finish(intent, outcome, status, "why")
            (entry,) = await tx.journal.entries("exe-1")
            assert (entry.intent, entry.outcome, entry.step_status) == (intent, outcome, status)
            appended = await tx.audit.append(audited)
            assert await tx.audit.entries("acme") == (appended,)
            assert appended.event == audited
            await tx.events.append(event)
            raise Undone

    with pytest.raises(Undone):
        await store_and_read()
    async with store.transaction() as tx:
        before = await tx.events.since(0, client="acme")
        await tx.events.append(event)
    async with store.reading() as tx:
        *_, seen = await tx.events.since(before[-1].sequence if before else 0, client="acme")
        assert seen == event.model_copy(update={"sequence": seen.sequence})
