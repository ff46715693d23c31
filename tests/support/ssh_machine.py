"""Lab machines with a real OpenSSH server, reached over a veth pair of their own.

The tests import it, and so do the benchmarks. Everything is removed with the block that made it: the
pair ends with the machine's network namespace, whatever ends this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import asyncssh

from runwright.adapters.hosts.machine_state import running
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.adapters.hosts.nspawn import NspawnTransport
from runwright.adapters.hosts.transport import LocalChannel
from runwright.model.errors import NotFound
from runwright.model.hosts import Host, SecretRef, SshConnection, SshEndpoint, SshLogin
from runwright.model.ports.machines import Machine, MachineRequest

PACKAGES = ("openssh-server", "sudo")
CLIENT = "acme"
NETWORK = ipaddress.ip_network("10.213.0.0/16")
"""Cut into /30 pieces, one a pair: the host has the first address, the machine the second."""
TRIES = 50

PASSWORD = "correct-horse battery'staple"
PASSPHRASE = "open sesame"
PLAIN = "deployer"
"""A plain user whose sudo asks for nothing."""
ASKED = "keeper"
"""A plain user whose sudo asks for PASSWORD."""

SETUP = """
set -e
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key
cat >/etc/ssh/sshd_config.d/00-lab.conf <<X
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication yes
$EXTRA
X
useradd -m -s /bin/sh deployer
useradd -m -s /bin/sh keeper
echo 'deployer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/lab
echo 'keeper ALL=(ALL) ALL' >>/etc/sudoers.d/lab
for user in root deployer keeper; do
  printf '%s:%s\\n' "$user" "$PASSWORD" | chpasswd
  home=$(getent passwd $user | cut -d: -f6)
  install -d -m 700 -o $user -g $user "$home/.ssh"
  printf '%s\\n' "$KEYS" >"$home/.ssh/authorized_keys"
  chown $user: "$home/.ssh/authorized_keys"
done
sed -i 's/pam_unix.so/& nodelay/' /etc/pam.d/common-auth
systemctl start systemd-user-sessions ssh # the first lets plain users in
cat /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub
"""


class NoLink(RuntimeError):
    """This kernel or these rights do not allow a veth pair."""


@cache
def user_keys() -> dict[str, asyncssh.SSHKey]:
    """The private keys that every user of every machine accepts, made once a process."""
    return {
        "plain": asyncssh.generate_private_key("ssh-ed25519"),
        "other": asyncssh.generate_private_key("ssh-ed25519"),
    }


class LabSecrets:
    """A `SecretSource` with what the users of the machines need, by name; more can be added."""

    def __init__(self, **more: str) -> None:
        key = user_keys()["plain"]
        self.values = {
            "key": key.export_private_key().decode(),
            "locked-key": key.export_private_key("pkcs8-pem", passphrase=PASSPHRASE).decode(),
            "stranger-key": user_keys()["other"].export_private_key().decode(),
            "passphrase": PASSPHRASE,
            "password": PASSWORD,
            **more,
        }

    def resolve(self, reference: SecretRef) -> str:
        if reference.name not in self.values:
            raise NotFound(
                f"Found no secret {reference.name!r} of client {reference.client_id!r}.",
                next_step="Name one of the lab's.",
            )
        return self.values[reference.name]


def secret(name: str) -> SecretRef:
    """The reference of one of the `LabSecrets`."""
    return SecretRef(client_id=CLIENT, name=name)


@dataclass
class SshMachine:
    """A machine whose sshd answers at `address:port`."""

    machine: Machine
    address: str
    interface: str
    """The host's end of the pair; empty for a machine that only another machine reaches."""
    host_keys: tuple[str, ...]
    """ed25519 and ecdsa, as in a `.pub` file without comment."""
    port: int = 22
    inner_interface: str = field(default="")

    @property
    def leader(self) -> int:
        """Pid of the machine's first process."""
        leader = running(self.machine.name).leader
        assert leader is not None
        return leader.pid

    def endpoint(self, user: str = "root", **changes: object) -> SshEndpoint:
        """How to get in with the key, unless changed."""
        return SshEndpoint.model_validate(self._fields(user) | changes)

    def connection(self, user: str = "root", **changes: object) -> SshConnection:
        """A host's connection with the key, unless changed."""
        return SshConnection.model_validate(self._fields(user) | changes)

    def host(self, user: str = "root", **changes: object) -> Host:
        """A managed host with `connection(user, **changes)`."""
        return Host(
            id=f"hst_{self.machine.name}",
            client_id=CLIENT,
            hostname=self.machine.name,
            connection=self.connection(user, **changes),
            created_at=datetime.now(UTC),
        )

    def _fields(self, user: str) -> dict[str, object]:
        return {
            "address": self.address,
            "port": self.port,
            "user": user,
            "login": SshLogin.KEY,
            "credential": secret("key"),
            "host_keys": self.host_keys,
        }

    async def run(self, text: str, seconds: float = 20) -> str:
        """Run sh text as root inside, not over SSH; its output. Fails loudly."""
        done = await self.machine.script(text, seconds)
        assert done.exit_code == 0, done.output
        return done.output

    async def spawn(self, *argv: str) -> LocalChannel:
        """A program inside that is not waited for."""
        return await NspawnTransport(self.machine.name).spawn(argv, b"")

    async def unplug(self) -> None:
        """From now on no packet comes or goes, and nobody is told."""
        await ip("link", "set", self.interface, "down")

    async def plug(self) -> None:
        await ip("link", "set", self.interface, "up")


async def ip(*words: str, inside: int | None = None) -> str:
    """ip(8), in the network of a process if given. Raises NoLink with its words."""
    argv = ("ip", *words) if inside is None else ("nsenter", "-t", str(inside), "-n", "ip", *words)
    return await _command(*argv)


async def tc(interface: str, verb: str, *words: str) -> None:
    """Shape what goes out of an interface of this host, by tc(8). Raises NoLink with its words."""
    await _command("tc", "qdisc", verb, "dev", interface, "root", *words)


async def _command(*argv: str) -> str:
    done = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problem = await done.communicate()
    if done.returncode != 0:
        raise NoLink(f"{' '.join(argv)}: {problem.decode().strip()}")
    return out.decode()


async def _pair(leader: int, behind: int | None) -> tuple[str, str, str]:
    """Join this host (or the machine with leader `behind`) and a machine: interface, address, inner interface.

    The interface's name carries the piece of the network, so that the kernel itself sees to it that
    no two processes take the same one.
    """
    for _ in range(TRIES):
        piece = secrets.randbelow(NETWORK.num_addresses // 4)
        outer, inner = f"rw-ssh{piece}", f"rw-net{piece}"
        here, there = NETWORK[4 * piece + 1], NETWORK[4 * piece + 2]
        try:
            await ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", str(leader), inside=behind)
        except NoLink as problem:
            if "exists" in str(problem):
                continue
            raise
        await ip("addr", "add", f"{here}/30", "dev", outer, inside=behind)
        await ip("link", "set", outer, "up", inside=behind)
        await ip("addr", "add", f"{there}/30", "dev", inner, inside=leader)
        await ip("link", "set", inner, "up", inside=leader)
        return outer, str(there), inner
    raise NoLink("found no free piece of the network")


@asynccontextmanager
async def ssh_machine(
    *,
    packages: tuple[str, ...] = (),
    sshd: str = "",
    behind: SshMachine | None = None,
    memory_mb: int = 512,
) -> AsyncIterator[SshMachine]:
    """A machine with sshd. `sshd`: further lines of its configuration. `behind`: only this machine reaches it.

    Raises NoMachine, NoLink.
    """
    request = MachineRequest(packages=(*PACKAGES, *packages), memory_mb=memory_mb)
    async with NspawnMachines().boot(request) as machine:
        leader = running(machine.name).leader
        assert leader is not None
        keys = user_keys()["plain"].export_public_key().decode().strip()
        text = SETUP
        for name, value in (("$KEYS", keys), ("$EXTRA", sshd)):
            text = text.replace(name, value)
        text = text.replace('"$PASSWORD"', "'" + PASSWORD.replace("'", "'\\''") + "'")
        made = await machine.script(text, 60)
        assert made.exit_code == 0, made.output
        lines = [line.split() for line in made.output.splitlines()]
        accepted = tuple(" ".join(words[:2]) for words in lines if words[0].startswith(("ssh-", "ecdsa-")))
        outer, address, inner = await _pair(leader.pid, behind.leader if behind else None)
        try:
            yield SshMachine(machine, address, "" if behind else outer, accepted, inner_interface=inner)
        finally:
            with contextlib.suppress(NoLink):
                await ip("link", "del", inner, inside=leader.pid)


@asynccontextmanager
async def ssh_machines(count: int, *, memory_mb: int = 256) -> AsyncIterator[list[SshMachine]]:
    """Several machines at once, a few of them booting at a time."""
    gate = asyncio.Semaphore(4)
    stack = contextlib.AsyncExitStack()

    async def one() -> SshMachine:
        async with gate:
            return await stack.enter_async_context(ssh_machine(memory_mb=memory_mb))

    async with stack:
        tasks = [asyncio.ensure_future(one()) for _ in range(count)]
        try:
            yield list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
