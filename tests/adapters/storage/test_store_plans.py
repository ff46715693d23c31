"""Lists and figures go by an index: nothing sorts or reads a whole table, however large it has become."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from runwright.adapters.storage.specs import SPECS
from runwright.adapters.storage.statements import Prepared
from runwright.adapters.storage.store import SqlStore
from runwright.adapters.storage.transaction import SqlTransaction
from runwright.model.clients import client_scope
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import ReviewStatus
from support import records


class Plans:
    """Explains each statement of a transaction instead of only running it."""

    def __init__(self, tx: SqlTransaction) -> None:
        self._unit = tx._unit
        self._read = tx._unit.read
        self.seen: list[str] = []
        tx._unit.read = self._explain  # type: ignore[method-assign]

    async def _explain(self, statement: Prepared, **values: object) -> list[tuple[object, ...]]:
        sqlite = self._unit.statements.sqlite
        explained = Prepared(
            ("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement.sql, statement.order, statement.fixed
        )
        rows = await self._read(explained, **values)
        self.seen.append("\n".join(str(row[3] if sqlite else row[0]) for row in rows))
        return await self._read(statement, **values)


def _assert_by_index(plan: str, *, covering: bool = False) -> None:
    assert "SCAN " not in plan.replace("SCAN CONSTANT", "") or "USING" in plan, plan
    assert "TEMP B-TREE" not in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan.replace("Incremental Sort", ""), plan
    if covering:
        assert "COVERING INDEX" in plan or "Index Only Scan" in plan, plan


@pytest.fixture
async def full(store: SqlStore) -> SqlStore:
    """Enough rows of two clients that a planner with statistics prefers an index."""
    statuses = list(ReviewStatus)
    async with store.transaction() as tx:
        for n in range(400):
            scope = client_scope("acme" if n % 2 else "other")
            status = statuses[n % len(statuses)]
            await tx.reviews.add(
                records.review(f"rev-{n}", scope=scope, status=status, priority=n % 4 + 1, created_at=records.at(n))
            )
            fields = {"client_id": "acme" if n % 2 else "other", "host_id": f"host-{n % 50}"}
            await tx.executions.add(records.execution(f"exe-{n}", created_at=records.at(n), **fields))
    async with store.transaction() as tx:
        await tx._unit.write(tx._unit.statements.compiled(text("ANALYZE")))
        if not tx._unit.statements.sqlite:
            # 400 rows fit into a few pages; the question is which plan a large table gets
            for kind in ("seqscan", "bitmapscan"):
                await tx._unit.write(tx._unit.statements.compiled(text(f"SET SESSION enable_{kind} = off")))
    return store


@pytest.mark.parametrize("client", ["acme", EVERY_CLIENT])
async def test_the_pending_list_and_the_figures(full: SqlStore, client: str) -> None:
    async with full.transaction() as tx:
        plans = Plans(tx)
        first = await tx.reviews.pending(client=client, limit=10)
        await tx.reviews.pending(client=client, limit=10, cursor=first.next_cursor)
        await tx.reviews.stats(client=client)
    assert len(plans.seen) == 3
    for plan in plans.seen[:2]:
        _assert_by_index(plan)
        assert "waiting" in plan
    assert "ix_review_queue" in plans.seen[2]
    assert "TEMP B-TREE" not in plans.seen[2]


def _index(client: str, where: dict[str, str]) -> str:
    """The index that a page should go by."""
    columns = ["host_id"] if "host_id" in where else [*(["client_id"] if client != EVERY_CLIENT else []), *where]
    return "_".join(("ix_executions", *columns))


@pytest.mark.parametrize(
    ("client", "where"),
    [
        (EVERY_CLIENT, {}),
        ("acme", {}),
        ("acme", {"status": "pending"}),
        (EVERY_CLIENT, {"status": "pending"}),
        (EVERY_CLIENT, {"host_id": "host-7", "status": "pending"}),
        ("other", {"host_id": "host-8"}),
        ("acme", {"runbook_id": records.RUNBOOK}),
        (EVERY_CLIENT, {"incident_id": "inc-1"}),
        (EVERY_CLIENT, {"runbook_id": records.RUNBOOK}),
        (EVERY_CLIENT, {"version_id": f"{records.RUNBOOK}-v1"}),
    ],
)
async def test_pages_of_executions(full: SqlStore, client: str, where: dict[str, str]) -> None:
    async with full.transaction() as tx:
        plans = Plans(tx)
        first = await tx.executions.page(client=client, where=where, limit=5)
        assert first.items
        if first.next_cursor is not None:
            await tx.executions.page(client=client, where=where, limit=5, cursor=first.next_cursor)
    for plan in plans.seen:
        _assert_by_index(plan)
        assert "ix_executions" in plan
        if full._statements.sqlite:  # PostgreSQL chooses by what the values are, and here all rows have the same
            assert _index(client, where) in plan


async def test_single_records_go_by_their_key(full: SqlStore) -> None:
    async with full.transaction() as tx:
        plans = Plans(tx)
        await tx.executions.find("exe-1", client="acme")
        await tx.executions.result("exe-1", client="acme")
        await tx.journal.entries("exe-1")
        await tx.activations.live(records.RUNBOOK, "all")
        await tx.audit.entries("acme", after=5)
        await tx.events.since(5, client="acme")
        await tx.events.since(5, client=EVERY_CLIENT, subject_id="exe-1")
        await tx.sessions.page(client=EVERY_CLIENT, where={"secret_digest": "x"})
        await tx.users.page(client=EVERY_CLIENT, where={"name": "eva"})
    for plan in plans.seen:
        assert "SCAN" not in plan, plan
        assert "Seq Scan" not in plan, plan


NOT_LISTED = {("runbooks", "number"), ("stop_switches", "scope")}
"""Filtered by together with another column, or in a table of a handful of rows."""
RESULTS_ONLY = "execution_results"
"""Not listed through the store."""


def test_each_column_that_lists_are_filtered_by_leads_an_index() -> None:
    for spec in SPECS:
        if spec.table.name == RESULTS_ONLY:
            continue
        leading = {next(iter(index.columns)).name for index in spec.table.indexes}
        leading |= {next(iter(part.columns)).name for part in spec.table.constraints if len(part.columns)}  # type: ignore[attr-defined]
        columns = set(spec.table.columns.keys()) - {"document", *spec.hidden}
        missing = {(spec.table.name, name) for name in columns - leading}
        assert missing <= NOT_LISTED, missing
