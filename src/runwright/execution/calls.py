"""The `call` step: another approved runbook's steps, in place, with its own parameters.

The called steps have journal entries of their own (`restore/copy`). The call has one too: once it is over, nothing of
it is asked again. It has succeeded when its steps came to their end and its `verify` entries passed; when not, its
`rollback` runs at once, and then the call counts as failed (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from runwright.execution.attempts import admitted_step
from runwright.execution.context import RunContext, RunEnd
from runwright.execution.frame import Frame, called_prefix, given_to
from runwright.execution.steps import StepEnd, StepRunner, adopted, outcomes, step_record
from runwright.execution.telemetry import Telemetry
from runwright.model.documents import Call, Retry, RunbookDocument, Step
from runwright.model.errors import InvalidInput
from runwright.model.executions import (
    AttemptRecord,
    EventKind,
    ExecutionError,
    ExecutionStatus,
    JournalEntry,
    Section,
    StepIntent,
    StepRecord,
    StepStatus,
)
from runwright.model.verdicts import Check, VerificationOutcome, combine
from runwright.runbooks.parameters import resolve
from runwright.verification.verify import own_checks

Through = Callable[[Section, Frame, tuple[Step, ...]], Awaitable[ExecutionError | None]]

NOT_VERIFIED = "verification-failed"
NO_EVIDENCE = "verification-unverifiable"


class CallRunner:
    """Runs the calls of one run. `through` walks a list of steps: it may come here again for a call within."""

    def __init__(self, context: RunContext, runner: StepRunner, telemetry: Telemetry, through: Through) -> None:
        self._context = context
        self._runner = runner
        self._telemetry = telemetry
        self._through = through

    async def run(self, section: Section, frame: Frame, step: Step, call: Call) -> StepRecord:
        """The call's record, however it ended by itself. Raises RunEnd and Waits where the whole run must stop."""
        path = frame.path(step)
        past = self._runner.past(section, path)
        admitted = await self._context.admit(step=path)
        document = admitted.called(call.digest)
        if past and past[-1].step_status is not None:
            self._retold(section, path, len(past), document)
            return adopted(section, path, step, past)
        if not past and (skipped := await self._runner.skipped(section, frame, step)) is not None:
            return skipped
        try:
            inner = self._frame(frame, step, call, document, past)
        except InvalidInput as refused:
            await self._runner.tell_finished(section, path, StepStatus.FAILED, str(refused))
            return step_record(section, path, step, StepStatus.FAILED, [], str(refused))
        try:
            return await self._attempts(section, frame, step, inner, past)
        except StepEnd:
            raise
        except RunEnd as end:
            reason = f"The run ended within it. {end.message}"
            self._telemetry.steps.insert(
                self._place(path), step_record(section, path, step, StepStatus.INTERRUPTED, outcomes(past), reason)
            )
            raise

    def _frame(
        self, frame: Frame, step: Step, call: Call, document: RunbookDocument, past: list[JournalEntry]
    ) -> Frame:
        """The called document with its parameters. Raises InvalidInput where they do not fit it."""
        request = self._context.request
        resolved = resolve(
            document,
            subject=request.brief.typed_subject.model_dump(mode="json", exclude_none=True),
            host=request.host_attributes,
            given=given_to(call.parameters, frame),
            client_id=request.client_id,
        )
        self._context.session.hide(resolved.secrets.values())
        ends_at = frame.ends_at
        if "timeout" in step.model_fields_set:
            # Only as written: the default of a step is no measure for a whole runbook.
            used = (self._context.clock.now() - past[-1].intent.at).total_seconds() if past else 0.0
            own = self._context.clock.monotonic() + step.timeout - used
            ends_at = own if ends_at is None else min(own, ends_at)
        return Frame(document, resolved, frame.becomes(step), ends_at=ends_at)

    async def _attempts(
        self, section: Section, frame: Frame, step: Step, inner: Frame, past: list[JournalEntry]
    ) -> StepRecord:
        retry, path, attempts = step.retry or Retry(), frame.path(step), outcomes(past)
        open_intent = past[-1].intent if past and past[-1].outcome is None else None
        number = len(past) - (1 if open_intent else 0)
        while True:
            number += 1
            if open_intent is None:
                if attempts:
                    await self._context.pause(retry.delay * retry.backoff ** (len(attempts) - 1), path)
                intent, _ = await admitted_step(self._context, frame, section, step, number)
            else:
                intent = open_intent.model_copy(update={"epoch": self._context.request.epoch})
                open_intent = None
            inner.prefix = called_prefix(path, number)
            error, lines = await self._once(section, inner)
            outcome = _outcome(intent, error, lines, self._context.clock.now())
            attempts.append(outcome)
            reason, fatal = (error.message, error.code == "guard-error") if error else ("", False)
            if error is None:
                reason, fatal = await self._runner.until(frame, step)
            status = StepStatus.FAILED if reason else StepStatus.OK
            if status is StepStatus.OK or fatal or len(attempts) >= retry.attempts:
                await self._runner.finish(section, path, intent, outcome, status, reason)
                record = step_record(section, path, step, status, attempts, reason)
                if fatal:
                    raise StepEnd(ExecutionStatus.FAILURE, "guard-error", reason, record)
                return record
            await self._runner.finish(section, path, intent, outcome, None, reason)

    async def _once(self, section: Section, inner: Frame) -> tuple[ExecutionError | None, list[str]]:
        """Steps, then its own checks; its rollback if either failed and anything of it was begun."""
        document, begun = inner.document, len(self._telemetry.steps)
        error = await self._through(section, inner, document.steps)
        lines: list[str] = []
        if error is None and document.verify:
            checks = await self._context.heed(lambda: self._checked(inner), inner.prefix.rstrip("/"))
            for check in checks:
                lines.append(f"{check.id}: {check.outcome.value}. {check.reason}")
                await self._context.emit(
                    EventKind.CHECK_FINISHED,
                    check=inner.prefix + check.id,
                    outcome=check.outcome.value,
                    reason=check.reason,
                )
            error = _verdict(checks)
        attempted = any(record.attempts for record in self._telemetry.steps[begun:])
        if error is not None and error.code != NO_EVIDENCE and document.rollback and attempted:
            left = await self._through(section, inner, document.rollback)
            lines.append("rolled back" if left is None else f"rollback: {left.message}")
        return error, lines

    async def _checked(self, inner: Frame) -> tuple[Check, ...]:
        await self._context.admit()
        resolved = inner.resolved
        return await own_checks(
            self._context.session,
            inner.document,
            resolved.environment(),
            resolved.values,
            self._context.clock,
            secrets=resolved.secrets,
            become=inner.become,
        )

    def _retold(self, section: Section, path: str, attempts: int, document: RunbookDocument) -> None:
        """The records of a finished call's steps, from the journal and the last checkpoint."""
        for number in range(1, attempts + 1):
            prefix = called_prefix(path, number)
            for step in (*document.steps, *document.rollback):
                inner = prefix + step.id
                past = self._runner.past(section, inner)
                known = self._runner.skip_before(section, inner)
                if past and past[-1].step_status is not None:
                    self._telemetry.steps.append(adopted(section, inner, step, past))
                    if step.call is not None:
                        called = self._context.last.called(step.call.digest)
                        self._retold(section, inner, len(past), called)
                elif known is not None:
                    self._telemetry.steps.append(known)

    def _place(self, path: str) -> int:
        """Where the call's own record belongs: before those of its steps."""
        inner = (f"{path}/", f"{path}~")
        steps = self._telemetry.steps
        return next((at for at, record in enumerate(steps) if record.id.startswith(inner)), len(steps))


def _verdict(checks: tuple[Check, ...]) -> ExecutionError | None:
    outcome = combine(check.outcome for check in checks)
    if outcome is VerificationOutcome.PASSED:
        return None
    said = next(check for check in checks if check.outcome is outcome)
    code = NOT_VERIFIED if outcome is VerificationOutcome.FAILED else NO_EVIDENCE
    return ExecutionError(code=code, message=f"Its steps ended well, and its check {said.id} says: {said.reason}")


def _outcome(intent: StepIntent, error: ExecutionError | None, lines: list[str], now: datetime) -> AttemptRecord:
    return AttemptRecord(
        attempt=intent.attempt,
        exit_code=0 if error is None else 1,
        stdout="".join(f"{line}\n" for line in lines),
        stderr="" if error is None else f"{error.message}\n",
        started_at=intent.at,
        ended_at=now,
        timed_out=error is not None and error.code == "step-timed-out",
    )
