"""Ways to hosts as persons write them: `local`, `nspawn:MACHINE`, `ssh://[user@]address[:port]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from runwright.model.errors import UsageFault
from runwright.model.hosts import Connection, LocalConnection, NspawnConnection, SshEndpoint

T = TypeVar("T")

FORMS = "local, nspawn:MACHINE, ssh://[user@]address[:port]"

_SERVER = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:@\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class Server:
    """What an SSH address names; None: not named."""

    address: str
    user: str | None = None
    port: int | None = None

    def fields(self) -> dict[str, Any]:
        """As fields of an `SshEndpoint`, those that are named."""
        found: dict[str, Any] = {"address": self.address, "user": self.user, "port": self.port}
        return {name: value for name, value in found.items() if value is not None}


def server_of(text: str) -> Server:
    """`[user@]address[:port]`, with or without `ssh://` before it; an IPv6 address in brackets where a port follows.

    Raises ValueError saying what was found.
    """
    plain = text.removeprefix("ssh://").removesuffix("/")
    if plain.count(":") > 1 and "[" not in plain:
        user, _, address = plain.rpartition("@")
        return Server(address, user or None)
    match = _SERVER.fullmatch(plain)
    if match is None:
        raise ValueError(f"found {text!r}; allowed: [user@]address[:port]")
    port = int(match["port"]) if match["port"] else None
    return Server(match["v6"] or match["name"], match["user"], port)


def way_of(connection: Connection) -> str:
    """A connection as text."""
    if isinstance(connection, LocalConnection):
        return "local"
    if isinstance(connection, NspawnConnection):
        return f"nspawn:{connection.machine}"
    through = f" through {address_of(connection.jump)}" if connection.jump is not None else ""
    return f"{address_of(connection)}{through}"


def address_of(server: SshEndpoint) -> str:
    """`ssh://user@address:port`; the usual port is left out."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    return f"ssh://{server.user}@{address}" + (f":{server.port}" if server.port != 22 else "")


def built(kind: type[T], fields: Mapping[str, Any]) -> T:
    """A record of these fields. Raises UsageFault naming every field that does not fit."""
    try:
        return kind(**fields)
    except ValidationError as error:
        raise UsageFault(f"Found {told(error)}.", next_step=f"A connection is one of: {FORMS}.") from error


def told(error: ValidationError) -> str:
    """What does not fit, in one sentence."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'a value'} {str(item['input'])[:60]!r}, which does not fit "
        f"({item['msg']})"
        for item in error.errors(include_url=False)
    )
