"""Connections that are shared: one for each endpoint and login, kept for a while after the last use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from runwright.adapters.hosts.ssh.channel import ShellChannel
from runwright.adapters.hosts.ssh.connect import Patience, Target, connect
from runwright.adapters.hosts.ssh.line import Full, Gone, Line
from runwright.model.errors import HostUnreachable
from runwright.model.hosts import SshConnection, SshEndpoint
from runwright.model.ports.secrets import SecretSource

LINES = 4
"""Connections to one endpoint at most. More than one is made only where all shells of the first are in use."""


class Way:
    """All connections to one endpoint with one login. A dead one is replaced when it is next needed."""

    def __init__(
        self, endpoint: SshEndpoint, via: Way | None, secrets: SecretSource | None, patience: Patience
    ) -> None:
        self._endpoint = endpoint
        self._via = via
        self._secrets = secrets
        self._patience = patience
        self._lines: list[Line] = []
        self._connecting: asyncio.Task[None] | None = None
        self._freed = asyncio.Event()
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """In use for as long as the block lasts."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                self._idle = asyncio.get_running_loop().call_later(self._patience.idle, self._rest)

    def _rest(self) -> None:
        self._idle = None
        for line in self._lines:
            line.close()

    async def start(self, argv: Sequence[str], stdin: bytes, hostname: str, *, jump: bool = False) -> ShellChannel:
        """A program on the server, in whichever connection has room. Raises HostUnreachable, HostKeyRefused."""
        again = True
        while True:
            line = await self.line(hostname, jump=jump)
            try:
                return await line.start(argv, stdin)
            except Full:
                continue
            except Gone:
                if not again:
                    raise
                again = False

    async def line(self, hostname: str, *, jump: bool = False) -> Line:
        """A live connection with room. `hostname` is for messages. Raises HostUnreachable, HostKeyRefused."""
        waited = False
        while True:
            self._lines = [line for line in self._lines if line.alive]
            for line in self._lines:
                if line.free:
                    return line
            if not self._lines or (waited and len(self._lines) < LINES):
                await self._connect(Target(self._endpoint, hostname, jump))
                continue
            self._freed.clear()
            try:
                async with asyncio.timeout(self._patience.queue):
                    await self._freed.wait()
            except TimeoutError:
                waited = True

    async def _connect(self, target: Target) -> None:
        """One attempt at a time, whose end all who wait share."""
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._new_line(target))
            self._connecting.add_done_callback(self._connected)
        await asyncio.shield(self._connecting)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # all who wait may have been cancelled: it is seen all the same

    async def _new_line(self, target: Target) -> None:
        with ExitStack() as holds:
            through = None
            if self._via is not None:
                holds.enter_context(self._via.held())
                through = (await self._via.line(target.hostname, jump=True)).connection
            connection, client = await connect(target, self._secrets, self._patience, through)
            line = Line(connection, self._freed.set)
            # the jump host's connection is in use for as long as this one lives
            releases = holds.pop_all()

        def lost() -> None:
            line.lost()
            releases.close()

        client.on_lost = lost
        if client.lost:
            lost()
            raise HostUnreachable(
                f"{target} ended the connection right after the login.",
                next_step="Check the limits on logins of that user; the host's sshd log says why.",
            )
        self._lines.append(line)

    async def close(self) -> None:
        """Let go of every connection. What runs on the host goes on."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        lines, self._lines = self._lines, []
        for line in lines:
            line.close()
        for line in lines:
            await line.closed()


class Pool:
    """Ways by endpoint and login. Belongs to one event loop."""

    def __init__(self, secrets: SecretSource | None, patience: Patience) -> None:
        self._secrets = secrets
        self._patience = patience
        self._ways: dict[SshEndpoint, Way] = {}

    def way(self, connection: SshConnection) -> Way:
        """The way to a host. What sudo asks for is no part of it."""
        endpoint = connection.model_copy(update={"become_password": None})
        via = None if connection.jump is None else self._way(connection.jump, None)
        return self._way(endpoint, via)

    def _way(self, endpoint: SshEndpoint, via: Way | None) -> Way:
        found = self._ways.get(endpoint)
        if found is None:
            found = self._ways[endpoint] = Way(endpoint, via, self._secrets, self._patience)
        return found

    async def close(self) -> None:
        # those that go through another one first
        ways, self._ways = list(self._ways.values()), {}
        for way in reversed(ways):
            await way.close()


class SshTransport:
    """The `Transport` over a way."""

    def __init__(self, way: Way, hostname: str) -> None:
        self._way = way
        self._hostname = hostname

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> ShellChannel:
        try:
            return await self._way.start(argv, stdin, self._hostname)
        except HostUnreachable as problem:
            # the same sentence, raised afresh: several may wait for one attempt to connect
            raise problem.with_traceback(None) from problem.__cause__
