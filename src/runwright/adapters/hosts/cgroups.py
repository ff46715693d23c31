"""The control groups of one machine: limits from outside, and a sure way to end everything in it.

Works on cgroup v2, on v1 and on both side by side: limits go where the controller is mounted, and
inside the machine `MemoryMax` may do nothing, but these hold.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from runwright.model.errors import NoMachine

PARENT = "runwright"
DELEGATED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks")


def hierarchies() -> dict[str, Path]:
    """Mount points by what they control: `unified`, `systemd`, `pids`, `memory`, ..."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        point = Path(left.split(" ")[4])
        if kind == "cgroup2":
            found["unified"] = point
        elif kind == "cgroup":
            for option in options.split(","):
                name = option.removeprefix("name=")
                if name in ("systemd", "pids", "memory", "freezer"):
                    found[name] = point
    return found


class MachineGroups:
    """The groups named after a machine, one in each hierarchy."""

    def __init__(self, paths: dict[str, Path]) -> None:
        self.paths = paths

    @classmethod
    def make(cls, name: str, memory: int, tasks: int, owner: int) -> MachineGroups:
        """Make them with limits (bytes, processes), handed to the machine's root. Raises NoMachine."""
        groups = cls({kind: point / PARENT / name for kind, point in hierarchies().items()})
        try:
            for path in groups.paths.values():
                path.mkdir(parents=True)
            groups._limit(memory, tasks)
            for kind in ("unified", "systemd"):
                groups._hand_over(kind, owner)
        except OSError as problem:
            groups.remove()
            raise NoMachine(
                f"The limits of a machine could not be set: {problem}.",
                next_step="Machines need writable cgroups with the pids and memory controllers.",
            ) from problem
        return groups

    def _limit(self, memory: int, tasks: int) -> None:
        unified = self.paths.get("unified")
        if "memory" in self.paths:
            (self.paths["memory"] / "memory.limit_in_bytes").write_text(str(memory))
            swap = self.paths["memory"] / "memory.memsw.limit_in_bytes"
            if swap.exists():
                swap.write_text(str(memory))
        elif unified is not None:
            for parent in (unified.parent.parent, unified.parent):
                (parent / "cgroup.subtree_control").write_text("+memory +pids")
            (unified / "memory.max").write_text(str(memory))
            swap = unified / "memory.swap.max"
            if swap.exists():
                swap.write_text("0")
        else:
            raise OSError("no memory controller is mounted")
        place = self.paths.get("pids", unified)
        if place is None:
            raise OSError("no pids controller is mounted")
        (place / "pids.max").write_text(str(tasks))

    def _hand_over(self, kind: str, owner: int) -> None:
        path = self.paths.get(kind)
        if path is None:
            return
        os.chown(path, owner, owner)
        for name in DELEGATED:
            if (path / name).exists():
                os.chown(path / name, owner, owner)

    def doors(self) -> list[str]:
        """The files by which a process enters the groups."""
        return [str(path / "cgroup.procs") for path in self.paths.values()]

    def inner(self, name: str) -> MachineGroups:
        """A group within the machine for one script, in one hierarchy; the others as they are. Raises OSError."""
        kind = "unified" if "unified" in self.paths else "pids"
        place = self.paths[kind] / name
        place.mkdir()
        return MachineGroups({**self.paths, kind: place})

    @property
    def narrowest(self) -> MachineGroups:
        """The one group that `inner` made, alone."""
        kind = "unified" if "unified" in self.paths else "pids"
        return MachineGroups({kind: self.paths[kind]})

    def members(self) -> set[int]:
        """Every process in any of the groups or below."""
        found: set[int] = set()
        for path in self.paths.values():
            for directory, _, _ in os.walk(path):
                with contextlib.suppress(OSError):
                    listed = (Path(directory) / "cgroup.procs").read_text().split()
                    found.update(pid for pid in map(int, listed) if pid > 1)
        return found

    def end(self, patience: float = 10.0) -> set[int]:
        """Kill everything until nothing is left; what still lives after `patience` seconds."""
        until = time.monotonic() + patience
        while (alive := self.members()) and time.monotonic() < until:
            for path in self.paths.values():
                with contextlib.suppress(OSError):
                    (path / "cgroup.kill").write_text("1") if (path / "cgroup.kill").exists() else None
            for pid in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
        return alive

    def remove(self) -> None:
        """Remove the empty groups, the innermost first."""
        for path in self.paths.values():
            for directory, _, _ in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):
                    Path(directory).rmdir()
