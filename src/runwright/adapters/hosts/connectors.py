"""One connector for all kinds of connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager

from runwright.model.errors import HostUnreachable
from runwright.model.hosts import Host
from runwright.model.ports.hosts import HostConnector, HostSession


class Connectors:
    """Hands a host to the connector of its connection's kind: `local`, `nspawn`, `ssh`."""

    def __init__(
        self, by_kind: Mapping[str, HostConnector], closing: Iterable[Callable[[], Awaitable[None]]] = ()
    ) -> None:
        self._by_kind = dict(by_kind)
        self._closing = tuple(closing)

    def open(self, host: Host) -> AbstractAsyncContextManager[HostSession]:
        """Raises HostUnreachable for a kind that this installation cannot reach."""
        connector = self._by_kind.get(host.connection.kind)
        if connector is None:
            raise HostUnreachable(
                f"Host {host.hostname} is reached by {host.connection.kind}, for which nothing is set up here.",
                allowed=f"Allowed: {', '.join(sorted(self._by_kind))}.",
                next_step="Register the host with one of these connections.",
            )
        return connector.open(host)

    async def close(self) -> None:
        """Let go of connections that were kept for the next session. What runs on the hosts goes on."""
        for close in self._closing:
            await close()
