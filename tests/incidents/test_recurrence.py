"""After three ineffective runs of the same content a person decides; a new version gets its own chances."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.incidents.recurrence import ineffective_runs, too_often
from runwright.model.executions import ExecutionStatus
from runwright.model.ids import sha256
from runwright.model.incidents import IncidentStatus
from runwright.model.ports.store import Store
from runwright.model.reviews import ActivationState
from support import records

NOW = records.incident("inc-now", received_at=records.at(3600), occurred_at=records.at(3600))

FAILED = (ExecutionStatus.FAILURE, IncidentStatus.ESCALATED)
TIMED_OUT = (ExecutionStatus.TIMED_OUT, IncidentStatus.ESCALATED)
PARTIAL = (ExecutionStatus.PARTIAL, IncidentStatus.ESCALATED)
RECURRED = (ExecutionStatus.SUCCESS, IncidentStatus.RECURRED)
HELD = (ExecutionStatus.SUCCESS, IncidentStatus.RESOLVED)
CANCELLED = (ExecutionStatus.CANCELLED, IncidentStatus.ESCALATED)


async def runs(store: Store, *outcomes: tuple[ExecutionStatus, IncidentStatus], **fields: Any) -> None:
    """One earlier incident with one run for each outcome."""
    async with store.transaction() as tx:
        if await tx.versions.find(f"{records.RUNBOOK}-v1", client="acme") is None:
            await tx.versions.add(records.version())
            await tx.routes.add(records.route())
            await tx.activations.add(records.activation())
        for number, (status, incident_status) in enumerate(outcomes):
            key = f"{fields.get('digest', '')[-4:]}{number}"
            await tx.incidents.add(records.incident(f"inc-{key}", status=incident_status))
            await tx.executions.add(records.execution(f"exe-{key}", incident_id=f"inc-{key}", status=status, **fields))


async def ask(store: Store, **given: Any) -> bool:
    async with store.reading() as tx:
        return await too_often(tx, NOW, **given)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), False),
        ((FAILED, TIMED_OUT), False),
        ((FAILED, TIMED_OUT, PARTIAL), True),
        ((RECURRED, RECURRED, RECURRED), True),
        ((HELD, HELD, HELD, HELD), False),
        ((CANCELLED, CANCELLED, CANCELLED), False),
    ],
)
async def test_only_runs_that_did_not_help_count(
    store: Store, outcomes: tuple[tuple[ExecutionStatus, IncidentStatus], ...], expected: bool
) -> None:
    await runs(store, *outcomes)
    assert await ask(store) is expected


async def test_the_limit_can_be_set(store: Store) -> None:
    await runs(store, FAILED)
    assert await ask(store, limit=1)
    assert not await ask(store, limit=2)


async def test_runs_of_other_subjects_and_of_long_ago_do_not_count(store: Store) -> None:
    await runs(store, FAILED, FAILED, FAILED)
    other = records.incident("inc-x", subject={"service": "other"}, received_at=records.at(3600))
    late = records.incident("inc-y", received_at=records.at(3 * 86400))
    async with store.reading() as tx:
        assert not await too_often(tx, other)
        assert not await too_often(tx, late)
        assert [run.id for run in await ineffective_runs(tx, NOW, records.DIGEST)] == ["exe-2", "exe-1", "exe-0"]


async def test_a_new_version_gets_its_own_chances(store: Store) -> None:
    await runs(store, FAILED, FAILED, FAILED)
    assert await ask(store)
    better = records.version(2, digest=sha256(b"v2"))
    async with store.transaction() as tx:
        live = await tx.activations.live(records.RUNBOOK, "all")
        assert live is not None
        await tx.activations.replace(live, live.model_copy(update={"state": ActivationState.SUPERSEDED}))
        await tx.versions.add(better)
        await tx.activations.add(records.activation("act-2", version_id=better.id, digest=better.digest))
    assert not await ask(store)
    assert await ask(store, digest=records.DIGEST)


async def test_without_a_route_nothing_would_run_too_often(store: Store) -> None:
    assert not await ask(store)
