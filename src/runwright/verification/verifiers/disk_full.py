"""Is there room again, on the same file system, with what must survive still there and no writer's file taken away?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runwright.model.base import Record
from runwright.model.incidents import DiskFull
from runwright.verification.disks import mount_of, read_df, read_mountinfo
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.text import first_line, visible
from runwright.verification.verifier import Verifier, need

MOUNTS_PART = "cat /proc/self/mountinfo"
FSTAB_PART = "cat /etc/fstab 2>/dev/null; :"
SPACE_PART = 'df -P -- "$mount" 2>&1'
INODES_PART = 'df -iP -- "$mount" 2>&1'
DEVICE_PART = """read -r rw_up rw_idle </proc/uptime; printf '%s ' "$rw_up"; stat -c '%d' -- "$mount" """
PROTECT_PART = r"""
rw_one() {
  printf 'rw-path %s ' "$1"
  if [ ! -e "$2" ] && [ ! -L "$2" ]; then printf 'absent\n'; return 0; fi
  stat -c '%i %s %f' -- "$2" || { printf 'unread\n'; return 0; }
  if [ -d "$2" ]; then
    printf 'rw-tree %s %s %s\n' "$1" "$(bounded 5 find "$2" -xdev -type f 2>/dev/null | wc -l)" \
      "$(bounded 5 du -skx -- "$2" 2>/dev/null | cut -f1)"
  fi
}
"""
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
  stat -L -c 'rw-stat %n %d %i %s %h' -- $rw_fds 2>/dev/null
  grep -H '^flags' $(printf '%s\n' "$rw_fds" | sed 's|/fd/|/fdinfo/|') 2>/dev/null | sed 's/^/rw-flags /'
  grep -H '' $(printf '%s\n' "$rw_fds" | sed 's|/fd/.*|/comm|' | sort -u) 2>/dev/null | sed 's/^/rw-comm /'
fi; :
"""
"""Files that processes hold open for writing on the mount, in four calls however many they are."""

_APPEND = 0o2000
_LOG = re.compile(r"(^|/)(logs?|journal)/|\.(log|out|err)(\.\d+)?$", re.IGNORECASE)
_OWN_BUSINESS = re.compile(r"(-wal|-journal|-shm|\.tmp|\.swp|\.pid|\.lock)$|^(/tmp|/var/tmp|/run|/dev/shm)/")
"""What programs cut and delete by themselves as they work: write-ahead logs, scratch files."""
_FULL_WITHIN = 60.0
"""Seconds: a disk that fills again within these is not healed."""
_GROWTH_KB = 1024


class PathFact(Record):
    """A path that must survive."""

    path: str
    exists: bool
    size: int | None = None
    """Bytes of a file."""
    files: int | None = None
    """Regular files below a directory."""
    kb: int | None = None
    """Kilobytes that a directory takes."""


class OpenFile(Record):
    pid: int
    name: str
    path: str
    device: int
    inode: int
    size: int
    deleted: bool
    append: bool


class DiskFacts(Record):
    """What the host says of the mount, what is protected on it, and who writes there."""

    mount: str
    point: str
    """The mount point that the subject lies on."""
    filesystem: str
    source: str
    root: str
    device: int | None
    """st_dev of the subject."""
    read_only: bool = False
    size_kb: int
    used_kb: int
    free_kb: int
    used_percent: int
    inodes_used_percent: int | None = None
    uptime: float | None = None
    in_fstab: bool = False
    protected: tuple[PathFact, ...] = ()
    open_files: tuple[OpenFile, ...] = ()

    def line(self) -> str:
        inodes = f", inodes {self.inodes_used_percent}%" if self.inodes_used_percent is not None else ""
        held = sum(file.size for file in self.open_files if file.deleted)
        deleted = f", {held // 1024} KB in deleted files that are still open" if held else ""
        return (
            f"{self.mount}: {self.used_percent}% of {self.size_kb} KB used{inodes}; "
            f"{self.filesystem} {self.source} on {self.point}{deleted}"
        )


class DiskFullVerifier(Verifier[DiskFull, DiskFacts]):
    """disk_full: `mount`, `threshold_percent`, `inodes`, `protect`."""

    incident_type = "disk_full"
    facts = DiskFacts

    def question(self, subject: DiskFull, *, baseline: bool = False) -> Question:
        if not subject.mount.startswith("/"):
            raise NoEvidence(f"found the mount {subject.mount!r}, which is not an absolute path")
        calls = "\n".join(f'rw_one {number} "$protect_{number}" 2>/dev/null' for number in range(len(subject.protect)))
        parts = [
            ("mounts", MOUNTS_PART),
            ("fstab", FSTAB_PART),
            ("space", SPACE_PART),
            ("inodes", INODES_PART),
            ("device", DEVICE_PART),
            ("protect", f"{PROTECT_PART}{calls}\n:"),
            ("open", OPEN_FILES_PART),
        ]
        parameters = {"mount": subject.mount, "rw_under": subject.mount.rstrip("/") or "/"}
        parameters |= {f"protect_{number}": path for number, path in enumerate(subject.protect)}
        return Question(parts=parts, parameters=parameters, timeout=30.0)

    def read(self, subject: DiskFull, sections: Sections) -> DiskFacts:
        space = need(sections, "space", "the space of the file system")
        rows = read_df(space.text)
        if not rows:
            raise NoEvidence(f"df could not say how full {subject.mount} is: {first_line(space.text)}")
        mounts = read_mountinfo(need(sections, "mounts", "its mounts").text)
        found = mount_of(subject.mount, mounts)
        if found is None or rows[-1].used_percent is None:
            raise NoEvidence(f"{subject.mount} is on no file system that counts its space")
        inodes = sections.get("inodes")
        inode_rows = read_df(inodes.text) if inodes is not None and inodes.status == 0 else ()
        uptime, device = _device(sections.get("device"))
        return DiskFacts(
            mount=subject.mount,
            point=found.point,
            filesystem=found.filesystem,
            source=found.source,
            root=found.root,
            device=device,
            read_only="ro" in found.options.split(","),
            size_kb=rows[-1].size,
            used_kb=rows[-1].used,
            free_kb=rows[-1].free,
            used_percent=rows[-1].used_percent,
            inodes_used_percent=inode_rows[-1].used_percent if inode_rows else None,
            uptime=uptime,
            in_fstab=_in_fstab(subject.mount, sections.get("fstab")),
            protected=_protected(subject, sections.get("protect")),
            open_files=_open_files(sections.get("open"), device),
        )

    def judge(self, subject: DiskFull, before: DiskFacts | None, looks: Sequence[DiskFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(look.line() for look in looks)
        if before is not None:
            evidence = f"before: {before.line()}\n{evidence}"
        faults = [*_same_place(last, before), *_room(subject, last), *_survivors(subject, last, before)]
        if before is not None:
            faults += _writers(last, before)
        if len(looks) > 1:
            faults += _filling(subject, looks[0], last)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        what, value = ("inodes", last.inodes_used_percent) if subject.inodes else ("space", last.used_percent)
        kinds = [Evidence.FILESYSTEM]
        if before is not None:
            kinds.append(Evidence.BEFORE)
        if subject.protect and before is not None:
            kinds.append(Evidence.FILES)
        return passed(
            f"{value}% of the {what} of {visible(subject.mount)} is used, below {subject.threshold_percent:g}%.",
            evidence,
            *kinds,
        )


def _same_place(now: DiskFacts, before: DiskFacts | None) -> Iterator[Finding]:
    """Faults of the mount itself: gone, or another one in its place."""
    shown = visible(now.mount)
    own = now.point == (now.mount.rstrip("/") or "/")
    if before is None:
        if not own and now.in_fstab:
            yield failed(f"{shown} is not mounted, although /etc/fstab names it.")
        elif not own:
            yield unverifiable(
                f"{shown} is no mount point of its own and there is no state before: "
                "whether a file system was unmounted there cannot be seen."
            )
    elif now.point != before.point:
        yield failed(f"{shown} was on the file system of {before.point} and is on that of {now.point} now: unmounted.")
    elif (now.device, now.filesystem, now.source, now.root) != (
        before.device,
        before.filesystem,
        before.source,
        before.root,
    ):
        yield failed(
            f"Another file system is mounted on {now.point} now ({before.filesystem} {before.source} before, "
            f"{now.filesystem} {now.source} now)."
        )
    elif now.read_only and not before.read_only:
        yield failed(f"{shown} is mounted read-only now.")


def _room(subject: DiskFull, now: DiskFacts) -> Iterator[Finding]:
    shown, limit = visible(subject.mount), subject.threshold_percent
    if subject.inodes:
        if now.inodes_used_percent is None:
            yield unverifiable(f"The file system of {shown} does not count inodes.")
        elif now.inodes_used_percent >= limit:
            yield failed(f"{now.inodes_used_percent}% of the inodes of {shown} is used; wanted: below {limit:g}%.")
        return
    if now.used_percent >= limit:
        held = [file for file in now.open_files if file.deleted and file.size > 0]
        because = ""
        if held:
            largest = max(held, key=lambda file: file.size)
            total = sum(file.size for file in held) // 1024
            because = (
                f" {total} KB are in deleted files that are still open, most of it by "
                f"{largest.name} (pid {largest.pid})."
            )
        yield failed(f"{now.used_percent}% of the space of {shown} is used; wanted: below {limit:g}%.{because}")


def _survivors(subject: DiskFull, now: DiskFacts, before: DiskFacts | None) -> Iterator[Finding]:
    """Faults of what `protect` names."""
    earlier = {fact.path: fact for fact in before.protected} if before is not None else {}
    if len(now.protected) < len(subject.protect):
        yield unverifiable("The host did not tell of every protected path.")
    for fact in now.protected:
        shown, was = visible(fact.path), earlier.get(fact.path)
        if was is not None and not was.exists:
            continue
        if not fact.exists:
            yield failed(f"The protected path {shown} does not exist{' any more' if was else ''}.")
        elif was is None:
            continue
        elif fact.files is None and was.files is None and (fact.size or 0) < (was.size or 0):
            yield failed(f"The protected file {shown} shrank from {was.size} to {fact.size} bytes.")
        elif (was.files is None) is not (fact.files is None):
            yield failed(f"The protected path {shown} is of another kind than before.")
        elif fact.files is not None and (fact.files < (was.files or 0) or (fact.kb or 0) < (was.kb or 0)):
            yield failed(
                f"The protected directory {shown} shrank from {was.files} files and {was.kb} KB "
                f"to {fact.files} files and {fact.kb} KB."
            )


def _writers(now: DiskFacts, before: DiskFacts) -> Iterator[Finding]:
    """Faults done to files that a process still has open for writing."""
    held = {(file.path, file.device, file.inode): file for file in now.open_files}
    for was in before.open_files:
        file = held.get((was.path, was.device, was.inode))
        if file is None or was.deleted or _OWN_BUSINESS.search(was.path):
            continue
        who = f"{file.name} (pid {file.pid}) still has it open for writing"
        if file.deleted:
            yield failed(f"{visible(was.path)} was deleted while {who}: what it writes is lost.")
        elif file.size < was.size and not (was.append and _LOG.search(was.path)):
            yield failed(
                f"{visible(was.path)} was cut from {was.size} to {file.size} bytes while {who}; "
                "that is harmless for an appended log only."
            )


def _filling(subject: DiskFull, first: DiskFacts, last: DiskFacts) -> Iterator[Finding]:
    """A fault if the space will be over the threshold again within a minute at the rate just seen."""
    seconds = (last.uptime or 0.0) - (first.uptime or 0.0)
    grown = last.used_kb - first.used_kb
    if subject.inodes or seconds <= 0 or grown < _GROWTH_KB:
        return
    room = (last.used_kb + max(last.free_kb, 0)) * subject.threshold_percent / 100 - last.used_kb
    left = room / (grown / seconds)
    if left < _FULL_WITHIN:
        yield failed(
            f"{visible(last.mount)} fills by {grown / seconds / 1024:.1f} MB/s: "
            f"over {subject.threshold_percent:g}% again in {max(left, 0):.0f} s."
        )


def _device(section: Section | None) -> tuple[float | None, int | None]:
    words = section.text.split() if section is not None and section.ended else []
    uptime = float(words[0]) if words and re.fullmatch(r"\d+(\.\d+)?", words[0]) else None
    return uptime, int(words[1]) if len(words) > 1 and words[1].isdecimal() else None


def _in_fstab(mount: str, section: Section | None) -> bool:
    rows = (line.split() for line in (section.text if section else "").splitlines() if not line.startswith("#"))
    return any(len(row) > 1 and row[1].rstrip("/") == mount.rstrip("/") for row in rows)


def _protected(subject: DiskFull, section: Section | None) -> tuple[PathFact, ...]:
    found: dict[int, PathFact] = {}
    for line in (section.text if section is not None else "").splitlines():
        words = line.split()
        if len(words) < 3 or not words[1].isdecimal() or int(words[1]) >= len(subject.protect):
            continue
        number, path = int(words[1]), subject.protect[int(words[1])]
        if words[0] == "rw-path" and words[2] == "absent":
            found[number] = PathFact(path=path, exists=False)
        elif words[0] == "rw-path" and len(words) == 5 and words[3].isdecimal():
            found[number] = PathFact(path=path, exists=True, size=int(words[3]))
        elif words[0] == "rw-tree" and number in found and len(words) == 4:
            found[number] = PathFact(path=path, exists=True, files=int(words[2]), kb=int(words[3]))
    return tuple(found[number] for number in sorted(found))


_LINK = re.compile(r"rw-link /proc/(\d+)/fd/(\d+) (/.*)$")
_STAT = re.compile(r"rw-stat /proc/(\d+)/fd/(\d+) (\d+) (\d+) (\d+) (\d+)$")
_FLAGS = re.compile(r"rw-flags /proc/(\d+)/fdinfo/(\d+):flags:\s*([0-7]+)$")
_COMM = re.compile(r"rw-comm /proc/(\d+)/comm:(.*)$")


def _open_files(section: Section | None, device: int | None) -> tuple[OpenFile, ...]:
    """Joins what the four calls printed; one entry per file, whoever else has it open."""
    links: dict[tuple[str, str], str] = {}
    flags: dict[tuple[str, str], int] = {}
    names: dict[str, str] = {}
    stats: dict[tuple[str, str], tuple[int, int, int, int]] = {}
    for line in (section.text if section is not None else "").splitlines():
        if match := _LINK.match(line):
            links.setdefault((match[1], match[2]), match[3])
        elif match := _STAT.match(line):
            stats[match[1], match[2]] = (int(match[3]), int(match[4]), int(match[5]), int(match[6]))
        elif match := _FLAGS.match(line):
            flags[match[1], match[2]] = int(match[3], 8)
        elif match := _COMM.match(line):
            names.setdefault(match[1], match[2])
    found: dict[int, OpenFile] = {}
    for key, (at, inode, size, hard_links) in stats.items():
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
        )
        found.setdefault(inode, file)
    return tuple(found.values())
