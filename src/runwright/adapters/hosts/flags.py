"""Immutable and append-only flags on a machine's own files, set from outside for its root.

The kernel allows them to nobody in a user namespace, and faults like a file that cannot be replaced are
real ones. The machine's `chattr` asks here. Only files of the machine's own file systems are touched,
looked up within its root, and only these two flags.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import posixpath
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from runwright.adapters.hosts.kernel import within

ADDRESS = b"\0runwright-lab"
REQUEST_LIMIT = 65536
FLAGS = {"i": 0x10, "a": 0x20}
"""FS_IMMUTABLE_FL and FS_APPEND_FL of linux/fs.h."""
OWN_FILE_SYSTEMS = {0x794C7630, 0x01021994}
"""Overlay and tmpfs, by their f_type in statfs(2)."""

_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def listener(leader: int) -> socket.socket:
    """A listening socket in a machine's network namespace, where only that machine can reach it. Raises OSError."""

    def make() -> socket.socket:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        server.bind(ADDRESS)
        server.listen(16)
        return server

    return within(leader, "net", make)


class FlagDesk:
    """Answers a machine's `chattr` until it is closed."""

    def __init__(self, leader: int, owner: int) -> None:
        self._root = Path(f"/proc/{leader}/root")
        self._owner = owner
        self._leader = leader
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._answer, sock=listener(self._leader))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        request = b""
        while len(request) < REQUEST_LIMIT and (more := await reader.read(REQUEST_LIMIT)):
            request += more
        words = request.split(b"\0")
        if uid == self._owner and len(words) > 1 and len(request) < REQUEST_LIMIT:
            problems = await asyncio.to_thread(lambda: list(self._apply(*map(os.fsdecode, words))))
        else:
            problems = ["Operation not permitted"]
        text = "".join(f"chattr: {problem}\n" for problem in problems)
        writer.write(f"{1 if problems else 0}\n{text}".encode("utf-8", "surrogateescape"))
        await writer.drain()
        writer.close()

    def _apply(self, directory: str, *arguments: str) -> Iterator[str]:
        """Do what the arguments of chattr say; what went wrong, one line each."""
        modes = [word for word in arguments if word[:1] in "+-" and word[1:] and set(word[1:]) <= set(FLAGS)]
        paths = [word for word in arguments if word[:1] not in ("-", "+")]
        recursive = any(word.startswith("-") and "R" in word for word in arguments)
        for path in paths:
            whole = posixpath.join(directory, path)
            for place in self._below(whole) if recursive else [whole]:
                for mode in modes:
                    try:
                        self._set(place, mode)
                    except OSError as problem:
                        yield f"{problem.strerror} while setting flags on {path}"

    def _below(self, path: str) -> Iterator[str]:
        descriptor = self._open(path)
        try:
            for directory, names, files, _ in os.fwalk(".", dir_fd=descriptor):
                for name in (*names, *files):
                    yield posixpath.normpath(posixpath.join(path, directory, name))
        finally:
            os.close(descriptor)
        yield path

    def _open(self, path: str) -> int:
        """Open within the machine's root, wherever its links point. Raises OSError."""
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        how = _OpenHow(flags=flags, resolve=_RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        try:
            descriptor = int(
                _libc.syscall(
                    ctypes.c_long(_SYS_OPENAT2),
                    ctypes.c_int(root),
                    ctypes.c_char_p(os.fsencode(path)),
                    ctypes.byref(how),
                    ctypes.c_size_t(ctypes.sizeof(how)),
                )
            )
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return descriptor
        finally:
            os.close(root)

    def _set(self, path: str, mode: str) -> None:
        descriptor = self._open(path)
        try:
            kind = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) or _file_system(descriptor) not in OWN_FILE_SYSTEMS:
                raise OSError(95, os.strerror(95))
            # into the upper layer first: the host's file system has flags of its own that this one refuses
            with contextlib.suppress(PermissionError):  # has the flag already, so it is there
                os.fchmod(descriptor, stat.S_IMODE(kind))
            held = bytearray(8)
            fcntl.ioctl(descriptor, _GET_FLAGS, held)
            (now,) = struct.unpack_from("I", held)
            wanted = sum(FLAGS[letter] for letter in set(mode[1:]))
            now = now | wanted if mode[0] == "+" else now & ~wanted
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("Q", now))
        finally:
            os.close(descriptor)


def _file_system(descriptor: int) -> int:
    """f_type of the file system that a descriptor is on."""
    held = ctypes.create_string_buffer(256)
    if _libc.fstatfs(descriptor, held) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.c_long.from_buffer(held).value & 0xFFFFFFFF
