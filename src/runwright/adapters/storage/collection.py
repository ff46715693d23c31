"""Records of one kind, by id: the one implementation behind every collection."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.expression import ClauseElement, Select

from runwright.adapters.storage import cursors, schema
from runwright.adapters.storage.specs import TableSpec, document, microseconds, own_client, storable
from runwright.adapters.storage.statements import Prepared
from runwright.adapters.storage.unit import Unit
from runwright.model.base import Record
from runwright.model.clients import client_scope
from runwright.model.errors import Conflict, InvalidInput, NotFound
from runwright.model.ports.store import EVERY_CLIENT, Page

R = TypeVar("R", bound=Record)

MOST_PER_PAGE = 10_000

Where = Mapping[str, Any] | None


class SqlCollection(Generic[R]):
    """`Collection` over one table, within one transaction."""

    def __init__(self, unit: Unit, spec: TableSpec[R]) -> None:
        self._unit = unit
        self._spec = spec
        self._table = spec.table

    async def add(self, record: R) -> None:
        """Raises Conflict if the id, or what else is unique, is taken. The transaction stays usable."""
        if not await self._unit.write(self._adding(), **self._spec.row(record)):
            raise await self._taken(record)

    async def get(self, key: str, *, client: str) -> R:
        """Raises NotFound."""
        found = await self.find(key, client=client)
        if found is None:
            raise NotFound(
                f"Found no {self._spec.noun} {key!r}.", next_step=f"List the {self._spec.noun}s to see their ids."
            )
        return found

    async def find(self, key: str, *, client: str) -> R | None:
        """The record, or None if there is none or it is another client's."""
        if not storable(key):
            return None
        statement = self._statement("find", client, {}, lambda found: found.where(self._id_is()))
        rows = await self._unit.read_few(statement, key=key, **scoped(client))
        return self._record(rows[0][0]) if rows else None

    async def replace(self, was: R, now: R) -> None:
        """Compare and swap on the whole record. Raises Conflict if it is no longer `was`."""
        key = self._spec.key(was)
        if self._spec.key(now) != key:
            raise InvalidInput(f"Found another id in the changed {self._spec.noun}; an id never changes.")
        if self._spec.unique:
            async with self._unit.savepoint():
                swapped = await self._swap(was, document(was), now)
        else:
            swapped = await self._swap(was, document(was), now)
        if not swapped:
            await self._swap_as_read(key, was, now)

    async def page(self, *, client: str, where: Where = None, cursor: str | None = None, limit: int = 50) -> Page[R]:
        """Newest first. Raises InvalidInput on an unknown column, a bad value or a foreign cursor."""
        check_limit(limit)
        values = self._values(where)
        mark = cursors.list_mark(self._table.name, client, sorted(values.items()))
        position: dict[str, Any] = {}
        if cursor is not None:
            at, after = cursors.decode(mark, cursor, (int, str))
            position = {"at": at, "after": after}
        statement = self._statement(
            ("page", bool(position)), client, values, lambda found: self._newest_first(found, bool(position))
        )
        rows = await self._unit.read(statement, limit=limit + 1, **position, **_bound(values), **scoped(client))
        records = tuple(self._record(row[0]) for row in rows[:limit])
        more = None
        if len(rows) > limit:
            last = records[-1]
            more = cursors.encode(mark, (microseconds(self._spec.moment(last)), self._spec.key(last)))
        return Page(records, more)

    async def count(self, *, client: str, where: Where = None) -> int:
        """How many there are."""
        values = self._values(where)
        statement = self._statement(
            "count", client, values, lambda found: found.with_only_columns(func.count(), maintain_column_froms=True)
        )
        rows = await self._unit.read(statement, **_bound(values), **scoped(client))
        return int(rows[0][0])

    def _record(self, text: str) -> R:
        return self._spec.record.model_validate_json(text)

    def _id_is(self) -> ColumnElement[bool]:
        return self._table.c.id == bindparam("key", type_=schema.WORD)

    def _adding(self) -> Prepared:
        statements = self._unit.statements
        return statements.prepared(
            (self._table.name, "add"),
            lambda: (
                statements.insert(self._table)
                .values({column.name: bindparam(column.name, type_=column.type) for column in self._table.c})
                .on_conflict_do_nothing()
                .returning(self._table.c.id)
            ),
        )

    async def _taken(self, record: R) -> Conflict:
        """Why a record could not be added."""
        key = self._spec.key(record)
        if await self.find(key, client=EVERY_CLIENT) is not None or not self._spec.unique:
            found = f"Found a {self._spec.noun} with the id {key!r} already."
        else:
            found = f"Found a {self._spec.noun} with the same {self._spec.unique} already."
        return Conflict(found, allowed="Nothing was added.")

    async def _swap(self, was: R, stored: str, now: R) -> bool:
        """Put `now` where the document still is the text `stored`. Columns that stay are not written again."""
        before, row = self._spec.columns(was), self._spec.row(now)
        kept = ("id", *(name for name, value in before.items() if row[name] == value))
        changed = {name: value for name, value in row.items() if name not in kept}
        statement = self._unit.statements.prepared(
            (self._table.name, "swap", tuple(changed)), lambda: self._swapping(tuple(changed))
        )
        values = {f"new_{name}": value for name, value in changed.items()}
        return bool(await self._unit.write(statement, key=row["id"], was=stored, **values))

    def _swapping(self, names: tuple[str, ...]) -> ClauseElement:
        columns = [self._table.c[name] for name in names]
        return (
            update(self._table)
            .where(self._id_is(), self._table.c.document == bindparam("was", type_=schema.WORD))
            .values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in columns})
            .returning(self._table.c.id)
        )

    async def _swap_as_read(self, key: str, was: R, now: R) -> None:
        """Compare the records themselves: one written by an older program lacks fields that came since."""
        statement = self._unit.statements.prepared(
            (self._table.name, "lock"), lambda: select(self._table.c.document).where(self._id_is()).with_for_update()
        )
        rows = await self._unit.read_few(statement, key=key)
        if rows and self._record(rows[0][0]) == was and await self._swap(was, rows[0][0], now):
            return
        state = "has changed since it was read" if rows else "is not there"
        raise Conflict(
            f"Found that the {self._spec.noun} {key!r} {state}.",
            allowed="Nothing was changed.",
            next_step="Read it again and repeat the change.",
        )

    def _statement(self, operation: Hashable, client: str, values: Mapping[str, Any], shape: Any) -> Prepared:
        """A query over this table for one operation, scoped and filtered, compiled once per shape of the filter."""
        shapes = tuple((name, _shape(value)) for name, value in values.items())
        key = (self._table.name, operation, client == EVERY_CLIENT, shapes)
        return self._unit.statements.prepared(key, lambda: shape(self._filtered(client, values)))

    def _filtered(self, client: str, values: Mapping[str, Any]) -> Select[Any]:
        statement = select(self._table.c.document)
        if client != EVERY_CLIENT:
            statement = statement.where(self._visible(values))
        for name, value in values.items():
            statement = statement.where(_matches(self._table.c[name], name, value))
        return statement

    def _visible(self, values: Mapping[str, Any]) -> ColumnElement[bool]:
        """The scope of a client.

        SQLite takes the client's index if it is left the choice, and reads all its records for those of one host.
        So where a filter has no index together with the client, the plus sign keeps the client's out of the plan.
        """
        pairs = {tuple(index.columns.keys()[:2]) for index in self._table.indexes}
        paired = any(("client_id", name) in pairs for name in values)
        if values and not paired and self._spec.visible is own_client and self._unit.statements.sqlite:
            column = literal_column(f"+{self._table.name}.client_id", type_=schema.WORD)
            return column == bindparam("client", type_=schema.WORD)
        return self._spec.visible(self._table)

    def _newest_first(self, found: Select[Any], further: bool) -> Select[Any]:
        at, key = self._table.c.created_at, self._table.c.id
        if further:
            position = tuple_(bindparam("at", type_=BigInteger()), bindparam("after", type_=schema.WORD))
            found = found.where(tuple_(at, key) < position)
        return found.order_by(at.desc(), key.desc()).limit(bindparam("limit", type_=Integer()))

    def _values(self, where: Where) -> dict[str, Any]:
        """The filter with plain values, by column. Raises InvalidInput."""
        hidden = ("document", "created_at", *self._spec.hidden)
        allowed = [name for name in self._table.columns.keys() if name not in hidden]  # noqa: SIM118 - iterating gives columns
        plain = {}
        for name in sorted(where or {}):
            if name not in allowed:
                raise InvalidInput(
                    f"Found the column {name!r}; {self._spec.noun}s cannot be listed by it.",
                    allowed=f"Allowed: {', '.join(allowed)}.",
                )
            plain[name] = self._plain(name, (where or {})[name])
        return plain

    def _plain(self, name: str, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(self._plain(name, item) for item in value)
        if isinstance(value, Enum):
            value = value.value
        wanted = self._table.c[name].type.python_type
        fits = isinstance(value, wanted) and isinstance(value, bool) is (wanted is bool) and storable(value)
        if value is not None and not fits:
            raise InvalidInput(
                f"Found {value!r} for the column {name!r} of {self._spec.noun}s.",
                allowed=f"Allowed: {wanted.__name__}.",
            )
        return value


def check_limit(limit: int) -> None:
    """Raises InvalidInput on a page that is empty or too long."""
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidInput(f"Found a page of {limit} records.", allowed=f"Allowed: 1 to {MOST_PER_PAGE}.")


def _shape(value: Any) -> Hashable:
    """What of a filter's value the statement's text depends on."""
    return tuple(item is None for item in value) if isinstance(value, tuple) else value is None


def scoped(client: str) -> dict[str, str]:
    return {} if client == EVERY_CLIENT else {"client": client, "client_scope": client_scope(client)}


def _matches(column: ColumnElement[Any], name: str, value: Any) -> ColumnElement[bool]:
    """A tuple means any of its values; None is a value like others."""
    if value is None:
        return column.is_(None)
    if not isinstance(value, tuple):
        return column == bindparam(f"where_{name}", type_=column.type)
    given = [
        bindparam(f"where_{name}_{index}", type_=column.type) for index, item in enumerate(value) if item is not None
    ]
    matched = column.in_(given) if given else false()
    return or_(matched, column.is_(None)) if None in value else matched


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, tuple):
            bound |= {f"where_{name}_{index}": item for index, item in enumerate(value) if item is not None}
        else:
            bound[f"where_{name}"] = value
    return bound
