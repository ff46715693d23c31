"""The processes of a unit or of a name: what the kernel tells of each, and of everything else on the host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from runwright.model.base import Record
from runwright.verification.text import visible
from runwright.verification.verifier import integer

PROCESSES_SNIPPET = r"""
for rw_pid in $rw_pids; do
  rw_stat=; { IFS= read -r rw_stat <"/proc/$rw_pid/stat"; } 2>/dev/null
  [ -n "$rw_stat" ] && printf 'rw-stat %s\n' "$rw_stat"
  rw_of=$(sed -n 's/.*\/\([^/]*\.service\)$/\1/p' "/proc/$rw_pid/cgroup" 2>/dev/null | head -n 1)
  printf 'rw-cgroup %s %s\n' "$rw_pid" "$rw_of"
done
if [ -n "$rw_pids" ]; then
  grep -H '' $(printf '/proc/%s/task/*/schedstat ' $rw_pids) 2>/dev/null |
    awk -F'[/: ]' '{ on[$3] += $7; idle[$3] += $8 }
      END { for (p in on) printf "rw-sched %s %.0f %.0f\n", p, on[p], idle[p] }'
fi
"""
"""What each process of `rw_pids` is and used."""

OTHERS_PART = r"""
printf 'rw-page %s\n' "$(getconf PAGESIZE 2>/dev/null)"
rw_stats=$(cat /proc/[0-9]*/stat 2>/dev/null); printf '%s\n' "$rw_stats" | sed 's/^/rw-stat /'
if [ -n "$rw_since" ]; then
  rw_young=$(printf '%s\n' "$rw_stats" | sed 's/^\([0-9]*\) (.*) /\1 /' |
    awk -v s="$rw_since" '$21 > s { print $13 + $14, $23, $1 }')
  rw_busy=$(printf '%s\n' "$rw_young" | sort -rn | head -n 12)
  rw_large=$(printf '%s\n' "$rw_young" | sort -k2 -rn | head -n 12)
  for rw_pid in $(printf '%s\n' "$rw_busy" "$rw_large" | cut -d' ' -f3 | sort -u); do
    rw_of=$(sed -n 's/.*\/\([^/]*\.service\)$/\1/p' "/proc/$rw_pid/cgroup" 2>/dev/null | head -n 1)
    printf 'rw-young %s %s\n' "$rw_pid" "$rw_of"
    case " $rw_asked " in *" $rw_of "*) continue ;; esac
    rw_asked="$rw_asked $rw_of"; [ -n "$rw_of" ] && have systemctl || continue
    rw_made=$(systemctl show --no-pager -p Transient,FragmentPath -- "$rw_of" 2>/dev/null | sort -r | cut -d= -f2)
    rw_made=$(printf '%s' "$rw_made" | tr '\n' ' ')
    rw_file=${rw_made#* }; rw_file=${rw_file% }
    printf 'rw-made %s %s %s %s\n' "$rw_of" "${rw_made%% *}" "$(stat -c %Z -- "$rw_file" 2>/dev/null)" "$(date +%s)"
  done
fi
:
"""
"""Every process of the host, for load that merely moved; of the young ones (after `rw_since`, in ticks) their unit."""

_LINE = re.compile(r"rw-stat (\d+) \((.*)\) (\S) (.*)$")
_MOST_OTHERS = 300


class ProcessUse(Record):
    pid: int
    name: str
    state: str
    started: int
    ticks: int
    children_ticks: int = 0
    """Of children that ended and were waited for."""
    nice: int = 0
    policy: int = 0
    """The scheduling policy: 0 the usual one, 3 batch, 5 idle (sched(7))."""
    unit: str = ""
    resident_kb: int | None = None
    """Its proportional share where the host tells it, else all that is resident; with what was swapped out."""
    waited_ns: int | None = None
    """How long its threads wanted a processor and had none."""


class OtherProcess(Record):
    """One process of the host."""

    pid: int
    name: str
    started: int
    ticks: int
    resident_kb: int
    unit: str | None = None
    """The service it is of, empty where of none; None where that was not asked."""
    fresh: bool | None = None
    """Whether its unit was made since: a transient one, or one whose file is as young as the process."""


def read_processes(lines: Iterable[str]) -> Iterator[ProcessUse]:
    """Pure: what PROCESSES_SNIPPET and the memory part printed."""
    units, memory, waited, found = {}, {}, {}, []
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0] == "rw-cgroup":
            units[words[1]] = visible(words[2])
        elif len(words) > 2 and words[0] == "rw-memory":
            memory[words[1]] = dict(word.split(":", 1) for word in words[2:] if ":" in word)
        elif len(words) == 4 and words[0] == "rw-sched":
            waited[words[1]] = integer(words[3])
        elif match := _LINE.match(line):
            found.append(match)
    for match in found:
        rest = match[4].split(" ")
        if len(rest) < 20:
            continue
        held = memory.get(match[1], {})
        resident = integer(held.get("Pss", held.get("Rss")))
        yield ProcessUse(
            pid=int(match[1]),
            name=visible(match[2]),
            state=match[3],
            ticks=int(rest[10]) + int(rest[11]),
            children_ticks=max(int(rest[12]), 0) + max(int(rest[13]), 0),
            nice=int(rest[15]),
            policy=int(rest[37]) if len(rest) > 37 and rest[37].isdecimal() else 0,
            started=int(rest[18]),
            unit=units.get(match[1], ""),
            resident_kb=resident
            if resident is None
            else resident + (integer(held.get("SwapPss", held.get("Swap"))) or 0),
            waited_ns=waited.get(match[1]),
        )


def read_others(text: str) -> tuple[OtherProcess, ...]:
    """Pure: the processes of the host, the youngest of them if there are very many."""
    units, made = _young(text)
    page = re.search(r"^rw-page (\d+)$", text, re.MULTILINE)
    page_kb = int(page[1]) // 1024 if page else 4
    found = []
    for line in text.splitlines():
        match = _LINE.match(line)
        rest = match[4].split(" ") if match else []
        if match is None or len(rest) < 21:
            continue
        found.append(
            OtherProcess(
                pid=int(match[1]),
                name=visible(match[2]),
                ticks=int(rest[10]) + int(rest[11]),
                started=int(rest[18]),
                resident_kb=max(int(rest[20]), 0) * page_kb,
                unit=units.get(match[1]),
                fresh=made.get(units.get(match[1], "")),
            )
        )
    found.sort(key=lambda one: (-one.started, one.pid))
    return tuple(found[:_MOST_OTHERS])


_FRESH_SECONDS = 3600


def _young(text: str) -> tuple[dict[str, str], dict[str, bool]]:
    """The units of young processes, and which of these units are new."""
    units = {pid: visible(unit) for pid, unit in re.findall(r"^rw-young (\d+) ?(\S*)$", text, re.MULTILINE)}
    made = {}
    for unit, transient, changed, now in re.findall(r"^rw-made (\S+) (\S+) (\d*) (\d+)$", text, re.MULTILINE):
        young = bool(changed) and int(now) - int(changed) < _FRESH_SECONDS
        made[visible(unit)] = transient == "yes" or young
    return units, made
