"""Listening ports: by `ss`, else by /proc/net with the owners found through /proc/*/fd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from runwright.execution.facts.fact import Fact, Unreadable
from runwright.model.states import PortFact
from runwright.verification.sockets import from_proc, from_ss
from runwright.verification.text import visible

_SCRIPT = r"""
if have ss && rw_out=$(ss -H -tulnp 2>/dev/null); then printf 'rw-ss\n%s\n' "$rw_out"
else
  for rw_p in tcp tcp6 udp udp6; do
    [ -r "/proc/net/$rw_p" ] || continue
    printf 'rw-net %s\n' "$rw_p"; awk '$4 == "0A" || $4 == "07" { print }' "/proc/net/$rw_p"
  done
  printf 'rw-owners\n'
  ls -l /proc/[0-9]*/fd 2>/dev/null | awk '/^\/proc\// { rw_at = $0 } / -> socket:\[/ { print rw_at, $NF }'
  printf 'rw-names\n'
  for rw_p in /proc/[0-9]*; do read -r rw_c <"$rw_p/comm" && printf '%s %s\n' "${rw_p#/proc/}" "$rw_c"; done 2>/dev/null
fi; :
"""
_OWNER = re.compile(r"^/proc/(\d+)/fd: socket:\[(\d+)\]$")
_EPHEMERAL = 32768


def _ports(text: str) -> Mapping[str, Any]:
    first, _, rest = text.partition("\n")
    if first == "rw-ss":
        return {"ports": _lasting(from_ss(rest))}
    if not first.startswith("rw-net"):
        raise Unreadable("the host has neither ss nor a readable /proc/net")
    tables, _, rest = text.partition("rw-owners\n")
    sockets, _, names = rest.partition("rw-names\n")
    named = {pid: visible(name) for pid, _, name in (line.partition(" ") for line in names.splitlines())}
    owners = {
        int(match[2]): named.get(match[1], match[1])
        for match in (_OWNER.match(line) for line in sockets.splitlines())
        if match
    }
    found: list[PortFact] = []
    for table in tables.split("rw-net ")[1:]:
        protocol, _, rows = table.partition("\n")
        found += from_proc(rows, "udp" if protocol.startswith("udp") else "tcp", owners)
    return {"ports": _lasting(tuple(sorted(found, key=lambda fact: (fact.protocol, fact.port, fact.address))))}


def _lasting(ports: tuple[PortFact, ...]) -> tuple[PortFact, ...]:
    """Without what a client's lookup opens for a moment: UDP ports of the ephemeral range."""
    return tuple(fact for fact in ports if fact.protocol == "tcp" or fact.port < _EPHEMERAL)


PORTS = Fact("ports", _SCRIPT, _ports)
