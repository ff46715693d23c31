"""Does the subject take little enough memory, without growing back at once, and does it still run?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runwright.model.incidents import MemoryLeak
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

_SHRUNK = 0.8
"""Without a limit: at most this share of what was held before counts as cured."""

_GROWTH_KB = 1024
_AGAIN_WITHIN = 60.0
"""Seconds: a limit that is reached again within these is not held."""


class MemoryLeakVerifier(Verifier[MemoryLeak, WorkloadFacts]):
    """memory_leak: `service` or `process`, `limit_mb`."""

    incident_type = "memory_leak"
    facts = WorkloadFacts

    def question(self, subject: MemoryLeak, *, baseline: bool = False) -> Question:
        return workload_question(subject.service, subject.process, memory=True)

    def read(self, subject: MemoryLeak, sections: Sections) -> WorkloadFacts:
        return read_workload(subject.service, subject.process, sections)

    def judge(self, subject: MemoryLeak, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> Finding:
        last, shown = looks[-1], visible(looks[-1].subject)
        evidence = "\n".join(look.line() for look in looks)
        if before is not None:
            evidence = f"before: {before.line()}\n{evidence}"
        faults = [*still_there(last, before)]
        if last.processes or last.unit:
            faults += _held(subject, before, looks)
        if len(looks) > 1:
            faults += restarted_meanwhile(looks[0], last)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        if not last.processes:
            return passed(f"No process {shown} runs any more.", evidence, Evidence.PROCESS)
        kinds = [Evidence.PROCESS, *([Evidence.UNIT] if last.unit else [])]
        return passed(f"{shown} holds {(last.resident_kb or 0) / 1024:.0f} MB.", evidence, *kinds)


def _held(subject: MemoryLeak, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> Iterator[Finding]:
    """Faults of the amount held, now and by its growth between the looks."""
    first, last, shown = looks[0], looks[-1], visible(looks[-1].subject)
    held, was = last.resident_kb, before.resident_kb if before is not None else None
    limit = subject.limit_mb * 1024 if subject.limit_mb is not None else was * _SHRUNK if was is not None else None
    if held is None:
        if last.active == "active" or not last.unit:
            yield unverifiable(f"The memory of {shown} cannot be read.")
        return
    if limit is None:
        yield unverifiable(f"The incident names no limit_mb and nothing is known of the memory of {shown} before.")
        return
    if held >= limit:
        yield failed(f"{shown} holds {held / 1024:.0f} MB; wanted: below {limit / 1024:.0f} MB.")
        return
    seconds, grown = last.uptime - first.uptime, held - (first.resident_kb or held)
    if seconds > 0 and grown >= _GROWTH_KB and (limit - held) / (grown / seconds) < _AGAIN_WITHIN:
        yield failed(
            f"{shown} holds {held / 1024:.0f} MB and grows by {grown / seconds / 1024:.1f} MB/s: "
            f"over {limit / 1024:.0f} MB again within a minute."
        )
