"""What an admitted runbook calls: each version by an approval of its own, at the start and before every step."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.model.errors import GateReason, GateRefused, Held
from runwright.model.ids import ALL, version_id
from runwright.model.reviews import Activation
from runwright.model.versions import Author, RunbookVersion
from runwright.review.calls import DEEPEST
from runwright.runbooks.load import load_runbook

CALLED = "RB-CALLED-001"


def calling(*calls: tuple[str, int, str], runbook: str = "RB-CALLER-001", number: int = 1) -> str:
    """A runbook that calls each (runbook, version, digest) in turn."""
    steps = "".join(
        f"  - {{id: call-{at}, call: {{runbook: {name}, version: {version}, digest: '{digest}'}}}}\n"
        for at, (name, version, digest) in enumerate(calls)
    )
    return (
        f"schema: runwright/v1\nid: {runbook}\nname: Calls {number}\nincident_types: [service_crash]\n"
        f"steps:\n  - {{id: say, run: 'true'}}\n{steps}"
    )


def stored(world: Any, text: str, number: int = 1, scope: str = ALL) -> RunbookVersion:
    loaded = load_runbook(text)
    return RunbookVersion(
        id=version_id(loaded.document.id, number),
        runbook_id=loaded.document.id,
        number=number,
        scope=scope,
        text=text,
        digest=loaded.digest,
        raw_digest=loaded.raw_digest,
        author=Author.of(world.ann),
        created_at=world.clock.now(),
    )


async def caller_of(world: Any, *calls: tuple[str, int, str]) -> Any:
    """An execution of an approved runbook with these calls."""
    return await world.run(await world.approved(stored(world, calling(*calls)), by=world.ben))


async def refused(world: Any, execution: Any, intent: Any = None) -> GateReason:
    with pytest.raises(GateRefused) as caught:
        await world.gate.admit(execution.id, intent)
    return caught.value.reason


@pytest.fixture
async def called(world: Any) -> Activation:
    live: Activation = await world.approved(world.version(runbook=CALLED))
    return live


async def test_what_is_called_comes_with_its_caller(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    admitted = await world.gate.admit(execution.id)
    assert admitted.called(called.digest).id == CALLED
    with pytest.raises(GateRefused) as caught:
        admitted.called("sha256:" + "0" * 64)
    assert caught.value.reason is GateReason.CALL
    assert (await world.audited("acme"))[-1].facts["calls"] == called.digest


async def test_a_superseded_version_may_still_be_called(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    await world.approved(world.version(2, runbook=CALLED))
    assert (await world.gate.admit(execution.id)).called(called.digest).id == CALLED


async def test_it_is_asked_again_before_every_step(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    await world.gate.admit(execution.id, world.intent(execution, 1))
    await world.reviews.revoke(world.ann, called.approval_id, reason="no longer")
    assert await refused(world, execution, world.intent(execution, 2)) is GateReason.REVOKED
    async with world.store.reading() as tx:
        assert len(await tx.journal.entries(execution.id)) == 1


async def test_an_approval_that_expired_is_none(world: Any) -> None:
    world.reviews, usual = world.service(approval_days=1), world.reviews
    called = await world.approved(world.version(runbook=CALLED))
    world.reviews = usual
    execution = await caller_of(world, (CALLED, 1, called.digest))
    await world.gate.admit(execution.id)
    world.clock.advance(86400.0)
    assert await refused(world, execution) is GateReason.APPROVAL_EXPIRED


async def test_a_suspended_version_is_not_called(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    await world.reviews.suspend(world.ann, called.id, reason="it is bad")
    assert await refused(world, execution) is GateReason.SUSPENDED


async def test_a_version_that_nobody_approved_is_not_called(world: Any) -> None:
    item = await world.queue(world.version(runbook=CALLED))
    execution = await caller_of(world, (CALLED, 1, item.subject.digest))
    assert await refused(world, execution) is GateReason.NO_APPROVAL


async def test_another_digest_than_the_versions_is_refused(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, "sha256:" + "0" * 64))
    assert await refused(world, execution) is GateReason.CALL


async def test_an_unknown_version_is_refused(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 9, called.digest))
    assert await refused(world, execution) is GateReason.UNKNOWN_VERSION


async def test_one_digest_under_two_names_is_refused(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest), ("RB-OTHER-001", 1, called.digest))
    assert await refused(world, execution) is GateReason.CALL


async def test_another_clients_version_is_not_called(world: Any) -> None:
    await world.queue(world.version(runbook=CALLED, scope="client:other"))
    digest = world.version(runbook=CALLED).digest
    await world.reviews.approve(world.eve, version_id(CALLED, 1), digest=digest)
    execution = await caller_of(world, (CALLED, 1, digest))
    assert await refused(world, execution) is GateReason.OUT_OF_SCOPE


async def test_an_edited_text_is_noticed(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    sql = "UPDATE runbooks SET document = replace(document, 'echo 1', 'echo 6') WHERE runbook_id = :runbook"
    assert world.attack(sql, runbook=CALLED) == 1
    assert await refused(world, execution) is GateReason.CONTENT


async def test_calls_within_calls_are_admitted_to_a_depth(world: Any, called: Activation) -> None:
    inner = (CALLED, 1, called.digest)
    admitted = None
    for depth in range(2, DEEPEST + 3):
        name = f"RB-LEVEL-{depth:03}"
        version = stored(world, calling(inner, runbook=name))
        live = await world.approved(version, by=world.ben)
        execution = await world.run(live)
        if depth < DEEPEST + 2:
            admitted = await world.gate.admit(execution.id)
            assert admitted.called(called.digest).id == CALLED, "the innermost is known too"
        else:
            assert await refused(world, execution) is GateReason.CALL
        inner = (name, 1, version.digest)
    assert admitted is not None


async def test_a_stop_switch_of_the_called_runbook_holds_its_caller(world: Any, called: Activation) -> None:
    execution = await caller_of(world, (CALLED, 1, called.digest))
    await world.switches.stop(world.ann, f"runbook:{CALLED}", "look at it first")
    with pytest.raises(Held):
        await world.gate.admit(execution.id)
