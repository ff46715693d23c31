"""One attempt of one step: intent, supervised run, outcome; and what to do about one found half done."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from runwright.execution.commands import step_command
from runwright.execution.context import RunContext
from runwright.execution.kill_points import KillPoint, reached
from runwright.model.documents import RunbookDocument, Step
from runwright.model.errors import GateReason, GateRefused, InvalidInput, NotFound, Refused, StorageUnavailable
from runwright.model.executions import AttemptRecord, EventKind, JournalEntry, Section, StepIntent
from runwright.model.ports.hosts import AttemptState, OutputSink, StopReport

CANCEL_INTERVAL = 0.5
"""Seconds between two looks at the cancel request while an attempt runs."""
LIVE_OUTPUT_LIMIT = 64_000
"""Characters of one attempt shown live; all of it is in the outcome."""
GRACE = 5.0
"""Seconds that a running attempt found after a crash gets at least."""


@dataclass(frozen=True)
class Attempted:
    """What came of an attempt. `stopped` is set when a cancel ended it."""

    intent: StepIntent
    outcome: AttemptRecord
    stopped: StopReport | None = None


class NotStarted(Exception):
    """The host adapter refused the command before anything ran: a missing secret, a value it cannot carry."""

    def __init__(self, intent: StepIntent, reason: str) -> None:
        self.intent = intent
        self.reason = reason
        super().__init__(reason)


def attempt_id(execution_id: str, section: Section, step_id: str, number: int) -> str:
    """The id that the host's supervisor knows an attempt by; the same after any crash."""
    return f"{execution_id}.{section.value}.{step_id}.{number}"


def find_step(document: RunbookDocument, section: Section, step_id: str) -> Step:
    """The step in the document that the gate returned for this very attempt."""
    steps = document.rollback if section is Section.ROLLBACK else document.steps
    for step in steps:
        if step.id == step_id:
            return step
    raise GateRefused(f"Found no step {step_id} in the admitted version.", reason=GateReason.CONTENT)


async def perform(context: RunContext, section: Section, step: Step, number: int) -> Attempted:
    """Ask the gate, which journals the intent, and run what it returned.

    Raises NotPossible and InvalidInput before anything is journaled, NotStarted after it; GateRefused;
    HostUnreachable with the outcome unknown.
    """
    request = context.request
    step_command(step, context.parameters, become=request.become)
    intent = StepIntent(
        execution_id=request.execution_id,
        epoch=request.epoch,
        section=section,
        step_id=step.id,
        attempt=number,
        attempt_id=attempt_id(request.execution_id, section, step.id, number),
        idempotent=step.is_idempotent,
        at=context.clock.now(),
    )
    place = f"{section.value}:{step.id}"
    reached(KillPoint.BEFORE_INTENT, request.execution_id, place)
    admitted = await context.admit(intent, step=step.id)
    reached(KillPoint.AFTER_INTENT, request.execution_id, place)
    current = find_step(admitted.document, section, step.id)
    command = step_command(current, context.parameters, become=request.become)
    await context.emit(
        EventKind.STEP_STARTED, section=section.value, step=step.id, step_kind=step.kind.value, attempt=number
    )
    sink = _live_output(context, section, step.id, number)
    run = context.session.run_attempt(intent.attempt_id, command, sink)
    try:
        outcome, stopped = await _watched(context, intent.attempt_id, run)
    except (InvalidInput, NotFound, Refused) as error:
        raise NotStarted(intent, str(error)) from error
    reached(KillPoint.BEFORE_OUTCOME, request.execution_id, place)
    return Attempted(intent, outcome.model_copy(update={"attempt": number}), stopped)


async def adopt(context: RunContext, step: Step, entry: JournalEntry) -> Attempted | None:
    """What the host's supervisor knows of an intent without outcome.

    None if it never saw the attempt, which is buried then: a worker that was only stalled between its intent and
    the start can no longer start it, so that what is done instead is not done twice.
    """
    intent = entry.intent.model_copy(update={"epoch": context.request.epoch})
    status = await context.session.attempt_status(intent.attempt_id, bury=True)
    reached(KillPoint.IN_RECOVERY, intent.execution_id, f"{intent.section.value}:{step.id}")
    stopped: StopReport | None = None
    if status.state is AttemptState.RUNNING:
        used = (context.clock.now() - intent.at).total_seconds()
        bound = step_command(step, context.parameters, become=context.request.become).timeout
        wait = context.session.wait_attempt(intent.attempt_id, max(bound - used, GRACE))
        outcome, stopped = await _watched(context, intent.attempt_id, wait)
    elif status.state is AttemptState.FINISHED and status.outcome is not None:
        outcome = status.outcome
    else:
        return None
    return Attempted(intent, outcome.model_copy(update={"attempt": intent.attempt}), stopped)


async def _watched(
    context: RunContext, running_id: str, work: Coroutine[Any, Any, AttemptRecord]
) -> tuple[AttemptRecord, StopReport | None]:
    """Wait for an attempt; end its whole tree when the run is cancelled.

    A database that is away says nothing of a cancel, and the attempt goes on: ending it would leave half an effect.
    """
    task = asyncio.ensure_future(work)
    stopped: StopReport | None = None
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=CANCEL_INTERVAL)
            if done:
                return task.result(), stopped
            if stopped is None and await _cancel_asked(context):
                stopped = await context.session.stop_attempt(running_id)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _cancel_asked(context: RunContext) -> bool:
    try:
        return await context.is_cancelled()
    except StorageUnavailable:
        return False


def _live_output(context: RunContext, section: Section, step_id: str, number: int) -> OutputSink:
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}
    left = LIVE_OUTPUT_LIMIT

    async def sink(stream: str, chunk: bytes) -> None:
        nonlocal left
        reached(KillPoint.AFTER_START, context.request.execution_id, f"{section.value}:{step_id}")
        text = decoders[stream].decode(chunk)[: max(left, 0)]
        left -= len(text)
        if text:
            await context.emit(
                EventKind.STEP_OUTPUT,
                section=section.value,
                step=step_id,
                attempt=number,
                stream=stream,
                text=text,
            )

    return sink
