"""Events to watch, and the audit chains."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from runwright.adapters.storage import trails
from runwright.adapters.storage.store import SqlStore
from runwright.model.audit import GENESIS, chain_hash
from runwright.model.errors import Tampered
from runwright.model.ports.store import EVERY_CLIENT
from support import records


async def test_events_get_growing_numbers_and_are_read_on_from_one(store: SqlStore) -> None:
    async with store.transaction() as tx:
        for n in range(3):
            await tx.events.append(records.event(data={"n": n}))
        await tx.events.append(records.event("exe-2", client_id="other"))
    async with store.reading() as tx:
        seen = await tx.events.since(0, client=EVERY_CLIENT)
        assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})
        assert [event.data.get("n") for event in seen] == [0, 1, 2, None]
        assert await tx.events.since(seen[1].sequence, client=EVERY_CLIENT) == seen[2:]
        assert await tx.events.since(0, client=EVERY_CLIENT, limit=2) == seen[:2]
        assert await tx.events.since(0, client="acme") == seen[:3]
        assert await tx.events.since(0, client=EVERY_CLIENT, subject_id="exe-2") == seen[3:]
        assert await tx.events.since(0, client="acme", subject_id="exe-2") == ()
        assert await tx.events.since(seen[-1].sequence, client=EVERY_CLIENT) == ()


async def test_old_events_are_trimmed_and_numbers_go_on(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "EVENTS_KEPT", 10)
    async with store.transaction() as tx:
        for _ in range(100):
            await tx.events.append(records.event())
    async with store.transaction() as tx:
        left = await tx.events.since(0, client=EVERY_CLIENT)
        assert [event.sequence for event in left] == list(range(91, 101))
        await tx.events.append(records.event())
    async with store.reading() as tx:
        assert (await tx.events.since(100, client=EVERY_CLIENT))[0].sequence == 101


async def test_each_chain_counts_from_one_and_is_linked(store: SqlStore) -> None:
    async with store.transaction() as tx:
        first = await tx.audit.append(records.audit_event("acme"))
        await tx.audit.append(records.audit_event("system", action="user.login"))
        second = await tx.audit.append(records.audit_event("acme", facts={"status": "approved"}))
    assert (first.sequence, first.previous) == (1, GENESIS)
    assert (second.sequence, second.previous) == (2, first.hash)
    assert second.hash == chain_hash("acme", 2, first.hash, second.event)
    async with store.reading() as tx:
        assert await tx.audit.chains() == ("acme", "system")
        assert await tx.audit.entries("acme") == (first, second)
        assert await tx.audit.entries("acme", after=1) == (second,)
        assert await tx.audit.entries("acme", limit=1) == (first,)
        assert await tx.audit.entries("nobody") == ()


async def test_an_entry_goes_with_the_change_it_is_about(store: SqlStore) -> None:
    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client())
            await tx.audit.append(records.audit_event())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()
    async with store.transaction() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 0
        assert await tx.audit.entries("acme") == ()
        assert (await tx.audit.append(records.audit_event())).sequence == 1, "no gap is left"


async def test_an_end_that_does_not_fit_its_log_is_noticed(store: SqlStore) -> None:
    async with store.transaction() as tx:
        entry = await tx.audit.append(records.audit_event())
        forged = "INSERT INTO audit_log (chain, sequence, hash, document) VALUES ('acme', 2, 'x', :document)"
        await tx._unit.write(tx._unit.statements.compiled(text(forged)), document=entry.model_dump_json())
    with pytest.raises(Tampered, match="beyond the recorded end"):
        async with store.transaction() as tx:
            await tx.audit.append(records.audit_event())
