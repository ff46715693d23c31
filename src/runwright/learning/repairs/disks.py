"""Room on a full file system, beyond what the runbook frees already; protected paths and other mounts stay."""

from __future__ import annotations

from runwright.learning.evidence import Voice
from runwright.learning.repairs.case import SUBJECT_PREFIX, Case, Suggestion, step_content
from runwright.learning.repairs.shell import ONE_LINE, PROTECTED, SPOT
from runwright.model.diagnoses import SignalKind
from runwright.model.incidents import IncidentType

_STILL_FULL = (SignalKind.STATE_UNCHANGED, SignalKind.CHECK_FAILED, SignalKind.NO_SPACE, SignalKind.NO_INODES)


def _names(case: Case) -> tuple[str, str, tuple[int, ...]] | None:
    """Words for the mount and the protected paths, and the signals that say that it is still full."""
    if case.evidence.subject.incident_type != IncidentType.DISK_FULL.value:
        return None
    named = {parameter.from_: name for name, parameter in case.document.parameters.items()}
    mount, protect = named.get(SUBJECT_PREFIX + "mount"), named.get(SUBJECT_PREFIX + "protect")
    cites = case.find(*_STILL_FULL, voices=(Voice.TOOL, Voice.SUBJECT, Voice.STATE))
    if mount is None or not cites or not case.evidence.steps_went_well:
        return None
    if protect is None and case.evidence.result.incident.subject.get("protect"):
        return None
    return f'"${mount}"', f"${protect}" if protect else "", cites[:2]


def _sweep(mount: str, protect: str, finding: str) -> str:
    """Remove what `finding` prints, one path a line, unless it is protected or some process has it open.

    Not through a directory that has become a link since it was found.
    """
    return (
        PROTECTED.format(protect=protect)
        + SPOT
        + """\
open=$(ls -l /proc/[0-9]*/fd 2>/dev/null | sed -n 's/.* -> //p' | sort -u)
"""
        + finding
        + """ |
    while IFS= read -r file; do
        kept "$file" && continue
        printf '%s\\n' "$open" | grep -qxF -e "$file" && continue
        echo "removing $file"
        (spot "$file" """
        + mount
        + """ || exit 0; rm -f -- "./$name")
    done"""
    )


def rotated_logs(case: Case) -> Suggestion | None:
    """Remove rotated logs of any age, wherever they lie on the full file system, whose current log is still there."""
    names = _names(case)
    if names is None or case.mentions("current log"):
        return None
    mount, protect, cites = names
    finding = f"""\
find {mount} -xdev -type f {ONE_LINE} \\( -name '*.log.[0-9]*' -o -name '*.log.*.gz' -o -name '*.log-[0-9]*' \\
    -o -name '*.log.old' \\) |
    while IFS= read -r file; do
        current=${{file%.log*}}.log # the current log
        [ -e "$current" ] && printf '%s\\n' "$file"
    done"""
    content = step_content(
        case.new_id("remove-rotated-copies"),
        "Remove rotated logs whose current log is still there",
        only_if=f"test -d {mount}",
        run=_sweep(mount, protect, finding),
        timeout="5m",
    )
    reason = "The file system is still full. Rotated logs are copies that their rotation would drop as well."
    return Suggestion("rotated_logs", (case.at_end(content, reason, cites),), 0.5)


def marked_caches(case: Case) -> Suggestion | None:
    """Empty directories that their owners marked as caches with a CACHEDIR.TAG (bford.info/cachedir)."""
    names = _names(case)
    if names is None or case.mentions("CACHEDIR.TAG"):
        return None
    mount, protect, cites = names
    finding = f"""\
find {mount} -xdev -type f {ONE_LINE} -name CACHEDIR.TAG |
    while IFS= read -r tag; do
        head -c 43 -- "$tag" | grep -q '^Signature: 8a477f597d28d172789f06886806bc55' || continue
        find "${{tag%/*}}" -xdev -type f {ONE_LINE} ! -name CACHEDIR.TAG
    done"""
    content = step_content(
        case.new_id("empty-marked-caches"),
        "Empty directories that are marked as caches",
        only_if=f"test -d {mount}",
        run=_sweep(mount, protect, finding),
        timeout="5m",
    )
    reason = "The file system is still full. What lies in a directory marked as a cache can be had again."
    return Suggestion("marked_caches", (case.at_end(content, reason, cites),), 0.35)


def old_sessions(case: Case) -> Suggestion | None:
    """Where inodes ran out: remove what lies untouched for a week in crowded directories of sessions or caches."""
    names = _names(case)
    if names is None or not case.evidence.subject.inodes or case.mentions("crowded"):
        return None
    mount, protect, cites = names
    finding = f"""\
find {mount} -xdev -type d {ONE_LINE} \\( -name '*session*' -o -name tmp -o -name temp -o -name cache \\) |
    while IFS= read -r crowded; do
        [ "$(find "$crowded" -maxdepth 1 -type f | wc -l)" -ge 500 ] || continue
        find "$crowded" -maxdepth 1 -xdev -type f {ONE_LINE} -mtime +7
    done"""
    content = step_content(
        case.new_id("remove-old-sessions"),
        "Remove files untouched for a week from crowded directories of sessions or caches",
        only_if=f"test -d {mount}",
        run=_sweep(mount, protect, finding),
        timeout="5m",
    )
    reason = "The file system is out of inodes. Sessions and cache entries that nobody touched for a week are over."
    return Suggestion("old_sessions", (case.at_end(content, reason, cites),), 0.6)


def old_leavings(case: Case) -> Suggestion | None:
    """Remove core dumps, crash reports and temporary files that were neither read nor written for a day.

    In directories for temporary files of programs (`tmp`, `.tmp`, `temp`), two days: Maildir's rule is 36 hours.
    """
    names = _names(case)
    if names is None or case.mentions("/var/crash"):
        return None
    mount, protect, cites = names
    finding = f"""\
{{
    for place in /var/lib/systemd/coredump /var/crash /tmp /var/tmp; do
        [ -d "$place" ] || continue
        [ "$(df -P -- "$place" | awk 'NR == 2 {{print $6}}')" = {mount} ] || continue
        case $place in
            /tmp | /var/tmp) find "$place" -xdev -type f {ONE_LINE} -mtime +0 -atime +0 ;;
            *) find "$place" -xdev -type f {ONE_LINE} ;;
        esac
    done
    find {mount} -xdev \\( -path /tmp -o -path /var/tmp \\) -prune -o \\
        -type d {ONE_LINE} \\( -name tmp -o -name .tmp -o -name temp \\) -print |
        while IFS= read -r place; do
            find "$place" -xdev -type f {ONE_LINE} -mtime +1 -atime +1
        done
}}"""
    content = step_content(
        case.new_id("remove-old-leavings"),
        "Remove core dumps, crash reports and temporary files older than a day",
        only_if=f"test -d {mount}",
        run=_sweep(mount, protect, finding),
        timeout="5m",
    )
    reason = "The file system is still full. Dumps and old temporary files that no process has open are not needed."
    return Suggestion("old_leavings", (case.at_end(content, reason, cites),), 0.45)


_HOLDERS = """\
device=$(stat -c %d -- {mount})
for link in /proc/[0-9]*/fd/*; do
    case $(readlink "$link" 2>/dev/null) in *'.log (deleted)' | */log/*' (deleted)') ;; *) continue ;; esac
    [ "$(stat -L -c %d -- "$link" 2>/dev/null)" = "$device" ] || continue
    [ "$(stat -L -c %s -- "$link" 2>/dev/null || echo 0)" -gt 1048576 ] || continue
    pid=${{link#/proc/}}
    pid=${{pid%%/*}}
    unit=$(sed -n 's/.*\\/\\([^/]*\\.service\\)$/\\1/p' "/proc/$pid/cgroup" | head -n 1)
    [ -n "$unit" ] && systemctl is-active --quiet -- "$unit" && printf '%s\\n' "$unit"
done | sort -u"""


def deleted_logs_held_open(case: Case) -> Suggestion | None:
    """Restart units that still hold deleted logs of more than 1 MB open: only then is their room given back."""
    names = _names(case)
    if names is None or case.mentions("(deleted)"):
        return None
    mount, _, cites = names
    holders = _HOLDERS.format(mount=mount)
    content = step_content(
        case.new_id("release-deleted-logs"),
        "Restart units that hold deleted logs open",
        only_if=f"{holders} | grep -q .",
        run=f'{holders} |\n    while IFS= read -r unit; do\n        echo "restarting $unit"\n'
        '        systemctl restart -- "$unit" </dev/null\n    done',
        timeout="3m",
    )
    reason = "The file system is still full. Deleted logs take room for as long as a unit holds them open."
    return Suggestion("deleted_logs_held_open", (case.at_end(content, reason, cites),), 0.55)
