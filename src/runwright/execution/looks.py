"""The cheap look that the host's supervisor takes right before and right after an attempt, and what it tells.

It costs no round trip and, but for `df` where a disk is the subject, no process: the shell reads what the kernel and
the service manager keep in files. What that cannot show is compared between the states before and after the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from runwright.model.documents import Step
from runwright.model.executions import AttemptRecord
from runwright.model.incidents import IncidentBrief, IncidentType
from runwright.model.ports.hosts import Look
from runwright.model.states import DiskFact, StateChange
from runwright.runbooks.parameters import ResolvedParameters, scalar
from runwright.verification.findings import NoEvidence
from runwright.verification.text import visible
from runwright.verification.units import subject_units, unit_name

UNITS = 3
"""Units looked at: the step's own first, then the subject's."""
DISK_POINTS = 1
"""Percentage points below which a disk counts as unchanged over a step."""
DISK_KB = 102_400
"""A change below a percentage point is still told from 100 MB on."""
MEMORY_SHARE, MEMORY_KB = 0.1, 8_192
"""A process's memory counts as changed from a tenth and 8 MB on."""

TEXT = r"""
look_saw=-
for look_n in 0 1 2; do
  case $look_n in 0) look_unit=$look_0 ;; 1) look_unit=$look_1 ;; *) look_unit=$look_2 ;; esac
  [ -n "$look_unit" ] || continue
  look_is= look_pid= look_kept= look_rss=
  if [ -d /run/systemd/units ]; then
    look_is=inactive
    [ ! -h "/run/systemd/units/invocation:$look_unit" ] || look_is=active
  elif [ -d /run/openrc/started ]; then
    look_is=inactive
    [ ! -h "/run/openrc/started/${look_unit%.service}" ] || look_is=active
  fi
  for look_at in /sys/fs/cgroup/systemd /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -e "$look_at/system.slice/$look_unit/cgroup.procs" ] || continue
    { read -r look_pid <"$look_at/system.slice/$look_unit/cgroup.procs"; } 2>/dev/null
    break
  done
  [ -z "$look_pid" ] || { read -r look_x look_rss look_x <"/proc/$look_pid/statm"; } 2>/dev/null
  if [ "$look_when" = before ]; then
    case $look_n in 0) look_p0=$look_pid ;; 1) look_p1=$look_pid ;; *) look_p2=$look_pid ;; esac
  else
    case $look_n in 0) look_kept=$look_p0 ;; 1) look_kept=$look_p1 ;; *) look_kept=$look_p2 ;; esac
    if [ -n "$look_kept" ] && [ -d "/proc/$look_kept" ]; then look_kept=kept; else look_kept=; fi
  fi
  look_saw="$look_saw $look_n=$look_is:$look_pid:$look_rss:$look_kept"
done
if [ -n "$look_mount" ] && [ "$look_when" != "$look_known" ]; then
  look_df() { look_saw="$look_saw d=$5:$3"; }
  look_x=$(df -P -- "$look_mount" 2>/dev/null)
  look_df ${look_x##*
}
fi
"""
"""Runs in the supervisor's own shell: no `exit`, no positional parameters, names of its own. dash and BusyBox ash."""

_UNIT = re.compile(r"([0-2])=(active|inactive|):(\d*):(\d*):(kept|)")
_DISK = re.compile(r"d=(\d+)%:(\d+)")
_PAGE_KB = 4


class Looker:
    """What is looked at in one run. Keeps the last seen figures of the subject's disk, to ask for it once a step."""

    def __init__(self, brief: IncidentBrief) -> None:
        self._brief = brief
        self._subject = subject_units(brief)
        self._mount = ""
        self._disk: tuple[int, int] | None = None

    def begin(self, disks: Iterable[DiskFact], *, fresh: bool) -> None:
        """Take the disks of the captured state: a mount among them can be asked without danger of hanging.

        `fresh`: captured just now, so its figures are those before the next step.
        """
        subject = self._brief.typed_subject.value("mount")
        for disk in disks:
            if self._brief.incident_type == IncidentType.DISK_FULL and disk.mount == subject:
                self._mount = disk.mount
                self._disk = (round(disk.used_percent), disk.used_kb) if fresh else None

    def look(self, step: Step, resolved: ResolvedParameters) -> Look | None:
        """The look for one step; None where there is nothing cheap to look at."""
        units = self._units(step, resolved)
        if not units and not self._mount:
            return None
        names = {f"look_{number}": unit for number, unit in enumerate((*units, "", "", "")[:UNITS])}
        known = "before" if self._disk is not None else ""
        return Look(text=TEXT, parameters={**names, "look_mount": self._mount, "look_known": known})

    def changes(self, step: Step, resolved: ResolvedParameters, looked: str) -> tuple[StateChange, ...]:
        """What the answer of a look says, `before / after`. Nothing where it was cut or is no such answer."""
        before, slash, after = looked.partition(" / ")
        if not slash:
            self._disk = None
            return ()
        units = self._units(step, resolved)
        was, now = _units(before), _units(after)
        found: list[StateChange] = []
        for number, unit in enumerate(units):
            if number in was and number in now:
                found += self._unit(unit.removesuffix(".service"), was[number], now[number])
        found += self._disk_changes(_disk(before) or self._disk, _disk(after))
        self._disk = _disk(after)
        return tuple(found)

    def told(self, step: Step, resolved: ResolvedParameters, outcome: AttemptRecord) -> AttemptRecord:
        """The outcome with its changes in place of the raw answer."""
        looked = outcome.extra.get("looked")
        changes = self.changes(step, resolved, looked if isinstance(looked, str) else "")
        if looked is None:
            return outcome
        extra = {name: value for name, value in outcome.extra.items() if name != "looked"}
        return outcome.model_copy(update={"state_changes": changes, "extra": extra})

    def _units(self, step: Step, resolved: ResolvedParameters) -> tuple[str, ...]:
        own: tuple[str, ...] = ()
        if step.service is not None:
            try:
                own = (unit_name(str(scalar(step.service.name, resolved.values))),)
            except NoEvidence:
                own = ()
        return tuple(dict.fromkeys((*own, *self._subject)))[:UNITS]

    def _unit(self, name: str, was: Mapping[str, str], now: Mapping[str, str]) -> Iterable[StateChange]:
        shown, path = visible(name), f"services.{name}"
        if was["is"] and now["is"] and was["is"] != now["is"]:
            text = f"{shown}: {was['is']} -> {now['is']}"
            yield StateChange(path=f"{path}.active", before=was["is"], after=now["is"], text=text)
        elif was["pid"] and now["pid"] and was["pid"] != now["pid"] and not now["kept"]:
            text = f"{shown}: restarted (process {was['pid']} -> {now['pid']})"
            yield StateChange(path=f"{path}.main_pid", before=was["pid"], after=now["pid"], text=text)
        if self._brief.incident_type == IncidentType.MEMORY_LEAK and was["rss"] and now["rss"]:
            yield from _memory(shown, path, int(was["rss"]) * _PAGE_KB, int(now["rss"]) * _PAGE_KB)

    def _disk_changes(self, was: tuple[int, int] | None, now: tuple[int, int] | None) -> Iterable[StateChange]:
        if was is None or now is None:
            return
        (old, old_kb), (new, new_kb) = was, now
        path = f"disks.{self._mount}"
        if abs(new - old) >= DISK_POINTS:
            text = f"{self._mount}: {old}% -> {new}% ({amount(new_kb - old_kb)})"
            yield StateChange(path=f"{path}.used_percent", before=f"{old}%", after=f"{new}%", text=text)
        elif abs(new_kb - old_kb) >= DISK_KB:
            text = f"{self._mount}: {amount(new_kb - old_kb)}"
            yield StateChange(path=f"{path}.used_kb", before=str(old_kb), after=str(new_kb), text=text)


def amount(kilobytes: int) -> str:
    """`-1.5 GB`, `+300 MB`: a change of space with its sign, in units of 1024."""
    size, unit = abs(kilobytes) / 1024, "MB"
    if size >= 1024:
        size, unit = size / 1024, "GB"
    return f"{'-' if kilobytes < 0 else '+'}{size:.3g} {unit}" if size < 1000 else f"{kilobytes / 1024 / 1024:+.0f} GB"


def _memory(name: str, path: str, was: int, now: int) -> Iterable[StateChange]:
    if abs(now - was) >= max(MEMORY_KB, was * MEMORY_SHARE):
        text = f"{name}: memory {was // 1024} MB -> {now // 1024} MB"
        yield StateChange(path=f"{path}.memory_kb", before=str(was), after=str(now), text=text)


def merged(changes: Iterable[StateChange]) -> tuple[StateChange, ...]:
    """Changes of several attempts as one step's: the first before with the last after, each path once."""
    found: dict[str, StateChange] = {}
    for change in changes:
        first = found.get(change.path)
        if first is None:
            found[change.path] = change
        elif first.before == change.after:
            del found[change.path]
        else:
            text = change.text
            if first.text.count(" -> ") == 1 and first.before and change.before:
                text = change.text.replace(f"{change.before} ->", f"{first.before} ->", 1)
            found[change.path] = change.model_copy(update={"before": first.before, "text": text})
    return tuple(found.values())


def _units(text: str) -> dict[int, dict[str, str]]:
    return {
        int(match[1]): {"is": match[2], "pid": match[3], "rss": match[4], "kept": match[5]}
        for match in map(_UNIT.fullmatch, text.split())
        if match
    }


def _disk(text: str) -> tuple[int, int] | None:
    for word in text.split():
        if match := _DISK.fullmatch(word):
            return int(match[1]), int(match[2])
    return None
