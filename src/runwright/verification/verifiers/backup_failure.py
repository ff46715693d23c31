"""Is there a recent archive that can be read, are the older ones still there, and did the job itself succeed?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from runwright.model.base import Record
from runwright.model.incidents import BackupFailure
from runwright.verification.findings import Evidence, Finding, NoEvidence, failed, passed, unverifiable, weightiest
from runwright.verification.sections import Question, Section, Sections
from runwright.verification.text import visible
from runwright.verification.units import unit_name
from runwright.verification.verifier import Verifier, integer, need, properties

JOB_PART = r"""
if [ -d /run/systemd/system ] && have systemctl; then
  systemctl show --no-pager -p LoadState,ActiveState,SubState,Result,ExecMainStatus,InvocationID -- "$unit" 2>&1
else printf 'rw-no-systemd\n'; fi
"""
LIST_PART = r"""
if [ -d "$path" ]; then
  printf 'rw-now %s\n' "$(date +%s)"
  find "$path" -xdev -maxdepth 3 -type f -exec stat -c 'rw-file %Y %s %n' -- {} + 2>/dev/null | head -n 2000
else printf 'rw-absent\n'; fi; :
"""
READ_PART = r"""
rw_all=$(find "$path" -xdev -maxdepth 3 -type f -exec stat -c '%Y %n' -- {} + 2>/dev/null | sort -rn)
rw_pack=$(printf '%s\n' "$rw_all" | grep -E '\.(tar|tgz|tbz2|txz|gz|bz2|xz|zst|zip|sql|dump|bak)$' | head -n 1)
rw_new=${rw_pack:-$(printf '%s\n' "$rw_all" | head -n 1)}; rw_new=${rw_new#* }
if [ -n "$rw_new" ]; then
  printf 'rw-newest %s\n' "$rw_new"
  case $rw_new in
    *.tar|*.tar.*|*.tgz|*.tbz2|*.txz) rw_with="tar -tf"; bounded 60 tar -tf "$rw_new" >/dev/null 2>&1 ;;
    *.gz) rw_with="gzip -t"; bounded 60 gzip -t "$rw_new" 2>&1 ;;
    *.bz2) rw_with="bzip2 -t"; bounded 60 bzip2 -t "$rw_new" 2>&1 ;;
    *.xz) rw_with="xz -t"; bounded 60 xz -t "$rw_new" 2>&1 ;;
    *.zst) rw_with="zstd -t"; bounded 60 zstd -qt "$rw_new" 2>&1 ;;
    *.zip) rw_with="unzip -t"; bounded 60 unzip -tq "$rw_new" >/dev/null 2>&1 ;;
    *) rw_with="cat"; bounded 60 cat -- "$rw_new" >/dev/null 2>&1 ;;
  esac
  printf 'rw-read %s %s\n' "$?" "$rw_with"
fi; :
"""

_SMALLER = 0.5
"""An archive below this share of the one before it is not taken for complete without a person."""


class Archive(Record):
    path: str
    modified: int
    size: int


class BackupFacts(Record):
    """The job, the archives, and whether the newest can be read."""

    systemd: bool
    load: str = ""
    active: str = ""
    sub: str = ""
    result: str = ""
    status: int | None = None
    invocation: str = ""
    now: int | None = None
    archives: tuple[Archive, ...] | None = None
    """None where the directory does not exist; newest first."""
    newest: str = ""
    read_status: int | None = None
    read_with: str = ""

    def line(self) -> str:
        count = "no directory" if self.archives is None else f"{len(self.archives)} files"
        return f"job {self.active}/{self.sub} result={self.result}; {count}; newest {visible(self.newest) or '-'}"


class BackupFailureVerifier(Verifier[BackupFailure, BackupFacts]):
    """backup_failure: `job`, `path`, `max_age`."""

    incident_type = "backup_failure"
    facts = BackupFacts

    def question(self, subject: BackupFailure, *, baseline: bool = False) -> Question:
        parts = [("job", JOB_PART)]
        parameters = {"unit": unit_name(subject.job)}
        if subject.path is not None:
            if not subject.path.startswith("/"):
                raise NoEvidence(f"found the path {subject.path!r}, which is not absolute")
            parts.append(("list", LIST_PART))
            parameters["path"] = subject.path
            if not baseline:
                parts.append(("read", READ_PART))
        return Question(parts, parameters, timeout=90.0)

    def read(self, subject: BackupFailure, sections: Sections) -> BackupFacts:
        job = need(sections, "job", f"the job {subject.job}")
        facts = _job(subject, job)
        if subject.path is None:
            return facts
        listed = need(sections, "list", f"the archives in {subject.path}")
        facts = facts.model_copy(update=_archives(listed))
        return facts.model_copy(update=_readable(sections.get("read")))

    def judge(self, subject: BackupFailure, before: BackupFacts | None, looks: Sequence[BackupFacts]) -> Finding:
        last = looks[-1]
        evidence = "\n".join(look.line() for look in looks)
        faults = [*_job_faults(subject, last, before)]
        if subject.path is not None:
            faults += _archive_faults(subject, last, before)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        kinds = [*([Evidence.UNIT] if last.systemd else [])]
        if subject.path is None:
            return passed(f"The last run of {visible(subject.job)} succeeded.", evidence, *kinds)
        kinds += [Evidence.FILES, Evidence.ARCHIVE, *([Evidence.BEFORE] if before else [])]
        return passed(f"{visible(last.newest)} is recent and was read to its end.", evidence, *kinds)


def _job_faults(subject: BackupFailure, now: BackupFacts, before: BackupFacts | None) -> Iterator[Finding]:
    shown = visible(subject.job)
    if not now.systemd:
        if subject.path is None:
            yield unverifiable(f"The host has no systemd to ask about {shown}, and the incident names no path.")
    elif now.load != "loaded":
        yield failed(f"The job {shown} cannot be loaded (systemd says {now.load}).")
    elif now.active in ("activating", "reloading"):
        yield unverifiable(f"The job {shown} is still running.", settling=True)
    elif now.active == "failed" or now.result != "success" or now.status not in (0, None):
        yield failed(f"The last run of {shown} did not succeed (result {now.result}, status {now.status}).")
    elif subject.path is None and (not now.invocation or (before and before.invocation == now.invocation)):
        yield unverifiable(f"Nothing shows that {shown} ran after the incident, and the incident names no path.")


def _archive_faults(subject: BackupFailure, now: BackupFacts, before: BackupFacts | None) -> Iterator[Finding]:
    where = visible(subject.path or "")
    if now.archives is None:
        yield failed(f"The directory {where} does not exist.")
        return
    newest = next((one for one in now.archives if one.path == now.newest), None)
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
    if newest.size == 0:
        yield failed(f"The newest archive {name} is empty.")
    elif now.read_status is None or now.read_status > 125:
        yield unverifiable(f"{name} could not be read to its end ({now.read_with}, status {now.read_status}).")
    elif now.read_status != 0:
        yield failed(f"{name} is broken: {now.read_with} ended with status {now.read_status}.")
    if before is not None and before.archives:
        lost = len(before.archives) - len(now.archives)
        if lost > 0:
            yield failed(
                f"{where} holds {len(now.archives)} files and held {len(before.archives)} before: archives are gone."
            )
        elif newest.size < before.archives[0].size * _SMALLER and newest.path != before.archives[0].path:
            yield unverifiable(
                f"{name} has {newest.size} bytes, the one before it {before.archives[0].size}: "
                "whether it is complete is for a person to say."
            )


def _job(subject: BackupFailure, section: Section) -> BackupFacts:
    if section.text.startswith("rw-no-systemd"):
        return BackupFacts(systemd=False)
    blocks = properties(section.text)
    if section.status != 0 or not blocks or "ActiveState" not in blocks[0]:
        raise NoEvidence(f"systemctl could not say how {subject.job} stands")
    says = blocks[0]
    return BackupFacts(
        systemd=True,
        load=says.get("LoadState", ""),
        active=says["ActiveState"],
        sub=says.get("SubState", ""),
        result=says.get("Result", ""),
        status=integer(says.get("ExecMainStatus")),
        invocation=says.get("InvocationID", ""),
    )


def _archives(section: Section) -> dict[str, object]:
    if section.text.startswith("rw-absent"):
        return {"archives": None}
    now = re.search(r"^rw-now (\d+)$", section.text, re.MULTILINE)
    found = [
        Archive(modified=int(match[1]), size=int(match[2]), path=match[3])
        for match in re.finditer(r"^rw-file (\d+) (\d+) (.*)$", section.text, re.MULTILINE)
    ]
    found.sort(key=lambda one: (-one.modified, one.path))
    return {"archives": tuple(found), "now": int(now[1]) if now else None}


def _readable(section: Section | None) -> dict[str, object]:
    if section is None:
        return {}
    newest = re.search(r"^rw-newest (.*)$", section.text, re.MULTILINE)
    read = re.search(r"^rw-read (\d+) (.*)$", section.text, re.MULTILINE)
    return {
        "newest": newest[1] if newest else "",
        "read_status": int(read[1]) if read else None,
        "read_with": read[2] if read else "no tool",
    }
