"""One open transaction on one connection, on either driver."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

from runwright.adapters.storage.faults import translating
from runwright.adapters.storage.statements import Prepared, Statements
from runwright.model.errors import Conflict

_LOG = logging.getLogger("runwright.storage")

Rows = list[tuple[Any, ...]]


class Driver(Protocol):
    """A driver's connection, reduced to what a transaction needs."""

    async def begin(self) -> None: ...

    async def run(self, sql: str, values: Any = (), *, brief: bool = False) -> Rows:
        """Run one statement; the rows that it returns, if any. `brief`: it touches a few rows by their key."""
        ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...

    def abandon(self) -> None:
        """Note that the connection is in no known state."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the connection can no longer be used."""
        ...


class SqliteDriver:
    """aiosqlite, in autocommit mode: transactions are begun and ended by us.

    What may wait (taking the lock, a query over many rows, the commit with its sync to disk) is done in aiosqlite's
    thread. A brief statement within a transaction that has its locks waits for nothing and takes some microseconds,
    while two hops between threads take a hundred: it runs here. The gate asks a dozen of them before every step.
    """

    def __init__(self, connection: Any, *, writing: bool) -> None:
        self._connection = connection
        self._begin = "BEGIN IMMEDIATE" if writing else "BEGIN DEFERRED"
        self._locked = writing
        """Whether the next statement can find nobody in its way. A reader has its lock after its first statement."""
        self._abandoned = False

    async def begin(self) -> None:
        await self._connection.execute_fetchall(self._begin)

    async def run(self, sql: str, values: Any = (), *, brief: bool = False) -> Rows:
        rows: Rows
        if brief and self._locked:
            # aiosqlite has no way to say this; its own thread is idle, and SQLite's serialized mode allows it
            rows = self._connection._conn.execute(sql, values).fetchall()
        else:
            rows = await self._connection.execute_fetchall(sql, values)
            self._locked = True
        return rows

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()

    def abandon(self) -> None:
        self._abandoned = True

    @property
    def lost(self) -> bool:
        return self._abandoned


class PostgresDriver:
    """psycopg, which begins by itself with the first statement and prepares statements it has seen five times."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._abandoned = False

    async def begin(self) -> None:
        """Nothing to do: see the class."""

    async def run(self, sql: str, values: Any = (), *, brief: bool = False) -> Rows:
        cursor = await self._connection.execute(sql, values or None)
        rows: Rows = await cursor.fetchall() if cursor.description else []
        return rows

    async def commit(self) -> None:
        await self._connection.commit()

    async def rollback(self) -> None:
        await self._connection.rollback()

    def abandon(self) -> None:
        self._abandoned = True

    @property
    def lost(self) -> bool:
        return bool(self._abandoned or self._connection.closed or self._connection.broken)


class Unit:
    """The statements of one transaction. Driver errors leave it as errors of this package."""

    def __init__(self, driver: Driver, statements: Statements, *, writing: bool, echo: bool = False) -> None:
        self._driver = driver
        self.statements = statements
        self._writing = writing
        self._echo = echo
        self._open = True

    def end(self) -> None:
        """After this, any use is an error: the connection belongs to someone else."""
        self._open = False

    async def read(self, statement: Prepared, **values: Any) -> Rows:
        """Rows of a query."""
        return await self._run(statement.sql, statement.values(values))

    async def read_few(self, statement: Prepared, **values: Any) -> Rows:
        """Rows of a query that looks up a few by their key."""
        return await self._run(statement.sql, statement.values(values), brief=True)

    async def write(self, statement: Prepared, **values: Any) -> Rows:
        """Rows that a change by key returns. Raises TypeError in a transaction opened for reading."""
        if not self._writing:
            raise TypeError("found a write in store.reading(); open store.transaction() to write")
        return await self._run(statement.sql, statement.values(values), brief=True)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A Conflict inside leaves the transaction usable: on PostgreSQL an error would else spoil all of it."""
        await self._run("SAVEPOINT one_change", ())
        try:
            yield
        except Conflict:
            await self._run("ROLLBACK TO SAVEPOINT one_change", ())
            raise
        await self._run("RELEASE SAVEPOINT one_change", ())

    async def _run(self, sql: str, values: Sequence[Any] | dict[str, Any], *, brief: bool = False) -> Rows:
        if not self._open:
            raise RuntimeError("found the use of a transaction after its end; open another one")
        if self._echo:
            _LOG.info("%s", sql)  # values stay out: they may hold digests of secrets
        with translating():
            return await self._driver.run(sql, values, brief=brief)
