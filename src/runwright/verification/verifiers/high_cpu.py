"""Is the processor free of the culprit, and does what must run still run?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runwright.model.incidents import HighCpu
from runwright.verification.findings import Evidence, Finding, failed, passed, unverifiable, weightiest
from runwright.verification.sections import Question, Sections
from runwright.verification.text import visible
from runwright.verification.verifier import Verifier
from runwright.verification.workload import (
    WorkloadFacts,
    knowing,
    read_workload,
    restarted_meanwhile,
    still_there,
    strangers,
    workload_question,
)

WINDOW = 3.0
"""Seconds over which use is sampled."""


class HighCpuVerifier(Verifier[HighCpu, WorkloadFacts]):
    """high_cpu: `service` or `process`, `threshold_percent` of one core over 3 s."""

    incident_type = "high_cpu"
    facts = WorkloadFacts

    def question(self, subject: HighCpu, *, baseline: bool = False) -> Question:
        return workload_question(subject.service, subject.process, baseline=baseline)

    def question_after(self, subject: HighCpu, before: WorkloadFacts | None) -> Question:
        return knowing(self.question(subject), before)

    def read(self, subject: HighCpu, sections: Sections) -> WorkloadFacts:
        return read_workload(subject.service, subject.process, sections)

    def hold(self, look: WorkloadFacts, default: float, before: WorkloadFacts | None = None) -> float:
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
            else:
                faults += _wants_more(subject, looks[0], last, used)
                faults += _moved(subject, looks[0], last, before)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        if not last.processes and not last.unit:
            return passed(f"No process {shown} runs any more.", evidence, Evidence.PROCESS)
        kinds = [Evidence.PROCESS, *([Evidence.UNIT] if last.unit else []), *([Evidence.BEFORE] if before else [])]
        if before is not None and before.ports and last.ports:
            kinds.append(Evidence.SERVING)
        told = f"uses {used:.0f}% of one core, below {subject.threshold_percent:g}%" if used is not None else "runs"
        return passed(f"{shown} {told}.", evidence, *kinds)


def cpu_between(first: WorkloadFacts, last: WorkloadFacts) -> float | None:
    """Percent of one core that the subject's processes used between two looks."""
    seconds = last.uptime - first.uptime
    if seconds < 0.5:
        return None
    earlier = {(one.pid, one.started): one for one in first.processes}
    ticks = children = 0
    for one in last.processes:
        was = earlier.pop((one.pid, one.started), None)
        ticks += max(one.ticks - (was.ticks if was else 0), 0)
        children += max(one.children_ticks - (was.children_ticks if was else 0), 0)
    # What is left ended meanwhile: what it had used before the first look is in its parent's account now.
    children -= sum(one.ticks + one.children_ticks for one in earlier.values())
    return 100.0 * (ticks + max(children, 0)) / last.ticks_per_second / seconds


def _wants_more(subject: HighCpu, first: WorkloadFacts, last: WorkloadFacts, used: float) -> Iterator[Finding]:
    """A fault where the subject uses little only because it gets little."""
    earlier = {(one.pid, one.started): one.waited_ns for one in first.processes}
    waited = 0
    for one in last.processes:
        was = earlier.get((one.pid, one.started))
        if one.waited_ns is not None and was is not None:
            waited += max(one.waited_ns - was, 0)
    wanted = used + 100.0 * waited / 1e9 / (last.uptime - first.uptime)
    if wanted >= subject.threshold_percent and wanted > 2 * used:
        yield unverifiable(
            f"{visible(last.subject)} uses {used:.0f}% of one core but wants {wanted:.0f}%: "
            "it is held back by a limit or by a busy host."
        )


def _moved(
    subject: HighCpu, first: WorkloadFacts, last: WorkloadFacts, before: WorkloadFacts | None
) -> Iterator[Finding]:
    """A fault where something that was started during the run burns what the subject did."""
    seconds = last.uptime - first.uptime
    earlier = {(one.pid, one.started): one.ticks for one in first.others}
    names = {one.name for one in before.processes} if before is not None else set()
    for one in strangers(last, before):
        if (one.pid, one.started) not in earlier:
            continue
        used = 100.0 * (one.ticks - earlier[one.pid, one.started]) / last.ticks_per_second / seconds
        if used < subject.threshold_percent:
            continue
        said = f"{one.name} (pid {one.pid}), which is not of {visible(last.subject)} and was started during the run,"
        if one.name in names and one.fresh:
            yield failed(f"{said} uses {used:.0f}% of one core: the load moved.")
        else:
            yield unverifiable(f"{said} uses {used:.0f}% of one core: whether the load moved is for a person to say.")
