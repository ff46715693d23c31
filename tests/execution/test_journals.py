"""One contract for both journals: the one in the store and the one in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from execution.approved_world import CLIENT, open_world
from runwright.execution.memory_journal import MemoryJournal
from runwright.execution.store_journal import StoreJournal
from runwright.model.errors import Conflict, RunwrightError
from runwright.model.executions import (
    AttemptRecord,
    Event,
    EventKind,
    JournalEntry,
    Section,
    StepIntent,
    StepStatus,
)
from runwright.model.ports.clock import Clock
from runwright.model.ports.gate import Journal

TEXT = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
steps: [{id: first, run: 'true'}]
"""


@dataclass
class Subject:
    """A journal, and what stands behind it: the gate that writes intents, workers that claim, watchers."""

    journal: Journal
    intend: Callable[[StepIntent], Awaitable[None]]
    claim: Callable[[int], Awaitable[None]]
    seen: Callable[[], Awaitable[list[Event]]]


@pytest.fixture(params=["memory", "store"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryJournal()
        memory.claim("exe_1", 0)

        async def claim_memory(epoch: int) -> None:
            memory.claim("exe_1", epoch)

        async def seen_memory() -> list[Event]:
            return memory.events

        yield Subject(memory, memory.intend, claim_memory, seen_memory)
        return
    world = await open_world(tmp_path, clock)
    await world.seed(TEXT)
    stored = StoreJournal(world.store)

    async def intend(intent: StepIntent) -> None:
        async with world.store.transaction() as tx:
            await tx.journal.intend(intent)

    async def claim(epoch: int) -> None:
        async with world.store.transaction() as tx:
            was = await tx.executions.get("exe_1", client=CLIENT)
            await tx.executions.replace(was, was.model_copy(update={"epoch": epoch}))

    async def seen() -> list[Event]:
        await stored.flush()
        async with world.store.reading() as tx:
            return list(await tx.events.since(0, client=CLIENT, subject_id="exe_1"))

    yield Subject(stored, intend, claim, seen)
    await stored.flush()
    await world.store.close()


@pytest.fixture
def intent(clock: Clock) -> StepIntent:
    return StepIntent(
        execution_id="exe_1",
        epoch=1,
        section=Section.STEPS,
        step_id="first",
        attempt=1,
        attempt_id="exe_1.steps.first.1",
        idempotent=False,
        at=clock.now(),
    )


def outcome(clock: Clock) -> AttemptRecord:
    return AttemptRecord(attempt=1, exit_code=0, stdout="said\n", started_at=clock.now(), ended_at=clock.now())


async def test_an_intent_is_open_until_it_is_finished(subject: Subject, intent: StepIntent, clock: Clock) -> None:
    assert await subject.journal.entries("exe_1") == ()
    await subject.intend(intent)
    assert await subject.journal.entries("exe_1") == (JournalEntry(intent=intent),)
    await subject.journal.finish(intent, outcome(clock), StepStatus.OK, "well")
    finished = JournalEntry(intent=intent, outcome=outcome(clock), step_status=StepStatus.OK, reason="well")
    assert await subject.journal.entries("exe_1") == (finished,)


async def test_entries_come_in_the_order_of_their_intents(subject: Subject, intent: StepIntent, clock: Clock) -> None:
    ids = ["exe_1.steps.z.1", "exe_1.steps.a.1", "exe_1.steps.m.1"]
    for attempt_id in ids:
        await subject.intend(intent.model_copy(update={"attempt_id": attempt_id}))
    await subject.journal.finish(intent.model_copy(update={"attempt_id": ids[1]}), outcome(clock), None)
    assert [entry.intent.attempt_id for entry in await subject.journal.entries("exe_1")] == ids


async def test_an_attempt_is_intended_once(subject: Subject, intent: StepIntent) -> None:
    await subject.intend(intent)
    with pytest.raises(RunwrightError, match="already"):
        await subject.intend(intent)


async def test_an_older_worker_writes_nothing(subject: Subject, intent: StepIntent, clock: Clock) -> None:
    await subject.intend(intent)
    await subject.claim(2)
    with pytest.raises(RunwrightError) as refused:
        await subject.journal.finish(intent, outcome(clock), StepStatus.OK)
    assert refused.value.code == "conflict"
    with pytest.raises(RunwrightError):
        await subject.intend(intent.model_copy(update={"attempt_id": "exe_1.steps.other.1"}))
    assert await subject.journal.entries("exe_1") == (JournalEntry(intent=intent),)
    await subject.journal.hold("exe_1", 2)
    with pytest.raises(Conflict, match="taken over"):
        await subject.journal.hold("exe_1", 1)


async def test_a_newer_worker_finishes_what_an_older_one_intended(
    subject: Subject, intent: StepIntent, clock: Clock
) -> None:
    await subject.intend(intent)
    await subject.claim(2)
    await subject.journal.finish(intent.model_copy(update={"epoch": 2}), outcome(clock), StepStatus.OK)
    (entry,) = await subject.journal.entries("exe_1")
    assert (entry.intent.epoch, entry.step_status) == (1, StepStatus.OK)


async def test_an_outcome_without_an_intent_is_refused(subject: Subject, intent: StepIntent, clock: Clock) -> None:
    with pytest.raises(RunwrightError, match="intent"):
        await subject.journal.finish(intent, outcome(clock), StepStatus.OK)


async def test_events_reach_who_watches(subject: Subject, clock: Clock) -> None:
    for number in range(3):
        event = Event(
            client_id=CLIENT,
            subject_id="exe_1",
            kind=EventKind.STEP_OUTPUT,
            at=clock.now(),
            data={"number": number},
        )
        await subject.journal.emit(event)
    assert [event.data["number"] for event in await subject.seen()] == [0, 1, 2]
