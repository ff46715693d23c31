"""Who listens on one TCP port of the host."""

from __future__ import annotations

import re

from runwright.model.base import Record
from runwright.verification.sections import Section
from runwright.verification.sockets import LISTENING_PART, from_proc, pids_from_ss
from runwright.verification.text import visible

PORT_PART = rf"""
{LISTENING_PART}
if have ss; then
  rw_ss=$(ss -H -ltnp "sport = :$port" 2>/dev/null); printf '%s\n' "$rw_ss" | sed 's/^/rw-ss /'
  for rw_pid in $(printf '%s\n' "$rw_ss" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u | head -n 20); do
    read -r rw_comm <"/proc/$rw_pid/comm"
    printf 'rw-owner %s %s %s\n' "$rw_pid" "$(tr '\n' ' ' <"/proc/$rw_pid/cgroup" 2>/dev/null)" "$rw_comm"
  done
fi; :
"""

RUNTIMES = frozenset({"docker-proxy", "conmon", "containerd-shim", "rootlessport", "slirp4netns", "pasta"})
"""Helpers of container runtimes: they hold ports for services whose unit they do not belong to."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class PortOwner(Record):
    pid: int
    name: str
    cgroup: str

    def of(self, control_group: str) -> bool:
        """A socket-activated port is held by process 1, a container's by the runtime's helper."""
        return self.pid == 1 or self.name in RUNTIMES or bool(control_group and control_group in self.cgroup)


class PortFacts(Record):
    """Whether anything listens, and who, as far as the host tells."""

    listening: bool
    owners: tuple[PortOwner, ...] = ()


def read_port(port: int, section: Section) -> PortFacts:
    """Pure: what PORT_PART printed."""
    lines = section.text.splitlines()
    rows = "\n".join(line for line in lines if not line.startswith("rw-"))
    named = pids_from_ss("\n".join(line for line in lines if line.startswith("rw-ss ")))
    owners = []
    for line in lines:
        match = re.match(r"rw-owner (\d+) (.*) (\S.*)$", line)
        if match and int(match[1]) in named:
            owners.append(PortOwner(pid=int(match[1]), cgroup=visible(match[2]), name=visible(match[3])))
    return PortFacts(listening=any(fact.port == port for fact in from_proc(rows)), owners=tuple(owners))
