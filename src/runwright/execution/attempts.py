"""One attempt of one step: intent, supervised run, outcome; and what to do about one found half done."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from runwright.execution.commands import step_command
from runwright.execution.context import HEED_INTERVAL, Interruption, RunContext
from runwright.execution.frame import Frame, attempt_id, find_step
from runwright.execution.kill_points import KillPoint, reached
from runwright.execution.outputs import OutputKeeper
from runwright.model.documents import Step
from runwright.model.errors import InvalidInput, NotFound, Refused
from runwright.model.executions import AttemptRecord, EventKind, JournalEntry, Section, StepIntent
from runwright.model.ports.hosts import AttemptState, Command, OutputSink, StopReport

LIVE_OUTPUT_LIMIT = 64_000
"""Characters of one attempt shown live; all of it is in the outcome."""
NO_MORE = "\n[runwright: no more of this attempt is shown live]\n"
GRACE = 5.0
"""Seconds that a running attempt found after a crash gets at least."""


@dataclass(frozen=True)
class Attempted:
    """What came of an attempt. `stopped` is set when a cancel ended it, or a stop switch: then it is `held`."""

    intent: StepIntent
    outcome: AttemptRecord
    stopped: StopReport | None = None
    held: bool = False


class NotStarted(Exception):
    """The host adapter refused the command before anything ran: a missing secret, a value it cannot carry."""

    def __init__(self, intent: StepIntent, reason: str) -> None:
        self.intent = intent
        self.reason = reason
        super().__init__(reason)


def intend(context: RunContext, frame: Frame, section: Section, step: Step, number: int) -> StepIntent:
    """What is to be journaled before the attempt; not written yet."""
    execution_id, path = context.request.execution_id, frame.path(step)
    acts = step.call is None and step.ask is None
    return StepIntent(
        execution_id=execution_id,
        epoch=context.request.epoch,
        section=section,
        step_id=path,
        attempt=number,
        attempt_id=attempt_id(execution_id, section, path, number),
        idempotent=step.is_idempotent or not acts,
        at=context.clock.now(),
        on_host=acts,
    )


def place_of(intent: StepIntent) -> str:
    """Which part of the run an intent is of, as kill points name it."""
    return f"{intent.section.value}:{intent.step_id}"


async def admitted_step(
    context: RunContext, frame: Frame, section: Section, step: Step, number: int
) -> tuple[StepIntent, Step]:
    """Ask the gate, which journals the intent; and the step as it stands in what the gate returned."""
    intent = intend(context, frame, section, step, number)
    reached(KillPoint.BEFORE_INTENT, intent.execution_id, place_of(intent))
    admitted = await context.admit(intent, step=intent.step_id)
    reached(KillPoint.AFTER_INTENT, intent.execution_id, place_of(intent))
    current = find_step(admitted, section, intent.step_id)
    await context.emit(
        EventKind.STEP_STARTED, section=section.value, step=intent.step_id, step_kind=step.kind.value, attempt=number
    )
    return intent, current


async def perform(context: RunContext, frame: Frame, section: Section, step: Step, number: int) -> Attempted:
    """Ask the gate, which journals the intent, and run what it returned.

    Raises NotPossible and InvalidInput before anything is journaled, NotStarted after it; GateRefused;
    HostUnreachable with the outcome unknown.
    """
    _command(context, frame, step)
    intent, current = await admitted_step(context, frame, section, step, number)
    command = _command(context, frame, current)
    look = context.looker.look(current, frame.resolved)
    keeper = OutputKeeper(
        context.request.artefacts,
        context.request.client_id,
        shown=command.output_limit,
        most=context.request.keep_output,
    )
    sink = _live_output(context, section, intent.step_id, number, keeper)
    run = context.session.run_attempt(intent.attempt_id, command.model_copy(update={"look": look}), sink)
    try:
        found = await _watched(context, intent, run, waits=_only_waits(current))
        outcome = await keeper.finish(found.outcome)
    except (InvalidInput, NotFound, Refused) as error:
        raise NotStarted(intent, str(error)) from error
    finally:
        await keeper.discard()
    found = replace(found, outcome=context.looker.told(current, frame.resolved, outcome))
    reached(KillPoint.BEFORE_OUTCOME, intent.execution_id, place_of(intent))
    return found


def _command(context: RunContext, frame: Frame, step: Step) -> Command:
    """The step's command, within what is left of the time of the call that it is part of."""
    command = step_command(step, frame.resolved, become=frame.become)
    if frame.ends_at is None:
        return command
    left = max(frame.ends_at - context.clock.monotonic(), 0.1)
    return command.model_copy(update={"timeout": min(command.timeout, left)})


def _only_waits(step: Step) -> bool:
    """Whether it may be ended and begun again at any time: it changes nothing."""
    return step.wait_for is not None and step.is_idempotent


async def adopt(context: RunContext, frame: Frame, step: Step, entry: JournalEntry) -> Attempted | None:
    """What the host's supervisor knows of an intent without outcome.

    None if it never saw the attempt, which is buried then: a worker that was only stalled between its intent and
    the start can no longer start it, so that what is done instead is not done twice.
    """
    intent = entry.intent.model_copy(update={"epoch": context.request.epoch})
    status = await context.session.attempt_status(intent.attempt_id, bury=True)
    reached(KillPoint.IN_RECOVERY, intent.execution_id, place_of(intent))
    if status.state is AttemptState.RUNNING:
        used = (context.clock.now() - intent.at).total_seconds()
        wait = context.session.wait_attempt(
            intent.attempt_id, max(_command(context, frame, step).timeout - used, GRACE)
        )
        return await _watched(context, intent, wait, waits=_only_waits(step))
    if status.state is AttemptState.FINISHED and status.outcome is not None:
        return Attempted(intent, status.outcome.model_copy(update={"attempt": intent.attempt}))
    return None


async def _watched(
    context: RunContext, intent: StepIntent, work: Coroutine[Any, Any, AttemptRecord], *, waits: bool
) -> Attempted:
    """Wait for an attempt; end its whole tree when the run is cancelled, or held while it only `waits`.

    A database that is away says nothing of a cancel, and the attempt goes on: ending it would leave half an effect.
    """
    task = asyncio.ensure_future(work)
    stopped: StopReport | None = None
    held = False
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=HEED_INTERVAL)
            if done:
                outcome = task.result().model_copy(update={"attempt": intent.attempt})
                return Attempted(intent, outcome, stopped, held)
            if stopped is not None:
                continue
            wanted = await context.interruption()
            if wanted is Interruption.CANCEL or (wanted is Interruption.STOP and waits):
                held = wanted is Interruption.STOP
                stopped = await context.session.stop_attempt(intent.attempt_id)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _live_output(context: RunContext, section: Section, step_id: str, number: int, keeper: OutputKeeper) -> OutputSink:
    decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}
    left = LIVE_OUTPUT_LIMIT

    async def sink(stream: str, chunk: bytes) -> None:
        nonlocal left
        reached(KillPoint.AFTER_START, context.request.execution_id, f"{section.value}:{step_id}")
        await keeper.feed(stream, chunk)
        if left <= 0:
            return
        text = decoders[stream].decode(chunk)
        left -= len(text)
        if left <= 0:
            text = text[: len(text) + left] + NO_MORE
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
