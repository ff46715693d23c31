"""Walking a list of steps, of the run's own document or of a called one: what follows what, and where it aborts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from runwright.execution.calls import CallRunner
from runwright.execution.context import RunContext, RunEnd
from runwright.execution.frame import Frame
from runwright.execution.steps import StepEnd, StepRunner
from runwright.execution.telemetry import Telemetry
from runwright.model.documents import OnFailure, Step
from runwright.model.executions import ExecutionError, ExecutionStatus, Section, StepRecord, StepStatus

ASKED = "asked"
"""The code of a run that ended at a question because there was nobody to ask."""
UNANSWERED = "asked-unanswered"
"""The code of a step whose question nobody answered in time."""

Checkpoint = Callable[[], Awaitable[None]]


class Walk:
    """Walks the sections of one run and keeps the record of every step."""

    def __init__(self, context: RunContext, runner: StepRunner, telemetry: Telemetry, checkpoint: Checkpoint) -> None:
        self._runner = runner
        self._telemetry = telemetry
        self._checkpoint = checkpoint
        self._calls = CallRunner(context, runner, telemetry, self.through)

    async def through(self, section: Section, frame: Frame, steps: tuple[Step, ...]) -> ExecutionError | None:
        """None when the list came to its end; else which step aborted it.

        Raises RunEnd and Waits where the whole run must stop.
        """
        jump_to: str | None = None
        for position, step in enumerate(steps):
            if jump_to not in (None, step.id):
                reason = f"Jumped over: an earlier step failed, and its on_failure names {jump_to}."
                self._telemetry.steps.append(_skipped(section, frame.path(step), step, reason))
                continue
            jump_to = None
            place = len(self._telemetry.steps)
            try:
                record = await self._one(section, frame, step)
            except StepEnd as end:
                self._telemetry.steps.insert(place, end.record)
                if end.status is not ExecutionStatus.FAILURE:
                    raise RunEnd(end.status, end.code, end.message, end.step) from end
                return ExecutionError(code=end.code, message=end.message, step=end.step)
            self._telemetry.steps.insert(place, record)
            if record.status is StepStatus.SKIPPED and not record.attempts:
                # A skip is in no journal, and its guard may say otherwise when asked again after later steps.
                await self._checkpoint()
            if record.status is not StepStatus.FAILED or step.on_failure == OnFailure.CONTINUE:
                continue
            if step.on_failure in {later.id for later in steps[position + 1 :]}:
                jump_to = str(step.on_failure)
                continue
            return step_error(record)
        return None

    async def _one(self, section: Section, frame: Frame, step: Step) -> StepRecord:
        if step.call is not None:
            return await self._calls.run(section, frame, step, step.call)
        return await self._runner.run(section, frame, step)


def step_error(record: StepRecord) -> ExecutionError:
    """Why the run aborts, given the step that failed."""
    code = "step-timed-out" if record.attempts and record.attempts[-1].timed_out else "step-failed"
    if not record.attempts:
        code = "step-not-possible"
    elif record.kind == "ask" and record.attempts[-1].exit_code is None:
        code = UNANSWERED
    return ExecutionError(code=code, message=f"Step {record.id} failed. {record.reason}", step=record.id)


def _skipped(section: Section, path: str, step: Step, reason: str) -> StepRecord:
    return StepRecord(id=path, kind=step.kind.value, status=StepStatus.SKIPPED, section=section, reason=reason)
