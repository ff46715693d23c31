"""Operating system, kernel, uptime, init, load, memory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from runwright.execution.facts.fact import Fact, Unreadable
from runwright.model.states import MemoryFact
from runwright.verification.text import visible

_MOST = 200


def _os(text: str) -> Mapping[str, Any]:
    for key in ("PRETTY_NAME", "NAME"):
        match = re.search(rf"^{key}=(.*)$", text, re.MULTILINE)
        if match:
            try:
                value = "".join(shlex.split(match[1])[:1])
            except ValueError:
                value = match[1]
            if value:
                return {"os": visible(value)[:_MOST]}
    raise Unreadable("the host has no /etc/os-release")


def _kernel(text: str) -> Mapping[str, Any]:
    if not text.strip():
        raise Unreadable("/proc/sys/kernel/osrelease cannot be read")
    return {"kernel": visible(text.strip())[:_MOST]}


def _uptime(text: str) -> Mapping[str, Any]:
    match = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    if match is None:
        raise Unreadable("/proc/uptime cannot be read")
    return {"uptime_seconds": float(match[1])}


def _load(text: str) -> Mapping[str, Any]:
    match = re.match(r"\s*(\d+\.\d+)\s", text)
    if match is None:
        raise Unreadable("/proc/loadavg cannot be read")
    return {"load1": float(match[1])}


def _init(text: str) -> Mapping[str, Any]:
    """`rw-init` and the name of process 1: `init` with an inittab is SysV unless OpenRC runs."""
    kind, _, name = text.strip().partition(" ")
    if kind in ("systemd", "openrc"):
        return {"init": kind}
    if kind == "sysv" and name == "init":
        return {"init": "sysv"}
    if not name.strip():
        raise Unreadable("/proc/1/comm cannot be read")
    return {"init": visible(name.strip())[:_MOST]}


def _memory(text: str) -> Mapping[str, Any]:
    found = {match[1]: int(match[2]) for match in re.finditer(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    if "MemTotal" not in found:
        raise Unreadable("/proc/meminfo cannot be read")
    # Kernels before 3.14 have no MemAvailable; free, buffers and cache are what free(1) showed then.
    available = found.get("MemAvailable", sum(found.get(key, 0) for key in ("MemFree", "Buffers", "Cached")))
    return {
        "memory": MemoryFact(
            total_kb=found["MemTotal"],
            available_kb=available,
            swap_total_kb=found.get("SwapTotal", 0),
            swap_free_kb=found.get("SwapFree", 0),
        )
    }


OS = Fact("os", "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null", _os)
KERNEL = Fact("kernel", "read -r rw_line </proc/sys/kernel/osrelease && printf '%s\\n' \"$rw_line\"", _kernel)
UPTIME = Fact("uptime", "read -r rw_line </proc/uptime && printf '%s\\n' \"$rw_line\"", _uptime)
LOAD = Fact("load", "read -r rw_line </proc/loadavg && printf '%s\\n' \"$rw_line\"", _load)
MEMORY = Fact("memory", "while read -r rw_line; do printf '%s\\n' \"$rw_line\"; done </proc/meminfo", _memory)
INIT = Fact(
    "init",
    r"""
read -r rw_line </proc/1/comm
if [ -d /run/systemd/system ]; then rw_kind=systemd; elif [ -d /run/openrc ]; then rw_kind=openrc
elif [ -e /etc/inittab ]; then rw_kind=sysv; else rw_kind=other; fi
printf '%s %s\n' "$rw_kind" "$rw_line"
""",
    _init,
)
