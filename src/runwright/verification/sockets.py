"""Listening sockets, read from `ss` or from /proc/net."""

from __future__ import annotations

import ipaddress
import re

from runwright.model.states import PortFact
from runwright.verification.text import visible

LISTENING_PART = r"""cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4 == "0A" { print }'"""
"""Every listening TCP socket of the host, without needing `ss`."""

_SS_USER = re.compile(r'\("(?P<name>(?:[^"\\]|\\.)*)",pid=(?P<pid>\d+),fd=\d+\)')
_LISTENS = {"tcp": ("0A",), "udp": ("07",)}


def from_ss(text: str) -> tuple[PortFact, ...]:
    """Pure: the lines of `ss -H -tulnp`. Lines of another shape are passed over."""
    found: dict[tuple[str, str, int], PortFact] = {}
    for line in text.splitlines():
        columns = line.split(None, 6)
        if len(columns) < 6 or columns[0] not in _LISTENS:
            continue
        address, _, port = columns[4].rpartition(":")
        if not port.isdecimal():
            continue
        user = _SS_USER.search(columns[6]) if len(columns) > 6 else None
        plain = address.partition("%")[0].strip("[]").replace("*", "0.0.0.0")  # noqa: S104 - read, not bound
        fact = PortFact(
            protocol=columns[0], address=plain, port=int(port), process=visible(user["name"]) if user else None
        )
        found.setdefault((fact.protocol, fact.address, fact.port), fact)
    return tuple(sorted(found.values(), key=lambda fact: (fact.protocol, fact.port, fact.address)))


def pids_from_ss(text: str) -> tuple[int, ...]:
    """Pure: the processes that `ss -p` names."""
    return tuple(sorted({int(match["pid"]) for match in _SS_USER.finditer(text)}))


def from_proc(text: str, protocol: str = "tcp", owners: dict[int, str] | None = None) -> tuple[PortFact, ...]:
    """Pure: the rows of /proc/net/tcp and its kin. `owners` gives process names by socket inode."""
    found: dict[tuple[str, int], PortFact] = {}
    for line in text.splitlines():
        columns = line.split()
        if len(columns) < 10 or columns[3] not in _LISTENS[protocol]:
            continue
        raw, _, port = columns[1].partition(":")
        address = _address(raw)
        if address is None or not port:
            continue
        inode = int(columns[9]) if columns[9].isdecimal() else 0
        fact = PortFact(protocol=protocol, address=address, port=int(port, 16), process=(owners or {}).get(inode))
        found.setdefault((fact.address, fact.port), fact)
    return tuple(sorted(found.values(), key=lambda fact: (fact.protocol, fact.port, fact.address)))


def _address(raw: str) -> str | None:
    """`0100007F` -> `127.0.0.1`: the kernel prints words in the byte order of the machine (little endian)."""
    if len(raw) not in (8, 32) or any(char not in "0123456789ABCDEFabcdef" for char in raw):
        return None
    data = bytes.fromhex(raw)
    words = b"".join(data[index : index + 4][::-1] for index in range(0, len(data), 4))
    return str(ipaddress.ip_address(words))
