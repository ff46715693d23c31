"""Building and upgrading the schema. Safe when several processes start at once; a newer schema is refused."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from runwright.adapters.storage import schema
from runwright.adapters.storage.engines import BUSY_SECONDS, make_engine, parse_url, sqlite_file
from runwright.adapters.storage.faults import translating, unavailable
from runwright.model.errors import StorageUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 7_218_544_906_113
"""The number of the advisory lock that PostgreSQL servers of several processes start under."""

_OLDEST_SQLITE = (3, 35, 0)
"""The first with RETURNING."""


async def upgrade(url: str) -> None:
    """Bring the database to the schema of this program, in one transaction, if it is empty or behind.

    Raises InvalidInput on a bad URL; StorageUnavailable when the database cannot be used, has the schema of a
    newer program, or holds tables of another one.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        await asyncio.to_thread(_prepare_file, sqlite_file(parsed))
    engine = make_engine(parsed, writing=True)
    try:
        with translating():
            async with engine.connect() as connection:
                current = await connection.run_sync(_current)
                await connection.rollback()
                if current != schema.HEAD:
                    await _upgrade_alone(connection)
    finally:
        await engine.dispose()


async def _upgrade_alone(connection: AsyncConnection) -> None:
    """Upgrade while no other process does. Whoever waited finds the work done."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    await connection.run_sync(_run_migrations)
    await connection.commit()


def _current(connection: Connection) -> str | None:
    """The revision of the database, None if it is empty. Raises StorageUnavailable on someone else's tables."""
    names = set(inspect(connection).get_table_names())
    if "alembic_version" in names:
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        return None if row is None else str(row[0])
    taken = sorted(names & set(schema.METADATA.tables))
    if taken:
        raise unavailable(
            f"The database has tables of another program ({', '.join(taken[:5])}).",
            "Name a database of its own for Runwright.",
        )
    return None


def _run_migrations(connection: Connection) -> None:
    # Alembic takes a quarter of a second to import, and most starts need no migration.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    script = ScriptDirectory.from_config(config)
    current = _current(connection)
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise StorageUnavailable(
            f"The database has the schema of a newer Runwright (revision {current}; this program knows {schema.HEAD}).",
            allowed="Nothing was changed.",
            next_step="Start the newer program, or restore the backup that was made before the upgrade.",
        )
    command.upgrade(config, "head")


def alembic_config(connection: Connection) -> Any:
    """Alembic's configuration for an open connection; its transaction is the caller's."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _prepare_file(path: Path) -> None:
    """Make the file, for this user alone (it holds digests of credentials), and set write-ahead logging."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StorageUnavailable(
            f"Found SQLite {sqlite3.sqlite_version}.",
            allowed="Allowed: 3.35 or newer.",
            next_step="Use a newer Python.",
        )
    if path.is_dir():
        raise unavailable(f"The database path {path} is a directory.", "Name a file in it.")
    if not path.parent.is_dir():
        raise unavailable(f"The directory {path.parent} of the database does not exist.", "Make it, then try again.")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unavailable(
            f"The database file {path} cannot be opened for writing ({error.strerror}).",
            "Make the file and its directory writable for this user, or name another file.",
        ) from error
    with translating():
        _set_wal(path)


def _set_wal(path: Path) -> None:
    """Write-ahead logging stays set in the file. Setting it ignores the busy timeout, so starts at once retry."""
    deadline = time.monotonic() + BUSY_SECONDS
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        while True:
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    if mode != "wal":
        raise unavailable(
            f"The file system of {path} cannot keep a write-ahead log (found journal mode {mode}).",
            "Keep the database on a local disk.",
        )
