"""Guards and `until`: read-only questions to the host with three answers."""

from __future__ import annotations

from enum import Enum

from runwright.execution.commands import shell_command
from runwright.execution.context import RunContext
from runwright.execution.frame import Frame
from runwright.model.documents import Step
from runwright.model.errors import InvalidInput, NotFound, Refused

GUARD_TIMEOUT = 20.0
"""Seconds at most; a step with a shorter timeout bounds its guards by it."""
LAST_NO = 125
"""Exit codes 1 to 125 say no; above, the shell itself or a signal speaks."""


class Answer(Enum):
    YES = "yes"
    NO = "no"
    ERROR = "error"


class GuardAnswer:
    """What a guard said, and why it counts as that."""

    def __init__(self, answer: Answer, reason: str) -> None:
        self.answer = answer
        self.reason = reason


async def ask_guard(context: RunContext, frame: Frame, step: Step, field: str, text: str) -> GuardAnswer:
    """Exit 0 is yes, 1 to 125 no, anything else or no answer in time an error that stops the run.

    Raises RunEnd when the run is cancelled meanwhile.
    """
    timeout = min(GUARD_TIMEOUT, step.timeout)
    command = shell_command(text, frame.resolved, timeout=timeout, become=frame.becomes(step))
    try:
        result = await context.heed(lambda: context.session.probe(command), frame.path(step))
    except (InvalidInput, NotFound, Refused) as error:
        return GuardAnswer(Answer.ERROR, f"`{field}` could not be asked. {error}")
    if result.exit_code == 0:
        return GuardAnswer(Answer.YES, f"`{field}` is true")
    if result.exit_code is not None and 1 <= result.exit_code <= LAST_NO:
        return GuardAnswer(Answer.NO, f"`{field}` is not true (exit {result.exit_code})")
    what = f"gave no answer in {timeout:g} s" if result.exit_code is None else f"ended with exit {result.exit_code}"
    last = result.stderr.strip().splitlines()[-1:] or [""]
    return GuardAnswer(Answer.ERROR, f"`{field}` {what}, which is neither yes nor no. {last[0]}".strip())
