"""This machine itself as a managed host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.quoting import LOCALE, PATH
from runwright.adapters.hosts.session import Place, ShellSession
from runwright.adapters.hosts.transport import LocalTransport
from runwright.model.hosts import Host, HostIdentity
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.secrets import SecretSource

PASSED_ON = ("HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
"""What a login would have set. Everything else of this process's environment stays here: it may hold keys."""


def clean_environment() -> dict[str, str]:
    """The environment in which steps start on this machine."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {"PATH": PATH, "LC_ALL": LOCALE, **passed}


PLACE_SECONDS = 300.0
"""How long the supervisor's directory is taken to be as it was found."""


class LocalConnector:
    """Opens sessions for `LocalConnection`. `base` is the supervisor's directory; chosen by user if empty."""

    def __init__(self, *, secrets: SecretSource | None = None, base: str = "", clock: Clock | None = None) -> None:
        self._secrets = secrets
        self._base = base
        self._clock: Clock = clock or SystemClock()
        self._place: Place | None = None
        self._found = 0.0

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        session = ShellSession(
            HostIdentity(host_id=host.id, kind="local"),
            LocalTransport(clean_environment()),
            base=self._base,
            secrets=self._secrets,
            clock=self._clock,
            client_id=host.client_id,
        )
        now = self._clock.monotonic()
        await session.prepare(self._place if now - self._found < PLACE_SECONDS else None)
        # what a plain user has in /tmp may be another's once it was cleaned away: looked at every time
        if session.place is not self._place and session.place is not None and session.place.uid == 0:
            self._place, self._found = session.place, now
        yield session
