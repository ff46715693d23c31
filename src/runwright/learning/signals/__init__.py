"""Evidence first: an execution's telemetry becomes typed signals, each with its place. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from runwright.learning.signals.patterns import read
from runwright.learning.signals.state import observations
from runwright.learning.signals.steps import endings
from runwright.learning.signals.telemetry import lines
from runwright.model.diagnoses import Signal, SignalKind, failure_fingerprint
from runwright.model.executions import ExecutionResult, Section, StepStatus
from runwright.model.redaction import redact, visible

MAX_SIGNALS = 120
EXCERPT = 400

VOLATILE_FACTS = frozenset({"pid", "held_by", "seconds", "line", "at", "number"})
"""Facts that differ between two runs of the same failure; left out of its fingerprint."""


def _from_lines(result: ExecutionResult) -> Iterator[Signal]:
    for line in lines(result):
        for reading in read(line):
            facts = {name: value[:300] for name, value in reading.facts.items()}
            yield Signal(kind=reading.kind, place=line.place, excerpt=line.text.strip()[:EXCERPT], facts=facts)


def _clean(signal: Signal) -> Signal:
    """Values out of states and reasons of checks are the host's words too."""
    excerpt = visible(redact(signal.excerpt).text)[:EXCERPT]
    facts = {name: visible(value)[:300] for name, value in signal.facts.items()}
    return signal.model_copy(update={"excerpt": excerpt, "facts": facts})


def _identity(signal: Signal) -> tuple[object, ...]:
    facts = tuple(sorted(item for item in signal.facts.items() if item[0] not in VOLATILE_FACTS))
    path = signal.place.path if signal.place.stream is None else "stream"
    return signal.kind, signal.place.step, path, facts


def extract(result: ExecutionResult) -> tuple[Signal, ...]:
    """All signals of a result, in the order of the telemetry; the same observation of a step only once.

    Pure and deterministic; never raises on a valid result, whatever its text holds.
    """
    seen: set[tuple[object, ...]] = set()
    kept: list[Signal] = []
    lined = tuple(_from_lines(result))
    explained = {(signal.place.step, signal.place.attempt, signal.kind) for signal in lined}
    ends = (item for item in endings(result) if (item.place.step, item.place.attempt, item.kind) not in explained)
    for signal in (*lined, *ends, *(_clean(item) for item in observations(result))):
        identity = _identity(signal)
        if identity in seen:
            continue
        seen.add(identity)
        kept.append(signal)
        if len(kept) == MAX_SIGNALS:
            break
    return tuple(kept)


def failing_step(result: ExecutionResult) -> str | None:
    """The step that ended the run, or None where every step went through or was allowed to fail."""
    if result.error is not None:
        return result.error.step
    tried = [step for step in result.steps if step.section is Section.STEPS and step.status is not StepStatus.SKIPPED]
    return tried[-1].id if tried and tried[-1].status is not StepStatus.OK else None


_CAUSES_EXCLUDED = frozenset({SignalKind.CHECK_UNVERIFIABLE, SignalKind.SUBJECT_HEALTHY})


def fingerprint(result: ExecutionResult, signals: tuple[Signal, ...]) -> str:
    """`failure_fingerprint` over signals without what differs from run to run."""
    stable = tuple(
        signal.model_copy(
            update={"facts": {name: value for name, value in signal.facts.items() if name not in VOLATILE_FACTS}}
        )
        for signal in signals
        if signal.kind not in _CAUSES_EXCLUDED
    )
    return failure_fingerprint(result.runbook.digest, failing_step(result), stable)
