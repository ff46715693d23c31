"""Disposable machines, as the lab sees them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from runwright.model.base import Record
from runwright.model.lab import FileChange, ScriptResult
from runwright.model.ports.hosts import HostSession


class MachineRequest(Record):
    """What to boot."""

    name: str | None = None
    """Chosen if None."""
    packages: tuple[str, ...] = ()
    """Debian packages, in a cached layer built with network, never on the host itself."""
    memory_mb: int = 512
    tasks: int = 512
    boot_timeout: float = 60.0


class Machine(Protocol):
    """A booted, isolated machine: no network, dropped capabilities, limits, private paths masked."""

    @property
    def name(self) -> str: ...

    @property
    def session(self) -> HostSession:
        """A session whose identity has `lab_machine` set to this machine's name."""
        ...

    async def script(self, text: str, timeout: float) -> ScriptResult:
        """Run sh text as root in `/`, LC_ALL=C.UTF-8, stdin closed, output to a file.

        A daemon that it leaves behind lives on and does not hold the call.
        """
        ...

    async def mark(self) -> None:
        """Remember the files as they are now, for `changes`."""
        ...

    async def changes(self) -> tuple[FileChange, ...]:
        """Every path that differs from the last `mark`, sorted."""
        ...


class Machines(Protocol):
    """Makes machines and leaves nothing behind, whatever ends the block."""

    async def unavailable(self) -> str | None:
        """Why no machine can be made here, as a sentence; None if it can."""
        ...

    def boot(self, request: MachineRequest) -> AbstractAsyncContextManager[Machine]:
        """A machine for as long as the block lasts. Raises NoMachine."""
        ...

    async def sweep(self) -> int:
        """End and remove what earlier processes that are gone left behind; how many machines."""
        ...
