"""Executions, their telemetry, and the journal of their steps with its fence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, exists, func, literal, select, update
from sqlalchemy.sql.expression import ClauseElement

from runwright.adapters.storage import schema
from runwright.adapters.storage.collection import SqlCollection
from runwright.adapters.storage.specs import EXECUTIONS, RESULTS, checked_document
from runwright.adapters.storage.unit import Unit
from runwright.model.errors import Conflict, NotFound
from runwright.model.executions import (
    AttemptRecord,
    Execution,
    ExecutionResult,
    JournalEntry,
    StepIntent,
    StepStatus,
)


class SqlExecutions(SqlCollection[Execution]):
    """`executions`, and `execution_results` beside them."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit, EXECUTIONS)
        self._results = SqlCollection(unit, RESULTS)

    async def put_result(self, result: ExecutionResult) -> None:
        """Store or renew the telemetry of an execution. Raises Conflict if the execution is another client's."""
        statement = self._unit.statements.prepared(("execution_results", "put"), self._putting)
        if not await self._unit.write(statement, **RESULTS.row(result)):
            raise Conflict(
                f"Found telemetry for the execution {result.execution_id!r}, whose id is taken.",
                allowed="Nothing was stored.",
                next_step="Give telemetry of other systems ids of its own.",
            )

    async def result(self, execution_id: str, *, client: str) -> ExecutionResult | None:
        """The telemetry, or None if there is none yet or it is another client's."""
        return await self._results.find(execution_id, client=client)

    def _putting(self) -> ClauseElement:
        table, runs = schema.execution_results, schema.executions
        given = {column.name: bindparam(column.name, type_=column.type) for column in table.c}
        foreign = exists(literal(1)).where(runs.c.id == given["id"], runs.c.client_id != given["client_id"])
        insert = self._unit.statements.insert(table).from_select(
            list(given), select(*given.values()).where(~foreign), include_defaults=False
        )
        fresh = {name: insert.excluded[name] for name in given if name != "id"}
        return insert.on_conflict_do_update(
            index_elements=[table.c.id], set_=fresh, where=table.c.client_id == insert.excluded.client_id
        ).returning(table.c.id)


class SqlJournal:
    """`step_journal`. Writes are fenced: the execution's row is locked and its epoch compared in the statement."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    async def intend(self, intent: StepIntent) -> None:
        """Append. Raises NotFound for an unknown execution; Conflict behind its epoch, or for a known attempt."""
        statement = self._unit.statements.prepared(("step_journal", "intend"), self._intending)
        appended = await self._unit.write(
            statement,
            attempt_id=intent.attempt_id,
            execution_id=intent.execution_id,
            epoch=intent.epoch,
            document=checked_document(intent),
        )
        if not appended:
            await self._check_fence(intent)
            raise Conflict(
                f"Found the attempt {intent.attempt_id!r} in the journal already.",
                allowed="Nothing was journaled.",
                next_step="Ask the host what became of the attempt.",
            )

    async def finish(
        self, intent: StepIntent, outcome: AttemptRecord | None, step_status: StepStatus | None, reason: str
    ) -> None:
        """Fill in what came of an intent. Raises Conflict behind the epoch, NotFound for an unknown attempt."""
        statement = self._unit.statements.prepared(("step_journal", "finish"), self._finishing)
        finished = await self._unit.write(
            statement,
            attempt_id=intent.attempt_id,
            execution_id=intent.execution_id,
            epoch=intent.epoch,
            outcome=None if outcome is None else checked_document(outcome),
            step_status=None if step_status is None else step_status.value,
            reason=reason,
        )
        if not finished:
            await self._check_fence(intent)
            raise NotFound(
                f"Found no intent for the attempt {intent.attempt_id!r}.", next_step="Journal the intent first."
            )

    async def entries(self, execution_id: str) -> tuple[JournalEntry, ...]:
        """In the order in which the intents were journaled."""
        table = schema.step_journal
        statement = self._unit.statements.prepared(
            ("step_journal", "entries"),
            lambda: (
                select(table.c.document, table.c.outcome, table.c.step_status, table.c.reason)
                .where(table.c.execution_id == bindparam("execution_id", type_=schema.WORD))
                .order_by(table.c.sequence)
            ),
        )
        return tuple(_entry(*row) for row in await self._unit.read(statement, execution_id=execution_id))

    async def newest_epoch(self, execution_id: str) -> int | None:
        """The greatest epoch of any intent, without reading what the attempts put out."""
        table = schema.step_journal
        statement = self._unit.statements.prepared(
            ("step_journal", "newest_epoch"),
            lambda: select(func.max(table.c.epoch)).where(
                table.c.execution_id == bindparam("execution_id", type_=schema.WORD)
            ),
        )
        rows = await self._unit.read_few(statement, execution_id=execution_id)
        return None if rows[0][0] is None else int(rows[0][0])

    def _fence(self) -> Any:
        """The execution's row, locked, if no newer worker took it. SQLite has one writer and needs no row lock."""
        runs = schema.executions
        return (
            select(runs.c.id)
            .where(
                runs.c.id == bindparam("execution_id", type_=schema.WORD),
                runs.c.epoch <= bindparam("epoch", type_=runs.c.epoch.type),
            )
            .with_for_update(read=True)
        )

    def _intending(self) -> ClauseElement:
        table = schema.step_journal
        names = ["attempt_id", "epoch", "document", "reason", "execution_id"]
        given = [bindparam(name, type_=table.c[name].type) for name in names[:3]]
        fenced = self._fence().with_only_columns(*given, literal("", type_=table.c.reason.type), schema.executions.c.id)
        return (
            self._unit.statements.insert(table)
            .from_select(names, fenced, include_defaults=False)
            .on_conflict_do_nothing()
            .returning(table.c.sequence)
        )

    def _finishing(self) -> ClauseElement:
        table = schema.step_journal
        fence = self._fence().subquery("fence")
        return (
            update(table)
            .where(
                table.c.execution_id == fence.c.id,
                table.c.attempt_id == bindparam("attempt_id", type_=schema.WORD),
            )
            .values({name: bindparam(name, type_=table.c[name].type) for name in ("outcome", "step_status", "reason")})
            .returning(table.c.sequence)
        )

    async def _check_fence(self, intent: StepIntent) -> None:
        statement = self._unit.statements.prepared(
            ("executions", "epoch"),
            lambda: select(schema.executions.c.epoch).where(
                schema.executions.c.id == bindparam("execution_id", type_=schema.WORD)
            ),
        )
        rows = await self._unit.read_few(statement, execution_id=intent.execution_id)
        if not rows:
            raise NotFound(f"Found no execution {intent.execution_id!r}.")
        if rows[0][0] > intent.epoch:
            raise Conflict(
                f"Found that another worker took over the execution {intent.execution_id} "
                f"(its epoch is {rows[0][0]}, this worker's {intent.epoch}).",
                allowed="Nothing was journaled.",
                next_step="Stop here: the other worker goes on.",
            )


def _entry(intent: str, outcome: str | None, step_status: str | None, reason: str) -> JournalEntry:
    return JournalEntry(
        intent=StepIntent.model_validate_json(intent),
        outcome=None if outcome is None else AttemptRecord.model_validate_json(outcome),
        step_status=None if step_status is None else StepStatus(step_status),
        reason=reason,
    )
