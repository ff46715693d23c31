"""What a database says, as the errors that people read. The driver's own words stay in the cause."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from runwright.model.errors import Conflict, InvalidInput, RunwrightError, StorageUnavailable

NOTHING_CHANGED = "Nothing was changed."

_CROSSED = ("Two changes of the same records crossed; this one was not made.", "Read the records again and repeat it.")

_SQLITE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "The disk under the database is full.",
        "Free some space on it (or move the data directory) and try again.",
    ),
    sqlite3.SQLITE_READONLY: (
        "The database file or its disk is read-only.",
        "Make the file and its directory writable for this user and try again.",
    ),
    sqlite3.SQLITE_BUSY: (
        "Another process has held the database for more than 30 s.",
        "Find out what holds it (fuser FILE) and try again.",
    ),
    sqlite3.SQLITE_LOCKED: (
        "Another connection holds the table.",
        "Try again; if it stays so, find out what holds the file (fuser FILE).",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "The database file cannot be opened.",
        "Check that its directory exists and that this user may write in it.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "The file is not a database.",
        "Name another file, or move this one away: Runwright makes a new one.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The database file is damaged.",
        "Stop all processes that use it and restore it from a backup.",
    ),
    sqlite3.SQLITE_IOERR: (
        "The disk under the database gives errors.",
        "Check the disk (full, quota, file size limit, hardware; the system log says more) and try again.",
    ),
    sqlite3.SQLITE_PERM: ("This user may not use the database file.", "Give it the right to read and write the file."),
    sqlite3.SQLITE_AUTH: ("This user may not use the database file.", "Give it the right to read and write the file."),
    sqlite3.SQLITE_NOMEM: ("The machine is out of memory.", "Free some memory and try again."),
    sqlite3.SQLITE_PROTOCOL: (
        "The database file cannot be locked.",
        "Keep it on a local disk: network file systems often cannot lock.",
    ),
}

_POSTGRES: dict[str, tuple[str, str]] = {
    "53100": ("The disk of the PostgreSQL server is full.", "Free some space on it and try again."),
    "53200": ("The PostgreSQL server is out of memory.", "Free some memory on it and try again."),
    "53300": ("The PostgreSQL server has no connection left.", "Raise max_connections or close other programs."),
    "25006": ("The PostgreSQL server is read-only.", "Point the database URL at the primary server and try again."),
    "55P03": ("Another transaction has held a record for more than 30 s.", "See pg_stat_activity, and try again."),
    "3D000": ("There is no such database on the PostgreSQL server.", "Create it (createdb NAME) or correct the URL."),
    "28P01": ("The PostgreSQL server refused the password.", "Correct the user or password in the database URL."),
    "28000": ("The PostgreSQL server refused the user.", "Correct the user in the database URL, or pg_hba.conf."),
    "42501": ("This PostgreSQL user lacks a right.", "Grant it the rights to create and use tables here."),
    "57P03": ("The PostgreSQL server is starting up or shutting down.", "Wait for it and try again."),
}

_REFUSALS = {
    r'database ".*" does not exist': "3D000",
    r"password authentication failed|no password supplied": "28P01",
    r"no pg_hba.conf entry|role .* does not exist": "28000",
    r"too many clients|remaining connection slots": "53300",
    r"starting up|shutting down": "57P03",
}
"""While connecting, the driver knows the server's words but not its code."""

_UNIQUE = {"23505", "23503", "23514", "23502", "23000", "23001", "23P01"}
_CROSSINGS = {"40001", "40P01"}


def is_driver_error(error: BaseException) -> bool:
    """Whether an exception comes from a database driver, or from the pool of its connections."""
    if isinstance(error, DBAPIError | PoolTimeout | sqlite3.Error):
        return True
    return any(base.__module__.startswith("psycopg") for base in type(error).__mro__)


def translated(error: BaseException) -> BaseException:
    """The error of this package for a driver's; any other (a bug of ours) is returned as it is."""
    if isinstance(error, RunwrightError):
        return error
    if isinstance(error, PoolTimeout):
        return StorageUnavailable(
            "Other transactions of this process have held the database for more than 30 s.",
            allowed=NOTHING_CHANGED,
            next_step="Try again when the machine is less busy.",
        )
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if isinstance(origin, sqlite3.Error):
        return _from_sqlite(origin) or error
    if is_driver_error(origin):
        return _from_postgres(origin) or error
    return error


@contextmanager
def translating() -> Iterator[None]:
    """Driver errors inside leave as errors of this package, the driver's as their cause."""
    try:
        yield
    except Exception as error:
        raised = translated(error)
        if raised is error:
            raise
        raise raised from error


def _from_sqlite(error: sqlite3.Error) -> RunwrightError | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        if "no active connection" in str(error) or "closed" in str(error):
            return unavailable("The connection to the database is closed.", "Try again.")
        return None
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return Conflict(_constraint(str(error)), allowed=NOTHING_CHANGED)
    if primary in _SQLITE:
        return unavailable(*_SQLITE[primary])
    return None


def _from_postgres(error: BaseException) -> RunwrightError | None:
    state = getattr(error, "sqlstate", None) or _refusal_state(str(error))
    if state is None:
        words = str(error).strip().splitlines()
        return unavailable(
            "The PostgreSQL server cannot be reached, or the connection to it was lost"
            f"{f' ({words[-1].strip()})' if words else ''}.",
            "Check that it runs and that the database URL is right, then try again.",
        )
    if state in _CROSSINGS:
        return Conflict(_CROSSED[0], next_step=_CROSSED[1])
    if state in _UNIQUE:
        return Conflict(_constraint(str(error)), allowed=NOTHING_CHANGED)
    if state in _POSTGRES:
        return unavailable(*_POSTGRES[state])
    if state.startswith("22"):
        return InvalidInput(f"The database cannot keep this value: {str(error).splitlines()[0]}.")
    if state[:2] in ("08", "53", "57", "58", "XX"):
        return unavailable(
            f"The PostgreSQL server gave up: {str(error).splitlines()[0]}.", "Check the server, then try again."
        )
    return None


def _refusal_state(words: str) -> str | None:
    return next((state for pattern, state in _REFUSALS.items() if re.search(pattern, words)), None)


def unavailable(found: str, next_step: str) -> StorageUnavailable:
    """A StorageUnavailable that says that nothing was changed."""
    return StorageUnavailable(found, allowed=NOTHING_CHANGED, next_step=next_step)


def uncertain(cause: BaseException) -> StorageUnavailable:
    """For a connection that was lost during a commit: the one case where the outcome is not known."""
    return StorageUnavailable(
        f"The connection was lost while the change was being committed ({type(cause).__name__}).",
        allowed="It is stored whole or not at all.",
        next_step="Look at the records before repeating it.",
    )


def _constraint(message: str) -> str:
    """A sentence out of a driver's text about a broken constraint."""
    first = message.splitlines()[0]
    unique = re.search(r"UNIQUE constraint failed: (.+)", first)
    if unique:
        table = unique[1].split(".")[0]
        columns = [name.split(".")[-1] for name in unique[1].split(", ")]
        return f"Found a record in {table} with the same {' and '.join(columns)}."
    named = re.search(r'unique constraint "uq_(.+?)"', first)
    if named:
        return f"Found a record with the same unique value ({named[1].replace('_', ' ')})."
    if "FOREIGN KEY" in first or "foreign key" in first:
        return "The record names another one that does not exist."
    return f"The database refused the change: {first}."
