"""Signals from how attempts ended: exit codes, timeouts, and progress seen before them."""

from __future__ import annotations

from collections.abc import Iterator

from runwright.model.diagnoses import Place, Signal, SignalKind
from runwright.model.executions import AttemptRecord, ExecutionResult, StepRecord, StepStatus

EXIT_MEANINGS: dict[int, tuple[SignalKind, str]] = {
    126: (SignalKind.COMMAND_NOT_EXECUTABLE, "a command was found but could not be run"),
    127: (SignalKind.COMMAND_MISSING, "a command was not found"),
    137: (SignalKind.KILLED, "ended by signal 9"),
    139: (SignalKind.KILLED, "ended by signal 11"),
    203: (SignalKind.EXIT_CODE, "the unit's program could not be run"),
}
"""Exit codes with a meaning of their own (POSIX shell, systemd.exec(5)); signals are 128 + number."""

PROGRESS_BYTES = 1
"""Output of a timed out attempt above which it is said to have been working."""


def _seconds(attempt: AttemptRecord) -> str | None:
    if attempt.ended_at is None:
        return None
    return f"{(attempt.ended_at - attempt.started_at).total_seconds():.1f}"


def _timed_out(step: StepRecord, attempt: AttemptRecord) -> Signal:
    produced = len(attempt.stdout.strip())
    facts = {"by": "step", "progress": "yes" if produced >= PROGRESS_BYTES else "no"}
    seconds = _seconds(attempt)
    if seconds is not None:
        facts["seconds"] = seconds
    text = f"step {step.id} ran out of time" + (" while it was still printing" if produced else "")
    return Signal(
        kind=SignalKind.TIMED_OUT, place=Place(step=step.id, attempt=attempt.attempt), excerpt=text, facts=facts
    )


def ending(step: StepRecord, attempt: AttemptRecord) -> Iterator[Signal]:
    """What the end of one attempt says."""
    place = Place(step=step.id, attempt=attempt.attempt)
    if attempt.timed_out:
        yield _timed_out(step, attempt)
        return
    code = attempt.exit_code
    if code in (None, 0):
        return
    kind, meaning = EXIT_MEANINGS.get(code or 0, (SignalKind.EXIT_CODE, ""))
    if kind is SignalKind.EXIT_CODE and step.status is not StepStatus.FAILED:
        return
    text = f"exit code {code}" + (f": {meaning}" if meaning else "")
    yield Signal(kind=kind, place=place, excerpt=text, facts={"code": str(code)})


def endings(result: ExecutionResult) -> Iterator[Signal]:
    """The signals of every attempt's end, in order."""
    for step in result.steps:
        for attempt in step.attempts:
            yield from ending(step, attempt)
