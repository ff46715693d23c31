"""Whoever writes to the database by other means meets the triggers."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from runwright.adapters.storage.store import SqlStore
from runwright.model.errors import Conflict
from runwright.model.executions import StepStatus
from support import records

REFUSED = [
    "UPDATE audit_log SET document = '{}'",
    "UPDATE audit_log SET hash = 'x' WHERE sequence = 1",
    "DELETE FROM audit_log",
    "DELETE FROM audit_heads",
    "UPDATE audit_heads SET sequence = 0",
    "UPDATE audit_heads SET chain = 'other', sequence = sequence + 1",
    "UPDATE runbooks SET document = '{}'",
    "DELETE FROM runbooks",
    "DELETE FROM step_journal",
    "UPDATE step_journal SET document = '{}'",
    "UPDATE step_journal SET epoch = 9",
]

POSTGRES_REFUSED = [f"TRUNCATE {table} CASCADE" for table in ("audit_log", "audit_heads", "runbooks", "step_journal")]

SQLITE_IGNORED = [
    "INSERT OR REPLACE INTO audit_log (chain, sequence, hash, document) VALUES ('acme', 1, 'x', '{}')",
    "INSERT OR REPLACE INTO audit_heads (chain, sequence, hash) VALUES ('acme', 0, 'x')",
    "INSERT OR REPLACE INTO runbooks SELECT id, runbook_id, scope, digest, number, parent, created_at, '{}' "
    "FROM runbooks",
    "INSERT OR REPLACE INTO runbooks SELECT 'new', runbook_id, scope, digest, number, parent, created_at, '{}' "
    "FROM runbooks",
    "INSERT OR REPLACE INTO step_journal (attempt_id, execution_id, epoch, document, reason) "
    "SELECT attempt_id, execution_id, epoch, '{}', '' FROM step_journal",
]


async def _fill(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.audit.append(records.audit_event())
        await tx.versions.add(records.version())
        await tx.executions.add(records.execution(epoch=1))
        await tx.journal.intend(records.intent())


async def _run(store: SqlStore, sql: str) -> None:
    async with store.transaction() as tx:
        await tx._unit.write(tx._unit.statements.compiled(text(sql)))


async def _contents(store: SqlStore) -> list[object]:
    async with store.reading() as tx:
        page = await tx.versions.page(client="acme")
        return [await tx.audit.entries("acme"), page, await tx.journal.entries("exe-1"), await tx.audit.chains()]


@pytest.mark.parametrize("sql", REFUSED)
async def test_history_cannot_be_rewritten(store: SqlStore, sql: str) -> None:
    await _fill(store)
    before = await _contents(store)
    with pytest.raises(Conflict, match=r"append-only|never|by one"):
        await _run(store, sql)
    assert await _contents(store) == before


@pytest.mark.parametrize("sql", SQLITE_IGNORED + POSTGRES_REFUSED)
async def test_nor_by_the_databases_own_back_doors(store: SqlStore, sql: str) -> None:
    await _fill(store)
    before = await _contents(store)
    if ("OR REPLACE" in sql) == (store._statements.dialect.name == "sqlite"):
        try:
            await _run(store, sql)
        except Conflict:
            assert sql in POSTGRES_REFUSED, "SQLite ignores the row instead"
    assert await _contents(store) == before


async def test_outcomes_may_be_filled_in(store: SqlStore) -> None:
    await _fill(store)
    async with store.transaction() as tx:
        await tx.journal.finish(records.intent(), records.attempt(), StepStatus.OK, "")
        await tx.audit.append(records.audit_event())
        assert len(await tx.audit.entries("acme")) == 2
