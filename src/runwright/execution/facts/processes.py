"""Processor use and the processes behind it, from two samples of /proc around the other questions.

Sampling costs no waiting that way. The capture's own shell and its children are taken out of the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from runwright.execution.facts.fact import Fact, Unreadable
from runwright.model.states import ProcessFact
from runwright.verification.text import visible

TOP = 10
_FEWEST_TICKS = 3


class Process(NamedTuple):
    """What one line of /proc/PID/stat says (proc_pid_stat(5))."""

    name: str
    parent: int
    ticks: int
    """Of the processor, its own."""
    with_children: int
    """Ticks with those of its ended children."""
    started: int
    pages: int
    """Of memory, resident."""


class Sample(NamedTuple):
    busy: int
    total: int
    cpus: int
    processes: dict[int, Process]


def read_sample(text: str) -> Sample:
    """Pure: the `cpu` lines of /proc/stat and the lines of /proc/*/stat. Raises Unreadable."""
    busy = total = cpus = 0
    processes: dict[int, Process] = {}
    for line in text.splitlines():
        if line.startswith("cpu "):
            ticks = [int(word) for word in line.split()[1:9] if word.isdecimal()]
            if len(ticks) >= 5:
                total = sum(ticks)
                busy = total - ticks[3] - ticks[4]
        elif line.startswith("cpu"):
            cpus += 1
        elif entry := _process(line):
            processes.setdefault(*entry)
    if not total:
        raise Unreadable("/proc/stat cannot be read")
    return Sample(busy, total, max(cpus, 1), processes)


def _process(line: str) -> tuple[int, Process] | None:
    """The kernel escapes line ends in names, so the last `)` ends the name whatever else is in it."""
    head, bracket, tail = line.partition(" (")
    name, close, rest = tail.rpartition(") ")
    words = rest.split(" ")
    if not head.isdecimal() or not bracket or not close or len(words) < 22:
        return None
    try:
        own = int(words[11]) + int(words[12])
        children = int(words[13]) + int(words[14])
        fact = Process(visible(name)[:64], int(words[1]), own, own + children, int(words[19]), max(int(words[21]), 0))
    except ValueError:
        return None
    return int(head), fact


def compare(first: Sample, last: Sample, *, shell: int, page_kb: int) -> Mapping[str, Any]:
    """Processor use between two samples, and the processes that used most of it or of memory.

    Args:
        shell: pid of the capture's own shell; what it and its children used is not counted.
        page_kb: kilobytes of a page of memory.
    """
    spent = {
        pid: entry.ticks - first.processes[pid].ticks
        for pid, entry in last.processes.items()
        if pid in first.processes and first.processes[pid].started == entry.started
    }
    total = last.total - first.total
    ours = 0
    if shell in spent:
        ours = last.processes[shell].with_children - first.processes[shell].with_children
    found: dict[str, Any] = {"processes": _top(last, spent, total, shell, page_kb)}
    if total - ours >= _FEWEST_TICKS:
        busy = max(last.busy - first.busy - ours, 0)
        found["cpu_percent"] = round(min(100.0 * busy / (total - ours), 100.0), 1)
    return found


def _top(last: Sample, spent: Mapping[int, int], total: int, shell: int, page_kb: int) -> tuple[ProcessFact, ...]:
    """Half of them by processor use, the rest by memory; kernel threads have none."""
    of_one_cpu = total / last.cpus
    others = {
        pid: entry for pid, entry in last.processes.items() if shell not in (pid, entry.parent) and entry.pages > 0
    }
    busiest = sorted(others, key=lambda pid: (-spent.get(pid, 0), -others[pid].pages, pid))
    largest = sorted(others, key=lambda pid: (-others[pid].pages, pid))
    working = [pid for pid in busiest if spent.get(pid, 0) > 0][: TOP // 2]
    chosen = list(dict.fromkeys([*working, *largest]))[:TOP]
    return tuple(
        ProcessFact(
            pid=pid,
            name=others[pid].name,
            cpu_percent=round(100.0 * spent.get(pid, 0) / of_one_cpu, 1) if of_one_cpu >= 1 else 0.0,
            rss_kb=others[pid].pages * page_kb,
        )
        for pid in chosen
    )


def _first(text: str) -> Mapping[str, Any]:
    return {"first": read_sample(text)}


def _last(text: str) -> Mapping[str, Any]:
    head, _, rest = text.partition("\n")
    words = head.split()
    shell = int(words[0]) if words and words[0].isdecimal() else 0
    page = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 4096
    return {"last": read_sample(rest), "shell": shell, "page_kb": max(page // 1024, 1)}


# Its first lines are those of the processors; the shell reads them itself, which saves a process.
_STAT = r"""
while read -r rw_line; do
  case $rw_line in cpu*) printf '%s\n' "$rw_line" ;; *) break ;; esac
done </proc/stat
cat /proc/[0-9]*/stat 2>/dev/null; :
"""

_NOW = "read -r rw_now _ </proc/uptime; rw_now=${rw_now%.*}${rw_now#*.}\n"
"""Hundredths of a second, the clock that the samples are counted in."""

_FIRST = _NOW + "rw_first=$rw_now\n"

_LAST = (
    # Where the other questions took too little time, the samples would lie too close together.
    _NOW + '[ "$((rw_now - rw_first))" -ge 4 ] || sleep 0.04 2>/dev/null\n'
    'printf \'%s %s\\n\' "$$" "$(getconf PAGESIZE 2>/dev/null)"\n'
)

FIRST = Fact("cpu", _FIRST + _STAT, _first)
LAST = Fact("processes", _LAST + _STAT, _last)
