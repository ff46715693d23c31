"""The run core: one admitted version on one host, from the state before to the verdict.

Order: gate, parameters, state before, steps, state after, verification; on failure rollback and
verification again, stored apart. Every attempt of every step goes through the gate anew, which journals
its intent. A run that is called again for the same execution takes up where the journal ends, so that no
step is lost and none is done twice (promise 4).
"""

from __future__ import annotations

import contextlib

from runwright.execution.context import RunContext, RunEnd, Waits
from runwright.execution.frame import Frame
from runwright.execution.kill_points import KillPoint, reached
from runwright.execution.request import RunRequest
from runwright.execution.state_capture import capture
from runwright.execution.steps import StepRunner
from runwright.execution.telemetry import Telemetry
from runwright.execution.walk import ASKED, Walk
from runwright.model.documents import RunbookDocument
from runwright.model.errors import GateRefused, HostUnreachable, InvalidInput, RunwrightError
from runwright.model.executions import (
    EventKind,
    ExecutionError,
    ExecutionResult,
    ExecutionStatus,
    Section,
)
from runwright.model.outcomes import execution_outcome, needs_rollback
from runwright.model.ports.clock import Clock
from runwright.model.ports.gate import Gate, Journal
from runwright.model.ports.hosts import HostSession
from runwright.model.states import HostState
from runwright.model.verdicts import Check, Verification, VerificationOutcome
from runwright.runbooks.parameters import resolve
from runwright.verification.verify import verify

__all__ = ["RunRequest", "run_runbook"]


async def run_runbook(
    request: RunRequest, *, gate: Gate, journal: Journal, session: HostSession, clock: Clock
) -> ExecutionResult:
    """Run what the gate admits for this execution, or go on with it after a crash.

    Whatever the host does ends in the result: a lost host is error `host-unreachable`, and calling again
    with a new session and this result as `earlier` goes on. Raises Conflict when a newer worker has taken
    the execution over, and StorageUnavailable when the journal cannot be written: nothing runs then.
    """
    context = RunContext(request, gate=gate, journal=journal, session=session, clock=clock)
    return await _Run(context).whole()


class _Run:
    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._request = context.request
        self._telemetry = Telemetry.begin(context.request, context.clock.now())

    async def whole(self) -> ExecutionResult:
        try:
            status = await self._to_the_end()
        except RunEnd as end:
            status = await self._ended(end)
        except Waits as waits:
            status = await self._waits(waits)
        except GateRefused as refused:
            status = self._fail(refused)
            await self._look_after()
        except HostUnreachable as lost:
            status = await self._lost(lost)
        except InvalidInput as invalid:
            status = self._fail(invalid)
        await self._forget_attempts()
        waiting = status is ExecutionStatus.PENDING and self._request.asks
        return self._telemetry.result(status, None if waiting else self._context.clock.now())

    async def _to_the_end(self) -> ExecutionStatus:
        context, telemetry = self._context, self._telemetry
        admitted = await context.admit()
        document = admitted.document
        brief = self._request.brief
        resolved = resolve(
            document,
            subject=brief.typed_subject.model_dump(mode="json", exclude_none=True),
            host=self._request.host_attributes,
            given=self._request.parameters,
            client_id=self._request.client_id,
        )
        context.session.hide(resolved.secrets.values())
        self._frame = frame = Frame(document, resolved, self._request.become)
        fresh = telemetry.before is None
        if telemetry.before is None:
            telemetry.before = await self._capture("before")
            await self._checkpoint()
        context.looker.begin(telemetry.before.disks, fresh=fresh)
        entries = await context.journal.entries(self._request.execution_id)
        # After reading: nothing that a newer worker intended is among them, and nothing of its is adopted or buried.
        await context.journal.hold(self._request.execution_id, self._request.epoch)
        earlier = self._request.earlier
        runner = StepRunner(context, entries, earlier.steps if earlier else ())
        walk = Walk(context, runner, telemetry, self._checkpoint)
        telemetry.error = await walk.through(Section.STEPS, frame, document.steps)
        steps_ok = telemetry.error is None
        if telemetry.after is None:
            telemetry.after = await self._capture("after")
        if telemetry.verification is None:
            reached(KillPoint.BEFORE_VERDICT, self._request.execution_id)
            telemetry.verification = await self._verify()
            await self._checkpoint()
        verdict = telemetry.verification.outcome
        if needs_rollback(steps_ok, verdict) and document.rollback and telemetry.anything_attempted:
            await self._roll_back(walk, document)
        if steps_ok and verdict is VerificationOutcome.FAILED and telemetry.error is None:
            said = next((c.reason for c in telemetry.verification.checks if c.outcome is verdict), "")
            telemetry.error = ExecutionError(
                code="verification-failed", message=f"All steps ended well, and the host says otherwise: {said}"
            )
        timed_out = telemetry.error is not None and telemetry.error.code == "step-timed-out"
        return execution_outcome(steps_ok, verdict, timed_out=timed_out)

    async def _roll_back(self, walk: Walk, document: RunbookDocument) -> None:
        """Undo, then verify again and keep that verdict apart: it never makes a failure a success."""
        reached(KillPoint.BEFORE_ROLLBACK, self._request.execution_id, "rollback:")
        await walk.through(Section.ROLLBACK, self._frame, document.rollback)
        self._telemetry.after_rollback = await self._verify()

    async def _verify(self) -> Verification:
        """Read-only, so a cancel or a stop switch ends it at once; what was held is looked at anew."""
        admitted = await self._context.admit()
        parameters = self._frame.resolved
        return await self._context.heed(
            lambda: verify(
                self._context.session,
                self._request.brief,
                admitted.document,
                parameters.environment(),
                parameters.values,
                _HoldClock(self._context.clock, self._request.execution_id),
                on_check=self._tell_check,
                before=self._telemetry.before,
                secrets=parameters.secrets,
                become=self._request.become,
                hold=self._request.hold,
            )
        )

    async def _tell_check(self, check: Check) -> None:
        await self._context.emit(
            EventKind.CHECK_FINISHED, check=check.id, outcome=check.outcome.value, reason=check.reason
        )

    async def _capture(self, when: str) -> HostState:
        state = await capture(self._context.session, self._request.brief, self._context.clock)
        reached(KillPoint.IN_CAPTURE, self._request.execution_id, when)
        missing = [fact.fact for fact in state.missing]
        await self._context.emit(EventKind.STATE_CAPTURED, when=when, missing=missing)
        return state

    async def _checkpoint(self) -> None:
        if self._request.checkpoint is not None:
            await self._request.checkpoint(self._telemetry.result(ExecutionStatus.RUNNING))
            reached(KillPoint.AFTER_CHECKPOINT, self._request.execution_id)

    def _fail(self, error: RunwrightError, step: str | None = None) -> ExecutionStatus:
        extra = {"reason": error.reason.value} if isinstance(error, GateRefused) else {}
        self._telemetry.error = ExecutionError(code=error.code, message=str(error), step=step, extra=extra)
        return ExecutionStatus.FAILURE

    async def _ended(self, end: RunEnd) -> ExecutionStatus:
        self._telemetry.error = ExecutionError(code=end.code, message=end.message, step=end.step)
        await self._look_after()
        return end.status

    async def _waits(self, waits: Waits) -> ExecutionStatus:
        """Nothing more is done here; where nobody can be asked, that is how the run ends."""
        self._telemetry.question = question = waits.question
        if not self._request.asks:
            self._telemetry.error = ExecutionError(
                code=ASKED, message=f"A person is asked, and nobody is there: {question.text}", step=question.step
            )
            await self._look_after()
        return ExecutionStatus.PENDING

    async def _look_after(self) -> None:
        """The state after a run that ended early; read-only, and missing where the host is gone too."""
        if self._telemetry.before is None or self._telemetry.after is not None:
            return
        try:
            self._telemetry.after = await self._capture("after")
        except HostUnreachable:
            return

    async def _lost(self, lost: HostUnreachable) -> ExecutionStatus:
        """Interrupted where an attempt's outcome is unknown, else a failure; either may be gone on with."""
        self._fail(lost)
        entries = await self._context.journal.entries(self._request.execution_id)
        unknown = [entry.intent for entry in entries if entry.unknown]
        if not unknown:
            return ExecutionStatus.FAILURE
        message = f"{lost} Step {unknown[-1].step_id} was under way and may have been done."
        self._telemetry.error = ExecutionError(code=lost.code, message=message, step=unknown[-1].step_id)
        return ExecutionStatus.INTERRUPTED

    async def _forget_attempts(self) -> None:
        """Let the host's supervisor remove what it kept of attempts that the journal knows now."""
        reached(KillPoint.BEFORE_FORGET, self._request.execution_id)
        entries = await self._context.journal.entries(self._request.execution_id)
        known = [entry.intent.attempt_id for entry in entries if entry.outcome is not None and entry.intent.on_host]
        if known:
            with contextlib.suppress(HostUnreachable):
                # what of a stopped attempt lives on keeps its files, and is named in its step's reason
                await self._context.session.forget_attempts(known)


class _HoldClock:
    """The clock of a verification. Its waits are where a crash test stops the process."""

    def __init__(self, clock: Clock, execution_id: str) -> None:
        self.now, self.monotonic, self.new_id = clock.now, clock.monotonic, clock.new_id
        self._clock, self._execution_id = clock, execution_id

    async def sleep(self, seconds: float) -> None:
        reached(KillPoint.IN_HOLD, self._execution_id)
        await self._clock.sleep(seconds)
