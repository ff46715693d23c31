"""Processes that do not end when asked, services that keep the old certificate, memory that outlives its owner."""

from __future__ import annotations

from runwright.learning.evidence import Voice
from runwright.learning.repairs.case import SUBJECT_PREFIX, Case, Suggestion, step_content
from runwright.learning.repairs.shell import ONE_LINE, SPOT
from runwright.model.diagnoses import SignalKind
from runwright.model.documents import ServiceState
from runwright.model.incidents import IncidentType

_STILL = (SignalKind.STATE_UNCHANGED, SignalKind.CHECK_FAILED)


def _still_so(case: Case, *types: IncidentType) -> tuple[int, ...]:
    if case.evidence.subject.incident_type not in {kind.value for kind in types}:
        return ()
    if not case.evidence.steps_went_well:
        return ()
    return case.find(*_STILL, voices=(Voice.STATE,))[:2]


def end_for_good(case: Case) -> Suggestion | None:
    """End the subject's process with SIGKILL if it is the only one of its name and lives on after SIGTERM."""
    cites = _still_so(case, IncidentType.HIGH_CPU, IncidentType.MEMORY_LEAK)
    named = {parameter.from_: name for name, parameter in case.document.parameters.items()}
    process = named.get(SUBJECT_PREFIX + "process")
    if not cites or process is None or case.evidence.subject.process is None or case.mentions("kill -KILL"):
        return None
    only = f'set -- $(pgrep -x -- "${process}")\n'
    content = step_content(
        case.new_id("end-for-good"),
        "End the process for good, if it is the only one of its name and did not end when asked",
        only_if=f'test -n "${process}" || exit 1\nsleep 5\n{only}test "$#" -eq 1',
        run=only + '[ "$#" -eq 1 ] || exit 1\nkill -KILL "$1"',
    )
    reason = "The process lives on after it was asked to end."
    return Suggestion("end_for_good", (case.at_end(content, reason, cites),), 0.6)


def restart_instead_of_reload(case: Case) -> Suggestion | None:
    """Restart a service that went on with the old certificate after it was told to reload."""
    cites = _still_so(case, IncidentType.CERT_EXPIRY)
    named = {parameter.from_: name for name, parameter in case.document.parameters.items()}
    service = named.get(SUBJECT_PREFIX + "service")
    if not cites or service is None or not case.evidence.result.incident.subject.get("service"):
        return None
    restarted = any(
        step.service is not None and step.service.name == f"${service}" and step.service.state is ServiceState.RESTARTED
        for step in case.document.steps
    )
    if restarted:
        return None
    content = {
        "id": case.new_id("restart-service"),
        "name": "Restart the service, which reads its certificate only when it starts",
        "only_if": f'test -n "${service}"',
        "service": {"name": f"${service}", "state": "restarted"},
    }
    reason = "The old certificate is still served after the reload."
    return Suggestion("restart_instead_of_reload", (case.at_end(content, reason, cites),), 0.7)


_ORPHANS = """\
user=$(systemctl show -p User -- {unit} 2>/dev/null | sed 's/^User=//')
test -n "$user" && test "$user" != root || exit 1
open=$(ls -l /proc/[0-9]*/fd /proc/[0-9]*/map_files 2>/dev/null | sed -n 's/.* -> //p' | sort -u)
find /dev/shm -xdev -type f {one_line} -user "$user" |
    while IFS= read -r file; do
        printf '%s\\n' "$open" | grep -qxF -e "$file" || printf '%s\\n' "$file"
    done"""

_DROP = """\
    while IFS= read -r file; do
        echo "removing $file"
        (spot "$file" /dev/shm || exit 0; rm -f -- "./$name")
    done"""


def orphaned_shared_memory(case: Case) -> Suggestion | None:
    """Remove shared memory files of the unit's own user that no process has open or mapped."""
    cites = _still_so(case, IncidentType.MEMORY_LEAK)
    if not cites or case.unit_word is None or case.evidence.subject.unit_field != "service":
        return None
    if case.mentions("/dev/shm"):  # noqa: S108 - looks for the text in a runbook
        return None
    orphans = _ORPHANS.format(unit=case.unit_word, one_line=ONE_LINE)
    content = step_content(
        case.new_id("drop-orphaned-memory"),
        "Remove shared memory of the unit's user that no process uses any more",
        only_if=f"({orphans}) | grep -q .",
        run=SPOT + f"({orphans}) |\n{_DROP}",
    )
    reason = "Shared memory stays when its process ends; what nobody has open is given back."
    return Suggestion("orphaned_shared_memory", (case.at_end(content, reason, cites),), 0.4)
