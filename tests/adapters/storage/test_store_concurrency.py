"""Races: of two who want the same, exactly one gets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runwright.adapters.storage import open_store
from runwright.adapters.storage.store import SqlStore
from runwright.model.audit import GENESIS, chain_hash
from runwright.model.errors import Conflict
from runwright.model.executions import StepStatus
from runwright.model.ports.store import EVERY_CLIENT, Store, Transaction
from support import records


@pytest.fixture
async def stores(url: str, store: SqlStore) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one database, as two processes have."""
    second = await open_store(url)
    yield store, second
    await second.close()


async def _warm(store: Store) -> None:
    """Open its connection, so that a race is not decided by who has one."""
    async with store.transaction() as tx:
        await tx.audit.chains()


async def _give_time(tx: Transaction, other: asyncio.Task[Any]) -> None:
    """Enough round trips for another transaction to end, if nothing holds it."""
    for _ in range(300):
        if other.done():
            break
        await tx.audit.chains()


async def test_of_changes_of_one_record_exactly_one_wins(stores: tuple[Store, Store]) -> None:
    first = records.incident()
    async with stores[0].transaction() as tx:
        await tx.incidents.add(first)

    async def change(n: int) -> str:
        async with stores[n % 2].transaction() as tx:
            seen = await tx.incidents.get(first.id, client="acme")
            await asyncio.sleep(0)
            await tx.incidents.replace(first, seen.model_copy(update={"resolved_by": f"worker-{n}"}))
        return f"worker-{n}"

    ended = await asyncio.gather(*(change(n) for n in range(10)), return_exceptions=True)
    winners = [item for item in ended if isinstance(item, str)]
    assert len(winners) == 1
    assert all(isinstance(item, Conflict) for item in ended if not isinstance(item, str))
    async with stores[1].reading() as tx:
        assert (await tx.incidents.get(first.id, client="acme")).resolved_by == winners[0]


async def test_of_live_activations_exactly_one_is_stored(stores: tuple[Store, Store]) -> None:
    async def activate(n: int) -> None:
        async with stores[n % 2].transaction() as tx:
            await tx.activations.add(records.activation(f"act-{n}"))
            await asyncio.sleep(0)

    ended = await asyncio.gather(*(activate(n) for n in range(10)), return_exceptions=True)
    assert [item for item in ended if item is not None and not isinstance(item, Conflict)] == []
    assert ended.count(None) == 1
    async with stores[0].reading() as tx:
        assert await tx.activations.count(client=EVERY_CLIENT) == 1


async def test_version_numbers_are_all_different(stores: tuple[Store, Store]) -> None:
    async def store_version(n: int) -> int:
        async with stores[n % 2].transaction() as tx:
            number = await tx.versions.next_number(records.RUNBOOK)
            await asyncio.sleep(0)
            await tx.versions.add(records.version(number))
        return number

    assert sorted(await asyncio.gather(*(store_version(n) for n in range(20)))) == list(range(1, 21))


async def test_the_audit_chain_has_no_gap_and_no_fork(stores: tuple[Store, Store]) -> None:
    async def append(n: int) -> None:
        async with stores[n % 2].transaction() as tx:
            await tx.audit.append(records.audit_event(subject=f"s{n}"))
            await asyncio.sleep(0)
            if n % 5 == 0:
                raise ZeroDivisionError

    await asyncio.gather(*(append(n) for n in range(30)), return_exceptions=True)
    async with stores[0].reading() as tx:
        entries = await tx.audit.entries("acme")
    assert {entry.event.subject for entry in entries} == {f"s{n}" for n in range(30) if n % 5}
    previous = GENESIS
    for number, entry in enumerate(entries, 1):
        assert (entry.sequence, entry.previous) == (number, previous)
        assert entry.hash == chain_hash("acme", number, previous, entry.event)
        previous = entry.hash


async def test_an_old_worker_cannot_slip_an_intent_past_a_take_over(stores: tuple[Store, Store]) -> None:
    """The take-over is not committed yet when the old worker journals: it has to wait, and then is refused."""
    async with stores[0].transaction() as tx:
        await tx.executions.add(records.execution(epoch=1))

    await _warm(stores[1])

    async def old_worker() -> None:
        async with stores[1].transaction() as tx:
            await tx.journal.intend(records.intent("late", epoch=1))

    async with stores[0].transaction() as tx:
        now = await tx.executions.get("exe-1", client="acme")
        await tx.executions.replace(now, now.model_copy(update={"epoch": 2}))
        late = asyncio.create_task(old_worker())
        await _give_time(tx, late)
        assert await tx.journal.entries("exe-1") == ()
    with pytest.raises(Conflict, match="another worker"):
        await late
    async with stores[0].reading() as tx:
        assert await tx.journal.entries("exe-1") == ()


async def test_a_take_over_waits_for_an_intent_under_way_and_then_sees_it(stores: tuple[Store, Store]) -> None:
    async with stores[0].transaction() as tx:
        await tx.executions.add(records.execution(epoch=1))

    await _warm(stores[1])

    async def take_over() -> int:
        async with stores[1].transaction() as tx:
            now = await tx.executions.get("exe-1", client="acme")
            await tx.executions.replace(now, now.model_copy(update={"epoch": 2}))
            return len(await tx.journal.entries("exe-1"))

    async with stores[0].transaction() as tx:
        await tx.journal.intend(records.intent(epoch=1))
        taking = asyncio.create_task(take_over())
        await _give_time(tx, taking)
        await tx.journal.finish(records.intent(epoch=1), records.attempt(), StepStatus.OK, "")
    assert await taking == 1


async def test_a_name_is_held_by_one_transaction_at_a_time(stores: tuple[Store, Store]) -> None:
    """The rule `one open incident per fingerprint` holds because those who check it hold its name."""

    async def accept(n: int) -> bool:
        arrived = records.incident(f"inc-{n}")
        async with stores[n % 2].transaction() as tx:
            await tx.lock(f"incident:{arrived.fingerprint}")
            if await tx.incidents.count(client="acme", where={"fingerprint": arrived.fingerprint}):
                return False
            await asyncio.sleep(0)
            await tx.incidents.add(arrived)
            return True

    assert (await asyncio.gather(*(accept(n) for n in range(10)))).count(True) == 1


async def test_no_event_is_missed_while_others_are_being_written(stores: tuple[Store, Store]) -> None:
    """Events become visible in the order of their numbers, also where transactions end in another order."""
    seen: list[int] = []

    async def look() -> None:
        async with stores[0].reading() as tx:
            found = await tx.events.since(seen[-1] if seen else 0, client=EVERY_CLIENT)
            seen.extend(event.sequence for event in found)

    async def append(n: int) -> None:
        async with stores[n % 2].transaction() as tx:
            await tx.events.append(records.event(data={"n": n}))
            for _ in range(n % 7):
                await tx.clients.find("x", client=EVERY_CLIENT)
        await look()

    await asyncio.gather(*(append(n) for n in range(40)))
    await look()
    assert sorted(set(seen)) == list(range(1, 41))


async def test_a_slow_writer_holds_back_events_with_greater_numbers(stores: tuple[Store, Store], url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    async with stores[0].transaction() as slow:
        await slow.events.append(records.event("slow"))
        async with stores[1].transaction() as quick:
            await quick.events.append(records.event("quick"))
        async with stores[1].reading() as tx:
            assert await tx.events.since(0, client=EVERY_CLIENT) == ()
    async with stores[1].reading() as tx:
        assert [event.subject_id for event in await tx.events.since(0, client=EVERY_CLIENT)] == ["slow", "quick"]
