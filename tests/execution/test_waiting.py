"""Runs that wait for a person: nothing is held meanwhile, nothing is done twice, and whoever answers is a person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from execution.approved_world import CLIENT, World, open_world
from runwright.access.audit import verify_chain
from runwright.loop import LoopWorker
from runwright.model.errors import Conflict, Forbidden, GateReason, InvalidInput
from runwright.model.executions import EventKind, Execution, ExecutionResult, ExecutionStatus, StepStatus
from runwright.model.incidents import IncidentStatus
from runwright.model.principals import ENGINE, AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.model.questions import Question, QuestionStatus
from support.memory_queue import MemoryQueue

TEXT = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  which: {type: string, enum: [left, right], from: caller}
steps:
  - {id: before, run: 'echo before >> "$log"'}
  - {id: guarded, only_if: 'test ! -e "$log"', run: 'echo guarded >> "$log"'}
  - {id: asks, ask: {question: 'Which one?', parameter: which, expires: 2h}}
  - {id: after, run: 'echo "after $which" >> "$log"'}
rollback:
  - {id: undo, run: 'echo undone >> "$log"'}
"""


def someone(kind: PrincipalKind, *roles: Role, client: str | None = None) -> Principal:
    return Principal(
        id="usr-ann",
        kind=kind,
        name="Ann",
        method=AuthMethod.TOKEN if kind is PrincipalKind.MACHINE else AuthMethod.PASSWORD,
        grants=tuple(Grant(role=role, client_id=client) for role in roles),
    )


ANN = someone(PrincipalKind.PERSON, Role.OPERATOR)


@dataclass
class Office:
    """The loop over a real store, gate and host, with a queue that a test empties by hand."""

    world: World
    queue: MemoryQueue
    loop: LoopWorker
    execution_id: str = "exe_1"

    async def start(self, text: str = TEXT) -> None:
        execution = await self.world.seed(text, log=str(self.world.directory / "log"))
        async with self.world.store.transaction() as tx:
            incident = await tx.incidents.get("inc_1", client=CLIENT)
            await tx.incidents.replace(incident, incident.model_copy(update={"status": IncidentStatus.QUEUED}))
        await self.queue.enqueue_execution(execution.id, host_id="host_1", priority=2)

    async def work(self) -> ExecutionResult:
        """Take the next run out of the queue."""
        return await self.loop.run_execution(self.queue.executions.pop(0))

    async def row(self) -> Execution:
        async with self.world.store.reading() as tx:
            return await tx.executions.get(self.execution_id, client=CLIENT)

    async def questions(self) -> tuple[Question, ...]:
        async with self.world.store.reading() as tx:
            return (await tx.questions.page(client=CLIENT)).items

    async def incident(self) -> IncidentStatus:
        async with self.world.store.reading() as tx:
            return (await tx.incidents.get("inc_1", client=CLIENT)).status

    def log(self) -> list[str]:
        file = self.world.directory / "log"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
async def office(tmp_path: Path, clock: Any) -> AsyncIterator[Office]:
    world = await open_world(tmp_path, clock)
    queue = MemoryQueue()
    loop = LoopWorker(world.store, clock, queue, executions=world.service(), learning=None, trials=None)  # type: ignore[arg-type]  # nothing is learned here
    yield Office(world, queue, loop)
    await world.store.close()


async def test_a_run_waits_goes_on_where_it_was_and_uses_the_answer(office: Office) -> None:
    await office.start()
    waiting = await office.work()
    assert (waiting.status, waiting.completed_at, waiting.error) == (ExecutionStatus.PENDING, None, None)
    assert waiting.question is not None
    assert waiting.question.text == "Which one?"
    row = await office.row()
    assert (row.status, row.waiting_for, row.standing) == (
        ExecutionStatus.PENDING,
        waiting.question.id,
        "waits for a person",
    )
    assert office.log() == ["before"]
    assert await office.incident() is IncidentStatus.RUNNING

    assert await office.loop.sweep() == 0, "what waits is not queued"
    assert office.queue.executions == []
    (office.world.directory / "log").unlink()  # a guard asked again would run the guarded step now

    answered = await office.loop.answer(ANN, office.execution_id, "left")
    assert (answered.waiting_for, answered.status) == (None, ExecutionStatus.PENDING)
    done = await office.work()
    assert done.status is ExecutionStatus.SUCCESS, done.error
    assert office.log() == ["after left"]
    assert [(step.id, step.status) for step in done.steps] == [
        ("before", StepStatus.OK),
        ("guarded", StepStatus.SKIPPED),
        ("asks", StepStatus.OK),
        ("after", StepStatus.OK),
    ]
    assert done.steps[2].attempts[0].stdout == "left"
    assert done.state_before == waiting.state_before, "what was before the run stays what was before the run"
    assert await office.incident() is IncidentStatus.RESOLVED
    (question,) = await office.questions()
    assert (question.status, question.answered_by, question.value) == (QuestionStatus.ANSWERED, "usr-ann", "left")


async def test_all_of_it_is_audited_and_told(office: Office) -> None:
    await office.start()
    await office.work()
    await office.loop.answer(ANN, office.execution_id, "left")
    async with office.world.store.reading() as tx:
        entries = await tx.audit.entries(CLIENT)
        events = await tx.events.since(0, client=CLIENT, subject_id=office.execution_id)
    assert not list(verify_chain(entries))
    asked, answered = (entry.event for entry in entries if entry.event.action in ("execution.ask", "execution.answer"))
    assert (asked.actor, answered.actor) == (ENGINE.id, "usr-ann")
    assert asked.digest != answered.digest
    assert "left" not in str(answered.facts), "the chain holds digests"
    told = [event.data["status"] for event in events if event.kind is EventKind.QUESTION]
    assert told == ["open", "answered"]


REFUSED: tuple[tuple[Principal, object, type[Exception], str], ...] = (
    (someone(PrincipalKind.MACHINE, Role.ADMIN), "left", Forbidden, "Found"),
    (someone(PrincipalKind.ENGINE, Role.ADMIN), "left", Forbidden, "Found"),
    (someone(PrincipalKind.PERSON, Role.VIEWER), "left", Forbidden, "Found"),
    (someone(PrincipalKind.PERSON, Role.APPROVER), "left", Forbidden, "Found"),
    (someone(PrincipalKind.PERSON, Role.OPERATOR, client="other"), "left", Forbidden, "Found"),
    (ANN, "middle", InvalidInput, "one of left, right"),
    (ANN, "$(reboot)", InvalidInput, "one of left, right"),
    (ANN, None, InvalidInput, "which"),
)


async def test_who_and_what_is_no_answer(office: Office) -> None:
    await office.start()
    await office.work()
    for who, value, error, says in REFUSED:
        with pytest.raises(error, match=says):
            await office.loop.answer(who, office.execution_id, value)
        (question,) = await office.questions()
        assert question.status is QuestionStatus.OPEN
        assert office.queue.executions == []


async def test_one_answer_only_and_to_the_question_that_was_shown(office: Office) -> None:
    await office.start()
    with pytest.raises(Conflict, match="asks nothing"):
        await office.loop.answer(ANN, office.execution_id, "left")
    await office.work()
    with pytest.raises(Conflict, match=r"not exe_1\.steps\.other\.1"):
        await office.loop.answer(ANN, office.execution_id, "left", question_id="exe_1.steps.other.1")
    await office.loop.answer(ANN, office.execution_id, "left")
    with pytest.raises(Conflict, match="answered"):
        await office.loop.answer(ANN, office.execution_id, "right")
    await office.work()
    with pytest.raises(Conflict, match="answered"):
        await office.loop.answer(ANN, office.execution_id, "right")
    assert office.log()[-1] == "after left"


async def test_work_that_was_queued_for_the_run_before_it_waited_does_nothing(office: Office) -> None:
    """A sweep puts running executions back with the epoch they have; that id is used up when the answer comes."""
    await office.start()
    await office.work()
    row = await office.row()
    await office.queue.enqueue_execution(office.execution_id, host_id="host_1", priority=2, take=row.epoch)
    assert (await office.work()).status is ExecutionStatus.PENDING
    assert len(await office.questions()) == 1
    await office.loop.answer(ANN, office.execution_id, "right")
    assert office.queue.executions == [office.execution_id], "the answer is queued all the same"
    assert (await office.work()).status is ExecutionStatus.SUCCESS


async def test_nobody_answers_in_time(office: Office, clock: Any) -> None:
    await office.start()
    await office.work()
    clock.advance(2 * 3600)
    with pytest.raises(Conflict, match="expired"):
        await office.loop.answer(ANN, office.execution_id, "left")
    result = await office.work()
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert (result.error.code, result.error.step) == ("asked-unanswered", "asks")
    assert office.log() == ["before", "undone"]
    (question,) = await office.questions()
    assert question.status is QuestionStatus.EXPIRED
    assert await office.incident() is IncidentStatus.ESCALATED


async def test_the_sweep_ends_what_is_overdue_and_on_failure_applies(office: Office, clock: Any) -> None:
    await office.start(TEXT.replace("expires: 2h}}", "expires: 2h}, on_failure: continue}"))
    await office.work()
    clock.advance(2 * 3600 - 1)
    assert await office.loop.sweep() == 0
    clock.advance(1)
    assert await office.loop.sweep() == 1
    assert (await office.work()).status is ExecutionStatus.SUCCESS
    assert office.log() == ["before", "after "]


async def test_a_question_may_be_asked_again(office: Office, clock: Any) -> None:
    await office.start(TEXT.replace("expires: 2h}}", "expires: 2h}, retry: {attempts: 2, delay: 1s}}"))
    await office.work()
    clock.advance(3 * 3600)
    await office.loop.sweep()
    assert (await office.work()).status is ExecutionStatus.PENDING, "the second attempt asks anew"
    await office.loop.answer(ANN, office.execution_id, "right")
    done = await office.work()
    assert done.status is ExecutionStatus.SUCCESS
    asks = next(step for step in done.steps if step.id == "asks")
    assert [(attempt.attempt, attempt.exit_code) for attempt in asks.attempts] == [(1, None), (2, 0)]
    assert office.log() == ["before", "after right"]


async def test_a_cancel_while_it_waits_ends_it_without_a_worker(office: Office) -> None:
    await office.start()
    await office.work()
    ended = await office.loop.cancel(ANN, office.execution_id)
    assert (ended.status, ended.waiting_for) == (ExecutionStatus.CANCELLED, None)
    assert office.queue.executions == []
    async with office.world.store.reading() as tx:
        result = await tx.executions.result(office.execution_id, client=CLIENT)
        entries = await tx.journal.entries(office.execution_id)
    assert result is not None
    assert (result.status, result.question) == (ExecutionStatus.CANCELLED, None)
    assert result.steps[-1].status is StepStatus.INTERRUPTED
    assert not [entry for entry in entries if entry.step_status is None], "the journal has no open end"
    assert await office.incident() is IncidentStatus.ESCALATED
    with pytest.raises(Conflict, match="withdrawn"):
        await office.loop.answer(ANN, office.execution_id, "left")
    assert await office.loop.sweep() == 0


async def test_the_gate_is_asked_anew_when_the_answer_comes(office: Office, clock: Any) -> None:
    """The approval ends in 30 days; the question lives longer."""
    await office.start(TEXT.replace("expires: 2h", "expires: 40d"))
    await office.work()
    clock.advance(31 * 86400)
    await office.loop.answer(ANN, office.execution_id, "left")
    result = await office.work()
    assert result.status is ExecutionStatus.FAILURE
    assert result.error is not None
    assert result.error.extra == {"reason": GateReason.ACTIVATION_EXPIRED.value}
    assert office.log() == ["before"]


async def test_a_question_within_a_call(office: Office) -> None:
    other = """\
schema: runwright/v1
id: RB-OTHER-001
name: Another
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  sure: {type: boolean, from: caller}
steps:
  - {id: begins, run: 'echo begins >> "$log"'}
  - {id: confirm, ask: {question: 'Really?', parameter: sure}}
  - {id: does, only_if: 'test "$sure" = true', run: 'echo does >> "$log"'}
"""
    digest = await office.world.also_approved(other)
    named = f"runbook: RB-OTHER-001, version: 1, digest: '{digest}', parameters: {{log: $log}}"
    call = f"  - {{id: calls, call: {{{named}}}}}\n"
    await office.start(TEXT.replace("  - {id: asks", call + "  - {id: asks"))
    waiting = await office.work()
    assert waiting.question is not None
    assert (waiting.question.step, waiting.question.parameter) == ("calls/confirm", "sure")
    await office.loop.answer(ANN, office.execution_id, "true")
    assert (await office.work()).question is not None, "the caller's own question comes next"
    await office.loop.answer(ANN, office.execution_id, "left")
    done = await office.work()
    assert done.status is ExecutionStatus.SUCCESS, done.error
    assert office.log() == ["before", "begins", "does", "after left"]
    assert [step.id for step in done.steps] == [
        *("before", "guarded", "calls", "calls/begins", "calls/confirm", "calls/does", "asks", "after"),
    ]
    async with office.world.store.reading() as tx:
        ids = [entry.intent.attempt_id for entry in await tx.journal.entries(office.execution_id)]
    assert len(set(ids)) == len(ids) == 7
