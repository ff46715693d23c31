"""One SSH connection and the shells in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import asyncssh
from asyncssh.constants import OPEN_REQUEST_SESSION_FAILED

from runwright.adapters.hosts.session import SHELL
from runwright.adapters.hosts.ssh.channel import COMMAND, WINDOW, ShellChannel
from runwright.adapters.hosts.ssh.login import shown
from runwright.model.errors import HostUnreachable

SHELLS = 10
"""sshd's MaxSessions, unless it is configured otherwise; a lower limit is learned when it refuses."""
OPEN_SECONDS = 30.0
"""How long a server may take to open a channel before its connection is taken for dead."""


class Full(Exception):
    """The server opens no further shell in this connection until another one has ended."""


class Gone(HostUnreachable):
    """The connection ended before a shell was opened in it: nothing was started."""


class Line:
    """A connection that is logged in. One shell is kept ready ahead, so that a request costs one round trip."""

    def __init__(self, connection: asyncssh.SSHClientConnection, freed: Callable[[], None]) -> None:
        self.connection = connection
        self.alive = True
        self._freed = freed
        self._limit = SHELLS
        self._shells: set[ShellChannel] = set()
        self._opening: set[asyncio.Task[ShellChannel]] = set()
        self._spare: ShellChannel | None = None

    @property
    def free(self) -> bool:
        """Whether a shell can be had at once."""
        return self.alive and (self._ready() or self._used < self._limit)

    @property
    def _used(self) -> int:
        return len(self._shells) + len(self._opening)

    def _ready(self) -> bool:
        return self._spare is not None and not self._spare.ended

    def lost(self) -> None:
        """The connection is gone."""
        self.alive = False
        self._spare = None
        self._freed()

    async def start(self, argv: Sequence[str], stdin: bytes) -> ShellChannel:
        """Run a program with this input. Raises Full, HostUnreachable."""
        shell = self._take() or await self._opened()
        self._look_ahead()
        try:
            if tuple(argv) != SHELL:
                async with asyncio.timeout(OPEN_SECONDS):
                    await shell.replace(argv)
        except TimeoutError as problem:
            shell.let_go()
            raise HostUnreachable(f"{argv[0]} did not start on the host within {OPEN_SECONDS:g} s.") from problem
        except BaseException:
            shell.let_go()
            raise
        shell.write(stdin)
        shell.finish()
        return shell

    def _take(self) -> ShellChannel | None:
        shell, self._spare = self._spare, None
        return None if shell is None or shell.ended else shell

    def _look_ahead(self) -> None:
        # two places stay free: a step that must be ended has to find a shell for that
        if self.alive and not self._ready() and not self._opening and self._used < self._limit - 2:
            self._open().add_done_callback(self._keep)

    async def _opened(self) -> ShellChannel:
        opening = self._open()
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # the server opens it all the same: it is kept for the next, not forgotten in the server
            opening.add_done_callback(self._keep)
            raise

    def _open(self) -> asyncio.Task[ShellChannel]:
        task = asyncio.ensure_future(self._request())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return task

    def _keep(self, opening: asyncio.Task[ShellChannel]) -> None:
        if opening.cancelled() or opening.exception() is not None:
            return
        if self._ready() or not self.alive:
            opening.result().let_go()
        else:
            self._spare = opening.result()
            self._freed()

    async def _request(self) -> ShellChannel:
        shell = ShellChannel(self._gone)

        def made() -> ShellChannel:
            self._shells.add(shell)
            return shell

        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self.connection.create_session(
                    made, COMMAND, encoding=None, request_pty=False, env={}, send_env=[], window=WINDOW
                )
        except TimeoutError as problem:
            self.connection.abort()
            raise HostUnreachable(f"The server did not open a channel within {OPEN_SECONDS:g} s.") from problem
        except (asyncssh.Error, OSError) as problem:
            if not self.alive or not isinstance(problem, asyncssh.ChannelOpenError):
                raise Gone(f"The connection was lost: {shown(str(problem))}.") from problem
            others = self._used - 1
            if others > 0 and problem.code != OPEN_REQUEST_SESSION_FAILED:
                self._limit = min(self._limit, others)
                raise Full from problem
            raise HostUnreachable(
                f"The server opens no shell: {shown(problem.reason)}.",
                next_step="Check MaxSessions and ForceCommand in its sshd_config.",
            ) from problem
        return shell

    def _gone(self, shell: ShellChannel) -> None:
        self._shells.discard(shell)
        if shell is self._spare:
            self._spare = None
        self._freed()

    def close(self) -> None:
        """Say goodbye to the server. What runs on the host goes on."""
        self.alive = False
        for task in self._opening:
            task.cancel()
        self.connection.close()

    async def closed(self) -> None:
        """Wait until nothing of it is left here."""
        await asyncio.gather(*self._opening, return_exceptions=True)
        try:
            async with asyncio.timeout(2):
                await self.connection.wait_closed()
        except TimeoutError:
            self.connection.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self.connection.wait_closed()
