"""Is the processor free of the culprit, and does what must run still run?"""

from __future__ import annotations

from collections.abc import Sequence

from runwright.model.incidents import HighCpu
from runwright.verification.findings import Evidence, Finding, failed, passed, unverifiable, weightiest
from runwright.verification.sections import Question, Sections
from runwright.verification.text import visible
from runwright.verification.verifier import Verifier
from runwright.verification.workload import (
    WorkloadFacts,
    read_workload,
    restarted_meanwhile,
    still_there,
    workload_question,
)

WINDOW = 3.0
"""Seconds over which use is sampled."""


class HighCpuVerifier(Verifier[HighCpu, WorkloadFacts]):
    """high_cpu: `service` or `process`, `threshold_percent` of one core over 3 s."""

    incident_type = "high_cpu"
    facts = WorkloadFacts

    def question(self, subject: HighCpu, *, baseline: bool = False) -> Question:
        return workload_question(subject.service, subject.process)

    def read(self, subject: HighCpu, sections: Sections) -> WorkloadFacts:
        return read_workload(subject.service, subject.process, sections)

    def hold(self, look: WorkloadFacts, default: float) -> float:
        """Use can only be told between two looks."""
        return max(default, WINDOW)

    def judge(self, subject: HighCpu, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> Finding:
        last, shown = looks[-1], visible(looks[-1].subject)
        evidence = "\n".join(look.line() for look in looks)
        faults = [*still_there(last, before)]
        used: float | None = None
        if len(looks) > 1:
            faults += restarted_meanwhile(looks[0], last)
            used = cpu_between(looks[0], last)
            if used is None:
                faults.append(unverifiable("The two looks lie too close together to tell the use of the processor."))
            elif used >= subject.threshold_percent:
                faults.append(
                    failed(f"{shown} uses {used:.0f}% of one core; wanted: below {subject.threshold_percent:g}%.")
                )
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        if not last.processes and not last.unit:
            return passed(f"No process {shown} runs any more.", evidence, Evidence.PROCESS)
        kinds = [Evidence.PROCESS, *([Evidence.UNIT] if last.unit else [])]
        told = f"uses {used:.0f}% of one core, below {subject.threshold_percent:g}%" if used is not None else "runs"
        return passed(f"{shown} {told}.", evidence, *kinds)


def cpu_between(first: WorkloadFacts, last: WorkloadFacts) -> float | None:
    """Percent of one core that the subject's processes used between two looks."""
    seconds = last.uptime - first.uptime
    if seconds < 0.5:
        return None
    earlier = {(one.pid, one.started): one.ticks for one in first.processes}
    ticks = sum(max(one.ticks - earlier.get((one.pid, one.started), 0), 0) for one in last.processes)
    return 100.0 * ticks / last.ticks_per_second / seconds
