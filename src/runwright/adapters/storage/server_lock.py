"""One server per SQLite database: an advisory lock that ends with the process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType

from runwright.adapters.storage.engines import parse_url, sqlite_file
from runwright.adapters.storage.faults import unavailable
from runwright.model.errors import Conflict

_claimed: set[Path] = set()
"""Of this process: POSIX record locks do not exclude the process that holds them."""


class ServerClaim:
    """The right to be the server of a database. Release it, or leave its `with` block, to give it up."""

    def __init__(self, path: Path | None, descriptor: int | None) -> None:
        self.path = path
        """The lock file; None on PostgreSQL, which several servers may share."""
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the claim up. Doing so twice is harmless."""
        if self._descriptor is not None and self.path is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            _claimed.discard(self.path)
            self._descriptor = None

    def __enter__(self) -> ServerClaim:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


def claim_server(where: str | Path) -> ServerClaim:
    """Claim the database for this process.

    Args:
        where: a database URL, or the data directory.

    A POSIX record lock: children do not inherit it, so a worker that outlives a killed server does not keep the
    next one out. On PostgreSQL there is nothing to claim. Raises Conflict naming the process that holds the claim,
    StorageUnavailable if the lock file cannot be made.
    """
    path = _lock_file(where)
    if path is None:
        return ServerClaim(None, None)
    if path in _claimed:
        raise _taken(path, str(os.getpid()))
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unavailable(
            f"The lock file {path} cannot be opened ({error.strerror}).", "Make its directory writable for this user."
        ) from error
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise _taken(path, holder) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    _claimed.add(path)
    return ServerClaim(path, descriptor)


def _lock_file(where: str | Path) -> Path | None:
    if isinstance(where, str) and "://" in where:
        url = parse_url(where)
        if url.get_backend_name() != "sqlite":
            return None
        database = sqlite_file(url).resolve()
        return database.with_name(database.name + ".server-lock")
    return Path(where).resolve() / "server-lock"


def _taken(path: Path, holder: str) -> Conflict:
    who = f"process {holder}" if holder else "another process"
    return Conflict(
        f"Found that {who} is the server of this database already.",
        allowed="Allowed: one server per SQLite database.",
        next_step=f"Use that server, or stop it first. The claim is {path}.",
    )
