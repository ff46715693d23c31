"""The queue's own database: names that must never change, and how it is made ready."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import URL, BigInteger, Column, MetaData, NullPool, Table, Text, create_engine, make_url, text

from runwright.model.errors import InvalidInput

APPLICATION = "runwright"
"""Owner of the queues; part of the address of every stored workflow."""
APPLICATION_VERSION = "1"
"""Recovery adopts only workflows of its own version. It names the form of the stored inputs (ids only),
which no release has changed; it is not the version of the package."""
SCHEMA = "runwright_queue"
"""On PostgreSQL, beside the schema of our own tables."""

EXECUTIONS = "executions"
LEARNING = "learning"
TESTS = "tests"
CHECKS = "host-checks"

EXECUTION_POLLING = 0.05
"""Seconds between two looks for an execution to start: the wait an incident sees at most."""
QUIET_POLLING = 0.5
NOTIFICATION_POLLING = 0.01
"""On SQLite, where nothing can notify. Costs nothing while nobody waits for a workflow's events."""

logging.getLogger("dbos").addHandler(logging.NullHandler())  # else DBOS adds a console handler of its own


def system_address(system_url: str) -> str:
    """The URL as DBOS wants it: without an async driver. Raises InvalidInput for other databases."""
    url = make_url(system_url)
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database not in (None, "", ":memory:"):
        return _shown(url.set(drivername="sqlite"))
    if backend == "postgresql" and url.database:
        return _shown(url.set(drivername="postgresql+psycopg"))
    raise InvalidInput(
        f"Found queue database {url.render_as_string()!r}.",
        allowed="Allowed: sqlite:///<file> or postgresql://<user>@<host>/<database>.",
    )


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def sqlite_file(address: str) -> Path | None:
    """The file of a SQLite address, None for PostgreSQL."""
    url = make_url(address)
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def configuration(address: str, executor_id: str) -> DBOSConfig:
    """One configuration for workers and takeovers, so that their names always agree."""
    return DBOSConfig(
        name=APPLICATION,
        application_version=APPLICATION_VERSION,
        executor_id=executor_id,
        system_database_url=address,
        dbos_system_schema=SCHEMA,
        serializer=DBOSPortableJSONSerializer(),
        notification_listener_polling_interval_sec=NOTIFICATION_POLLING,
        log_level="WARNING",
        enable_otlp=False,
    )


def client(address: str) -> DBOSClient:
    """A client that may enqueue and look, from any process."""
    return DBOSClient(
        system_database_url=address,
        dbos_system_schema=SCHEMA,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
        lazy=True,
    )


def executors_table(address: str) -> Table:
    """The table in which workers count up that they live."""
    schema = SCHEMA if sqlite_file(address) is None else None
    return Table(
        "runwright_executors",
        MetaData(),
        Column("executor_id", Text, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("beats", BigInteger, nullable=False),
        schema=schema,
    )


def _make_executors_table(address: str) -> None:
    engine = create_engine(address, poolclass=NullPool)
    with engine.begin() as connection:
        if sqlite_file(address) is None:  # of two that make it at once, PostgreSQL refuses one
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('runwright_executors', 0))"))
        executors_table(address).create(connection, checkfirst=True)


def prepare(address: str) -> None:
    """Create or migrate the database and declare the queues. Safe to call from several processes at once.

    On SQLite the write-ahead log is switched on first: DBOS does not, and readers would block writers.
    """
    logging.getLogger("dbos").setLevel(logging.WARNING)
    file = sqlite_file(address)
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        file.chmod(0o600)
    DBOS.migrate(address, schema=SCHEMA)
    _make_executors_table(address)
    declaring = client(address)
    try:
        # No limit over all partitions: with one, DBOS picks hosts at random instead of by priority.
        declaring.register_queue(EXECUTIONS, partition_concurrency=1, polling_interval_sec=EXECUTION_POLLING)
        declaring.register_queue(LEARNING, global_concurrency=2, polling_interval_sec=QUIET_POLLING)
        declaring.register_queue(TESTS, global_concurrency=2, polling_interval_sec=QUIET_POLLING)
        # A person waits for the answer; a host that does not answer holds one of these for its connection's time.
        declaring.register_queue(CHECKS, global_concurrency=16, polling_interval_sec=QUIET_POLLING)
    finally:
        declaring.destroy()
