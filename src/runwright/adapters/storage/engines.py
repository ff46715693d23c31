"""Connections: a SQLite file with one writer and several readers, or a PostgreSQL server."""

from __future__ import annotations

import select
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runwright.model.errors import InvalidInput, StorageUnavailable

BUSY_SECONDS = 30
READERS = 4
POSTGRES_CONNECTIONS = 10

_SQLITE_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}",
    "PRAGMA foreign_keys = ON",
    # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits at a power cut. A lost intent is an effect on
    # a host that nobody remembers (promise 4), a lost approval or audit entry a decision undone. It costs about 0.1 ms.
    "PRAGMA synchronous = FULL",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -16384",
)

_POSTGRES_SETTINGS = f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout=0 -c timezone=UTC"
_POSTGRES_READING = " -c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"


def parse_url(url: str) -> URL:
    """The database's URL with the driver that we use. Raises InvalidInput on any other database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    backend = "" if parsed is None else parsed.drivername.split("+")[0]
    if parsed is not None and backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed.set(drivername="sqlite+aiosqlite")
    if parsed is not None and backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    shown = "one that cannot be read" if parsed is None else repr(parsed.render_as_string(hide_password=True))
    raise InvalidInput(
        f"Found the database URL {shown}.",
        allowed="Allowed: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE.",
    )


def sqlite_file(url: URL) -> Path:
    """The file of a SQLite URL."""
    return Path(str(url.database))


def make_engine(url: URL, *, writing: bool) -> AsyncEngine:
    """A pool of connections for writing or for reading. Nothing is connected yet.

    Raises StorageUnavailable if the PostgreSQL driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, writing=writing)
    return _postgres_engine(url, writing=writing)


def _sqlite_engine(url: URL, *, writing: bool) -> AsyncEngine:
    """One writer: the pool queues the transactions of this process, the busy timeout those of others."""
    engine = create_async_engine(
        url,
        # brief statements are run beside aiosqlite's own thread, never at the same time as it
        connect_args={"isolation_level": None, "timeout": BUSY_SECONDS, "check_same_thread": False},
        pool_size=1 if writing else READERS,
        max_overflow=0,
        pool_timeout=BUSY_SECONDS,
        pool_reset_on_return=None,  # transactions are ended before a connection comes back
    )
    pragmas = _SQLITE_PRAGMAS if writing else (*_SQLITE_PRAGMAS, "PRAGMA query_only = ON")

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    return engine


def _postgres_engine(url: URL, *, writing: bool) -> AsyncEngine:
    given = url.query.get("options", "")
    settings = " ".join((given if isinstance(given, str) else " ".join(given), _POSTGRES_SETTINGS)).strip()
    try:
        engine = create_async_engine(
            url,
            connect_args={"options": settings if writing else settings + _POSTGRES_READING},
            pool_size=POSTGRES_CONNECTIONS,
            max_overflow=0,
            pool_timeout=BUSY_SECONDS,
            pool_reset_on_return=None,
        )
    except ModuleNotFoundError as error:
        raise StorageUnavailable(
            "The PostgreSQL driver is not installed.", next_step="Install it: pip install 'runwright[postgres]'."
        ) from error

    @event.listens_for(engine.sync_engine, "checkout")
    def notice_end(connection: Any, _: Any, __: Any) -> None:
        """An idle connection with something to read was ended by the server. Costs no round trip, as a ping would."""
        driver = connection.driver_connection
        if driver.closed or driver.broken or select.select([driver.fileno()], [], [], 0)[0]:
            raise InvalidatePoolError

    return engine
