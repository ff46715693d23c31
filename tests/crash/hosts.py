"""The hosts that runs of the sweep happen on, and what is left on them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runwright.model.hosts import Connection, LocalConnection, NspawnConnection, SshConnection

CELLS = ("sqlite-local", "postgres-local", "sqlite-ssh", "postgres-ssh")
"""Database and host; each its own world."""
ATTEMPTS = "run/runwright/attempts"


@dataclass(frozen=True)
class HostPlace:
    """A host, with the way by which the judge looks at it: past the worker and its connection."""

    connection: Connection
    log: str
    root: Path = Path("/")
    key: str | None = None
    """The private key of an SSH login."""

    def read_log(self) -> str:
        file = self.root / self.log.lstrip("/")
        return file.read_text() if file.exists() else ""

    def leftovers(self, executions: Sequence[str]) -> list[str]:
        """What the supervisor left of these executions: files, but for attempts that were buried, and processes."""
        own = set(executions)
        attempts = self.root / ATTEMPTS
        files = sorted(attempts.iterdir()) if attempts.is_dir() else []
        found = [str(file) for file in files if file.name.split(".")[0] in own and not _buried(file)]
        for process in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                marks = [part for part in process.read_bytes().split(b"\0") if part.startswith(b"RUNWRIGHT_ATTEMPT=")]
                if marks and marks[0].split(b"=")[1].decode().split(".")[0] in own:
                    command = (process.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if "sleep 1.5" not in command:  # the daemon that a step leaves on purpose
                        found.append(f"{process.parent.name}: {marks[0].decode()}: {command}")
        return found


def _buried(file: Path) -> bool:
    with contextlib.suppress(OSError):
        return file.with_suffix(".exit").read_text().strip() == "-"
    return False


class Hosts:
    """The hosts of a sweep: this machine, and one lab machine with an SSH server where a cell asks for it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._machine: dict[str, Any] | None = None

    def place(self, lane: str, directory: Path) -> HostPlace:
        """The host of a lane. Raises RuntimeError where no machine can be made."""
        kind = lane.partition(".")[0].split("-")[1]
        if kind == "local":
            return HostPlace(LocalConnection(), str(directory / "host.log"))
        if self._machine is None:
            self._machine = self._stack.enter_context(kept_machine())
        root, log = Path(self._machine["root"]), f"/var/tmp/{lane}.log"
        if kind == "nspawn":
            return HostPlace(NspawnConnection(machine=self._machine["name"]), log, root)
        connection = SshConnection.model_validate_json(json.dumps(self._machine["ssh"]))
        return HostPlace(connection, log, root, self._machine["key"])


@contextlib.contextmanager
def kept_machine() -> Iterator[dict[str, Any]]:
    """A machine that a process of its own keeps: this one may have no threads, for it forks."""
    told, tell = os.pipe()
    ended, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(end)
            os.close(told)
            asyncio.run(_keep(tell, ended))
            status = 0
        except BaseException:  # noqa: BLE001 - shown, and the process ends
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(tell)
    os.close(ended)
    try:
        with os.fdopen(told) as answer:
            text = answer.read()
        if not text:
            raise RuntimeError("no lab machine with an SSH server could be made; what is missing stands above")
        yield json.loads(text)
    finally:
        os.close(end)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


async def _keep(tell: int, ended: int) -> None:
    from support.ssh_machine import ssh_machine, user_keys

    async with ssh_machine() as machine:
        about = {
            "name": machine.machine.name,
            "root": f"/proc/{machine.leader}/root",
            "ssh": machine.connection().model_dump(mode="json"),
            "key": user_keys()["plain"].export_private_key().decode(),
        }
        with os.fdopen(tell, "w") as answer:
            answer.write(json.dumps(about))
        await asyncio.to_thread(os.read, ended, 1)
