"""One step to its end: guards, attempts, retry, until; or adopted from the journal after a crash."""

from __future__ import annotations

from runwright.execution.asking import ask_person, came_of, hand_over
from runwright.execution.attempts import Attempted, NotStarted, adopt, perform
from runwright.execution.commands import NotPossible, wait_timeout
from runwright.execution.context import RunContext, RunEnd
from runwright.execution.frame import Frame
from runwright.execution.guards import Answer, ask_guard
from runwright.execution.kill_points import KillPoint, reached
from runwright.execution.looks import merged
from runwright.model.documents import Retry, Step
from runwright.model.errors import InvalidInput
from runwright.model.executions import (
    AttemptRecord,
    EventKind,
    ExecutionStatus,
    JournalEntry,
    Section,
    StepIntent,
    StepRecord,
    StepStatus,
)
from runwright.model.ports.hosts import StopReport


class StepRunner:
    """Runs steps of one execution, given what its journal and its last checkpoint say was done before."""

    def __init__(
        self, context: RunContext, entries: tuple[JournalEntry, ...], skipped_before: tuple[StepRecord, ...]
    ) -> None:
        self._context = context
        self._past: dict[tuple[Section, str], list[JournalEntry]] = {}
        for entry in entries:
            self._past.setdefault((entry.intent.section, entry.intent.step_id), []).append(entry)
        self._skipped = {
            (record.section, record.id): record
            for record in skipped_before
            if record.status is StepStatus.SKIPPED and not record.attempts
        }

    async def run(self, section: Section, frame: Frame, step: Step) -> StepRecord:
        """The record of a step that is no call, however it ended by itself.

        Raises RunEnd when the whole run must stop: cancelled, interrupted, a guard without an answer
        (the record is in its `record`); Waits when a person is asked.
        """
        record = await self._to_its_end(section, frame, step)
        if step.ask is not None and record.status is StepStatus.OK:
            hand_over(self._context, frame, section, step, record.attempts[-1].attempt)
        return record

    def past(self, section: Section, path: str) -> list[JournalEntry]:
        """What the journal knew of a step when the run was taken up."""
        return self._past.get((section, path), [])

    def skip_before(self, section: Section, path: str) -> StepRecord | None:
        """The step's record if it was skipped before the run was taken up."""
        return self._skipped.get((section, path))

    async def _to_its_end(self, section: Section, frame: Frame, step: Step) -> StepRecord:
        past = self.past(section, frame.path(step))
        attempts = outcomes(past)
        if past and past[-1].step_status is not None:
            return adopted(section, frame.path(step), step, past)
        if not past and (skipped := await self.skipped(section, frame, step)) is not None:
            return skipped
        found: Attempted | None = None
        if past and past[-1].outcome is None and not past[-1].reason:
            recovered = await self._recover(section, frame, step, past[-1], attempts)
            if isinstance(recovered, StepRecord):
                return recovered
            found = recovered
        return await self._attempts(section, frame, step, attempts, found, len(past))

    async def skipped(self, section: Section, frame: Frame, step: Step) -> StepRecord | None:
        """The record of a step that its guards skip, now or before a crash; None if it is to run."""
        path = frame.path(step)
        known = self.skip_before(section, path)
        if known is not None:
            return known
        for field, text, skips_on in (("only_if", step.only_if, Answer.NO), ("unless", step.unless, Answer.YES)):
            if text is None:
                continue
            await self._context.admit(step=path)
            where = (self._context.request.execution_id, f"{section.value}:{path}")
            reached(KillPoint.BEFORE_GUARD, *where)
            guard = await ask_guard(self._context, frame, step, field, text)
            reached(KillPoint.AFTER_GUARD, *where)
            if guard.answer is Answer.ERROR:
                record = step_record(section, path, step, StepStatus.FAILED, [], guard.reason)
                raise StepEnd(ExecutionStatus.FAILURE, "guard-error", guard.reason, record)
            if guard.answer is skips_on:
                await self.tell_finished(section, path, StepStatus.SKIPPED, guard.reason)
                return step_record(section, path, step, StepStatus.SKIPPED, [], guard.reason)
        return None

    async def _recover(
        self, section: Section, frame: Frame, step: Step, entry: JournalEntry, attempts: list[AttemptRecord]
    ) -> Attempted | StepRecord | None:
        """An intent without outcome: adopt, run again (None), or end the run as interrupted."""
        intent, path = entry.intent.model_copy(update={"epoch": self._context.request.epoch}), frame.path(step)
        if step.ask is not None:
            return came_of(self._context, frame, step, intent)
        found = await adopt(self._context, frame, step, entry)
        if found is not None:
            return found
        lost = f"Attempt {intent.attempt} was intended, and the host knows nothing of it"
        if step.is_idempotent:
            await self._context.journal.finish(intent, None, None, f"{lost}; the step may run again.")
            return None
        if step.unless is not None:
            await self._context.admit(step=path)
            guard = await ask_guard(self._context, frame, step, "unless", step.unless)
            if guard.answer is Answer.NO:
                await self._context.journal.finish(intent, None, None, f"{lost}; {guard.reason}, so it runs again.")
                return None
            if guard.answer is Answer.YES:
                reason = f"{lost}; {guard.reason}, so it is done."
                await self.finish(section, path, intent, None, StepStatus.OK, reason)
                return step_record(section, path, step, StepStatus.OK, attempts, reason)
        reason = f"{lost}. The step is not idempotent, so whether it was done must be judged by a person."
        await self.finish(section, path, intent, None, StepStatus.INTERRUPTED, reason)
        record = step_record(section, path, step, StepStatus.INTERRUPTED, attempts, reason)
        raise StepEnd(ExecutionStatus.INTERRUPTED, "interrupted", reason, record)

    async def _attempts(
        self,
        section: Section,
        frame: Frame,
        step: Step,
        attempts: list[AttemptRecord],
        found: Attempted | None,
        number: int,
    ) -> StepRecord:
        retry, path = step.retry or Retry(), frame.path(step)
        held = False
        while True:
            if found is None:
                if attempts and not held:
                    await self._context.pause(retry.delay * retry.backoff ** (len(attempts) - 1), path)
                number += 1
                try:
                    found = await self._attempt(section, frame, step, number)
                except NotStarted as refused:
                    await self.finish(section, path, refused.intent, None, StepStatus.FAILED, refused.reason)
                    return step_record(section, path, step, StepStatus.FAILED, attempts, refused.reason)
                except (NotPossible, InvalidInput) as refused:
                    await self.tell_finished(section, path, StepStatus.FAILED, str(refused))
                    return step_record(section, path, step, StepStatus.FAILED, attempts, str(refused))
            held = found.held
            if held:
                reason = "Held by a stop switch while it waited; it waits anew when that is released."
                await self._context.journal.finish(found.intent, None, None, reason)
                await self._context.session.forget_attempts([found.intent.attempt_id])
                found = None
                continue
            attempts.append(found.outcome)
            if found.stopped is not None:
                await self._cancelled(section, path, step, found, attempts, found.stopped)
            reason, fatal = await self._judge(frame, step, found.outcome)
            status = StepStatus.OK if not reason else StepStatus.FAILED
            if status is StepStatus.OK or fatal or len(attempts) >= retry.attempts:
                await self.finish(section, path, found.intent, found.outcome, status, reason)
                record = step_record(section, path, step, status, attempts, reason)
                if fatal:
                    raise StepEnd(ExecutionStatus.FAILURE, "guard-error", reason, record)
                return record
            await self.finish(section, path, found.intent, found.outcome, None, reason)
            found = None

    async def _attempt(self, section: Section, frame: Frame, step: Step, number: int) -> Attempted:
        if step.ask is not None:
            return await ask_person(self._context, frame, section, step, number)
        return await perform(self._context, frame, section, step, number)

    async def _judge(self, frame: Frame, step: Step, outcome: AttemptRecord) -> tuple[str, bool]:
        """Why the attempt was no success (empty if it was), and whether the run must stop for it."""
        if step.ask is not None and outcome.exit_code is None:
            return f"Nobody answered in {step.ask.expires:g} s.", False
        if outcome.timed_out:
            bound = "was left of its call's time" if frame.ends_at is not None else f"{_bound(step):g} s"
            return f"It ran longer than {bound} and was ended.", False
        if step.ask is None and outcome.exit_code not in step.success_exit_codes:
            allowed = ", ".join(str(code) for code in step.success_exit_codes)
            said = "It gave no exit status" if outcome.exit_code is None else f"It ended with exit {outcome.exit_code}"
            return f"{said}; success is {allowed}.", False
        return await self.until(frame, step)

    async def until(self, frame: Frame, step: Step) -> tuple[str, bool]:
        """Why `until` does not call it a success (empty if it does), and whether the run must stop for it."""
        if step.until is None:
            return "", False
        guard = await ask_guard(self._context, frame, step, "until", step.until)
        return ("" if guard.answer is Answer.YES else f"{guard.reason}."), guard.answer is Answer.ERROR

    async def _cancelled(
        self,
        section: Section,
        path: str,
        step: Step,
        found: Attempted,
        attempts: list[AttemptRecord],
        report: StopReport,
    ) -> None:
        reason = f"Cancelled while it ran; {report.ended} processes were ended by {report.method}."
        if report.survivors:
            reason += f" Still running: {', '.join(str(pid) for pid in report.survivors)}."
        await self.finish(section, path, found.intent, found.outcome, StepStatus.INTERRUPTED, reason)
        record = step_record(section, path, step, StepStatus.INTERRUPTED, attempts, reason)
        raise StepEnd(ExecutionStatus.CANCELLED, "cancelled", reason, record)

    async def finish(
        self,
        section: Section,
        path: str,
        intent: StepIntent,
        outcome: AttemptRecord | None,
        status: StepStatus | None,
        reason: str,
    ) -> None:
        """Journal what came of an attempt; with a status, the step is over."""
        await self._context.journal.finish(intent, outcome, status, reason)
        reached(KillPoint.AFTER_OUTCOME, intent.execution_id, f"{section.value}:{path}")
        if status is not None:
            await self.tell_finished(section, path, status, reason)

    async def tell_finished(self, section: Section, path: str, status: StepStatus, reason: str) -> None:
        """Tell whoever watches."""
        await self._context.emit(
            EventKind.STEP_FINISHED, section=section.value, step=path, status=status.value, reason=reason
        )


class StepEnd(RunEnd):
    """A step whose end is the run's end; its record is kept."""

    def __init__(self, status: ExecutionStatus, code: str, message: str, record: StepRecord) -> None:
        super().__init__(status, code, message, record.id)
        self.record = record


def outcomes(past: list[JournalEntry]) -> list[AttemptRecord]:
    """The attempts that the journal knows the outcome of."""
    return [entry.outcome for entry in past if entry.outcome is not None]


def adopted(section: Section, path: str, step: Step, past: list[JournalEntry]) -> StepRecord:
    """The record of a step that the journal calls done. Raises StepEnd for an interrupted one."""
    status, reason = past[-1].step_status or StepStatus.FAILED, past[-1].reason
    record = step_record(section, path, step, status, outcomes(past), reason)
    if status is StepStatus.INTERRUPTED:
        raise StepEnd(ExecutionStatus.INTERRUPTED, "interrupted", reason, record)
    return record


def step_record(
    section: Section, path: str, step: Step, status: StepStatus, attempts: list[AttemptRecord], reason: str
) -> StepRecord:
    """A step's entry in the telemetry."""
    return StepRecord(
        id=path,
        kind=step.kind.value,
        status=status,
        attempts=tuple(attempts),
        state_changes=merged(change for attempt in attempts for change in attempt.state_changes),
        section=section,
        reason=reason,
    )


def _bound(step: Step) -> float:
    """Seconds that one attempt of the step may take."""
    return wait_timeout(step.timeout, step.wait_for) if step.wait_for is not None else step.timeout
