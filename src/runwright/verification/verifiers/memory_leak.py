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
    knowing,
    read_workload,
    restarted_meanwhile,
    still_there,
    strangers,
    workload_question,
)

_SHRUNK = 0.8
"""Without a limit: at most this share of what was held before counts as cured."""

_GROWTH_KB = 1024
_STILL_KB = 64.0
"""Kilobytes a second: less is no growth that can be told in a few seconds."""
_AGAIN_WITHIN = 60.0
"""Seconds: a limit that is reached again within these is not held."""
_SOON = 900.0
"""Seconds: growth that would reach the limit within these is watched longer, and failed if it goes on evenly."""
_LONGER = 3.0
_MOVED_KB = 4096


class MemoryLeakVerifier(Verifier[MemoryLeak, WorkloadFacts]):
    """memory_leak: `service` or `process`, `limit_mb`."""

    incident_type = "memory_leak"
    facts = WorkloadFacts

    def question(self, subject: MemoryLeak, *, baseline: bool = False) -> Question:
        return workload_question(subject.service, subject.process, memory=True, baseline=baseline)

    def question_after(self, subject: MemoryLeak, before: WorkloadFacts | None) -> Question:
        return knowing(self.question(subject), before)

    def read(self, subject: MemoryLeak, sections: Sections) -> WorkloadFacts:
        return read_workload(subject.service, subject.process, sections)

    def judge(self, subject: MemoryLeak, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> Finding:
        last, shown = looks[-1], visible(looks[-1].subject)
        evidence = "\n".join(look.line() for look in looks)
        if before is not None:
            evidence = f"before: {before.line()}\n{evidence}"
        faults = [*still_there(last, before), *_moved(subject, last, before)]
        if last.processes or last.unit:
            faults += _held(subject, before, looks)
        if len(looks) > 1:
            faults += restarted_meanwhile(looks[0], last)
        fault = weightiest(faults, evidence)
        if fault is not None:
            return fault
        if not last.processes:
            return passed(f"No process {shown} runs any more.", evidence, Evidence.PROCESS)
        kinds = [Evidence.PROCESS, *([Evidence.UNIT] if last.unit else []), *([Evidence.BEFORE] if before else [])]
        if before is not None and before.ports and last.ports:
            kinds.append(Evidence.SERVING)
        held, limit, rate = last.resident_kb or 0, _limit(subject, before) or 0.0, _rate(looks)
        growth = f"grows by {rate / 1024:.1f} MB/s" if rate and rate > _STILL_KB else "does not grow"
        return passed(
            f"{shown} holds {held / 1024:.0f} MB, {max(limit - held, 0) / 1024:.0f} MB below what is allowed, "
            f"and {growth}.",
            evidence,
            *kinds,
        )

    def more(self, subject: MemoryLeak, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> float | None:
        """A service that was just started may grow for a moment: what grows is looked at again."""
        limit, held, rate = _limit(subject, before), looks[-1].resident_kb, _rate(looks[-2:])
        if limit is None or held is None or not rate or rate < _STILL_KB:
            return None
        return _LONGER if (limit - held) / rate < _SOON else None


def _held(subject: MemoryLeak, before: WorkloadFacts | None, looks: Sequence[WorkloadFacts]) -> Iterator[Finding]:
    """Faults of the amount held, now and by its growth between the looks."""
    first, last, shown = looks[0], looks[-1], visible(looks[-1].subject)
    held, limit = last.resident_kb, _limit(subject, before)
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
        return
    rates = [_rate(looks[number : number + 2]) or 0.0 for number in range(len(looks) - 1)]
    if len(rates) > 2 and min(rates) >= _STILL_KB and (limit - held) / min(rates) < _SOON and rates[-1] > rates[0] / 2:
        yield failed(
            f"{shown} holds {held / 1024:.0f} MB and grows evenly by {rates[-1] / 1024:.1f} MB/s: "
            f"over {limit / 1024:.0f} MB again within {(limit - held) / rates[-1] / 60 + 1:.0f} minutes."
        )


def _limit(subject: MemoryLeak, before: WorkloadFacts | None) -> float | None:
    """Kilobytes; None where nothing is known to compare with."""
    if subject.limit_mb is not None:
        return subject.limit_mb * 1024
    was = before.resident_kb if before is not None else None
    return None if was is None else was * _SHRUNK


def _rate(looks: Sequence[WorkloadFacts]) -> float | None:
    """Kilobytes a second between the first and the last look; None where it cannot be told."""
    first, last = looks[0], looks[-1]
    if first.resident_kb is None or last.resident_kb is None or last.uptime <= first.uptime:
        return None
    return (last.resident_kb - first.resident_kb) / (last.uptime - first.uptime)


def _moved(subject: MemoryLeak, now: WorkloadFacts, before: WorkloadFacts | None) -> Iterator[Finding]:
    """Faults where the memory is held elsewhere now: by another process, or by nobody."""
    was, held = before.resident_kb if before is not None else None, now.resident_kb or 0
    if before is None or was is None or was - held < _MOVED_KB:
        return
    freed, shown = was - held, visible(now.subject)
    if now.shared_kb is not None and before.shared_kb is not None:
        if now.shared_kb - before.shared_kb > freed / 2:
            yield failed(
                f"{shown} gave {freed // 1024} MB back and memory without an owner (tmpfs, segments) "
                f"grew by {(now.shared_kb - before.shared_kb) // 1024} MB: moved, not freed."
            )
        elif before.memory_files_kb > freed / 2 and before.shared_kb - now.shared_kb < before.memory_files_kb / 2:
            yield failed(f"{before.memory_files_kb // 1024} MB of memory files that {shown} had open are still there.")
    for one in strangers(now, before):
        if one.resident_kb > freed / 2:
            said = f"{one.name} (pid {one.pid}), which is not of {shown} and was started during the run,"
            same = one.fresh and one.name in {process.name for process in before.processes}
            verdict = failed if same else unverifiable
            yield verdict(f"{said} holds {one.resident_kb // 1024} MB: moved, not freed.")
