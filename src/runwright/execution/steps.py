"""One step to its end: guards, attempts, retry, until; or adopted from the journal after a crash."""

from __future__ import annotations

from runwright.execution.attempts import Attempted, NotStarted, adopt, perform
from runwright.execution.commands import NotPossible
from runwright.execution.context import RunContext, RunEnd
from runwright.execution.guards import Answer, ask_guard
from runwright.execution.kill_points import KillPoint, reached
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

    async def run(self, section: Section, step: Step) -> StepRecord:
        """The step's record, however it ended by itself.

        Raises RunEnd when the whole run must stop: cancelled, interrupted, a guard without an answer
        (the record is in its `record`).
        """
        past = self._past.get((section, step.id), [])
        attempts = [entry.outcome for entry in past if entry.outcome is not None]
        if past and past[-1].step_status is not None:
            return self._adopted(section, step, past[-1], attempts)
        if not past:
            skipped = self._skipped.get((section, step.id)) or await self._guarded(section, step)
            if skipped is not None:
                return skipped
        found: Attempted | None = None
        if past and past[-1].outcome is None and not past[-1].reason:
            recovered = await self._recover(section, step, past[-1], attempts)
            if isinstance(recovered, StepRecord):
                return recovered
            found = recovered
        return await self._attempts(section, step, attempts, found, len(past))

    def _adopted(self, section: Section, step: Step, last: JournalEntry, attempts: list[AttemptRecord]) -> StepRecord:
        status = last.step_status or StepStatus.FAILED
        record = _record(section, step, status, attempts, last.reason)
        if status is StepStatus.INTERRUPTED:
            raise StepEnd(ExecutionStatus.INTERRUPTED, "interrupted", last.reason, record)
        return record

    async def _guarded(self, section: Section, step: Step) -> StepRecord | None:
        """The record of a step that its guards skip, or None if it is to run."""
        for field, text, skips_on in (("only_if", step.only_if, Answer.NO), ("unless", step.unless, Answer.YES)):
            if text is None:
                continue
            await self._context.admit(step=step.id)
            where = (self._context.request.execution_id, f"{section.value}:{step.id}")
            reached(KillPoint.BEFORE_GUARD, *where)
            guard = await ask_guard(self._context, step, field, text)
            reached(KillPoint.AFTER_GUARD, *where)
            if guard.answer is Answer.ERROR:
                record = _record(section, step, StepStatus.FAILED, [], guard.reason)
                raise StepEnd(ExecutionStatus.FAILURE, "guard-error", guard.reason, record)
            if guard.answer is skips_on:
                await self._tell_finished(section, step, StepStatus.SKIPPED, guard.reason)
                return _record(section, step, StepStatus.SKIPPED, [], guard.reason)
        return None

    async def _recover(
        self, section: Section, step: Step, entry: JournalEntry, attempts: list[AttemptRecord]
    ) -> Attempted | StepRecord | None:
        """An intent without outcome: adopt, run again (None), or end the run as interrupted."""
        found = await adopt(self._context, step, entry)
        if found is not None:
            return found
        intent = entry.intent.model_copy(update={"epoch": self._context.request.epoch})
        lost = f"Attempt {intent.attempt} was intended, and the host knows nothing of it"
        if step.is_idempotent:
            await self._context.journal.finish(intent, None, None, f"{lost}; the step may run again.")
            return None
        if step.unless is not None:
            await self._context.admit(step=step.id)
            guard = await ask_guard(self._context, step, "unless", step.unless)
            if guard.answer is Answer.NO:
                await self._context.journal.finish(intent, None, None, f"{lost}; {guard.reason}, so it runs again.")
                return None
            if guard.answer is Answer.YES:
                reason = f"{lost}; {guard.reason}, so it is done."
                await self._finish(section, step, intent, None, StepStatus.OK, reason)
                return _record(section, step, StepStatus.OK, attempts, reason)
        reason = f"{lost}. The step is not idempotent, so whether it was done must be judged by a person."
        await self._finish(section, step, intent, None, StepStatus.INTERRUPTED, reason)
        record = _record(section, step, StepStatus.INTERRUPTED, attempts, reason)
        raise StepEnd(ExecutionStatus.INTERRUPTED, "interrupted", reason, record)

    async def _attempts(
        self, section: Section, step: Step, attempts: list[AttemptRecord], found: Attempted | None, number: int
    ) -> StepRecord:
        retry = step.retry or Retry()
        while True:
            if found is None:
                if attempts:
                    await self._context.pause(retry.delay * retry.backoff ** (len(attempts) - 1), step.id)
                number += 1
                try:
                    found = await perform(self._context, section, step, number)
                except NotStarted as refused:
                    await self._finish(section, step, refused.intent, None, StepStatus.FAILED, refused.reason)
                    return _record(section, step, StepStatus.FAILED, attempts, refused.reason)
                except (NotPossible, InvalidInput) as refused:
                    await self._tell_finished(section, step, StepStatus.FAILED, str(refused))
                    return _record(section, step, StepStatus.FAILED, attempts, str(refused))
            attempts.append(found.outcome)
            if found.stopped is not None:
                await self._cancelled(section, step, found, attempts, found.stopped)
            reason, fatal = await self._judge(step, found.outcome)
            status = StepStatus.OK if reason is None else StepStatus.FAILED
            if status is StepStatus.OK or fatal or len(attempts) >= retry.attempts:
                await self._finish(section, step, found.intent, found.outcome, status, reason or "")
                record = _record(section, step, status, attempts, reason or "")
                if fatal:
                    raise StepEnd(ExecutionStatus.FAILURE, "guard-error", reason or "", record)
                return record
            await self._finish(section, step, found.intent, found.outcome, None, reason or "")
            found = None

    async def _judge(self, step: Step, outcome: AttemptRecord) -> tuple[str | None, bool]:
        """Why the attempt was no success (None if it was), and whether the run must stop for it."""
        if outcome.timed_out:
            return f"It ran longer than {step.timeout:g} s and was ended.", False
        if outcome.exit_code not in step.success_exit_codes:
            allowed = ", ".join(str(code) for code in step.success_exit_codes)
            said = "It gave no exit status" if outcome.exit_code is None else f"It ended with exit {outcome.exit_code}"
            return f"{said}; success is {allowed}.", False
        if step.until is None:
            return None, False
        guard = await ask_guard(self._context, step, "until", step.until)
        return (None if guard.answer is Answer.YES else f"{guard.reason}."), guard.answer is Answer.ERROR

    async def _cancelled(
        self, section: Section, step: Step, found: Attempted, attempts: list[AttemptRecord], report: StopReport
    ) -> None:
        reason = f"Cancelled while it ran; {report.ended} processes were ended by {report.method}."
        if report.survivors:
            reason += f" Still running: {', '.join(str(pid) for pid in report.survivors)}."
        await self._finish(section, step, found.intent, found.outcome, StepStatus.INTERRUPTED, reason)
        record = _record(section, step, StepStatus.INTERRUPTED, attempts, reason)
        raise StepEnd(ExecutionStatus.CANCELLED, "cancelled", reason, record)

    async def _finish(
        self,
        section: Section,
        step: Step,
        intent: StepIntent,
        outcome: AttemptRecord | None,
        status: StepStatus | None,
        reason: str,
    ) -> None:
        await self._context.journal.finish(intent, outcome, status, reason)
        reached(KillPoint.AFTER_OUTCOME, intent.execution_id, f"{section.value}:{step.id}")
        if status is not None:
            await self._tell_finished(section, step, status, reason)

    async def _tell_finished(self, section: Section, step: Step, status: StepStatus, reason: str) -> None:
        await self._context.emit(
            EventKind.STEP_FINISHED, section=section.value, step=step.id, status=status.value, reason=reason
        )


class StepEnd(RunEnd):
    """A step whose end is the run's end; its record is kept."""

    def __init__(self, status: ExecutionStatus, code: str, message: str, record: StepRecord) -> None:
        super().__init__(status, code, message, record.id)
        self.record = record


def _record(section: Section, step: Step, status: StepStatus, attempts: list[AttemptRecord], reason: str) -> StepRecord:
    return StepRecord(
        id=step.id, kind=step.kind.value, status=status, attempts=tuple(attempts), section=section, reason=reason
    )
