"""What the tests of hosts share: commands, a vault with one secret, sessions to open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runwright.adapters.hosts.local import clean_environment
from runwright.adapters.hosts.session import ShellSession
from runwright.adapters.hosts.transport import LocalChannel, LocalTransport
from runwright.model.errors import NotFound
from runwright.model.hosts import Host, HostIdentity, LocalConnection, NspawnConnection, SecretRef
from runwright.model.ports.hosts import Command, HostSession

NOBODY = 65534
CANARY = 's3cr3t-Canary/value\'with "quotes"'

# Every program that the supervisor uses, and the shell itself, from BusyBox
BUSYBOX = """
mkdir -p /usr/local/sbin
for name in mkdir mkfifo tee grep sleep id date wc head rm rmdir chmod cat find setsid nohup seq; do
  ln -s /usr/bin/busybox "/usr/local/sbin/$name"
done
/usr/bin/busybox ln -sf /usr/bin/busybox /usr/bin/sh
"""


class Vault:
    """Secrets by name."""

    def resolve(self, reference: SecretRef) -> str:
        if reference.name != "canary":
            raise NotFound(f"no secret {reference.name}")
        return CANARY


@dataclass
class Rig:
    """A host under test: its session, and the way to open further ones."""

    kind: str
    session: HostSession
    reopen: Callable[[], object]
    contained: bool
    """Whether trees are held by a cgroup."""


def host(connection: LocalConnection | NspawnConnection) -> Host:
    return Host(
        id="hst_1", client_id="acme", hostname="under-test", connection=connection, created_at=datetime.now(UTC)
    )


def sh(text: str, timeout: float = 20, **more: object) -> Command:
    return Command.model_validate({"text": text, "timeout": timeout, **more})


@asynccontextmanager
async def plain_session() -> AsyncIterator[ShellSession]:
    """This machine as user nobody, without any cgroup of its own."""
    environment = {**clean_environment(), "HOME": "/", "USER": "nobody", "LOGNAME": "nobody"}
    environment.pop("XDG_RUNTIME_DIR", None)
    become = ("/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    session = ShellSession(
        HostIdentity(host_id="hst_1", kind="local"), LocalTransport(environment, become), secrets=Vault()
    )
    await session.prepare()
    yield session


def lose(channel: object) -> None:
    """This side of a channel dies without a word, as when its process were killed."""
    if isinstance(channel, LocalChannel):
        for descriptor in tuple(channel._open):
            channel._drop(descriptor)
        channel._news.set()
    else:
        channel.let_go()  # type: ignore[attr-defined]  # the SSH adapter's


def processes_with(text: bytes) -> list[str]:
    """Every process on this machine whose argument list holds a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            data = file.read_bytes()
        except OSError:
            continue
        if text in data:
            found.append(f"{file.parent.name}: {data!r}")
    return found
