"""Is there room again, on the same file system, with what must survive still there and no writer's file taken away?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import Field

from runwright.model.base import Record
from runwright.model.incidents import DiskFull
from runwright.verification.disks import MOUNTS_PART, PASSING_MOUNTS, Mount, mount_of, read_df, read_mountinfo
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.protected import PathFact, protect_part, read_protected, survivors
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.text import first_line, visible
from runwright.verification.verifier import Verifier, need
from runwright.verification.writers import (
    EARLIER_PART,
    OPEN_FILES_PART,
    Writers,
    damaged,
    earlier_parameters,
    of_deleted,
    read_writers,
)

FSTAB_PART = "cat /etc/fstab 2>/dev/null; :"
SPACE_PART = 'df -P -- "$mount" 2>&1'
INODES_PART = 'df -iP -- "$mount" 2>&1'
DEVICE_PART = """read -r rw_up rw_idle </proc/uptime; printf '%s ' "$rw_up"; stat -c '%d' -- "$mount" """
TOP_PART = """bounded 3 find "$mount" -xdev -mindepth 1 -maxdepth 1 -type d 2>/dev/null | head -n 300; :"""
OTHERS_PART = """bounded 3 df -Pkl 2>/dev/null; :"""
_FULL_WITHIN = 60.0
"""Seconds: a disk that fills again within these is not healed."""
_GROWTH_KB = 1024
_CROWDED = 90


class OtherDisk(Record):
    """Another file system of the host."""

    mount: str
    used_kb: int
    used_percent: int
    memory: bool
    """It lives in memory (tmpfs)."""


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
    inodes: int | None = None
    inodes_used: int | None = None
    uptime: float | None = None
    in_fstab: bool = False
    protected: tuple[PathFact, ...] = ()
    writers: Writers = Writers()
    others: tuple[OtherDisk, ...] = ()
    submounts: dict[str, str] = Field(default_factory=dict)
    """File system types by mount point below this one."""
    top: tuple[str, ...] = ()
    """Directories at the top of the mount."""

    def line(self) -> str:
        inodes = f", inodes {self.inodes_used_percent}%" if self.inodes_used_percent is not None else ""
        held = sum(file.size for file in self.writers.files if file.deleted)
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
        parts = [
            ("mounts", MOUNTS_PART),
            ("fstab", FSTAB_PART),
            ("space", SPACE_PART),
            ("inodes", INODES_PART),
            ("device", DEVICE_PART),
            ("protect", protect_part(subject.protect)),
            ("others", OTHERS_PART),
            ("top", TOP_PART),
            ("open", OPEN_FILES_PART),
        ]
        parameters = {"mount": subject.mount, "rw_under": subject.mount.rstrip("/") or "/"}
        parameters |= {f"protect_{number}": path for number, path in enumerate(subject.protect)}
        return Question(parts=parts, parameters=parameters, timeout=30.0)

    def question_after(self, subject: DiskFull, before: DiskFacts | None) -> Question:
        asked = self.question(subject)
        if before is None:
            return asked
        parameters = {**asked.parameters, **earlier_parameters(before.writers)}
        return replace(asked, parts=[*asked.parts, ("earlier", EARLIER_PART)], parameters=parameters)

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
            inodes=inode_rows[-1].size if inode_rows else None,
            inodes_used=inode_rows[-1].used if inode_rows else None,
            uptime=uptime,
            in_fstab=_in_fstab(subject.mount, sections.get("fstab")),
            protected=read_protected(subject.protect, sections.get("protect")),
            writers=read_writers(sections.get("open"), sections.get("earlier"), device),
            others=_others(found.point, sections, mounts),
            submounts={
                visible(one.point): one.filesystem
                for one in mounts
                if one.point.startswith(found.point.rstrip("/") + "/") and not PASSING_MOUNTS.match(one.point)
            },
            top=_top(sections.get("top")),
        )

    def judge(self, subject: DiskFull, before: DiskFacts | None, looks: Sequence[DiskFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(look.line() for look in looks)
        if before is not None:
            evidence = f"before: {before.line()}\n{evidence}"
        faults = [*_same_place(last, before), *_room(subject, last)]
        faults += survivors(len(subject.protect), last.protected, before.protected if before is not None else ())
        if before is not None:
            faults += damaged(last.writers, before.writers)
            faults += _elsewhere(subject, last, before)
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
        because = of_deleted(now.writers.files)
        yield failed(f"{now.used_percent}% of the space of {shown} is used; wanted: below {limit:g}%.{because}")


def _elsewhere(subject: DiskFull, now: DiskFacts, before: DiskFacts) -> Iterator[Finding]:
    """Faults of room that was made at another place's cost, or that only seems to be there."""
    shown, freed = visible(now.mount), before.used_kb - now.used_kb
    earlier = {one.mount: one for one in before.others}
    for one in now.others:
        was = earlier.get(one.mount)
        grown = one.used_kb - (was.used_kb if was else 0)
        if grown < _GROWTH_KB or one.mount in now.submounts.keys() - before.submounts.keys():
            continue
        # Where nothing was freed, or there is room without what went, memory that grew is some other program's.
        needed = _percent(now.used_kb + grown, now.used_kb + max(now.free_kb, 0)) >= subject.threshold_percent
        if one.memory and needed and freed >= _GROWTH_KB and grown > max(4 * _GROWTH_KB, freed // 2):
            yield failed(f"{one.mount}, which is memory, grew by {grown // 1024} MB: moved, and gone at the next boot.")
        elif not one.memory and one.used_percent >= _CROWDED and (was is None or was.used_percent < _CROWDED):
            yield failed(f"{one.mount} is {one.used_percent}% full now: the room of {shown} was made at its cost.")
    for point, filesystem in now.submounts.items():
        if point not in before.submounts and _hides(subject, now.mount, point):
            verdict = failed if filesystem in ("tmpfs", "ramfs", "overlay") else unverifiable
            yield verdict(f"{filesystem} is mounted on {point} now: what lies below it is hidden, not removed.")
    usable = before.used_kb + max(before.free_kb, 0)
    limit = subject.threshold_percent
    if before.filesystem == "tmpfs" and now.size_kb > before.size_kb and _percent(now.used_kb, usable) >= limit:
        yield unverifiable(
            f"{shown} was enlarged from {before.size_kb} to {now.size_kb} KB of memory and too little was removed: "
            "whether the host can spare it is for a person to say."
        )
    kept = before.size_kb - before.used_kb - before.free_kb
    left = now.size_kb - now.used_kb - now.free_kb
    inodes = before.inodes or 0
    if subject.inodes and (now.inodes or 0) > inodes and _percent(now.inodes_used or 0, inodes) >= limit:
        yield unverifiable(
            f"{shown} was given more inodes ({inodes} before, {now.inodes} now) and too little was removed: "
            "whether that may be is for a person to say."
        )
    given_up = now.size_kb == before.size_kb and kept > before.size_kb // 100 and left < kept // 2
    if given_up and _percent(now.used_kb, now.size_kb - kept) >= limit:
        yield failed(f"The blocks of {shown} that are reserved for root were given up; too little was removed.")
    lost = [name for name in before.top if name not in now.top]
    if len(lost) > 1 and 2 * len(lost) > len(before.top):
        yield unverifiable(
            f"{len(lost)} of the {len(before.top)} directories at the top of {shown} are gone, as {lost[0]}: "
            "whether they were needed is for a person to say."
        )


def _hides(subject: DiskFull, mount: str, point: str) -> bool:
    """Whether a mount may hide what this is about: a directory at the top, or what must be kept.

    Deeper ones come and go with containers and sessions, and hide an empty directory that was made for them.
    """
    if "/" not in point.removeprefix(mount.rstrip("/")).strip("/"):
        return True
    kept = [path.rstrip("/") for path in subject.protect or ()]
    return any(f"{path}/".startswith(f"{point}/") or point.startswith(f"{path}/") for path in kept)


def _percent(used: int, usable: int) -> int:
    """Rounded up, as df does."""
    return -(-100 * used // usable) if usable > 0 else 0


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


def _top(section: Section | None) -> tuple[str, ...]:
    return tuple(visible(line) for line in (section.text if section is not None else "").splitlines() if line)


def _others(point: str, sections: Sections, mounts: Sequence[Mount]) -> tuple[OtherDisk, ...]:
    section = sections.get("others")
    kinds = {mount.point: mount.filesystem for mount in mounts}
    return tuple(
        OtherDisk(
            mount=visible(row.mount),
            used_kb=row.used,
            used_percent=row.used_percent or 0,
            memory=kinds.get(row.mount) in ("tmpfs", "ramfs"),
        )
        for row in read_df(section.text if section is not None else "")
        if row.mount != point
    )
