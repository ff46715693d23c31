"""One live worker per executor id, and whether it lives. DBOS itself notices neither.

The lease is a lock that the process holds, which a SIGKILL lets go: on SQLite a locked file beside the database, on
PostgreSQL a session's advisory lock. Beside it stands a row that the worker counts up while its event loop turns:
a process that is stopped, or cut off, keeps its lock and counts no more. Whoever takes over writes a name of its own
into the row, so that the other finds it there when it wakes up, and ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    Connection,
    Engine,
    Insert,
    NullPool,
    Update,
    create_engine,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from runwright.adapters.durable.system import executors_table, sqlite_file
from runwright.model.errors import Conflict, StorageUnavailable

PATIENCE = 5.0
"""Seconds: PostgreSQL needs a moment to notice that a killed worker's connection is gone."""
BEAT = 2.0
"""Seconds between two signs of life."""
LEASE = 10.0
"""Seconds without one after which a worker counts as dead."""

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"
_END = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = hashtextextended(:name, 0)
"""


class ExecutorLease:
    """Take it before DBOS is launched, release it after DBOS is gone. Blocking; one call at a time."""

    def __init__(self, address: str, executor_id: str) -> None:
        self._address = address
        self._executor_id = executor_id
        self._table = executors_table(address)
        self._holder = secrets.token_hex(8)
        self._sqlite = sqlite_file(address)
        self._file: IO[bytes] | None = None
        self._connection: Connection | None = None

    def take(self, patience: float = PATIENCE) -> None:
        """Raises Conflict if a live worker has this executor id, StorageUnavailable without its database."""
        end = time.monotonic() + patience
        while not self._try():
            if time.monotonic() >= end:
                self.release()
                raise Conflict(
                    f"Found a live worker with executor id {self._executor_id!r}.",
                    allowed="Each worker has an executor id of its own, and only a dead worker's runs are taken over.",
                    next_step="Stop that worker, or choose another id.",
                )
            time.sleep(0.1)
        try:
            self._own()
        except BaseException:
            self.release()
            raise

    def _own(self) -> None:
        ours = self._table.c.executor_id == self._executor_id
        if not self._sign(update(self._table).where(ours).values(holder=self._holder)):
            row = {"executor_id": self._executor_id, "holder": self._holder, "beats": 0}
            self._sign(insert(self._table).values(row))

    def beat(self) -> None:
        """A sign of life. Raises Conflict where another worker has taken over, StorageUnavailable without the database.

        On PostgreSQL a session that was lost, and the lock with it, is replaced.
        """
        if self._sqlite is None and self._connection is None:
            self._try()  # the row decides: the server may not have noticed yet that the old session is gone
        ours = (self._table.c.executor_id == self._executor_id) & (self._table.c.holder == self._holder)
        if not self._sign(update(self._table).where(ours).values(beats=self._table.c.beats + 1)):
            raise Conflict(
                f"Found that another worker has taken over what {self._executor_id} ran.",
                next_step="This process ends; started again, it takes new work.",
            )

    def seen(self) -> tuple[str, int] | None:
        """Whose the row is and how often it was counted up; None for an executor that never had one."""
        return standing(self._address).get(self._executor_id)

    def end_session(self) -> None:
        """End the session of a worker that holds the lock and shows no life. Raises Conflict on SQLite."""
        if self._sqlite is not None:
            raise Conflict(
                f"Found a process that holds the lock of {self._executor_id!r} and does nothing.",
                next_step=f"End it: fuser {self._lock_file_of(self._sqlite)}",
            )
        connection = self._session()
        try:
            connection.execute(text(_END), {"name": self._name})
        except DBAPIError as error:
            raise _unavailable(error) from error

    def release(self) -> None:
        """Let go; harmless when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._connection is not None:
            engine = self._connection.engine
            self._connection.close()
            engine.dispose()
            self._connection = None

    @property
    def _name(self) -> str:
        return f"runwright executor {self._executor_id}"

    def _try(self) -> bool:
        return self._lock_file(self._sqlite) if self._sqlite is not None else self._lock_session()

    def _lock_file_of(self, database: Path) -> Path:
        return database.with_name(f"{database.name}.{_file_part(self._executor_id)}.lock")

    def _lock_file(self, database: Path) -> bool:
        # For its owner alone: whoever can open it can hold the lock, and no worker would start.
        path = self._lock_file_of(database)
        handle = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return False
        self._file = handle
        return True

    def _lock_session(self) -> bool:
        try:
            return bool(self._session().execute(text(_LOCK), {"name": self._name}).scalar())
        except DBAPIError as error:
            self.release()
            raise _unavailable(error) from error

    def _session(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = _engine(self._address).connect()
            except DBAPIError as error:
                raise _unavailable(error) from error
        return self._connection

    def _sign(self, statement: Update | Insert) -> bool:
        try:
            if self._sqlite is None:
                return bool(self._session().execute(statement).rowcount)
            with _engine(self._address).connect() as connection:
                return bool(connection.execute(statement).rowcount)
        except DBAPIError as error:
            if self._sqlite is None:
                self.release()
            raise _unavailable(error) from error


def standing(address: str) -> Mapping[str, tuple[str, int]]:
    """Every executor that ever had a lease: who holds it, and how often it gave a sign of life."""
    try:
        with _engine(address).connect() as connection:
            rows = connection.execute(select(executors_table(address)))
            return {row.executor_id: (row.holder, row.beats) for row in rows}
    except DBAPIError as error:
        raise _unavailable(error) from error


def _engine(address: str) -> Engine:
    url = make_url(address)
    more: dict[str, Any] = {"timeout": 30} if url.get_backend_name() == "sqlite" else {"connect_timeout": 10}
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=more)


def _unavailable(error: DBAPIError) -> StorageUnavailable:
    return StorageUnavailable(
        f"The queue's database did not answer: {error.orig}", next_step="Start it, then the worker again."
    )


def _file_part(executor_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in executor_id)
