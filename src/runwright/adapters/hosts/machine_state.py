"""What is known of the machines on this host: one private file each, so that any process can reach or remove them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from runwright.adapters.hosts.kernel import start_time
from runwright.model.base import Record
from runwright.model.errors import HostUnreachable, NoMachine

DIRECTORY = Path("/run/runwright/machines")


class ProcessName(Record):
    """A process for good: its pid and when it started, in clock ticks since boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def process_name(pid: int) -> ProcessName:
    """Raises NoMachine if there is no such process any more."""
    started = start_time(pid)
    if started is None:
        raise NoMachine(f"Process {pid} of the machine ended at once.")
    return ProcessName(pid=pid, started=started)


class MachineState(Record):
    """One machine, from before its first mount until after its last."""

    name: str
    owner: ProcessName
    """Who removes it. When the owner is gone, `sweep` does."""
    leader: ProcessName | None = None
    """The machine's first process, as seen from the host."""
    capabilities: str = ""
    """Of the leader, as in /proc/PID/status CapBnd; whoever enters gets no more."""
    groups: dict[str, str] = Field(default_factory=dict)
    uid_base: int

    @property
    def directory(self) -> Path:
        """Where its file systems are mounted."""
        return DIRECTORY / f"{self.name}.d"

    @property
    def file(self) -> Path:
        return DIRECTORY / f"{self.name}.json"

    def claim(self) -> None:
        """Take the name. Raises NoMachine if it is taken."""
        DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
        DIRECTORY.chmod(0o700)
        try:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as problem:
            raise NoMachine(
                f"A machine named {self.name} exists already.", next_step="Choose another name, or end that machine."
            ) from problem
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json())

    def store(self) -> None:
        """Renew the file, whole or not at all."""
        fresh = self.file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json())
        fresh.replace(self.file)


def load_state(name: str) -> MachineState | None:
    """The state of a machine by name; None if there is none or its file is not whole."""
    try:
        return MachineState.model_validate_json((DIRECTORY / f"{name}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def running(name: str) -> MachineState:
    """The state of a machine that runs. Raises HostUnreachable."""
    try:
        state = load_state(name)
    except PermissionError as problem:
        raise HostUnreachable(f"Machine {name} can be reached by root only.") from problem
    if state is None:
        raise HostUnreachable(
            f"There is no machine named {name} on this host.",
            next_step="Boot it first, or correct the host's connection.",
        )
    if state.leader is None or not state.leader.alive:
        raise HostUnreachable(f"Machine {name} is not running.", next_step="Boot it again.")
    return state
