"""Which files of a machine changed: exact, since every write lands in its private upper layer.

`/run` and `/dev/shm` are not in that layer and are compared by walking them.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runwright.model.lab import Change, FileChange

VOLATILE = ("run", "dev/shm")
NOISE = (
    "/run/systemd",
    "/run/udev",
    "/run/log",
    "/run/runwright",
    "/run/user",
    "/run/dbus",
    "/run/credentials",
    "/run/mount",
    "/run/host",
    "/run/utmp",
    "/run/motd.d",
    "/run/lock/subsys",
)
"""What systemd and this package themselves keep in motion; volatile, and no effect of a step."""


@dataclass(frozen=True)
class Entry:
    """A path as it is seen. `content` is a digest, a link's target, or empty."""

    kind: str
    mode: int
    uid: int
    gid: int
    content: str = ""
    stamp: tuple[int, ...] = ()
    """Identity, size and times: equal means untouched, and saves reading the content again."""

    def same(self, other: Entry) -> bool:
        mine = (self.kind, self.mode, self.uid, self.gid, self.content)
        return mine == (other.kind, other.mode, other.uid, other.gid, other.content)


GONE = Entry(kind="gone", mode=0, uid=0, gid=0)
"""A whiteout: the lower layer's path was deleted."""


@dataclass(frozen=True)
class Snapshot:
    """Everything in the upper layer and in the volatile directories at one moment."""

    upper: dict[str, Entry]
    opaque: frozenset[str]
    volatile: dict[str, Entry]


def snapshot(upper: Path, live: Path, before: Snapshot | None) -> Snapshot:
    """Take one. `live` is the machine's root as it sees it; `before` saves reading what did not change."""
    opaque: set[str] = set()
    known = before.upper if before else {}
    entries = dict(_walk(upper, "", known, opaque)) if upper.is_dir() else {}
    volatile: dict[str, Entry] = {}
    seen = before.volatile if before else {}
    for name in VOLATILE:
        if (live / name).is_dir():
            volatile |= _walk(live / name, f"/{name}", seen, set())
    quiet = {path: entry for path, entry in volatile.items() if not _noise(path)}
    return Snapshot(upper=entries, opaque=frozenset(opaque), volatile=quiet)


def _noise(path: str) -> bool:
    return any(path == name or path.startswith(f"{name}/") for name in NOISE)


def _walk(top: Path, prefix: str, known: dict[str, Entry], opaque: set[str]) -> Iterator[tuple[str, Entry]]:
    """Every path below `top`. Directories are held open while they are read, so nobody can swap them for links."""
    for directory, names, files, descriptor in os.fwalk(top, follow_symlinks=False):
        place = prefix + directory[len(str(top)) :]
        for name in (*names, *files):
            path = f"{place}/{name}"
            try:
                yield path, _entry(name, descriptor, known.get(path))
            except FileNotFoundError:
                continue
        for name in names:
            if _opaque(name, descriptor):
                opaque.add(f"{place}/{name}")


def _opaque(name: str, descriptor: int) -> bool:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
    except OSError:
        return False
    try:
        return os.getxattr(opened, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False
    finally:
        os.close(opened)


def _entry(name: str, descriptor: int | None, known: Entry | None) -> Entry:
    info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
        return GONE
    stamp = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    kind, content = "other", ""
    if stat.S_ISDIR(info.st_mode):
        kind = "directory"
    elif stat.S_ISLNK(info.st_mode):
        kind, content = "link", os.readlink(name, dir_fd=descriptor)
    elif stat.S_ISREG(info.st_mode):
        kind = "file"
        content = known.content if known and known.stamp == stamp else _digest(name, descriptor)
    return Entry(kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, content, stamp)


def _digest(name: str, descriptor: int | None) -> str:
    """Of a file's content. Leaves the time of its last access alone: a step may ask what nobody read for days."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        opened = os.open(name, flags | os.O_NOATIME, dir_fd=descriptor)
    except PermissionError:  # another's file, and not root
        opened = os.open(name, flags, dir_fd=descriptor)
    with os.fdopen(opened, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Tree:
    """What a machine shows: the layers below, with a snapshot of the upper layer on top."""

    def __init__(self, lower: Path, state: Snapshot) -> None:
        self._lower = lower
        self._state = state

    def look(self, path: str) -> Entry | None:
        """The path as the machine sees it; None if it is not there."""
        if path in self._state.upper:
            found = self._state.upper[path]
            return None if found is GONE else found
        parent = os.path.dirname(path)  # noqa: PTH120 - these are names inside the machine, not paths here
        while parent != "/":
            above = self._state.upper.get(parent)
            if above is not None and (above.kind != "directory" or parent in self._state.opaque):
                return None
            parent = os.path.dirname(parent)  # noqa: PTH120 - as above
        return self.below(path)

    def below(self, path: str) -> Entry | None:
        """The path in the layers below, never through a symbolic link."""
        descriptor = os.open(self._lower, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            *parents, name = path.strip("/").split("/")
            for parent in parents:
                deeper = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = deeper
            return _entry(name, descriptor, None)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def covered(self) -> Iterator[str]:
        """Paths of the layers below that a deletion or a replaced directory hides."""
        hidden = [path for path, entry in self._state.upper.items() if entry.kind != "directory"]
        for path in (*hidden, *self._state.opaque):
            found = self.below(path)
            if found is not None and found.kind == "directory":
                top = self._lower / path.lstrip("/")
                for place, _ in _walk(top, path, {}, set()):
                    yield place


def compare(lower: Path, before: Snapshot, now: Snapshot) -> tuple[FileChange, ...]:
    """Every path that differs, sorted. A directory differs by its owner or mode, not by what is in it."""
    was, is_ = Tree(lower, before), Tree(lower, now)
    touched = set(before.upper) ^ set(now.upper)
    touched |= {path for path, entry in now.upper.items() if path in before.upper and before.upper[path] != entry}
    hidden_before, hidden_now = set(was.covered()), set(is_.covered())
    touched |= hidden_before ^ hidden_now
    found = [_change(path, was.look(path), is_.look(path)) for path in touched]
    for path in set(before.volatile) | set(now.volatile):
        found.append(_change(path, before.volatile.get(path), now.volatile.get(path)))
    return tuple(sorted((change for change in found if change), key=lambda change: change.path))


def _change(path: str, was: Entry | None, now: Entry | None) -> FileChange | None:
    if was is None and now is None:
        return None
    if was is None and now is not None:
        return FileChange(path=path, change=Change.CREATED, kind=now.kind)
    if now is None and was is not None:
        return FileChange(path=path, change=Change.DELETED, kind=was.kind)
    if was is not None and now is not None and not was.same(now):
        return FileChange(path=path, change=Change.CHANGED, kind=now.kind)
    return None
