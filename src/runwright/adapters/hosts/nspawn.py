"""systemd-nspawn machines as hosts: entered by the namespaces of their first process, with its rights at most."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from runwright.adapters.hosts.machine_state import MachineState, running
from runwright.adapters.hosts.quoting import LOCALE, PATH
from runwright.adapters.hosts.session import ShellSession
from runwright.adapters.hosts.transport import LocalChannel, LocalTransport
from runwright.model.errors import HostUnreachable
from runwright.model.hosts import Host, HostIdentity, NspawnConnection
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.secrets import SecretSource

ENVIRONMENT = {"PATH": PATH, "LC_ALL": LOCALE, "HOME": "/root", "USER": "root", "LOGNAME": "root"}

# First into the machine's control groups, so that its limits hold; then into its namespaces; then
# without the capabilities it was booted without, since entering a namespace brings all of them.
ENTER = (
    'leader=$1 caps=$2; shift 2; while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; '
    'exec nsenter -t "$leader" -a -- setpriv --bounding-set "$caps" --inh-caps=-all -- "$@"'
)


def bounding_set(mask: str) -> str:
    """`setpriv`'s words for a CapBnd mask of /proc/PID/status: everything off but what is on."""
    bits = int(mask, 16)
    kept = [f"+cap_{number}" for number in range(bits.bit_length()) if bits >> number & 1]
    return ",".join(["-all", *kept])


def entering(state: MachineState, argv: Sequence[str], groups: Mapping[str, str] | None = None) -> list[str]:
    """The argument list that runs a program inside a machine. Constants and names only."""
    if state.leader is None:
        raise HostUnreachable(f"Machine {state.name} is not running.")
    doors = [f"{path}/cgroup.procs" for path in (groups or state.groups).values()]
    caps = bounding_set(state.capabilities)
    return ["/bin/sh", "-c", ENTER, "runwright-enter", str(state.leader.pid), caps, *doors, "--", *argv]


class NspawnTransport:
    """Programs inside one machine."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._local = LocalTransport(ENVIRONMENT)

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> LocalChannel:
        """Raises HostUnreachable when the machine, as this very process, no longer runs."""
        return await self._local.spawn(entering(running(self._name), argv), stdin)


class NspawnConnector:
    """Opens sessions for `NspawnConnection`. Such a host is a managed one: its sessions are no lab's."""

    def __init__(self, *, secrets: SecretSource | None = None, clock: Clock | None = None) -> None:
        self._secrets = secrets
        self._clock = clock

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        if not isinstance(host.connection, NspawnConnection):
            raise HostUnreachable(f"Host {host.hostname} is not a systemd-nspawn machine.")
        session = ShellSession(
            HostIdentity(host_id=host.id, kind="nspawn"),
            NspawnTransport(host.connection.machine),
            secrets=self._secrets,
            clock=self._clock,
            client_id=host.client_id,
        )
        await session.prepare()
        yield session
