"""Runs with calls and questions, whatever comes in which order: deaths, answers, cancels, time, sweeps.

Always: each effect at most once and in order, each question asked once, and the final status says what happened.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from conftest import DrivenClock
from execution.approved_world import CLIENT, open_world
from execution.test_waiting import ANN, Office
from runwright.access.audit import verify_chain
from runwright.execution.kill_points import KillPoint, install
from runwright.loop import LoopWorker
from runwright.model.errors import Conflict, InvalidInput
from runwright.model.executions import ExecutionStatus, StepStatus
from runwright.model.questions import QuestionStatus
from support.memory_queue import MemoryQueue

T = TypeVar("T")


def effect(step: str, word: str = "", extra: str = "") -> str:
    """A step that is not idempotent, and knows whether it was done."""
    done = f"""unless: 'grep -q "^{step}" "$log"\'"""
    return f'  - {{id: {step}, {extra}{done}, run: \'echo "{step}{word}" >> "$log"\'}}\n'


CALLED = (
    """\
schema: runwright/v1
id: RB-OTHER-001
name: Another
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  sure: {type: boolean, default: false}
steps:
"""
    + effect("inner-one")
    + "  - {id: confirm, ask: {question: 'Really?', parameter: sure, expires: 1h}}\n"
    + effect("inner-two", " $sure")
    + "rollback:\n"
    + effect("inner-undo")
)

CALLER = (
    """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller}
  word: {type: string, enum: [good, bad], default: bad}
steps:
"""
    + effect("one")
    + "  - {id: asks, ask: {question: 'Which?', parameter: word, expires: 1h}, on_failure: continue}\n"
    + effect("two", " $word")
    + "  - {id: calls, call: {runbook: RB-OTHER-001, version: 1, digest: '@DIGEST@', parameters: {log: $log}}}\n"
    + effect("three")
    + "rollback:\n"
    + effect("undo")
)

ORDER = ("one", "two", "inner-one", "inner-two", "inner-undo", "three", "undo")
DEATHS = (
    *(KillPoint.AFTER_CLAIM, KillPoint.BEFORE_INTENT, KillPoint.AFTER_INTENT, KillPoint.BEFORE_OUTCOME),
    *(KillPoint.AFTER_OUTCOME, KillPoint.AFTER_CHECKPOINT, KillPoint.BEFORE_VERDICT, KillPoint.BEFORE_FINAL_STORE),
    KillPoint.AFTER_FINAL_STORE,
)


class Died(BaseException):
    """The worker's process is gone."""


class Waiting(RuleBasedStateMachine):
    """One execution of the caller above, on this machine, over SQLite."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="waiting-"))
        self.events = asyncio.new_event_loop()
        self.clock = DrivenClock()
        self.office = self.go(self._open())
        self.cancelled = False
        self.answers: dict[str, Any] = {}

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        return self.events.run_until_complete(work)

    async def _open(self) -> Office:
        world = await open_world(self.directory, self.clock)
        queue = MemoryQueue()
        loop = LoopWorker(world.store, self.clock, queue, executions=world.service(), learning=None, trials=None)  # type: ignore[arg-type]  # nothing is learned here
        office = Office(world, queue, loop)
        await office.start(CALLER.replace("@DIGEST@", await world.also_approved(CALLED)))
        return office

    @rule(point=st.none() | st.sampled_from(DEATHS), passing=st.integers(1, 4))
    @precondition(lambda self: self.office.queue.executions)
    def work(self, point: KillPoint | None, passing: int) -> None:
        """A worker takes the run, and may die at a named place."""
        left = passing

        def hook(here: KillPoint, *_: str) -> None:
            nonlocal left
            left -= here is point
            if left == 0 and here is point:
                raise Died

        install(hook)
        try:
            self.go(self.office.work())
        except Died:
            pass
        finally:
            install(None)

    @rule()
    def deliver_again(self) -> None:
        """Work that was queued for an earlier worker comes late."""
        row = self.go(self.office.row())
        if row.status is ExecutionStatus.PENDING:
            self.office.queue.executions.append(row.id)

    @rule(value=st.sampled_from(["good", "bad", "true", "false", "nonsense"]))
    def answer(self, value: str) -> None:
        waiting = self.go(self.office.row()).waiting_for
        try:
            self.go(self.office.loop.answer(ANN, "exe_1", value))
        except (Conflict, InvalidInput):
            return
        assert waiting is not None
        assert waiting not in self.answers, "a question takes one answer"
        self.answers[waiting] = value

    @rule(minutes=st.sampled_from([1, 40, 90]))
    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes * 60)

    @rule()
    def sweep(self) -> None:
        self.go(self.office.loop.sweep())

    @rule()
    def cancel(self) -> None:
        if self.cancelled or len(self.answers) == 0:
            return  # else most examples would end at once
        try:
            self.go(self.office.loop.cancel(ANN, "exe_1"))
            self.cancelled = True
        except Conflict:
            return

    @invariant()
    def each_effect_once_and_in_order(self) -> None:
        names = [line.split()[0] for line in self.office.log()]
        assert len(set(names)) == len(names), names
        assert names == [name for name in ORDER if name in names], names

    @invariant()
    def who_waits_waits_for_one_open_question(self) -> None:
        row, questions = self.go(self.office.row()), self.go(self.office.questions())
        asked = [question.step for question in questions]
        assert len(set(asked)) == len(asked), "asked twice"
        opened = [question.id for question in questions if question.status is QuestionStatus.OPEN]
        if row.waiting_for is not None:
            assert (row.status, opened) == (ExecutionStatus.PENDING, [row.waiting_for])

    def teardown(self) -> None:
        try:
            self._to_the_end()
        finally:
            install(None)
            self.go(self.office.world.store.close())
            self.events.close()
            shutil.rmtree(self.directory)

    def _to_the_end(self) -> None:
        """Whatever happened, nothing is lost: with workers and answers it ends, and honestly."""
        for _ in range(12):
            row = self.go(self.office.row())
            if row.status.final:
                break
            if row.waiting_for is not None:
                self.answer("true" if "confirm" in row.waiting_for else "good")
            self.sweep()
            while self.office.queue.executions:
                self.work(None, 1)  # type: ignore[call-arg, arg-type]  # a rule called by hand
        self.each_effect_once_and_in_order()
        self.who_waits_waits_for_one_open_question()
        self.go(self._judge())

    async def _judge(self) -> None:
        row = await self.office.row()
        assert row.status.final, row
        async with self.office.world.store.reading() as tx:
            result = await tx.executions.result("exe_1", client=CLIENT)
            entries = await tx.audit.entries(CLIENT, limit=10_000)
        assert not list(verify_chain(entries))
        assert result is not None
        assert result.status is row.status
        log = self.office.log()
        done = {step.id.rpartition("/")[2] for step in result.steps if step.status is StepStatus.OK}
        assert {line.split()[0] for line in log} <= done | {"inner-undo"}, "what was done is told"
        expired = {item.step for item in await self.office.questions() if item.status is QuestionStatus.EXPIRED}
        if row.status is ExecutionStatus.SUCCESS:
            assert "calls/confirm" not in expired
            assert "three" in log
            assert f"two {self.answers.get('exe_1.steps.asks.1', 'bad')}" in log
        elif row.status is ExecutionStatus.CANCELLED:
            assert self.cancelled
            assert "undo" not in log
        elif "calls/confirm" in expired:
            assert row.status is ExecutionStatus.FAILURE
            assert {"inner-undo", "undo"} <= set(log)
            assert "three" not in log


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(
    max_examples=5, stateful_step_count=9, deadline=None, suppress_health_check=list(HealthCheck)
)
