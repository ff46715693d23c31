"""The processes of a unit or of a name, with what they use: for the verifiers of processor and memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runwright.model.base import Record
from runwright.verification.findings import Finding, NoEvidence, failed, unverifiable
from runwright.verification.sections import Question, Sections
from runwright.verification.text import first_line, visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import integer, need, properties

WORKLOAD_PART = r"""
rw_pids=
if [ -n "$unit" ]; then
  if [ -d /run/systemd/system ] && have systemctl; then
    rw_show=$(systemctl show --no-pager -p LoadState,ActiveState,SubState,UnitFileState,ControlGroup,NRestarts,MainPID \
      -- "$unit" 2>&1) || printf 'rw-failed\n'
    printf '%s\n' "$rw_show"
    rw_cg=$(printf '%s\n' "$rw_show" | sed -n 's/^ControlGroup=//p')
    [ -n "$rw_cg" ] && rw_pids=$(grep -lF -- ":$rw_cg" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)
  else printf 'rw-no-systemd\n'; fi
else rw_pids=$(grep -lxF -- "$process" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3); fi
read -r rw_up rw_idle </proc/uptime
printf 'rw-clock %s %s\n' "$rw_up" "$(getconf CLK_TCK 2>/dev/null)"
for rw_pid in $rw_pids; do
  rw_stat=; { IFS= read -r rw_stat <"/proc/$rw_pid/stat"; } 2>/dev/null
  [ -n "$rw_stat" ] && printf 'rw-stat %s\n' "$rw_stat"
  rw_of=$(sed -n 's/.*\/\([^/]*\.service\)$/\1/p' "/proc/$rw_pid/cgroup" 2>/dev/null | head -n 1)
  printf 'rw-cgroup %s %s\n' "$rw_pid" "$rw_of"
done; :
"""
MEMORY_PART = r"""
for rw_pid in $rw_pids; do
  rw_mem=$(awk '/^(Rss|Pss):/ { printf "%s%s ", $1, $2 }' "/proc/$rw_pid/smaps_rollup" 2>/dev/null)
  [ -n "$rw_mem" ] || rw_mem=$(awk '/^VmRSS:/ { printf "Rss:%s", $2 }' "/proc/$rw_pid/status" 2>/dev/null)
  printf 'rw-memory %s %s\n' "$rw_pid" "$rw_mem"
  printf 'rw-shared %s %s\n' "$rw_pid" "$(awk '/^RssShmem:/ { print $2 }' "/proc/$rw_pid/status" 2>/dev/null)"
  rw_fds=$(ls -l "/proc/$rw_pid/fd" 2>/dev/null | sed -n 's/.* \([0-9][0-9]*\) -> \/\(dev\/shm\|memfd:\).*/\1/p')
  for rw_fd in $rw_fds; do
    stat -L -c "rw-tmpfs $rw_pid %i %b %B" -- "/proc/$rw_pid/fd/$rw_fd" 2>/dev/null
  done
done; :
"""
"""After WORKLOAD_PART: what each of its processes holds, with memory files it has open."""


class ProcessUse(Record):
    pid: int
    name: str
    state: str
    started: int
    ticks: int
    unit: str = ""
    resident_kb: int | None = None
    """Its proportional share where the host tells it, else all that is resident."""


class WorkloadFacts(Record):
    """The subject's processes, and its unit where it is one."""

    subject: str
    unit: bool
    active: str = ""
    sub: str = ""
    enablement: str = ""
    load: str = ""
    restarts: int | None = None
    uptime: float
    ticks_per_second: int = 100
    processes: tuple[ProcessUse, ...] = ()
    memory_files_kb: int = 0

    @property
    def resident_kb(self) -> int | None:
        """Of all processes, with their memory files; None where no process could be read."""
        known = [one.resident_kb for one in self.processes if one.resident_kb is not None]
        if len(known) < len(self.processes) or not known:
            return None
        return sum(known) + self.memory_files_kb

    def line(self) -> str:
        state = f" is {self.active} ({self.sub})" if self.unit else ""
        held = self.resident_kb
        memory = f", {held // 1024} MB" if held is not None else ""
        count = len(self.processes)
        return f"{visible(self.subject)}{state}: {count} process{'' if count == 1 else 'es'}{memory}"


def workload_question(service: str | None, process: str | None, *, memory: bool = False) -> Question:
    """One part; `service` wins where both are named. Raises NoEvidence."""
    text = WORKLOAD_PART + (MEMORY_PART if memory else "")
    if service is not None:
        return Question([("workload", text)], {"unit": unit_name(service), "process": ""})
    if not process or "\n" in process:
        raise NoEvidence(f"found the process name {process!r}")
    # The kernel keeps 15 bytes of a name.
    return Question([("workload", text)], {"unit": "", "process": process.encode()[:15].decode(errors="ignore")})


def read_workload(service: str | None, process: str | None, sections: Sections) -> WorkloadFacts:
    """Pure. Raises NoEvidence."""
    subject = service or process or ""
    section = need(sections, "workload", f"the processes of {subject}")
    lines = section.text.splitlines()
    if "rw-no-systemd" in lines:
        raise NoEvidence(f"the host has no systemd to ask about {subject}; name a process instead")
    if "rw-failed" in lines:
        raise NoEvidence(f"systemctl could not say how {subject} stands: {first_line(section.text)}")
    clock = next((line.split() for line in lines if line.startswith("rw-clock ")), [])
    if len(clock) < 2:
        raise NoEvidence("the host's uptime cannot be read")
    blocks = properties("\n".join(line for line in lines if not line.startswith("rw-"))) if service else []
    says = blocks[0] if blocks else {}
    if service and "ActiveState" not in says:
        raise NoEvidence(f"systemctl could not say how {subject} stands")
    return WorkloadFacts(
        subject=subject,
        unit=service is not None,
        load=says.get("LoadState", ""),
        active=says.get("ActiveState", ""),
        sub=says.get("SubState", ""),
        enablement=says.get("UnitFileState", ""),
        restarts=integer(says.get("NRestarts")),
        uptime=float(clock[1]),
        ticks_per_second=integer(clock[2]) or 100 if len(clock) > 2 else 100,
        processes=tuple(_processes(lines)),
        memory_files_kb=_memory_files(lines),
    )


_LINE = re.compile(r"rw-stat (\d+) \((.*)\) (\S) (.*)$")


def _processes(lines: list[str]) -> Iterator[ProcessUse]:
    units, memory = {}, {}
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0] == "rw-cgroup":
            units[words[1]] = visible(words[2])
        elif len(words) > 2 and words[0] == "rw-memory":
            memory[words[1]] = dict(word.split(":", 1) for word in words[2:] if ":" in word)
    for line in lines:
        match = _LINE.match(line)
        rest = match[4].split(" ") if match else []
        if match is None or len(rest) < 20:
            continue
        held = memory.get(match[1], {})
        yield ProcessUse(
            pid=int(match[1]),
            name=visible(match[2]),
            state=match[3],
            ticks=int(rest[10]) + int(rest[11]),
            started=int(rest[18]),
            unit=units.get(match[1], ""),
            resident_kb=integer(held.get("Pss", held.get("Rss"))),
        )


def _memory_files(lines: list[str]) -> int:
    """Kilobytes of memory files that are open, less what is mapped and so counted as resident already."""
    files: dict[str, int] = {}
    mapped = 0
    for line in lines:
        words = line.split()
        if len(words) == 5 and words[0] == "rw-tmpfs":
            files[words[2]] = int(words[3]) * int(words[4]) // 1024
        elif len(words) == 3 and words[0] == "rw-shared" and words[2].isdecimal():
            mapped += int(words[2])
    return max(sum(files.values()) - mapped, 0)


def still_there(now: WorkloadFacts, before: WorkloadFacts | None) -> Iterator[Finding]:
    """Faults where the culprit was merely stopped although it must run."""
    shown = visible(now.subject)
    if now.unit:
        was_active = before is None or before.active in ("active", "activating", "reloading")
        if now.load == "not-found":
            yield failed(f"{shown} does not exist on the host.")
        elif now.load == "masked" or (was_active and now.active != "active"):
            yield failed(
                f"{shown} is {now.active} ({now.sub}): it was stopped, not cured.", settling=now.active == "activating"
            )
        elif before is not None and before.enablement == "enabled" and now.enablement != "enabled":
            yield failed(f"{shown} was enabled before and is {now.enablement or 'not'} now.")
    elif not now.processes and before is not None and any(one.unit for one in before.processes):
        unit = next(one.unit for one in before.processes if one.unit)
        yield unverifiable(
            f"No process {shown} runs any more; it was of {unit}, and whether that must run is not told."
        )
    stopped = [one for one in now.processes if one.state in ("T", "t")]
    if stopped:
        yield failed(f"{stopped[0].name} (pid {stopped[0].pid}) is halted, not cured.")


def restarted_meanwhile(first: WorkloadFacts, last: WorkloadFacts) -> Iterator[Finding]:
    """A fault where the unit was restarted between the looks."""
    if (last.restarts or 0) > (first.restarts or 0):
        yield failed(f"{visible(last.subject)} was restarted by systemd during the hold time.")
