"""Events to watch and the audit chains: what is appended and read in order."""

from __future__ import annotations

from sqlalchemy import text

from runwright.adapters.storage.specs import checked_document
from runwright.adapters.storage.statements import Prepared
from runwright.adapters.storage.unit import Unit
from runwright.model.audit import GENESIS, AuditEntry, AuditEvent, chain_hash
from runwright.model.errors import Tampered
from runwright.model.executions import Event
from runwright.model.ports.store import EVERY_CLIENT

EVENTS_KEPT = 100_000
"""Older events are trimmed, some at each hundredth append."""

_EVENT_APPEND_SQLITE = """
INSERT INTO events (writer, client_id, subject_id, document)
VALUES (0, :client_id, :subject_id, :document) RETURNING sequence
"""

# The transaction gets its number before the event gets its own: OFFSET 0 keeps the planner from merging the two.
_EVENT_APPEND_POSTGRES = """
INSERT INTO events (sequence, writer, client_id, subject_id, document)
SELECT nextval('events_sequence_seq'), me.writer, :client_id, :subject_id, :document
FROM (SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint) AS writer OFFSET 0) AS me
RETURNING sequence
"""

# Transactions end in another order than they began, so an event may become visible after one with a greater
# sequence. Who reads on from the greatest sequence seen would miss it: events are shown once no older one can come.
_EVENT_SETTLED_POSTGRES = " AND writer < CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"

_HEAD_MOVE = """
UPDATE audit_heads SET sequence = :sequence, hash = :hash WHERE chain = :chain RETURNING sequence
"""

_LOG_APPEND = """
INSERT INTO audit_log (chain, sequence, hash, document) VALUES (:chain, :sequence, :hash, :document)
ON CONFLICT DO NOTHING RETURNING sequence
"""

_HEAD_MAKE = """
INSERT INTO audit_heads (chain, sequence, hash) VALUES (:chain, 0, :hash) ON CONFLICT DO NOTHING RETURNING sequence
"""

_LOG_ENTRIES = """
SELECT document FROM audit_log WHERE chain = :chain AND sequence > :after ORDER BY sequence LIMIT :limit
"""


class _Texts:
    """Statements by their text."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def _text(self, sql: str) -> Prepared:
        return self._unit.statements.prepared(sql, lambda: text(sql))


class SqlEvents(_Texts):
    """`events`."""

    async def append(self, event: Event) -> None:
        """Give the event its sequence and keep it for a while."""
        append = _EVENT_APPEND_SQLITE if self._unit.statements.sqlite else _EVENT_APPEND_POSTGRES
        rows = await self._unit.write(
            self._text(append), client_id=event.client_id, subject_id=event.subject_id, document=checked_document(event)
        )
        sequence = int(rows[0][0])
        if sequence % 100 == 0:
            await self._unit.write(
                self._text("DELETE FROM events WHERE sequence <= :oldest"), oldest=sequence - EVENTS_KEPT
            )

    async def since(
        self, sequence: int, *, client: str, subject_id: str | None = None, limit: int = 200
    ) -> tuple[Event, ...]:
        """Committed events with a greater sequence, oldest first; those of transactions still open come later."""
        sql = "SELECT sequence, document FROM events WHERE sequence > :sequence"
        values: dict[str, object] = {"sequence": sequence, "limit": limit}
        if client != EVERY_CLIENT:
            sql += " AND client_id = :client_id"
            values["client_id"] = client
        if subject_id is not None:
            sql += " AND subject_id = :subject_id"
            values["subject_id"] = subject_id
        if not self._unit.statements.sqlite:
            sql += _EVENT_SETTLED_POSTGRES
        rows = await self._unit.read(self._text(sql + " ORDER BY sequence LIMIT :limit"), **values)
        return tuple(
            Event.model_validate_json(stored).model_copy(update={"sequence": number}) for number, stored in rows
        )


class SqlAudit(_Texts):
    """`audit_log`, one hash chain per client and one for the system."""

    async def append(self, event: AuditEvent) -> AuditEntry:
        """Add to the chain's end. The chain stays locked until the transaction ends.

        Raises Tampered if the chain's end does not fit its log, StorageUnavailable.
        """
        last, previous = await self._head(event.chain)
        sequence = last + 1
        entry = AuditEntry(
            chain=event.chain,
            sequence=sequence,
            previous=previous,
            event=event,
            hash=chain_hash(event.chain, sequence, previous, event),
        )
        place = {"chain": event.chain, "sequence": sequence, "hash": entry.hash}
        if not await self._unit.write(self._text(_LOG_APPEND), **place, document=checked_document(entry)):
            raise Tampered(
                f"Found an entry beyond the recorded end of the audit chain {event.chain!r}.",
                allowed="Nothing was changed.",
                next_step="Run `runwright audit verify` and compare with the last signed checkpoint.",
            )
        await self._unit.write(self._text(_HEAD_MOVE), **place)
        return entry

    async def entries(self, chain: str, *, after: int = 0, limit: int = 1000) -> tuple[AuditEntry, ...]:
        """Entries of a chain with a greater sequence, in order."""
        rows = await self._unit.read(self._text(_LOG_ENTRIES), chain=chain, after=after, limit=limit)
        return tuple(AuditEntry.model_validate_json(row[0]) for row in rows)

    async def chains(self) -> tuple[str, ...]:
        """The names of all chains."""
        rows = await self._unit.read(self._text("SELECT chain FROM audit_heads ORDER BY chain"))
        return tuple(row[0] for row in rows)

    async def _head(self, chain: str) -> tuple[int, str]:
        """Sequence and hash of the chain's end, its row locked; a new chain is made."""
        lock = "" if self._unit.statements.sqlite else " FOR UPDATE"
        select = self._text(f"SELECT sequence, hash FROM audit_heads WHERE chain = :chain{lock}")  # noqa: S608 - constants
        rows = await self._unit.write(select, chain=chain)
        if not rows:
            await self._unit.write(self._text(_HEAD_MAKE), chain=chain, hash=GENESIS)
            rows = await self._unit.write(select, chain=chain)
        return int(rows[0][0]), str(rows[0][1])
