"""Questions of runs in the store: asked, answered, expired or withdrawn, each in the transaction of its caller.

A run that waits is `pending` with `waiting_for` set, and in no queue. Whatever closes its question clears that and
counts `epoch` up in the same transaction, so that the caller may queue the run again and a crash before that loses
nothing: the sweep finds a pending run that waits for nobody.
"""

from __future__ import annotations

from typing import Any

from runwright.access.permissions import Permission, require
from runwright.model.audit import AuditEvent
from runwright.model.base import Moment
from runwright.model.errors import Conflict, Forbidden
from runwright.model.executions import (
    Event,
    EventKind,
    Execution,
    ExecutionError,
    ExecutionResult,
    ExecutionStatus,
    Section,
    StepRecord,
    StepStatus,
)
from runwright.model.ids import digest
from runwright.model.ports.clock import Clock
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from runwright.model.principals import ENGINE, Principal, PrincipalKind
from runwright.model.questions import Question, QuestionStatus
from runwright.runbooks.parameters import answer_to


async def answer_open(
    store: Store, clock: Clock, principal: Principal, execution_id: str, raw: Any, *, question_id: str | None = None
) -> Execution:
    """Answer what the execution waits for; it may be queued again then.

    `question_id` is the question that the person was shown, so that no later one is answered instead.
    Raises NotFound, Forbidden, InvalidInput, and Conflict where nothing, another, or nothing any more is asked:
    answered already, or expired.
    """
    async with store.transaction() as tx:
        execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
        require(principal, Permission.ANSWER, execution.client_id)
        question = await waited_for(tx, execution)
        if question is None:
            raise await _nothing_asked(tx, execution, question_id)
        if question_id not in (None, question.id):
            raise Conflict(f"Found question {question.id} open, not {question_id}.", next_step="Look at it again.")
        if question.overdue(clock.now()):
            raise Conflict(
                f"Found the question of step {question.step} expired at {question.expires_at}.",
                next_step="The run goes on with what its runbook says for that.",
            )
        return await answer(tx, principal, execution, question, raw, clock.now())


async def expire_due(store: Store, clock: Clock) -> tuple[Execution, ...]:
    """Close every question that nobody answered in time; the executions, which may be queued again."""
    due: list[Question] = []
    cursor: str | None = None
    async with store.reading() as tx:
        while True:
            where = {"status": QuestionStatus.OPEN.value}
            page = await tx.questions.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=200)
            due += [question for question in page.items if question.overdue(clock.now())]
            cursor = page.next_cursor
            if cursor is None:
                break
    free: list[Execution] = []
    for question in due:
        async with store.transaction() as tx:
            execution = await tx.executions.get(question.execution_id, client=EVERY_CLIENT)
            still = await waited_for(tx, execution)
            if still is not None and still.id == question.id:
                free.append(await expire(tx, execution, still, clock.now()))
    return tuple(free)


async def _nothing_asked(tx: Transaction, execution: Execution, question_id: str | None) -> Conflict:
    asked = await asked_of(tx, execution)
    for question in asked:
        if question_id in (None, question.id) and question.status is not QuestionStatus.OPEN:
            return Conflict(
                f"Found the question of step {question.step} {question.status.value}.",
                allowed="An open question takes one answer.",
                next_step="See `runwright execution show` for what came of it.",
            )
    return Conflict(f"Found execution {execution.id} {execution.status.value}: it asks nothing now.")


async def put(tx: Transaction, question: Question) -> Question:
    """Ask it, or find it asked already."""
    known = await tx.questions.find(question.id, client=question.client_id)
    if known is not None:
        return known
    await tx.questions.add(question)
    await _record(tx, ENGINE.id, "execution.ask", question, question.asked_at)
    return question


async def waited_for(tx: Transaction, execution: Execution) -> Question | None:
    """The open question of an execution that waits for a person; None where it waits for nobody."""
    if execution.waiting_for is None:
        return None
    question = await tx.questions.get(execution.waiting_for, client=execution.client_id)
    return question if question.status is QuestionStatus.OPEN else None


async def asked_of(tx: Transaction, execution: Execution) -> tuple[Question, ...]:
    """All questions of an execution, newest first."""
    found: list[Question] = []
    cursor: str | None = None
    while True:
        page = await tx.questions.page(
            client=execution.client_id, where={"execution_id": execution.id}, cursor=cursor, limit=200
        )
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return tuple(found)


async def answer(
    tx: Transaction, principal: Principal, execution: Execution, question: Question, raw: Any, now: Moment
) -> Execution:
    """A person's answer; the execution as it may be queued again.

    Raises Forbidden for anyone but a person who may run for this client, InvalidInput for a value that does not
    fit the parameter. The caller has seen to it that the question is open and not overdue.
    """
    require(principal, Permission.ANSWER, execution.client_id)
    if principal.kind is not PrincipalKind.PERSON:
        raise Forbidden(f"Found {principal.name}, a {principal.kind.value}.", allowed="A person answers.")
    value = answer_to(question.parameter, question.answer, raw)
    closed = question.model_copy(
        update={
            "status": QuestionStatus.ANSWERED,
            "closed_at": now,
            "answered_by": principal.id,
            "answered_by_name": principal.name,
            "value": value,
        }
    )
    await tx.questions.replace(question, closed)
    await _record(tx, principal.id, "execution.answer", closed, now)
    return await _released(tx, execution)


async def expire(tx: Transaction, execution: Execution, question: Question, now: Moment) -> Execution:
    """Nobody answered in time: the step has failed, and the run goes on with what that means."""
    closed = question.model_copy(update={"status": QuestionStatus.EXPIRED, "closed_at": now})
    await tx.questions.replace(question, closed)
    await _record(tx, ENGINE.id, "execution.question_expired", closed, now)
    return await _released(tx, execution)


async def withdraw(
    tx: Transaction, execution: Execution, question: Question, result: ExecutionResult, by: str, now: Moment
) -> tuple[Execution, ExecutionResult]:
    """End a run that waits, at once: nothing of it is on its host. Its final row and its result, both stored."""
    closed = question.model_copy(update={"status": QuestionStatus.WITHDRAWN, "closed_at": now})
    await tx.questions.replace(question, closed)
    await _record(tx, by, "execution.question_withdrawn", closed, now)
    reason = "Cancelled while it waited for an answer."
    section = Section.STEPS
    for entry in await tx.journal.entries(execution.id):
        if entry.outcome is None and entry.step_status is None and not entry.intent.on_host:
            intent = entry.intent.model_copy(update={"epoch": execution.epoch})
            await tx.journal.finish(intent, None, StepStatus.INTERRUPTED, reason)
            section = intent.section
    asked = StepRecord(id=question.step, kind="ask", status=StepStatus.INTERRUPTED, section=section, reason=reason)
    ended = result.model_copy(
        update={
            "status": ExecutionStatus.CANCELLED,
            "steps": (*result.steps, asked),
            "error": ExecutionError(code="cancelled", message=reason, step=question.step),
            "question": None,
            "completed_at": now,
            "duration_seconds": (now - result.started_at).total_seconds(),
        }
    )
    done = execution.model_copy(
        update={
            "status": ExecutionStatus.CANCELLED,
            "waiting_for": None,
            "cancel_requested_at": now,
            "completed_at": now,
        }
    )
    await tx.executions.replace(execution, done)
    await tx.executions.put_result(ended)
    return done, ended


async def _released(tx: Transaction, execution: Execution) -> Execution:
    """No longer waiting. The epoch grows: work that was queued for the run before is another's."""
    free = execution.model_copy(update={"waiting_for": None, "epoch": execution.epoch + 1})
    await tx.executions.replace(execution, free)
    return free


async def _record(tx: Transaction, actor: str, action: str, question: Question, now: Moment) -> None:
    """Into the audit chain by its digest, the answer included; and an event for whoever watches."""
    await tx.audit.append(
        AuditEvent(
            chain=question.client_id,
            actor=actor,
            action=action,
            subject=question.execution_id,
            digest=digest(question.model_dump(mode="json", by_alias=True)),
            at=now,
            facts={"question": question.id, "step": question.step, "parameter": question.parameter},
        )
    )
    await tx.events.append(
        Event(
            client_id=question.client_id,
            subject_id=question.execution_id,
            kind=EventKind.QUESTION,
            at=now,
            data={
                "question": question.id,
                "status": question.status.value,
                "step": question.step,
                "text": question.text,
                "parameter": question.parameter,
                "expires_at": question.expires_at.isoformat(),
                "by": question.answered_by_name,
            },
        )
    )
