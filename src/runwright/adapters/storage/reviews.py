"""The review queue's own questions: what waits, and how many there are of each status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Integer, SmallInteger, bindparam, func, text, tuple_
from sqlalchemy.sql.expression import Select

from runwright.adapters.storage import cursors, schema
from runwright.adapters.storage.collection import SqlCollection, check_limit, scoped
from runwright.adapters.storage.specs import REVIEWS, microseconds
from runwright.adapters.storage.unit import Unit
from runwright.model.ports.store import Page
from runwright.model.reviews import ReviewItem, ReviewStatus


class SqlReviews(SqlCollection[ReviewItem]):
    """`review_queue`."""

    def __init__(self, unit: Unit) -> None:
        super().__init__(unit, REVIEWS)

    async def pending(self, *, client: str, cursor: str | None = None, limit: int = 50) -> Page[ReviewItem]:
        """Items that wait for a reviewer (pending or in review), by priority, then oldest first.

        Raises InvalidInput on a cursor that this list did not give.
        """
        check_limit(limit)
        mark = cursors.list_mark("pending", client)
        position: dict[str, Any] = {}
        if cursor is not None:
            priority, at, after = cursors.decode(mark, cursor, (int, int, str))
            position = {"priority": priority, "at": at, "after": after}
        statement = self._statement(
            ("pending", bool(position)), client, {}, lambda found: self._most_urgent_first(found, bool(position))
        )
        rows = await self._unit.read(statement, limit=limit + 1, **position, **scoped(client))
        items = tuple(self._record(row[0]) for row in rows[:limit])
        more = None
        if len(rows) > limit:
            last = items[-1]
            more = cursors.encode(mark, (last.priority, microseconds(last.created_at), last.id))
        return Page(items, more)

    def _most_urgent_first(self, found: Select[Any], further: bool) -> Select[Any]:
        order = (self._table.c.priority, self._table.c.created_at, self._table.c.id)
        if further:
            position = tuple_(
                bindparam("priority", type_=SmallInteger()),
                bindparam("at", type_=BigInteger()),
                bindparam("after", type_=schema.WORD),
            )
            found = found.where(tuple_(*order) > position)
        return found.where(text(schema.WAITING)).order_by(*order).limit(bindparam("limit", type_=Integer()))

    async def stats(self, *, client: str) -> Mapping[str, int]:
        """Items per status; every status is named."""
        status = self._table.c.status
        statement = self._statement(
            "stats",
            client,
            {},
            lambda found: found.with_only_columns(status, func.count(), maintain_column_froms=True).group_by(status),
        )
        rows = await self._unit.read(statement, **scoped(client))
        return {each.value: 0 for each in ReviewStatus} | {name: int(number) for name, number in rows}
