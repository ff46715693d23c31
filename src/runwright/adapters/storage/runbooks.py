"""Versions, routing rules' and activations' tables: what is stored of runbooks."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.sql.expression import ClauseElement

from runwright.adapters.storage import schema
from runwright.adapters.storage.collection import SqlCollection
from runwright.adapters.storage.specs import ACTIVATIONS, VERSIONS
from runwright.adapters.storage.unit import Unit
from runwright.model.errors import InvalidInput, Refused
from runwright.model.ids import version_id
from runwright.model.reviews import Activation
from runwright.model.versions import RunbookVersion


class SqlVersions(SqlCollection[RunbookVersion]):
    """Versions: added, never changed."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit, VERSIONS)

    async def add(self, record: RunbookVersion) -> None:
        """Raises Conflict if the id or number is taken, InvalidInput if the id is not made of runbook and number."""
        expected = version_id(record.runbook_id, record.number)
        if record.id != expected:
            raise InvalidInput(f"Found the version id {record.id!r}.", allowed=f"Allowed: {expected!r}.")
        await super().add(record)
        await self._count_to(record.runbook_id, at_least=record.number, step=0)

    async def replace(self, was: RunbookVersion, now: RunbookVersion) -> None:
        """Raises Refused, always."""
        raise Refused(
            f"Found a change of the stored version {was.id}; versions never change.",
            next_step="Store the changed document as a new version.",
        )

    async def next_number(self, runbook_id: str) -> int:
        """The number a new version of this line gets. The line stays locked until the transaction ends."""
        return await self._count_to(runbook_id, at_least=1, step=1)

    async def _count_to(self, runbook_id: str, *, at_least: int, step: int) -> int:
        statement = self._unit.statements.prepared(("version_counters", "count"), self._counting)
        rows = await self._unit.write(statement, runbook_id=runbook_id, at_least=at_least, step=step)
        return int(rows[0][0])

    def _counting(self) -> ClauseElement:
        """One upsert; its row lock serialises those who ask for the same line."""
        table = schema.version_counters
        at_least = bindparam("at_least", type_=table.c.last.type)
        counted = table.c.last + bindparam("step", type_=table.c.last.type)
        greatest = func.max(counted, at_least) if self._unit.statements.sqlite else func.greatest(counted, at_least)
        return (
            self._unit.statements.insert(table)
            .values(runbook_id=bindparam("runbook_id", type_=schema.WORD), last=at_least)
            .on_conflict_do_update(index_elements=[table.c.runbook_id], set_={"last": greatest})
            .returning(table.c.last)
        )


class SqlActivations(SqlCollection[Activation]):
    """What runs; a unique index keeps one live per runbook and scope."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit, ACTIVATIONS)

    async def live(self, runbook_id: str, scope: str) -> Activation | None:
        """The live activation of a runbook in exactly this scope, or None."""
        statement = self._unit.statements.prepared(("activations", "live"), self._living)
        rows = await self._unit.read(statement, runbook_id=runbook_id, scope=scope)
        return self._record(rows[0][0]) if rows else None

    def _living(self) -> ClauseElement:
        table = self._table
        return select(table.c.document).where(
            table.c.runbook_id == bindparam("runbook_id", type_=schema.WORD),
            table.c.scope == bindparam("scope", type_=schema.WORD),
            text(schema.LIVE),
        )
