"""Transactions: all or nothing, readers beside a writer, cancellation, misuse."""

from __future__ import annotations

import asyncio
import logging

import pytest

from runwright.adapters.storage import open_store
from runwright.adapters.storage.store import SqlStore
from runwright.model.errors import Conflict
from runwright.model.ports.store import EVERY_CLIENT
from support import records


async def _clients(store: SqlStore) -> int:
    async with store.reading() as tx:
        return await tx.clients.count(client=EVERY_CLIENT)


async def test_a_block_that_raises_changes_nothing(store: SqlStore) -> None:
    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client())
            await tx.versions.next_number("RB-A")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()
    assert await _clients(store) == 0
    async with store.transaction() as tx:
        assert await tx.versions.next_number("RB-A") == 1


async def test_a_reader_sees_one_moment_and_waits_for_nobody(store: SqlStore) -> None:
    async with store.transaction() as writing:
        await writing.clients.add(records.client())
        async with store.reading() as reading:
            assert await reading.clients.count(client=EVERY_CLIENT) == 0
    async with store.reading() as reading:
        assert await reading.clients.count(client=EVERY_CLIENT) == 1
        async with store.transaction() as writing:
            await writing.clients.add(records.client("other"))
        assert await reading.clients.count(client=EVERY_CLIENT) == 1, "still the moment of its first query"
    assert await _clients(store) == 2


async def test_writing_in_a_reading_view_is_an_error(store: SqlStore) -> None:
    async with store.reading() as tx:
        with pytest.raises(TypeError, match="transaction"):
            await tx.clients.add(records.client())
        with pytest.raises(TypeError, match="transaction"):
            await tx.audit.append(records.audit_event())
        with pytest.raises(TypeError, match="transaction"):
            await tx.versions.next_number("RB-A")
    assert await _clients(store) == 0


async def test_use_after_the_end_is_an_error(store: SqlStore) -> None:
    async with store.transaction() as tx:
        clients = tx.clients
    with pytest.raises(RuntimeError, match="after its end"):
        await clients.add(records.client())
    assert await _clients(store) == 0


async def test_a_transaction_within_one_is_refused_at_once(tmp_path: object) -> None:
    opened = await open_store(f"sqlite:///{tmp_path}/runwright.db")
    async with opened.transaction() as outer:
        with pytest.raises(RuntimeError, match="within a transaction"):
            async with opened.transaction():
                raise AssertionError("never reached")
        await outer.clients.add(records.client())
    async with opened.transaction() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 1
    await opened.close()


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_free(store: SqlStore) -> None:
    reached = asyncio.Event()

    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client())
            reached.set()
            await asyncio.Event().wait()

    for _ in range(15):  # more often than there are connections
        task = asyncio.create_task(change())
        await reached.wait()
        reached.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await _clients(store) == 0
    async with store.transaction() as tx:
        await tx.clients.add(records.client())
    assert await _clients(store) == 1


async def test_cancelling_at_any_point_leaves_all_or_nothing(store: SqlStore) -> None:
    async def change(key: str) -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client(key))
            await tx.hosts.add(records.host(key, client_id=key))

    for turns in range(40):
        task = asyncio.create_task(change(f"c{turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await change("last")
    async with store.reading() as tx:
        clients = {item.id for item in (await tx.clients.page(client=EVERY_CLIENT, limit=100)).items}
        hosts = {item.id for item in (await tx.hosts.page(client=EVERY_CLIENT, limit=100)).items}
    assert clients == hosts
    assert "last" in clients


async def test_echo_logs_statements_without_values(url: str, caplog: pytest.LogCaptureFixture) -> None:
    opened = await open_store(url, echo=True)
    with caplog.at_level(logging.INFO, "runwright.storage"):
        async with opened.transaction() as tx:
            await tx.users.add(records.user())
            await tx.sessions.add(records.session(secret_digest="canary"))
    await opened.close()
    assert "INSERT INTO sessions" in caplog.text
    assert "canary" not in caplog.text


async def test_a_session_needs_its_user(store: SqlStore) -> None:
    async def orphan() -> None:
        async with store.transaction() as tx:
            await tx.sessions.add(records.session(user_id="nobody"))

    with pytest.raises(Conflict, match="does not exist"):
        await orphan()
