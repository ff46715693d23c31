"""Files that processes hold open for writing on a file system, and what became of them during a run."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence

from runwright.model.base import Record
from runwright.verification.findings import Finding, failed, unverifiable
from runwright.verification.protected import SCRATCH
from runwright.verification.sections import Section
from runwright.verification.text import visible

OPEN_FILES_PART = r"""
rw_links=$(ls -l /proc/[0-9]*/fd 2>/dev/null | awk '
  /^\/proc\/[0-9]+\/fd:$/ { split($0, rw_p, "/"); rw_pid = rw_p[3]; next }
  /^l.w/ && / -> \// { rw_i = index($0, " -> "); rw_path = substr($0, rw_i + 4)
    if (ENVIRON["rw_under"] == "/") { if (rw_path ~ /^\/(dev|proc|sys)\//) next }
    else if (index(rw_path "/", ENVIRON["rw_under"] "/") != 1) next
    rw_n = split(substr($0, 1, rw_i - 1), rw_w, " "); print "/proc/" rw_pid "/fd/" rw_w[rw_n], rw_path }
' | head -n 1000)
if [ -n "$rw_links" ]; then
  printf '%s\n' "$rw_links" | sed 's/^/rw-link /'
  rw_fds=$(printf '%s\n' "$rw_links" | cut -d' ' -f1 | grep '^/proc/[0-9]*/fd/[0-9]*$')
  stat -L -c 'rw-stat %n %d %i %s %h %b' -- $rw_fds 2>/dev/null
  grep -H '^flags' $(printf '%s\n' "$rw_fds" | sed 's|/fd/|/fdinfo/|') 2>/dev/null | sed 's/^/rw-flags /'
  rw_dirs=$(printf '%s\n' "$rw_fds" | sed 's|/fd/.*||' | sort -u)
  grep -H '' $(printf '%s/comm ' $rw_dirs) 2>/dev/null | sed 's/^/rw-comm /'
  grep -HoE '[^/]+\.service' $(printf '%s/cgroup ' $rw_dirs) 2>/dev/null | sort -u | sed 's/^/rw-unit /'
fi
if [ -d /run/systemd/system ] && have systemctl; then
  printf 'rw-active '; systemctl list-units --plain --no-legend --no-pager --state=active --type=service,timer \
    2>/dev/null | cut -d' ' -f1 | tr '\n' ' '; echo
fi
:
"""
"""Files that processes hold open for writing on the mount, in five calls however many they are."""

EARLIER_PART = r"""
printf '%s' "$rw_files" | tr '\n' '\000' | xargs -0 stat -L -c 'rw-earlier %f %d %i %s %b %n' -- 2>/dev/null
for rw_pid in $rw_writers; do
  [ -d "/proc/$rw_pid" ] && { IFS= read -r rw_comm <"/proc/$rw_pid/comm"; } 2>/dev/null && \
    printf 'rw-alive %s %s\n' "$rw_pid" "$rw_comm"
done
:
"""
"""What the paths are now that were open before."""

_APPEND = 0o2000
_LOG = re.compile(r"(^|/)(logs?|journal)/|\.(log|out|err)(\.\d+)?$", re.IGNORECASE)
_MOST_EARLIER = 200


class OpenFile(Record):
    pid: int
    name: str
    path: str
    device: int
    inode: int
    size: int
    deleted: bool
    append: bool
    unit: str = ""
    blocks: int | None = None


class EarlierFile(Record):
    """What a path that was open before is now; links are followed."""

    path: str
    regular: bool
    inode: int
    size: int
    blocks: int


class Writers(Record):
    """Who writes on the file system, and what is told of those from before."""

    files: tuple[OpenFile, ...] = ()
    active: tuple[str, ...] | None = None
    """Active services and timers; None without systemd."""
    earlier: tuple[EarlierFile, ...] | None = None
    """None where that was not asked."""
    alive: dict[str, str] | None = None
    """Names of the processes from before that still run, by pid."""


def earlier_parameters(before: Writers) -> dict[str, str]:
    """Parameters of EARLIER_PART."""
    asked = [file for file in before.files if _watched(file) and "\n" not in file.path][:_MOST_EARLIER]
    return {
        "rw_files": "\n".join(dict.fromkeys(file.path for file in asked)),
        "rw_writers": " ".join(str(pid) for pid in sorted({file.pid for file in asked})),
    }


_LINK = re.compile(r"rw-link /proc/(\d+)/fd/(\d+) (/.*)$")
_STAT = re.compile(r"rw-stat /proc/(\d+)/fd/(\d+) (\d+) (\d+) (\d+) (\d+)(?: (\d+))?$")
_FLAGS = re.compile(r"rw-flags /proc/(\d+)/fdinfo/(\d+):flags:\s*([0-7]+)$")
_COMM = re.compile(r"rw-comm /proc/(\d+)/comm:(.*)$")
_UNIT = re.compile(r"rw-unit /proc/(\d+)/cgroup:(\S+)$")
_EARLIER = re.compile(r"rw-earlier ([0-9a-f]+) (\d+) (\d+) (\d+) (\d+) (/.*)$")
_ALIVE = re.compile(r"rw-alive (\d+) (.*)$")


def read_writers(opened: Section | None, earlier: Section | None, device: int | None) -> Writers:
    """Pure. Joins what the calls printed; one entry per file, whoever else has it open."""
    links: dict[tuple[str, str], str] = {}
    flags: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}
    units: dict[str, str] = {}
    stats: dict[tuple[str, str], tuple[int, int, int, int, int | None]] = {}
    active: tuple[str, ...] | None = None
    for line in (opened.text if opened is not None else "").splitlines():
        if match := _LINK.match(line):
            links.setdefault((match[1], match[2]), match[3])
        elif match := _STAT.match(line):
            blocks = int(match[7]) if match[7] else None
            stats[match[1], match[2]] = (int(match[3]), int(match[4]), int(match[5]), int(match[6]), blocks)
        elif match := _FLAGS.match(line):
            flags[match[1], match[2]] = int(match[3], 8)
        elif match := _COMM.match(line):
            names.setdefault(match[1], match[2])
        elif match := _UNIT.match(line):
            units.setdefault(match[1], match[2])
        elif line.startswith("rw-active "):
            active = tuple(visible(word) for word in line.split()[1:])
    found: dict[int, OpenFile] = {}
    for key, (at, inode, size, hard_links, blocks) in stats.items():
        if key not in links or (device is not None and at != device):
            continue
        file = OpenFile(
            pid=int(key[0]),
            name=visible(names.get(key[0], "")) or "a process",
            path=links[key].removesuffix(" (deleted)"),
            device=at,
            inode=inode,
            size=size,
            deleted=hard_links == 0,
            append=bool(flags.get(key, 0) & _APPEND),
            unit=visible(units.get(key[0], "")),
            blocks=blocks,
        )
        found.setdefault(inode, file)
    there, alive = _earlier(earlier)
    return Writers(files=tuple(found.values()), active=active, earlier=there, alive=alive)


def _earlier(section: Section | None) -> tuple[tuple[EarlierFile, ...] | None, dict[str, str] | None]:
    if section is None or not section.ended:
        return None, None
    there, alive = [], {}
    for line in section.text.splitlines():
        if match := _EARLIER.match(line):
            regular = stat.S_ISREG(int(match[1], 16))
            there.append(
                EarlierFile(
                    path=match[6], regular=regular, inode=int(match[3]), size=int(match[4]), blocks=int(match[5])
                )
            )
        elif match := _ALIVE.match(line):
            alive[match[1]] = visible(match[2])
    return tuple(there), alive


def damaged(now: Writers, before: Writers) -> Iterator[Finding]:
    """Faults done to what was being written, and to who wrote it."""
    held = {(file.path, file.device, file.inode): file for file in now.files}
    earlier = {file.path: file for file in now.earlier or ()}
    for was in before.files:
        if not _watched(was):
            continue
        file = held.get((was.path, was.device, was.inode))
        if file is not None:
            yield from _still_open(file, was)
        elif now.earlier is not None and now.alive is not None and now.alive.get(str(was.pid)) != was.name:
            yield from _closed(earlier.get(was.path), was, now)
    yield from _stopped(now, before)


def _watched(file: OpenFile) -> bool:
    return not file.deleted and not SCRATCH.search(file.path)


def _is_log(file: OpenFile) -> bool:
    return bool(_LOG.search(file.path))


def _still_open(now: OpenFile, was: OpenFile) -> Iterator[Finding]:
    who, shown = f"{now.name} (pid {now.pid}) still has it open for writing", visible(was.path)
    if now.deleted:
        yield failed(f"{shown} was deleted while {who}: what it writes is lost.")
    elif now.size < was.size and not (was.append and _is_log(was)):
        yield failed(
            f"{shown} was cut from {was.size} to {now.size} bytes while {who}; "
            "that is harmless for an appended log only."
        )
    elif not _is_log(was):
        yield from _hollow(shown, now.size, now.blocks, was)


def _closed(now: EarlierFile | None, was: OpenFile, writers: Writers) -> Iterator[Finding]:
    """Faults of a file whose writer was ended or restarted meanwhile."""
    shown, who = visible(was.path), f"{was.name} (pid {was.pid})"
    back = bool(was.unit) and (writers.active is None or was.unit in writers.active)
    if now is None:
        if _is_log(was):
            return
        if back:
            yield failed(f"{shown}, which {who} of {was.unit} was writing, was deleted while it was restarted.")
        else:
            yield unverifiable(
                f"{shown}, which {who} was writing, is gone and so is its writer: "
                "whether it was needed is for a person to say."
            )
    elif not now.regular:
        yield failed(f"{shown}, which {who} was writing, leads to a device now: what is written there is lost.")
    elif _is_log(was):
        return
    elif now.size < was.size and (now.size == 0 or now.inode != was.inode):
        yield failed(f"{shown}, which {who} was writing, had {was.size} bytes and has {now.size} now.")
    elif now.size < was.size:
        yield unverifiable(
            f"{shown} shrank from {was.size} to {now.size} bytes while {who} was restarted: "
            "whether its content is whole is for a person to say."
        )
    else:
        yield from _hollow(shown, now.size, now.blocks, was)


def _hollow(shown: str, size: int, blocks: int | None, was: OpenFile) -> Iterator[Finding]:
    """A fault of a file that kept its length and lost what it held."""
    if blocks is None or not was.blocks or blocks >= was.blocks * 0.9 or size < was.size:
        return
    if blocks < was.blocks * 0.05:
        yield failed(f"{shown} is hollow: its {size} bytes take {blocks // 2} KB and took {was.blocks // 2} before.")
    else:
        yield unverifiable(
            f"{shown} takes {blocks // 2} KB and took {was.blocks // 2} KB before: "
            "whether its content is whole is for a person to say."
        )


def _stopped(now: Writers, before: Writers) -> Iterator[Finding]:
    """A fault where a service that writes there was stopped. What a timer starts may end by itself."""
    if now.active is None or before.active is None:
        return
    for unit in sorted({file.unit for file in before.files if file.unit}):
        timed = f"{unit.removesuffix('.service')}.timer" in now.active
        if unit in before.active and unit not in now.active and not timed:
            yield failed(f"{unit}, which writes there, was active before and is not any more.")


def of_deleted(files: Sequence[OpenFile]) -> str:
    """A sentence on the room that deleted files still take; empty if none does."""
    held = [file for file in files if file.deleted and file.size > 0]
    if not held:
        return ""
    largest, total = max(held, key=lambda file: file.size), sum(file.size for file in held) // 1024
    return f" {total} KB are in deleted files that are still open, most of it by {largest.name} (pid {largest.pid})."
