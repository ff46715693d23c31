"""This machine itself as a managed host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runwright.adapters.hosts.quoting import LOCALE, PATH
from runwright.adapters.hosts.session import ShellSession
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


class LocalConnector:
    """Opens sessions for `LocalConnection`. `base` is the supervisor's directory; chosen by user if empty."""

    def __init__(self, *, secrets: SecretSource | None = None, base: str = "", clock: Clock | None = None) -> None:
        self._secrets = secrets
        self._base = base
        self._clock = clock

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        session = ShellSession(
            HostIdentity(host_id=host.id, kind="local"),
            LocalTransport(clean_environment()),
            base=self._base,
            secrets=self._secrets,
            clock=self._clock,
        )
        await session.prepare()
        yield session
