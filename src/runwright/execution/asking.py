"""The `ask` step: a question to a person, its answer, and what is left when nobody answers."""

from __future__ import annotations

from datetime import timedelta

from runwright.execution.attempts import Attempted, admitted_step, place_of
from runwright.execution.context import RunContext, RunEnd, Waits
from runwright.execution.frame import Frame, attempt_id
from runwright.execution.kill_points import KillPoint, reached
from runwright.model.documents import Step
from runwright.model.errors import GateReason, GateRefused
from runwright.model.executions import AttemptRecord, ExecutionStatus, Section, StepIntent
from runwright.model.questions import Question, QuestionStatus
from runwright.runbooks.parameters import as_text

LONGEST = 10 * 365 * 86400.0
"""Seconds that a question may stay open at most."""


async def ask_person(context: RunContext, frame: Frame, section: Section, step: Step, number: int) -> Attempted:
    """Ask the gate, which journals the intent, then a person. Raises Waits until there is an answer or none will be."""
    intent, current = await admitted_step(context, frame, section, step, number)
    return came_of(context, frame, current, intent)


def came_of(context: RunContext, frame: Frame, step: Step, intent: StepIntent) -> Attempted:
    """What came of a question whose intent is journaled. Raises Waits while it is open.

    The same intent always asks the same question: whoever goes on after a crash finds it by the attempt's id.
    """
    asked = context.request.answers.get(intent.attempt_id)
    if asked is None:
        raise Waits(_question(context, frame, step, intent))
    if asked.status is QuestionStatus.OPEN:
        raise Waits(asked)
    if asked.status is QuestionStatus.WITHDRAWN:
        raise RunEnd(ExecutionStatus.CANCELLED, "cancelled", "The run was cancelled while it waited.", asked.step)
    answered = asked.status is QuestionStatus.ANSWERED and asked.value is not None
    outcome = AttemptRecord(
        attempt=intent.attempt,
        exit_code=0 if answered else None,
        stdout=as_text(asked.value) if asked.value is not None and answered else "",
        started_at=asked.asked_at,
        ended_at=asked.closed_at,
    )
    reached(KillPoint.BEFORE_OUTCOME, intent.execution_id, place_of(intent))
    return Attempted(intent, outcome)


def hand_over(context: RunContext, frame: Frame, section: Section, step: Step, number: int) -> None:
    """Make the answer a parameter of the document's later steps. Raises RunEnd where it is no longer known."""
    path = frame.path(step)
    asked = context.request.answers.get(attempt_id(context.request.execution_id, section, path, number))
    if step.ask is None or asked is None or asked.value is None:
        message = f"The answer to step {path} was stored, and is not there any more."
        raise RunEnd(ExecutionStatus.INTERRUPTED, "interrupted", message, path)
    frame.answer(step.ask.parameter, asked.value)


def _question(context: RunContext, frame: Frame, step: Step, intent: StepIntent) -> Question:
    declared = frame.document.parameters.get(step.ask.parameter) if step.ask else None
    if step.ask is None or declared is None:
        raise GateRefused(f"Found no question in step {intent.step_id}.", reason=GateReason.CONTENT)
    now = context.clock.now()
    return Question(
        id=intent.attempt_id,
        client_id=context.request.client_id,
        execution_id=context.request.execution_id,
        step=intent.step_id,
        text=step.ask.question,
        parameter=step.ask.parameter,
        answer=declared,
        asked_at=now,
        expires_at=now + timedelta(seconds=min(step.ask.expires, LONGEST)),
    )
