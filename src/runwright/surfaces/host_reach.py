"""Who may register which way to a machine.

A step runs as whoever the connection makes it. So what leads to the server's own machine, or opens a door with the
server's own keys, takes an admin of everything; a client's admin registers machines that only secrets of that client
open:

- `local` and `nspawn` are this machine and machines on it;
- the SSH agent is that of the worker's environment: its keys are the server's, whoever's host it is;
- addresses of this machine (loopback, its own, link-local ones that clouds answer on) are the server's, also over SSH;
- every secret that a connection names, on the way through too, is the host's own client's.

Names are not resolved here: what a name means may change at any time. A name that comes to mean this machine still
needs a key or password of the client that this machine's own SSH server takes, and a host key that a person accepted.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket

from runwright.access.permissions import Permission, allows, require
from runwright.model.errors import Forbidden, InvalidInput
from runwright.model.hosts import Connection, SshConnection, SshLogin, endpoints, fingerprint, secrets_of
from runwright.model.principals import Principal

_LOOPBACK_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_EVERYTHING = "Allowed: an admin of everything, not of one client."


def require_reach(principal: Principal, client_id: str, connection: Connection) -> None:
    """Raise Forbidden unless the principal may register this way to a machine of this client."""
    require(principal, Permission.MANAGE_HOSTS, client_id)
    if not isinstance(connection, SshConnection):
        require(principal, Permission.MANAGE_HOSTS, None)
    if allows(principal, Permission.MANAGE_HOSTS, None):
        return
    for server in endpoints(connection):
        if server.login is SshLogin.AGENT:
            raise Forbidden(
                f"Found a login by the worker's own SSH agent at {server.address}.",
                allowed=f"{_EVERYTHING} With a key or a password of client {client_id} the client's admin may.",
            )
        if is_own_machine(server.address):
            raise Forbidden(f"Found {server.address}, which is the server's own machine.", allowed=_EVERYTHING)


def check_connection(client_id: str, connection: Connection) -> None:
    """Raise Forbidden where a connection names a secret of another client, InvalidInput where it cannot work."""
    for reference in secrets_of(connection):
        if reference.client_id != client_id:
            raise Forbidden(
                f"Found a secret of client {reference.client_id} for a host of {client_id}.",
                allowed="Allowed: a secret of the host's own client.",
            )
    for server in endpoints(connection):
        if server.login is not SshLogin.AGENT and server.credential is None:
            raise InvalidInput(
                f"Found no credential for the login by {server.login.value} at {server.address}.",
                allowed="Allowed: the name of a secret that holds the private key or the password.",
            )
        for key in server.host_keys:
            check_key(key)


def check_key(key: str) -> str:
    """The fingerprint of a host key. Raises InvalidInput where it is none."""
    try:
        return fingerprint(key)
    except ValueError as error:
        raise InvalidInput(
            f"Found host key {key[:60]!r}: {error}.", allowed="Allowed: algorithm and base64, as in a .pub file."
        ) from error


def is_own_machine(address: str) -> bool:
    """Whether an address is one of this machine, or one that never leaves its link. Names are not resolved."""
    name = address.rstrip(".").lower()
    if name in _LOOPBACK_NAMES or name.endswith(".localhost") or name == socket.gethostname().lower():
        return True
    found = _parsed(address.partition("%")[0])
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback or found.is_unspecified or found.is_link_local or found.is_multicast:
        return True
    # Only an address of this machine can be bound; nothing is sent and nothing listens.
    family = socket.AF_INET if found.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as trying:
        trying.bind((str(found), 0))
        return True
    return False


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address in any form that resolvers take: `127.1` and `0x7f000001` are 127.0.0.1 to them."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address)
    with contextlib.suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(address))
    return None
