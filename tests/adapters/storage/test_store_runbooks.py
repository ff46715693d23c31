"""Versions, activations, reviews: numbers, the one live activation, the queue's order."""

from __future__ import annotations

import pytest

from runwright.adapters.storage.store import SqlStore
from runwright.model.clients import client_scope
from runwright.model.errors import Conflict, InvalidInput, NotFound, Refused
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import ActivationState, ReviewStatus
from support import records


async def test_numbers_count_per_line_and_are_never_given_twice(store: SqlStore) -> None:
    async with store.transaction() as tx:
        assert [await tx.versions.next_number("RB-A") for _ in range(3)] == [1, 2, 3]
        assert await tx.versions.next_number("RB-B") == 1
    async with store.transaction() as tx:
        assert await tx.versions.next_number("RB-A") == 4


async def test_a_version_stored_with_a_number_of_its_own_is_counted(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.versions.add(records.version(7, runbook_id="RB-A"))
        assert await tx.versions.next_number("RB-A") == 8
        await tx.versions.add(records.version(2, runbook_id="RB-A"))
        assert await tx.versions.next_number("RB-A") == 9


async def test_a_version_is_stored_once_and_never_changed(store: SqlStore) -> None:
    version = records.version(1)
    async with store.transaction() as tx:
        await tx.versions.add(version)
        with pytest.raises(Conflict, match="already"):
            await tx.versions.add(version.model_copy(update={"text": "other"}))
        with pytest.raises(Refused, match="never change"):
            await tx.versions.replace(version, version.model_copy(update={"text": "other"}))
        with pytest.raises(InvalidInput, match="version id"):
            await tx.versions.add(version.model_copy(update={"number": 3}))
    async with store.reading() as tx:
        assert await tx.versions.get(version.id, client="acme") == version


async def test_one_live_activation_per_runbook_and_scope(store: SqlStore) -> None:
    first = records.activation("a")
    async with store.transaction() as tx:
        await tx.activations.add(first)
        with pytest.raises(Conflict, match="live"):
            await tx.activations.add(records.activation("b"))
        await tx.activations.add(records.activation("c", scope=client_scope("acme")))
        await tx.activations.add(records.activation("d", runbook_id="RB-OTHER"))
        await tx.activations.add(records.activation("e", state=ActivationState.SUSPENDED))
    async with store.transaction() as tx:
        superseded = first.model_copy(update={"state": ActivationState.SUPERSEDED})
        await tx.activations.replace(first, superseded)
        await tx.activations.add(records.activation("b"))
        with pytest.raises(Conflict):
            await tx.activations.replace(superseded, first)
        live = await tx.activations.live(records.RUNBOOK, "all")
        assert live is not None
        assert live.id == "b"
    async with store.reading() as tx:
        own = await tx.activations.live(records.RUNBOOK, client_scope("acme"))
        assert own is not None
        assert own.id == "c"
        assert await tx.activations.live(records.RUNBOOK, client_scope("other")) is None
        assert await tx.activations.count(client=EVERY_CLIENT, where={"state": "live"}) == 3


async def test_the_queue_goes_by_priority_then_oldest(store: SqlStore) -> None:
    places = [("low", 4, 0), ("new", 1, 9), ("old", 1, 2), ("same", 1, 2), ("mid", 2, 1)]
    async with store.transaction() as tx:
        for key, priority, moment in places:
            await tx.reviews.add(records.review(key, priority=priority, created_at=records.at(moment)))
        claimed = records.review("claimed", status=ReviewStatus.IN_REVIEW, priority=3)
        await tx.reviews.add(claimed)
        for status in set(ReviewStatus) - {ReviewStatus.PENDING_REVIEW, ReviewStatus.IN_REVIEW}:
            await tx.reviews.add(records.review(f"not-{status}", status=status, priority=1))
    async with store.reading() as tx:
        for limit in (1, 2, 50):
            seen: list[str] = []
            cursor = None
            while True:
                page = await tx.reviews.pending(client=EVERY_CLIENT, cursor=cursor, limit=limit)
                seen += [item.id for item in page.items]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == ["old", "same", "new", "mid", "claimed", "low"]


async def test_the_queue_and_its_figures_are_the_clients_own(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.reviews.add(records.review("ours", scope=client_scope("acme")))
        await tx.reviews.add(records.review("done", scope=client_scope("acme"), status=ReviewStatus.APPROVED))
        await tx.reviews.add(records.review("theirs", scope=client_scope("other")))
    async with store.reading() as tx:
        assert [item.id for item in (await tx.reviews.pending(client="acme")).items] == ["ours"]
        figures = await tx.reviews.stats(client="acme")
        assert set(figures) == {status.value for status in ReviewStatus}
        assert {status: number for status, number in figures.items() if number} == {"pending_review": 1, "approved": 1}
        assert (await tx.reviews.stats(client=EVERY_CLIENT))["pending_review"] == 2
        assert set((await tx.reviews.stats(client="nobody")).values()) == {0}


async def test_a_switch_is_set_and_removed(store: SqlStore) -> None:
    async with store.transaction() as tx:
        await tx.switches.add(records.switch("client:acme"))
        with pytest.raises(Conflict):
            await tx.switches.add(records.switch("client:acme"))
        await tx.remove_switch("client:acme")
        with pytest.raises(NotFound):
            await tx.remove_switch("client:acme")
        assert await tx.switches.count(client=EVERY_CLIENT) == 0
