"""A unit or a process by name, with what it uses and serves: for the verifiers of processor and memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from runwright.model.base import Record
from runwright.verification import standing
from runwright.verification.disks import read_df, read_mountinfo
from runwright.verification.findings import Finding, NoEvidence, failed, unverifiable
from runwright.verification.processes import (
    OTHERS_PART,
    PROCESSES_SNIPPET,
    OtherProcess,
    ProcessUse,
    read_others,
    read_processes,
)
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.sockets import from_ss, pids_from_ss
from runwright.verification.standing import Standing, read_standing, weakened
from runwright.verification.text import first_line, visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import integer, need, properties

_PROPERTIES = (
    f"{standing.PROPERTIES},LoadState,ActiveState,SubState,UnitFileState,ControlGroup,NRestarts,MainPID,"
    "InvocationID,FreezerState,Result"
)

WORKLOAD_PART = (
    r"""
rw_pids=
if [ -n "$unit" ]; then
  if [ -d /run/systemd/system ] && have systemctl; then
    rw_show=$(systemctl show --no-pager -p PROPERTIES -- "$unit" 2>&1) || printf 'rw-failed\n'
    printf '%s\n' "$rw_show"
    rw_cg=$(printf '%s\n' "$rw_show" | sed -n 's/^ControlGroup=//p')
    [ -n "$rw_cg" ] && rw_pids=$(grep -lE -- ":$(printf '%s' "$rw_cg" | sed 's/[][\.*^$+?(){}|]/\\&/g')(/|\$)" \
      /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)
    STANDING
  else printf 'rw-no-systemd\n'; fi
else rw_pids=$(grep -lxF -- "$process" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3); fi
read -r rw_up rw_idle </proc/uptime
printf 'rw-clock %s %s\n' "$rw_up" "$(getconf CLK_TCK 2>/dev/null)"
PROCESSES
if have ss; then printf 'rw-sockets\n'; ss -H -ltnp 2>/dev/null | head -n 1000 | sed 's/^/rw-ss tcp /'; fi
:
""".replace("PROPERTIES", _PROPERTIES)
    .replace("STANDING", standing.FILES_SNIPPET)
    .replace("PROCESSES", PROCESSES_SNIPPET)
)
MEMORY_PART = r"""
for rw_pid in $rw_pids; do
  rw_mem=$(awk '/^(Rss|Pss|Swap|SwapPss):/ { printf "%s%s ", $1, $2 }' "/proc/$rw_pid/smaps_rollup" 2>/dev/null)
  [ -n "$rw_mem" ] || rw_mem=$(awk '/^VmRSS:/ { printf "Rss:%s ", $2 } /^VmSwap:/ { printf "Swap:%s ", $2 }' \
    "/proc/$rw_pid/status" 2>/dev/null)
  printf 'rw-memory %s %s\n' "$rw_pid" "$rw_mem"
  printf 'rw-shared %s %s\n' "$rw_pid" "$(awk '/^RssShmem:/ { print $2 }' "/proc/$rw_pid/status" 2>/dev/null)"
  rw_fds=$(ls -l "/proc/$rw_pid/fd" 2>/dev/null | sed -n 's/.* \([0-9][0-9]*\) -> \/\(dev\/shm\|memfd:\).*/\1/p')
  for rw_fd in $rw_fds; do
    stat -L -c "rw-tmpfs $rw_pid %i %b %B" -- "/proc/$rw_pid/fd/$rw_fd" 2>/dev/null
  done
done; :
"""
"""After WORKLOAD_PART: what each of its processes holds, with memory files it has open."""

SHARED_PART = r"""
bounded 3 df -Pkl 2>/dev/null
sed 's/^/rw-mount /' /proc/self/mountinfo
sed 's/^/rw-shm /' /proc/sysvipc/shm 2>/dev/null
:
"""
"""Memory that outlives processes: files of tmpfs and System V segments."""

_STAYS_SHARED_KB = 4096


class WorkloadFacts(Record):
    """The subject's processes, and its unit where it is one."""

    subject: str
    unit: bool
    active: str = ""
    sub: str = ""
    enablement: str = ""
    load: str = ""
    restarts: int | None = None
    invocation: str = ""
    frozen: bool = False
    result: str = ""
    uptime: float
    ticks_per_second: int = 100
    processes: tuple[ProcessUse, ...] = ()
    memory_files_kb: int = 0
    shared_kb: int | None = None
    """Memory that no process need hold: tmpfs and System V segments of the whole host."""
    ports: tuple[int, ...] | None = None
    """TCP ports that its processes listen on; None where that cannot be seen."""
    standing: Standing | None = None
    others: tuple[OtherProcess, ...] = ()

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
        ports = f", listening on {', '.join(str(port) for port in self.ports)}" if self.ports else ""
        return f"{visible(self.subject)}{state}: {count} process{'' if count == 1 else 'es'}{memory}{ports}"


def workload_question(
    service: str | None, process: str | None, *, memory: bool = False, baseline: bool = False
) -> Question:
    """`service` wins where both are named. Raises NoEvidence."""
    parts = [("workload", WORKLOAD_PART + (MEMORY_PART if memory else ""))]
    if memory:
        parts.append(("shared", SHARED_PART))
    if not baseline:
        parts.append(("others", OTHERS_PART))
    if service is not None:
        return Question(parts, {"unit": unit_name(service), "process": "", "rw_known": "", "rw_since": ""})
    if not process or "\n" in process:
        raise NoEvidence(f"found the process name {process!r}")
    # The kernel keeps 15 bytes of a name.
    name = process.encode()[:15].decode(errors="ignore")
    return Question(parts, {"unit": "", "process": name, "rw_known": "", "rw_since": ""})


def knowing(question: Question, before: WorkloadFacts | None) -> Question:
    """The question with the digests from before the run, and when that was."""
    known = before.standing.known if before is not None and before.standing is not None else ""
    since = str(int(before.uptime * before.ticks_per_second)) if before is not None else ""
    return replace(question, parameters={**question.parameters, "rw_known": known, "rw_since": since})


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
    processes = tuple(read_processes(lines))
    others = sections.get("others")
    return WorkloadFacts(
        subject=subject,
        unit=service is not None,
        load=says.get("LoadState", ""),
        active=says.get("ActiveState", ""),
        sub=says.get("SubState", ""),
        enablement=says.get("UnitFileState", ""),
        restarts=integer(says.get("NRestarts")),
        invocation=says.get("InvocationID", ""),
        frozen=says.get("FreezerState") == "frozen",
        result=says.get("Result", ""),
        uptime=float(clock[1]),
        ticks_per_second=integer(clock[2]) or 100 if len(clock) > 2 else 100,
        processes=processes,
        memory_files_kb=_memory_files(lines),
        shared_kb=_shared(sections.get("shared")),
        ports=_ports(lines, {one.pid for one in processes}),
        standing=read_standing(section.text) if service else None,
        others=read_others(others.text) if others is not None else (),
    )


def _ports(lines: list[str], pids: set[int]) -> tuple[int, ...] | None:
    if "rw-sockets" not in lines:
        return None
    found: set[int] = set()
    for line in lines:
        if line.startswith("rw-ss ") and pids & set(pids_from_ss(line)):
            found |= {fact.port for fact in from_ss(line.removeprefix("rw-ss "))}
    return tuple(sorted(found))


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


def _shared(section: Section | None) -> int | None:
    """Kilobytes in tmpfs and in System V segments; None where the host did not tell."""
    if section is None or not section.ended:
        return None
    mounts = read_mountinfo(re.sub(r"^rw-mount ", "", section.text, flags=re.MULTILINE))
    in_memory = {mount.point: mount.device for mount in mounts if mount.filesystem in ("tmpfs", "ramfs")}
    used = {in_memory[row.mount]: row.used for row in read_df(section.text) if row.mount in in_memory}
    segments = (line.split() for line in section.text.splitlines() if line.startswith("rw-shm "))
    held = sum(int(words[15]) // 1024 for words in segments if len(words) > 15 and words[15].isdecimal())
    return sum(used.values()) + held


def still_there(now: WorkloadFacts, before: WorkloadFacts | None, *, throttled: bool = True) -> Iterator[Finding]:
    """Faults where the culprit was merely stopped, halted or weakened although it must run."""
    shown = visible(now.subject)
    if now.unit:
        was_active = before is None or before.active in ("active", "activating", "reloading")
        if now.load == "not-found":
            yield failed(f"{shown} does not exist on the host.")
        elif now.load == "masked" or (was_active and now.active != "active"):
            yield failed(
                f"{shown} is {now.active} ({now.sub}): it was stopped, not cured.", settling=now.active == "activating"
            )
        elif was_active and not now.processes and (before is None or before.processes):
            yield failed(f"{shown} is {now.active} ({now.sub}) and has no process.", settling=True)
        elif before is not None and before.enablement == "enabled" and now.enablement != "enabled":
            yield failed(f"{shown} was enabled before and is {now.enablement or 'not'} now.")
        if before is not None:
            yield from weakened(now.standing, before.standing, throttled=throttled)
    elif not now.processes and before is not None and any(one.unit for one in before.processes):
        unit = next(one.unit for one in before.processes if one.unit)
        yield unverifiable(
            f"No process {shown} runs any more; it was of {unit}, and whether that must run is not told."
        )
    yield from _held_back(now, before)
    if before is not None and before.ports and now.ports is not None:
        lost = sorted(set(before.ports) - set(now.ports))
        if lost and (now.unit or now.processes):
            ports = ", ".join(str(port) for port in lost)
            yield failed(f"{shown} listened on {ports} before and does not any more.", settling=True)


def _held_back(now: WorkloadFacts, before: WorkloadFacts | None) -> Iterator[Finding]:
    """Faults of processes that exist and are kept from working."""
    shown = visible(now.subject)
    stopped = [one for one in now.processes if one.state in ("T", "t")]
    if stopped:
        yield failed(f"{stopped[0].name} (pid {stopped[0].pid}) is halted, not cured.")
    if now.frozen:
        yield failed(f"{shown} is frozen, not cured.")
    if before is not None and before.processes and now.processes:
        was, is_ = max(one.nice for one in before.processes), min(one.nice for one in now.processes)
        if is_ > was:
            yield failed(f"{shown} runs with nice {is_} now (before: {was}): held back, not cured.")
        if all(one.policy == 5 for one in now.processes) and not all(one.policy == 5 for one in before.processes):
            yield failed(
                f"{shown} runs only when nothing else does now (scheduling policy idle): held back, not cured."
            )


def restarted_meanwhile(first: WorkloadFacts, last: WorkloadFacts) -> Iterator[Finding]:
    """A fault where the unit was restarted between the looks, by systemd or by anything else."""
    shown = visible(last.subject)
    if (last.restarts or 0) > (first.restarts or 0):
        yield failed(f"{shown} was restarted by systemd during the hold time.")
    elif first.invocation and last.invocation and first.invocation != last.invocation:
        yield failed(f"{shown} was started anew during the hold time.")
    elif first.processes and last.processes:
        oldest = {(one.pid, one.started) for one in first.processes}
        if not oldest & {(one.pid, one.started) for one in last.processes}:
            yield failed(f"Every process of {shown} was replaced during the hold time.")


def strangers(now: WorkloadFacts, before: WorkloadFacts | None) -> tuple[OtherProcess, ...]:
    """Processes that were started after the state before, and not by a unit that was there already."""
    if before is None:
        return ()
    own = {one.pid for one in now.processes}
    since = before.uptime * now.ticks_per_second
    return tuple(
        one
        for one in now.others
        if one.pid not in own and one.started > since and one.unit is not None and (not one.unit or one.fresh)
    )
