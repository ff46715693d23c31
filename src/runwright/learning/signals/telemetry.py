"""The lines of an execution's telemetry, redacted, each with the place it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from runwright.model.diagnoses import Place, Stream
from runwright.model.executions import AttemptRecord, ExecutionResult, StepRecord
from runwright.model.redaction import redact, visible
from runwright.model.states import HostState
from runwright.model.verdicts import VerificationOutcome

LINE_CHARACTERS = 1000
"""A longer line is cut: patterns look at bounded text only."""

HEAD_LINES = 400
TAIL_LINES = 1200
"""Of a longer stream, the first and the last lines are read."""

_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[mK]")


@dataclass(frozen=True)
class Line:
    """One line and where it stands."""

    text: str
    place: Place
    source: str
    """`stderr`, `stdout`, `journal`, `check` or `error`."""


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    plain = _COLOUR.sub("", redact(text).text.replace("\r\n", "\n"))
    lines = visible(plain).split("\n")
    skip = range(HEAD_LINES, max(HEAD_LINES, len(lines) - TAIL_LINES))
    for index, line in enumerate(lines):
        if index not in skip and line.strip():
            yield index + 1, line[:LINE_CHARACTERS].rstrip()


def attempt_lines(step: StepRecord, attempt: AttemptRecord) -> Iterator[Line]:
    """Both streams of one attempt, the errors first."""
    for stream, text in ((Stream.STDERR, attempt.stderr), (Stream.STDOUT, attempt.stdout)):
        for number, line in _numbered(text):
            place = Place(step=step.id, attempt=attempt.attempt, stream=stream, line=number)
            yield Line(line, place, stream.value)


def _journal_lines(name: str, state: HostState | None, seen: set[str]) -> Iterator[Line]:
    if state is None:
        return
    for index, entry in enumerate(state.journal):
        for _, line in _numbered(entry):
            if line not in seen:
                seen.add(line)
                place = Place(stream=Stream.JOURNAL, line=index + 1, path=f"{name}.journal")
                yield Line(line, place, "journal")


def _check_lines(result: ExecutionResult) -> Iterator[Line]:
    if result.verification is None:
        return
    for check in result.verification.checks:
        if check.outcome is VerificationOutcome.PASSED:
            continue
        for number, line in _numbered(check.evidence):
            yield Line(line, Place(line=number, path=f"verification.checks.{check.id}"), "check")


def lines(result: ExecutionResult) -> Iterator[Line]:
    """Every line worth reading: attempts in order, the journal after and before, checks that did not pass.

    The error's message repeats what a step said, so it is read only where no step was tried.
    """
    for step in result.steps:
        for attempt in step.attempts:
            yield from attempt_lines(step, attempt)
    if result.error is not None and not any(step.attempts for step in result.steps):
        for number, line in _numbered(result.error.message):
            yield Line(line, Place(step=result.error.step, line=number, path="error.message"), "error")
    seen: set[str] = set()
    yield from _journal_lines("state_after", result.state_after, seen)
    yield from _journal_lines("state_before", result.state_before, seen)
    yield from _check_lines(result)
