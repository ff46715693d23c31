"""A machine's root on this host: laid out, and removed without a trace. Blocking; run in a thread."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runwright.adapters.hosts.cgroups import MachineGroups, hierarchies
from runwright.adapters.hosts.kernel import (
    MS_BIND,
    MS_PRIVATE,
    mount,
    mount_mapped,
    mounts_below,
    unmount,
    user_namespace,
)
from runwright.adapters.hosts.machine_state import DIRECTORY, MachineState
from runwright.adapters.hosts.mask import ROOT, write_mask
from runwright.model.errors import NoMachine

DISK_MB = 512
"""Room of a machine's private file system. It is memory, and allowed for on top of the machine's own."""
OUTPUT_MB = 64
SHADOWS = Path("/run/systemd/nspawn")


def missing() -> str | None:
    """Why no machine can be made here, as a sentence; None if it can."""
    if not sys.platform.startswith("linux"):
        return "Disposable machines need Linux."
    if os.geteuid() != 0:
        return "Disposable machines need root."
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
    ):
        if shutil.which(program) is None:
            return f"Disposable machines need {program} (Debian: apt-get install {package})."
    if not any(line.split()[-1] == "overlay" for line in Path("/proc/filesystems").read_text().splitlines()):
        return "Disposable machines need the kernel's overlay file system (modprobe overlay)."
    limit = Path("/proc/sys/user/max_user_namespaces")
    if not limit.exists() or int(limit.read_text()) == 0:
        return "Disposable machines need user namespaces (sysctl user.max_user_namespaces)."
    if Path("/usr").stat().st_dev != Path("/").stat().st_dev:
        return "Disposable machines need /usr on the same file system as /."
    found = hierarchies()
    if "unified" not in found and not {"memory", "pids"} <= found.keys():
        return "Disposable machines need cgroups with the memory and pids controllers."
    return None


def lay_out(
    state: MachineState, layers: Sequence[Path], private: Sequence[Path], memory_mb: int, tasks: int
) -> MachineGroups:
    """Mount everything and make the control groups. Raises NoMachine; the caller removes what is there by then."""
    place = state.directory
    try:
        place.mkdir(mode=0o700)
        mount("tmpfs", place, "tmpfs", options=f"size={DISK_MB}m,mode=0700")
        mount("none", place, flags=MS_PRIVATE)
        for name in ("upper", "work", "merged", "plain", "mask", "root", "scripts", "low-0"):
            (place / name).mkdir()
        # what scripts print has room of its own: it must come out although the machine's disk is full
        mount("tmpfs", place / "scripts", "tmpfs", options=f"size={OUTPUT_MB}m,mode=0700")
        write_mask(place / "mask", state.name, private)
        lower = []
        with user_namespace(state.uid_base) as namespace:
            for number, source in enumerate((place / "mask", Path("/"))):
                (place / f"low-{number}").mkdir(exist_ok=True)
                mount_mapped(source, place / f"low-{number}", namespace)
            for number, source in enumerate(layers):
                (place / f"layer-{number}").mkdir()
                mount_mapped(source, place / f"layer-{number}", namespace)
                lower.append(place / f"layer-{number}")
        lower += [place / "low-0", place / "low-1"]
        stack = "lowerdir=" + ":".join(str(path) for path in lower)
        mount("overlay", place / "plain", "overlay", options=f"{stack},redirect_dir=follow")
        options = f"{stack},upperdir={place}/upper,workdir={place}/work,redirect_dir=follow"
        mount("overlay", place / "merged", "overlay", options=options)
        mount(str(place / "merged" / ROOT), place / "root", flags=MS_BIND)
    except OSError as problem:
        raise NoMachine(f"The root of machine {state.name} could not be mounted: {problem}.") from problem
    return MachineGroups.make(state.name, (memory_mb + DISK_MB) << 20, tasks, state.uid_base)


def remove_machine(state: MachineState) -> None:
    """End the machine and remove its mounts, directories, groups and files; what is gone already is no error.

    The first process is ended before systemd-nspawn: ended the other way round, the machine lives on.
    """
    if state.leader is not None and state.leader.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.leader.pid, 9)
    groups = MachineGroups({kind: path / "runwright" / state.name for kind, path in hierarchies().items()})
    for _ in range(100):
        groups.end()
        groups.remove()
        if not any(path.exists() for path in groups.paths.values()):
            break
        time.sleep(0.002)
    for _ in range(200):
        points = mounts_below(state.directory)
        for point in points:
            with contextlib.suppress(OSError):
                unmount(point)
        if not points:
            break
        time.sleep(0.005)
    shutil.rmtree(state.directory, ignore_errors=True)
    for left in (SHADOWS / "propagate" / state.name, SHADOWS / "unix-export" / state.name):
        with contextlib.suppress(OSError):
            unmount(str(left))
        shutil.rmtree(left, ignore_errors=True)
    (DIRECTORY.parent / "uids" / str(state.uid_base // 65536)).unlink(missing_ok=True)
    state.file.with_suffix(".new").unlink(missing_ok=True)
    state.file.unlink(missing_ok=True)
