"""Opens sessions on hosts reached by SSH. The SSH library is loaded when the first one is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from runwright.adapters.hosts.session import ShellSession
from runwright.model.errors import HostUnreachable
from runwright.model.hosts import Host, HostIdentity, SshConnection
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.secrets import SecretSource

if TYPE_CHECKING:
    from runwright.adapters.hosts.ssh.pool import Pool


class SshConnector:
    """Opens sessions for `SshConnection`: one pooled connection per host, shared by all sessions.

    Seconds: `connect` for making a connection, `keepalive` of silence before the server is asked for a
    sign of life (four times that, and it is taken for dead), `idle` that an unused connection is kept,
    `queue` that a request waits for its turn in a full connection before another one is made.
    `base` is the supervisor's directory on the hosts; chosen there if empty.
    """

    def __init__(
        self,
        *,
        secrets: SecretSource | None = None,
        clock: Clock | None = None,
        base: str = "",
        connect: float = 10.0,
        keepalive: float = 10.0,
        idle: float = 60.0,
        queue: float = 1.0,
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._base = base
        self._seconds = {"connect": connect, "keepalive": keepalive, "idle": idle, "queue": queue}
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, Pool] = WeakKeyDictionary()

    def _pool(self) -> Pool:
        loop = asyncio.get_running_loop()
        found = self._pools.get(loop)
        if found is None:
            # over half a second: who has no such host does not pay for it
            from runwright.adapters.hosts.ssh.connect import Patience
            from runwright.adapters.hosts.ssh.pool import Pool

            found = self._pools[loop] = Pool(self._secrets, Patience(**self._seconds))
        return found

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        """Raises HostUnreachable saying what to check, HostKeyRefused naming the key."""
        if not isinstance(host.connection, SshConnection):
            raise HostUnreachable(f"Host {host.hostname} is not reached by SSH.")
        way = self._pool().way(host.connection)
        from runwright.adapters.hosts.ssh.pool import SshTransport

        with way.held():
            session = ShellSession(
                HostIdentity(host_id=host.id, kind="ssh"),
                SshTransport(way, host.hostname),
                base=self._base,
                secrets=self._secrets,
                clock=self._clock,
                become_password=host.connection.become_password,
                client_id=host.client_id,
            )
            await session.prepare()
            yield session

    async def close(self) -> None:
        """Let go of this loop's connections. What runs on the hosts goes on."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.close()
