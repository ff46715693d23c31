"""How bytes get to a host and back. What an adapter for a new kind of connection has to write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from runwright.model.errors import HostUnreachable

T = TypeVar("T")

CHUNK = 65536
QUEUED = 64
"""Chunks held for a slow reader before the program has to wait."""


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Finish some work although this task is cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as problem:
            if task.cancelled():
                raise
            cancelled = problem
        except Exception:  # noqa: BLE001 - the task's own; raised by result() below
            break
    if cancelled is not None:
        raise cancelled
    return task.result()


class Channel(Protocol):
    """One running program on the host."""

    async def read(self) -> tuple[str, bytes] | None:
        """The next chunk as `stdout` or `stderr` and bytes; None when both have ended."""
        ...

    def kill(self) -> None:
        """End the program and its session, as far as this side can; the host's supervisor does the rest."""
        ...

    async def close(self) -> None:
        """Let go of the streams. What runs on the host goes on."""
        ...


class Transport(Protocol):
    """A way to one host."""

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> Channel:
        """Start a program in a session of its own, with these bytes as its standard input.

        Raises HostUnreachable.
        """
        ...


class LocalChannel:
    """A process on this machine. Its end is seen by its pidfd, so a stream that a daemon keeps open holds nothing."""

    def __init__(self, pid: int, stdout: int, stderr: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._loop = asyncio.get_running_loop()
        self._streams = {stdout: "stdout", stderr: "stderr"}
        self._open = set(self._streams)
        self._paused = False
        self._chunks: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self.ended = asyncio.Event()
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)
            self._loop.add_reader(descriptor, self._readable, descriptor)
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._reap)

    def _readable(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._chunks.append((self._streams[descriptor], data))
            if len(self._chunks) >= QUEUED:
                self._pause()
        else:
            self._drop(descriptor)
        self._news.set()

    def _pause(self) -> None:
        self._paused = True
        for descriptor in self._open:
            self._loop.remove_reader(descriptor)

    def _resume(self) -> None:
        self._paused = False
        for descriptor in self._open:
            self._loop.add_reader(descriptor, self._readable, descriptor)

    def _drop(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.discard(descriptor)
            self._loop.remove_reader(descriptor)
            os.close(descriptor)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return
            self.returncode = os.waitstatus_to_exitcode(status)
        self._forget_pid()
        self.ended.set()

    def _forget_pid(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def read(self) -> tuple[str, bytes] | None:
        while not self._chunks:
            if not self._open:
                return None
            self._news.clear()
            await self._news.wait()
        chunk = self._chunks.popleft()
        if self._paused and len(self._chunks) < QUEUED // 2:
            self._resume()
        return chunk

    def kill(self) -> None:
        if self.returncode is None and self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        for descriptor in tuple(self._open):
            self._drop(descriptor)
        # the supervisor ends right after its last word, and is reaped by the reader of its pidfd; a
        # program that still runs is left to itself, and reaped whenever it ends


async def ended(pid: int) -> int:
    """Wait for a child of this process: its exit code, negative for a signal."""
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)
    over: asyncio.Future[None] = loop.create_future()

    def done() -> None:
        if not over.done():
            over.set_result(None)

    loop.add_reader(descriptor, done)
    try:
        await over
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def spawn_local(
    argv: Sequence[str], stdin: bytes, environment: Mapping[str, str], output: int | None = None
) -> tuple[int, int, int]:
    """Start a process in a session of its own: its pid and the read ends of its output (-1 with `output`).

    Its standard input is an anonymous file in memory, so that nothing waits for it to read. With
    `output`, both streams go to that descriptor. Raises OSError.
    """
    given = os.memfd_create("runwright", os.MFD_CLOEXEC)
    ends: list[int] = [given]
    try:
        view = memoryview(stdin)
        while view:
            view = view[os.write(given, view) :]
        os.lseek(given, 0, os.SEEK_SET)
        if output is None:
            for _ in range(2):
                ends += os.pipe2(os.O_CLOEXEC)
            _, out_read, out_write, err_read, err_write = ends
        else:
            out_read, err_read, out_write, err_write = -1, -1, output, output
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, given, 0),
                (os.POSIX_SPAWN_DUP2, out_write, 1),
                (os.POSIX_SPAWN_DUP2, err_write, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGTERM],
        )
    except BaseException:
        for end in ends:
            os.close(end)
        raise
    for end in ends:
        if end not in (out_read, err_read):
            os.close(end)
    return pid, out_read, err_read


class LocalTransport:
    """Programs on this machine, in a clean environment: none of this process's own secrets reach a step."""

    def __init__(self, environment: Mapping[str, str], prefix: Sequence[str] = ()) -> None:
        self._environment = dict(environment)
        self._prefix = tuple(prefix)

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> LocalChannel:
        command = (*self._prefix, *argv)
        try:
            pid, stdout, stderr = spawn_local(command, stdin, self._environment)
        except OSError as problem:
            raise HostUnreachable(
                f"{command[0]} could not be started on this machine: {problem.strerror or problem}.",
                next_step="Check the machine's limits on processes, memory and open files.",
            ) from problem
        return LocalChannel(pid, stdout, stderr)
