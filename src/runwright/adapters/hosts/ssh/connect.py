"""Making one connection, and saying in a sentence why it could not be made."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncssh

from runwright.adapters.hosts.ssh.login import Login, LoginClient, make_login, shown
from runwright.model.errors import HostKeyRefused, HostUnreachable
from runwright.model.hosts import SshEndpoint, SshLogin
from runwright.model.ports.secrets import SecretSource

MISSED = 3
"""Unanswered keepalives after which a connection is taken for dead."""


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    connect: float = 10.0
    """For everything from the name's resolution to the end of the login."""
    keepalive: float = 10.0
    """Of silence, before the server is asked for a sign of life; MISSED + 1 times this is the limit."""
    idle: float = 60.0
    """That an unused connection is kept."""
    queue: float = 1.0
    """That a shell is waited for in a connection whose server gives no more, before a second one is made."""


@dataclass(frozen=True)
class Target:
    """Where to, for connecting and for messages."""

    endpoint: SshEndpoint
    hostname: str
    """Of the managed host."""
    jump: bool = False
    """Whether this is the server on the way to it."""

    @property
    def place(self) -> str:
        address = self.endpoint.address
        return f"[{address}]:{self.endpoint.port}" if ":" in address else f"{address}:{self.endpoint.port}"

    def __str__(self) -> str:
        return f"the jump host {self.place} of {self.hostname}" if self.jump else f"{self.hostname} ({self.place})"


async def connect(
    target: Target,
    secrets: SecretSource | None,
    patience: Patience,
    tunnel: asyncssh.SSHClientConnection | None = None,
) -> tuple[asyncssh.SSHClientConnection, LoginClient]:
    """A connection that is logged in. Raises HostKeyRefused, HostUnreachable."""
    async with AsyncExitStack() as stack:
        edit = f"runwright host edit {target.hostname} --{'jump-' if target.jump else ''}"
        login = await make_login(target.endpoint, secrets, stack, edit)
        try:
            async with asyncio.timeout(patience.connect):
                connection = await asyncssh.connect(
                    target.endpoint.address,
                    target.endpoint.port,
                    tunnel=tunnel,
                    keepalive_interval=patience.keepalive,
                    keepalive_count_max=MISSED,
                    login_timeout=0,
                    **login.settings,
                )
        except (asyncssh.Error, OSError, TimeoutError) as problem:
            raise _unreachable(target, login, problem, patience) from problem
    return connection, login.client


def _unreachable(target: Target, login: Login, problem: Exception, patience: Patience) -> HostUnreachable:
    offered = login.client.offered
    if offered is not None and not login.client.accepted:
        return refused_key(target, offered)
    if isinstance(problem, asyncssh.PermissionDenied) or (
        isinstance(problem, asyncssh.DisconnectError) and "authentication failures" in problem.reason
    ):
        return _no_entry(target, login, problem)
    if isinstance(problem, asyncssh.KeyExchangeFailed):
        return HostUnreachable(f"Found no method in common with {target}: {shown(problem.reason)}.")
    if isinstance(problem, asyncssh.ChannelOpenError):
        return HostUnreachable(
            f"The jump host could not reach {target}: {shown(problem.reason) or 'no reason given'}.",
            next_step="Check the address as the jump host knows it, and its AllowTcpForwarding.",
        )
    if isinstance(problem, asyncssh.Error) and login.client.accepted:
        return HostUnreachable(
            f"{_sentence(target)} ended the connection during the login of {target.endpoint.user}: "
            f"{shown(problem.reason)}.{login.client.said}",
            next_step="Check for a locked or expired account, or a host still booting; its sshd log says which.",
        )
    if isinstance(problem, (asyncssh.Error, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        reason = problem.reason if isinstance(problem, asyncssh.Error) else problem.strerror
        return HostUnreachable(
            f"{_sentence(target)} ended the connection before the login: {shown(reason or '')}.",
            next_step="Check that an SSH server listens there, and its own log for why.",
        )
    return _no_way(target, problem, patience)


def _no_way(target: Target, problem: Exception, patience: Patience) -> HostUnreachable:
    if isinstance(problem, socket.gaierror):
        return HostUnreachable(
            f"The name {target.endpoint.address} of {target} could not be resolved: {problem.strerror}.",
            next_step="Correct the host's address, or the name service of the worker's machine.",
        )
    if isinstance(problem, TimeoutError) or getattr(problem, "errno", None) == errno.ETIMEDOUT:
        return HostUnreachable(
            f"{_sentence(target)} did not answer within {patience.connect:g} s.",
            next_step="Check that it is up, and that no firewall drops the way to this port.",
        )
    if isinstance(problem, ConnectionRefusedError) or "refused" in str(problem).lower():
        return HostUnreachable(
            f"{_sentence(target)} refused the connection: nothing listens on this port.",
            next_step="Check the port, and that sshd runs there.",
        )
    reason = getattr(problem, "strerror", None) or str(problem)
    return HostUnreachable(
        f"{_sentence(target)} cannot be reached: {reason}.", next_step="Check the network and route."
    )


def _no_entry(target: Target, login: Login, problem: Exception) -> HostUnreachable:
    steps = {
        SshLogin.KEY: "Put its public half into that user's authorized_keys on the host.",
        SshLogin.AGENT: "Check which keys the agent holds (ssh-add -l) and which the host accepts for that user.",
        SshLogin.PASSWORD: "Check the secret's value, and whether the server allows passwords for that user.",
    }
    tries = (
        " after too many tries" if isinstance(problem, asyncssh.DisconnectError) and "many" in problem.reason else ""
    )
    return HostUnreachable(
        f"{_sentence(target)} refused user {target.endpoint.user} with {login.described}{tries}.",
        next_step=steps[target.endpoint.login],
    )


def refused_key(target: Target, key: asyncssh.SSHKey) -> HostKeyRefused:
    """Names the key, and the command that shows and accepts it."""
    offered = " ".join(key.export_public_key().decode().split()[:2])
    fingerprint = key.get_fingerprint()
    changed = bool(target.endpoint.host_keys)
    found = (
        f"{_sentence(target)} shows another host key than the accepted ones: {offered.split()[0]} {fingerprint}. "
        "It was set up anew, or somebody else answers in its place."
        if changed
        else f"{_sentence(target)} shows a host key that nobody has accepted yet: {offered.split()[0]} {fingerprint}."
    )
    return HostKeyRefused(
        found,
        offered=offered,
        fingerprint=fingerprint,
        changed=changed,
        jump=target.jump,
        next_step=f"Compare it with the host's own, then accept it: runwright host trust {target.hostname}",
    )


def _sentence(target: Target) -> str:
    text = str(target)
    return text[0].upper() + text[1:] if target.jump else text
