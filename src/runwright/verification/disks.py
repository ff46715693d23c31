"""Figures of file systems, read from `df -P`, `df -iP` and /proc/self/mountinfo."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DF = re.compile(
    r"^(?P<source>.*?)\s+(?P<size>\d+)\s+(?P<used>\d+)\s+(?P<free>-?\d+)\s+(?P<percent>\d+%|-)\s+(?P<mount>/.*)$"
)
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class DfRow:
    """One row of df: kilobytes, or inodes for `df -i`."""

    source: str
    size: int
    used: int
    free: int
    mount: str

    @property
    def used_percent(self) -> int | None:
        """Of what an ordinary user may use, rounded up as df prints it; None where nothing is counted."""
        usable = self.used + max(self.free, 0)
        return -(-100 * self.used // usable) if usable else None


def read_df(text: str) -> tuple[DfRow, ...]:
    """Pure: rows of `df -P` or `df -iP`; lines of another shape (headers, messages) are passed over."""
    found = []
    for line in text.splitlines():
        match = _DF.match(line)
        if match:
            found.append(
                DfRow(match["source"], int(match["size"]), int(match["used"]), int(match["free"]), match["mount"])
            )
    return tuple(found)


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""

    mount_id: int
    device: str
    """major:minor"""
    root: str
    point: str
    filesystem: str
    source: str
    options: str


def read_mountinfo(text: str) -> tuple[Mount, ...]:
    """Pure: the mounts in the order in which they were made."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        head, tail = left.split(" "), right.split(" ")
        if not dash or len(head) < 6 or len(tail) < 2 or not head[0].isdecimal():
            continue
        found.append(Mount(int(head[0]), head[2], plain(head[3]), plain(head[4]), tail[0], plain(tail[1]), head[5]))
    return tuple(found)


MOUNTS_PART = "cat /proc/self/mountinfo"

PASSING_MOUNTS = re.compile(r"/(proc|sys|dev|run|snap|media|var/lib/(docker|containers|kubelet|lxcfs|snapd))(/|$)")
"""What logins, devices and containers mount by themselves."""

_OWN = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "vfat", "tmpfs", "bcachefs"})


def lasting_mounts(text: str) -> tuple[str, ...]:
    """Pure: from mountinfo, where the host's own file systems are; what comes and goes by itself is left out."""
    return tuple(
        mount.point
        for mount in read_mountinfo(text)
        if mount.filesystem in _OWN and not PASSING_MOUNTS.match(mount.point)
    )


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that a path lies on; of several on one point the last covers the others."""
    best: Mount | None = None
    wanted = path.rstrip("/") or "/"
    for mount in mounts:
        inside = mount.point == "/" or wanted == mount.point or wanted.startswith(mount.point + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def plain(text: str) -> str:
    r"""The kernel's `\040` back to a space."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
