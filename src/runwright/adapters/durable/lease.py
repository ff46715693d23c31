"""One live worker per executor id. DBOS itself does not notice that two workers share one.

Held by the process: a SIGKILL lets it go. On SQLite a locked file beside the database, on PostgreSQL a
session's advisory lock.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from runwright.adapters.durable.system import sqlite_file
from runwright.model.errors import Conflict, StorageUnavailable

PATIENCE = 5.0
"""Seconds: PostgreSQL needs a moment to notice that a killed worker's connection is gone."""


class ExecutorLease:
    """Take it before DBOS is launched, release it after DBOS is gone."""

    def __init__(self, address: str, executor_id: str) -> None:
        self._address = address
        self._executor_id = executor_id
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

    def _try(self) -> bool:
        file = sqlite_file(self._address)
        return self._lock_file(file) if file is not None else self._lock_session()

    def _lock_file(self, database: Path) -> bool:
        path = database.with_name(f"{database.name}.{_file_part(self._executor_id)}.lock")
        # For its owner alone: whoever can open it can hold the lock, and no worker would start.
        handle = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return False
        self._file = handle
        return True

    def _lock_session(self) -> bool:
        if self._connection is None:
            engine = create_engine(make_url(self._address), isolation_level="AUTOCOMMIT", pool_size=1)
            try:
                self._connection = engine.connect()
            except OperationalError as error:
                raise StorageUnavailable(
                    f"The queue's database did not answer: {error.orig}", next_step="Start it, then the worker again."
                ) from error
        question = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
        name = f"runwright executor {self._executor_id}"
        return bool(self._connection.execute(question, {"name": name}).scalar())


def _file_part(executor_id: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in executor_id)
