"""Did the job itself make a recent archive that can be read and restored from, and are the older ones still there?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runwright.model.base import Record
from runwright.model.incidents import BackupFailure
from runwright.verification.archives import READ_PART, ArchiveRead, archive_fault, read_archive
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.standing import UnitState, read_unit_state, unit_part, weakened
from runwright.verification.text import visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import Verifier, need

JOB_PART = f"""
case $unit in *.timer) unit=$(systemctl show -p Unit -- "$unit" 2>/dev/null | cut -d= -f2);; esac
{unit_part("unit")}
"""
"""A timer stands for the service that it starts."""
LIST_PART = r"""
if [ -d "$path" ]; then
  printf 'rw-now %s\n' "$(date +%s)"
  find "$path" -xdev -maxdepth 3 -type f -exec stat -c 'rw-file %Y %s %n' -- {} + 2>/dev/null | sort -rn -k2 |
    awk 'NR <= 2000 { print } END { print "rw-count " NR }'
else printf 'rw-absent\n'; fi; :
"""

_SMALLER = 0.5
"""An archive below this share of the one before it is not taken for complete without a person."""
_MOST = 2000
_SLACK = 2.0
"""Seconds by which an archive may be older or younger than the run that wrote it."""
_BY_THE_WAY = re.compile(r"\.(tmp|part|partial|new|lock|log|pid)$|(^|/)\.[^/]*$")
"""Files beside the archives that a sound fix may remove."""


class Archive(Record):
    path: str
    modified: int
    size: int


class BackupFacts(Record):
    """The job, the archives, and whether the newest can be read."""

    systemd: bool
    job: UnitState | None = None
    now: int | None = None
    archives: tuple[Archive, ...] | None = None
    """None where the directory does not exist; newest first."""
    count: int = 0
    read: ArchiveRead = ArchiveRead()

    def lines(self) -> list[str]:
        count = "no directory" if self.archives is None else f"{self.count} files"
        job = f"{self.job.active}/{self.job.sub} result={self.job.result}" if self.job is not None else "not systemd's"
        return [f"job {job}; {count}", *([self.read.line()] if self.read.newest else [])]


class BackupFailureVerifier(Verifier[BackupFailure, BackupFacts]):
    """backup_failure: `job`, `path`, `max_age`."""

    incident_type = "backup_failure"
    facts = BackupFacts

    def question(self, subject: BackupFailure, *, baseline: bool = False) -> Question:
        parts = [("job", JOB_PART)]
        parameters = {"unit": unit_name(subject.job), "rw_known": ""}
        if subject.path is not None:
            if not subject.path.startswith("/"):
                raise NoEvidence(f"found the path {subject.path!r}, which is not absolute")
            parts.append(("list", LIST_PART))
            parameters["path"] = subject.path
            if not baseline:
                parts.append(("read", READ_PART))
        return Question(parts, parameters, timeout=150.0)

    def question_after(self, subject: BackupFailure, before: BackupFacts | None) -> Question:
        asked = self.question(subject)
        job = before.job if before is not None else None
        known = job.standing.known if job is not None and job.standing is not None else ""
        return replace(asked, parameters={**asked.parameters, "rw_known": known})

    def read(self, subject: BackupFailure, sections: Sections) -> BackupFacts:
        job = read_unit_state(subject.job, need(sections, "job", f"the job {subject.job}"))
        facts = BackupFacts(systemd=job is not None, job=job)
        if subject.path is None:
            return facts
        listed = need(sections, "list", f"the archives in {subject.path}")
        facts = facts.model_copy(update=_archives(listed))
        return facts.model_copy(update={"read": read_archive(sections.get("read"))})

    def judge(self, subject: BackupFailure, before: BackupFacts | None, looks: Sequence[BackupFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(last.lines())
        faults = [*_job_faults(subject, last, before)]
        if subject.path is not None:
            faults += _archive_faults(subject, last, before)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        kinds = [*([Evidence.UNIT] if last.systemd else []), *([Evidence.BEFORE] if before else [])]
        if subject.path is None:
            return passed(f"The last run of {visible(subject.job)} succeeded.", evidence, *kinds)
        kinds.append(Evidence.FILES)
        said = f"{visible(last.read.newest)} is recent and was read to its end"
        if last.read.restored:
            kinds += [Evidence.ARCHIVE, Evidence.RESTORED]
            return passed(f"{said}, and a sample of it was restored.", evidence, *kinds)
        if last.read.opaque:
            return passed(f"{said}; its form is not known, so its content was not checked.", evidence, *kinds)
        return passed(f"{said}; no sample could be restored.", evidence, *kinds, Evidence.ARCHIVE)


def _job_faults(subject: BackupFailure, now: BackupFacts, before: BackupFacts | None) -> Iterator[Finding]:
    shown, job = visible(subject.job), now.job
    was = before.job if before is not None else None
    if job is None:
        if subject.path is None:
            yield unverifiable(f"The host has no systemd to ask about {shown}, and the incident names no path.")
    elif job.load != "loaded":
        yield failed(f"The job {shown} cannot be loaded (systemd says {job.load}).")
    elif job.active in ("activating", "reloading"):
        yield unverifiable(f"The job {shown} is still running.", settling=True)
    elif job.active == "failed" or job.result != "success" or job.status not in (0, None):
        yield failed(f"The last run of {shown} did not succeed (result {job.result}, status {job.status}).")
    elif was is not None and (was.active == "failed" or was.result != "success") and not job.ran_since(was):
        if job.ran_since(was) is None:
            yield unverifiable(f"The job {shown} failed before, and nothing shows whether it has run since.")
        else:
            yield failed(f"The job {shown} failed before and has not run since: its failure was merely cleared.")
    elif subject.path is None and (not job.invocation if was is None else not job.ran_since(was)):
        yield unverifiable(f"Nothing shows that {shown} ran after the incident, and the incident names no path.")
    if job is not None and was is not None:
        if was.enablement == "enabled" and job.enablement in ("disabled", "masked", "linked"):
            yield failed(f"The job {shown} was enabled before and is {job.enablement} now.")
        yield from weakened(job.standing, was.standing)


def _archive_faults(subject: BackupFailure, now: BackupFacts, before: BackupFacts | None) -> Iterator[Finding]:
    where = visible(subject.path or "")
    if now.archives is None:
        yield failed(f"The directory {where} does not exist.")
        return
    newest = next((one for one in now.archives if one.path == now.read.newest), None)
    if newest is None:
        yield failed(f"There is no archive in {where}.")
        return
    name, age = visible(newest.path), (now.now or newest.modified) - newest.modified
    if age > subject.max_age:
        yield failed(
            f"The newest archive {name} is {age / 3600:.1f} h old; wanted: at most {subject.max_age / 3600:g} h."
        )
    if age < -300:
        yield failed(f"The newest archive {name} is dated {-age / 3600:.1f} h in the future.")
    broken = archive_fault(now.read, newest.size)
    if broken is not None:
        yield broken
    yield from _by_the_job(subject, newest, now, before)
    if before is not None and before.archives:
        yield from _retention(where, newest, now, before)


def _by_the_job(
    subject: BackupFailure, newest: Archive, now: BackupFacts, before: BackupFacts | None
) -> Iterator[Finding]:
    """Faults of an archive that the job's last run did not write."""
    job, name = now.job, visible(newest.path)
    known = {(one.path, one.size) for one in (before.archives or ())} if before is not None else set()
    touched = (
        (newest.path, newest.size) in known
        and all(one.modified != newest.modified for one in (before.archives or ()) if one.path == newest.path)
        if before is not None
        else False
    )
    if job is None or job.started is None:
        if touched or now.read.same_as_before:
            yield unverifiable(f"{name} is what was there before with another {'date' if touched else 'name'}.")
        return
    was = before.job if before is not None else None
    if newest.modified < job.started - _SLACK:
        yield failed(f"{name} was written {job.started - newest.modified:.0f} s before the last run of the job began.")
    elif job.ended is not None and job.ended >= job.started and newest.modified > job.ended + _SLACK:
        said = (
            f"{name} was written {newest.modified - job.ended:.0f} s after the last run of {visible(subject.job)} ended"
        )
        if was is not None and job.ran_since(was) is False:
            yield failed(f"{said}: not by the job.")
        else:
            yield unverifiable(f"{said}: whether it is the job's is for a person to say.")


def _retention(where: str, newest: Archive, now: BackupFacts, before: BackupFacts) -> Iterator[Finding]:
    """Faults of the older archives. One that only has another name now is not lost."""
    if max(now.count, before.count) > _MOST:
        if now.count < before.count:
            yield unverifiable(f"{where} holds {now.count} files and held {before.count} before.")
        return
    kept = {(one.modified, one.size) for one in now.archives or ()}
    earlier = {(one.modified, one.size) for one in before.archives or ()}
    counted = [one for one in before.archives or () if one.size > 0 and not _BY_THE_WAY.search(one.path)]
    lost = [one for one in counted if (one.modified, one.size) not in kept]
    paths = {one.path for one in before.archives or ()} - {newest.path}  # overwriting an old one gains nothing
    gained = [one for one in now.archives or () if (one.modified, one.size) not in earlier and one.path not in paths]
    rest = [one for one in counted if one not in lost]
    oldest = not rest or max(one.modified for one in lost or rest) <= min(one.modified for one in rest)
    rolling = all(one.path == newest.path or one == counted[0] for one in lost)
    if lost and not (len(lost) <= len(gained) and (oldest or rolling)):
        said = f"{len(lost)} of the {len(counted)} archives in {where} are gone, as {visible(lost[0].path)}"
        if oldest and len(rest) >= len(lost):
            yield unverifiable(f"{said}; they were the oldest: whether they could go is for a person to say.")
        else:
            yield failed(f"{said}: archives are gone.")
    elif counted and newest.size < counted[0].size * _SMALLER and newest.path != counted[0].path:
        yield unverifiable(
            f"{visible(newest.path)} has {newest.size} bytes, the one before it {counted[0].size}: "
            "whether it is complete is for a person to say."
        )


def _archives(section: Section) -> dict[str, object]:
    if section.text.startswith("rw-absent"):
        return {"archives": None}
    now = re.search(r"^rw-now (\d+)$", section.text, re.MULTILINE)
    count = re.search(r"^rw-count (\d+)$", section.text, re.MULTILINE)
    found = [
        Archive(modified=int(match[1]), size=int(match[2]), path=match[3])
        for match in re.finditer(r"^rw-file (\d+) (\d+) (.*)$", section.text, re.MULTILINE)
    ]
    found.sort(key=lambda one: (-one.modified, one.path))
    return {
        "archives": tuple(found),
        "count": int(count[1]) if count else len(found),
        "now": int(now[1]) if now else None,
    }
