"""The few system calls that Python 3.11 lacks: mounts, and mounts seen through a user namespace."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

MS_BIND = 0x1000
MS_PRIVATE = 0x40000
MS_REC = 0x4000
MNT_DETACH = 2

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000

_CLONE_FS = 0x200

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    data = options.encode() or None
    result = _libc.mount(source.encode(), bytes(target), kind.encode() or None, ctypes.c_ulong(flags), data)
    _checked(result, f"mount {kind or 'bind'} on {target}")


def unmount(target: str) -> None:
    """Detach a mount, busy or not. Raises OSError."""
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def mounts_below(directory: Path) -> list[str]:
    """Mount points in or at a directory, the newest first, as /proc/self/mountinfo lists them."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].encode().decode("unicode_escape")
        if point == str(directory) or point.startswith(f"{directory}/"):
            found.append(point)
    return found[::-1]


@contextlib.contextmanager
def user_namespace(base: int, count: int = 65536) -> Iterator[int]:
    """A descriptor of a user namespace in which `base` is root; it lives as long as something uses it.

    A helper process makes it and is gone at the end of the block. Raises OSError.
    """
    hold, release = os.pipe2(os.O_CLOEXEC)
    pid = os.posix_spawn(
        "/usr/bin/unshare",
        ["unshare", "--user", "cat"],
        {"PATH": "/usr/bin:/bin"},
        file_actions=[(os.POSIX_SPAWN_DUP2, hold, 0), (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)],
    )
    os.close(hold)
    try:
        own, theirs = Path("/proc/self/ns/user").readlink(), Path(f"/proc/{pid}/ns/user")
        end = time.monotonic() + 5
        while theirs.readlink() == own:
            if time.monotonic() > end:
                raise OSError("a user namespace could not be made")
            time.sleep(0.0005)
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {base} {count}\n")
        Path(f"/proc/{pid}/gid_map").write_text(f"0 {base} {count}\n")
        descriptor = os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    finally:
        os.close(release)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def mount_mapped(source: Path, target: Path, namespace: int) -> None:
    """Show `source` at `target` with its owners shifted into a user namespace (mount_setattr(2)). Raises OSError."""
    tree = _checked(
        _libc.syscall(
            ctypes.c_long(_SYS_OPEN_TREE),
            ctypes.c_int(_AT_FDCWD),
            ctypes.c_char_p(bytes(source)),
            ctypes.c_uint(_OPEN_TREE_CLONE | os.O_CLOEXEC),
        ),
        f"open_tree {source}",
    )
    try:
        attributes = _MountAttr(attr_set=_MOUNT_ATTR_IDMAP, userns_fd=namespace)
        _checked(
            _libc.syscall(
                ctypes.c_long(_SYS_MOUNT_SETATTR),
                ctypes.c_int(tree),
                ctypes.c_char_p(b""),
                ctypes.c_uint(_AT_EMPTY_PATH),
                ctypes.byref(attributes),
                ctypes.c_size_t(ctypes.sizeof(attributes)),
            ),
            f"mount_setattr {source}",
        )
        _checked(
            _libc.syscall(
                ctypes.c_long(_SYS_MOVE_MOUNT),
                ctypes.c_int(tree),
                ctypes.c_char_p(b""),
                ctypes.c_int(_AT_FDCWD),
                ctypes.c_char_p(bytes(target)),
                ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
            ),
            f"move_mount {target}",
        )
    finally:
        os.close(tree)


def within(pid: int, namespace: str, work: Callable[[], T]) -> T:
    """Do something in a namespace (`net`, `mnt`) of another process. Raises what the work raises, and OSError.

    In a thread of its own: setns(2) moves the calling thread alone, and the thread ends with the work.
    """
    results: list[T] = []
    problems: list[Exception] = []

    def enter() -> None:
        try:
            with Path(f"/proc/{pid}/ns/{namespace}").open("rb") as file:
                if namespace == "mnt":
                    _checked(_libc.unshare(_CLONE_FS), "unshare")
                _checked(_libc.setns(file.fileno(), 0), f"setns {namespace}")
            results.append(work())
        except Exception as problem:  # noqa: BLE001 - raised again in the caller's thread
            problems.append(problem)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return results[0]


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none or it is a zombie.

    Together with the pid it names a process for good: pids come round, these pairs do not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
