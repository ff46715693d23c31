"""The store on SQLite or PostgreSQL: opening it, and its transactions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from runwright.adapters.storage.engines import make_engine, parse_url
from runwright.adapters.storage.faults import is_driver_error, translated, translating, uncertain
from runwright.adapters.storage.migrate import upgrade
from runwright.adapters.storage.statements import Statements
from runwright.adapters.storage.transaction import SqlTransaction
from runwright.adapters.storage.unit import Driver, PostgresDriver, SqliteDriver, Unit
from runwright.model.errors import StorageUnavailable
from runwright.model.ports.store import Store


async def open_store(url: str, *, echo: bool = False) -> Store:
    """Open the database, building or upgrading its schema first.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`.
        echo: log each statement (without its values) as `runwright.storage`.

    A store belongs to the event loop that uses it: another loop opens its own.

    Raises InvalidInput on another kind of URL, StorageUnavailable when the database cannot be used.
    """
    parsed = parse_url(url)
    await upgrade(url)
    return SqlStore(parsed, echo=echo)


class SqlStore:
    """`Store`. Made by `open_store`."""

    def __init__(self, url: URL, *, echo: bool = False) -> None:
        self._sqlite = url.get_backend_name() == "sqlite"
        self._echo = echo
        self._writing = make_engine(url, writing=True)
        self._reading = make_engine(url, writing=False)
        self._statements = Statements(self._writing.dialect)
        self._writer: asyncio.Task[Any] | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlTransaction]:
        """Committed when the block ends, rolled back if it raises.

        Raises StorageUnavailable when the database cannot be reached or written, Conflict when PostgreSQL ended
        the transaction because it crossed another.
        """
        task = asyncio.current_task()
        if self._sqlite and task is self._writer:
            raise RuntimeError("found a transaction within a transaction; hand the open one on instead")
        async with self._unit(self._writing, writing=True) as unit:
            if self._sqlite:
                self._writer = task
            try:
                yield SqlTransaction(unit)
            finally:
                self._writer = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[SqlTransaction]:
        """A read-only view of one moment; writing in it raises TypeError."""
        async with self._unit(self._reading, writing=False) as unit:
            yield SqlTransaction(unit)

    async def close(self) -> None:
        """Close all connections. What was committed is on disk already."""
        if self._sqlite:
            await self._refresh_statistics()
        await self._writing.dispose()
        await self._reading.dispose()

    async def _refresh_statistics(self) -> None:
        """Let SQLite's planner know how large the tables have become; bounded, and best effort."""
        try:
            async with self._writing.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                for pragma in ("PRAGMA busy_timeout = 0", "PRAGMA analysis_limit = 400", "PRAGMA optimize"):
                    await driver.execute_fetchall(pragma)
        except Exception as error:
            if not isinstance(translated(error), StorageUnavailable):
                raise

    @asynccontextmanager
    async def _unit(self, engine: AsyncEngine, *, writing: bool) -> AsyncIterator[Unit]:
        async with _connected(engine) as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            driver: Driver = SqliteDriver(raw, writing=writing) if self._sqlite else PostgresDriver(raw)
            unit = Unit(driver, self._statements, writing=writing, echo=self._echo)
            try:
                try:
                    with translating():
                        await driver.begin()
                    yield unit
                finally:
                    unit.end()
            except BaseException:
                await _finished(_roll_back(driver))
                raise
            else:
                await _finished(_commit(driver))
            finally:
                if driver.lost:
                    await connection.invalidate()


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool. Only failing to get one is translated, not what is raised inside."""
    connection = engine.connect()
    with translating():
        await connection.start()
    try:
        yield connection
    finally:
        await connection.close()


async def _commit(driver: Driver) -> None:
    try:
        await driver.commit()
    except Exception as error:
        if is_driver_error(error) and driver.lost:
            raise uncertain(error) from error
        await _roll_back(driver)
        with translating():
            raise


async def _roll_back(driver: Driver) -> None:
    """Roll back while another error is on its way up; that one is the news, so a driver's error here is not."""
    try:
        await driver.rollback()
    except Exception as error:
        if not is_driver_error(error):
            raise
        driver.abandon()


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for the end of `work` even when cancelled: a connection must not go back half-way through a commit."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # noted: the cancellation is what the caller sees
        raise
