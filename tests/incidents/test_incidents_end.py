"""Which incident starts a run, which does not, and what becomes of it: on both databases, and two at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from runwright.adapters.clock import SystemClock
from runwright.execution.service import ExecutionService
from runwright.learning.service import LearningService
from runwright.loop import Dispatcher, LoopWorker
from runwright.model.errors import Conflict, Forbidden
from runwright.model.executions import Execution, ExecutionResult, ExecutionStatus
from runwright.model.ids import sha256
from runwright.model.incidents import EscalationReason, Incident, IncidentStatus, NewIncident
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.model.reviews import ActivationState
from runwright.surfaces.figures import figures
from support import records

PERSON = Principal(
    id="usr-op", kind=PrincipalKind.PERSON, name="Op", method=AuthMethod.PASSWORD, grants=(Grant(role=Role.OPERATOR),)
)
VIEWER = PERSON.model_copy(update={"id": "usr-see", "grants": (Grant(role=Role.VIEWER),)})
ALERT = NewIncident(client_id="acme", host="host-1", incident_type="service_crash", subject={"service": "shopd"})


@dataclass
class Line:
    """A queue that only notes what is handed to it."""

    executions: list[tuple[str, str, int]] = field(default_factory=list)

    async def enqueue_execution(self, execution_id: str, *, host_id: str, priority: int, take: int = 0) -> None:
        self.executions.append((execution_id, host_id, priority))

    async def enqueue_learning(self, execution_id: str, *, take: int = 0) -> None:
        return

    async def enqueue_test(self, subject_id: str, request_id: str) -> None:
        return

    async def enqueue_plan(self, plan_id: str, *, host_id: str, priority: int) -> None:
        return

    async def enqueue_check(self, check_id: str) -> None:
        return


@dataclass
class Runs:
    """Runs that end as told, and are stored as the real service stores them."""

    store: Store
    ends: ExecutionStatus = ExecutionStatus.SUCCESS
    ran: list[str] = field(default_factory=list)

    async def run(self, execution_id: str) -> ExecutionResult:
        async with self.store.transaction() as tx:
            was = await tx.executions.get(execution_id, client=EVERY_CLIENT)
            if was.status.final:
                stored = await tx.executions.result(execution_id, client=EVERY_CLIENT)
                assert stored is not None
                return stored
            self.ran.append(execution_id)
            result = records.result(execution_id, status=self.ends)
            reference = result.incident.model_copy(update={"id": was.incident_id})
            result = result.model_copy(update={"incident": reference})
            await tx.executions.replace(was, was.model_copy(update={"status": self.ends}))
            await tx.executions.put_result(result)
        return result


def dispatcher(store: Store) -> Dispatcher:
    return Dispatcher(store, SystemClock(), Line())


def worker(store: Store, ends: ExecutionStatus = ExecutionStatus.SUCCESS) -> tuple[LoopWorker, Runs]:
    runs = Runs(store, ends)
    return LoopWorker(
        store, SystemClock(), Line(), cast("ExecutionService", runs), cast("LearningService", None), None
    ), runs


async def runs_of(store: Store, incident: Incident) -> tuple[Execution, ...]:
    async with store.reading() as tx:
        return (await tx.executions.page(client="acme", where={"incident_id": incident.id})).items


async def now(store: Store, incident: Incident) -> Incident:
    async with store.reading() as tx:
        return await tx.incidents.get(incident.id, client="acme")


async def settle(store: Store, incident: Incident, ends: ExecutionStatus) -> Incident:
    (run, *_) = await runs_of(store, incident)
    await worker(store, ends)[0].run_execution(run.id)
    return await now(store, incident)


async def reasons(store: Store, incident: Incident) -> list[EscalationReason]:
    async with store.reading() as tx:
        return [
            one.reason for one in (await tx.escalations.page(client="acme", where={"incident_id": incident.id})).items
        ]


async def test_of_many_reports_at_once_one_runs(two_stores: tuple[Store, Store]) -> None:
    reported = await asyncio.gather(
        *(dispatcher(two_stores[number % 2]).report_incident(PERSON, ALERT) for number in range(12))
    )
    assert Counter(one.status for one in reported) == {IncidentStatus.QUEUED: 1, IncidentStatus.DUPLICATE: 11}
    (first,) = (one for one in reported if one.status is IncidentStatus.QUEUED)
    assert {one.duplicate_of for one in reported} == {None, first.id}
    async with two_stores[0].reading() as tx:
        assert await tx.executions.count(client="acme") == 1


async def test_reports_at_once_after_a_fix_mark_it_recurred_once(two_stores: tuple[Store, Store]) -> None:
    first = await dispatcher(two_stores[0]).report_incident(PERSON, ALERT)
    assert (await settle(two_stores[0], first, ExecutionStatus.SUCCESS)).status is IncidentStatus.RESOLVED
    again = await asyncio.gather(
        *(dispatcher(two_stores[number % 2]).report_incident(PERSON, ALERT) for number in range(8))
    )
    assert Counter(one.status for one in again) == {IncidentStatus.QUEUED: 1, IncidentStatus.DUPLICATE: 7}
    assert (await now(two_stores[1], first)).status is IncidentStatus.RECURRED
    async with two_stores[1].reading() as tx:
        entries = await tx.audit.entries("acme")
        counted = await figures(tx, {"client_id": ("acme",)})
    assert sum(entry.event.action == "incident.recur" for entry in entries) == 1
    assert (counted["incidents_recurred"]["numerator"], counted["incidents_recurred"]["denominator"]) == (1, 1)


@pytest.mark.parametrize("ends", [ExecutionStatus.FAILURE, ExecutionStatus.SUCCESS, ExecutionStatus.INTERRUPTED])
async def test_after_three_ineffective_runs_a_person_decides_and_may_run_it(
    two_stores: tuple[Store, Store], ends: ExecutionStatus
) -> None:
    store, other = two_stores
    for _ in range(3):
        incident = await dispatcher(store).report_incident(PERSON, ALERT)
        assert incident.status is IncidentStatus.QUEUED
        settled = await settle(other, incident, ends)
        ended = IncidentStatus.RESOLVED if ends is ExecutionStatus.SUCCESS else IncidentStatus.ESCALATED
        assert settled.status is ended
    fourth = await dispatcher(other).report_incident(PERSON, ALERT)
    assert fourth.status is IncidentStatus.ESCALATED
    assert await runs_of(store, fourth) == ()
    assert await reasons(store, fourth) == [EscalationReason.INEFFECTIVE]
    started = await dispatcher(store).run(PERSON, fourth.id)
    assert (started.incident_id, started.requested_by) == (fourth.id, PERSON.id)


async def test_a_better_version_gets_its_own_three_runs(two_stores: tuple[Store, Store]) -> None:
    store, _ = two_stores
    for _ in range(3):
        await settle(store, await dispatcher(store).report_incident(PERSON, ALERT), ExecutionStatus.FAILURE)
    better = records.version(2, digest=sha256(b"v2"))
    async with store.transaction() as tx:
        live = await tx.activations.live(records.RUNBOOK, "all")
        assert live is not None
        await tx.activations.replace(live, live.model_copy(update={"state": ActivationState.SUPERSEDED}))
        await tx.versions.add(better)
        await tx.activations.add(records.activation("act-2", version_id=better.id, digest=better.digest))
    statuses = []
    for _ in range(4):
        incident = await dispatcher(store).report_incident(PERSON, ALERT)
        statuses.append(incident.status)
        if incident.status is IncidentStatus.QUEUED:
            await settle(store, incident, ExecutionStatus.FAILURE)
    assert statuses == [IncidentStatus.QUEUED] * 3 + [IncidentStatus.ESCALATED]


async def test_an_incident_that_is_over_while_it_waits_runs_nothing(two_stores: tuple[Store, Store]) -> None:
    store, other = two_stores
    incident = await dispatcher(store).report_incident(PERSON, ALERT)
    (run,) = await runs_of(store, incident)
    over = await dispatcher(other).end_incident(PERSON, incident.id, IncidentStatus.RESOLVED, note="load is back")
    assert (over.status, over.resolved_by) == (IncidentStatus.RESOLVED, PERSON.id)
    loop, runs = worker(store)
    result = await loop.run_execution(run.id)
    assert runs.ran == []
    assert (result.status, result.steps, result.state_before) == (ExecutionStatus.CANCELLED, (), None)
    assert result.error is not None
    assert "nothing ran" in result.error.message
    assert (await now(store, incident)).status is IncidentStatus.RESOLVED
    async with store.reading() as tx:
        actions = [entry.event.action for entry in await tx.audit.entries("acme")]
        chain = "".join(entry.model_dump_json() for entry in await tx.audit.entries("acme"))
    assert {"incident.resolve", "execution.cancel"} <= set(actions)
    assert "load is back" not in chain
    assert await dispatcher(store).end_incident(PERSON, incident.id, IncidentStatus.RESOLVED) == over


async def test_ended_and_started_at_the_same_moment_one_of_both_holds(two_stores: tuple[Store, Store]) -> None:
    store, other = two_stores
    subjects = [{"service": f"unit-{number}"} for number in range(8)]
    incidents = [
        await dispatcher(store).report_incident(PERSON, ALERT.model_copy(update={"subject": one})) for one in subjects
    ]
    loop, runs = worker(store)

    async def end(incident: Incident) -> Incident | Conflict:
        try:
            return await dispatcher(other).end_incident(PERSON, incident.id, IncidentStatus.RESOLVED)
        except Conflict as refused:
            return refused

    async def start(incident: Incident) -> ExecutionResult:
        (run,) = await runs_of(store, incident)
        return await loop.run_execution(run.id)

    ended = await asyncio.gather(*(one(incident) for incident in incidents for one in (start, end)))
    for number, incident in enumerate(incidents):
        result, over = ended[2 * number], ended[2 * number + 1]
        (run,) = await runs_of(store, incident)
        assert isinstance(result, ExecutionResult)
        resolved = await now(store, incident)
        assert resolved.status is IncidentStatus.RESOLVED
        if run.id in runs.ran:
            assert resolved.resolved_by == run.id
            assert result.status is ExecutionStatus.SUCCESS
        else:
            assert not isinstance(over, Conflict)
            assert result.status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize(
    ("status", "ending", "allowed"),
    [
        ("open", "resolved", True),
        ("open", "closed", True),
        ("escalated", "resolved", True),
        ("escalated", "closed", True),
        ("running", "resolved", False),
        ("running", "closed", False),
        ("recurred", "closed", True),
        ("recurred", "resolved", False),
        ("resolved", "closed", True),
        ("duplicate", "closed", True),
        ("duplicate", "resolved", False),
        ("closed", "resolved", False),
    ],
)
async def test_what_may_be_ended(store: Store, status: str, ending: str, allowed: bool) -> None:
    incident = records.incident(status=IncidentStatus(status))
    async with store.transaction() as tx:
        await tx.incidents.add(incident)
        await tx.escalations.add(records.escalation())
    loop = dispatcher(store)
    if not allowed:
        with pytest.raises(Conflict):
            await loop.end_incident(PERSON, incident.id, IncidentStatus(ending))
        assert await now(store, incident) == incident
        return
    assert (await loop.end_incident(PERSON, incident.id, IncidentStatus(ending))).status == ending
    async with store.reading() as tx:
        assert (await tx.escalations.get("esc-1", client="acme")).done_at is not None


async def test_who_only_looks_ends_nothing(store: Store) -> None:
    async with store.transaction() as tx:
        await tx.incidents.add(records.incident())
    with pytest.raises(Forbidden):
        await dispatcher(store).end_incident(VIEWER, "inc-1", IncidentStatus.CLOSED)


async def test_a_duplicate_is_never_run_not_even_by_hand(two_stores: tuple[Store, Store]) -> None:
    loop = dispatcher(two_stores[0])
    first = await loop.report_incident(PERSON, ALERT)
    second = await loop.report_incident(PERSON, ALERT)
    for incident in (first, second):
        with pytest.raises(Conflict):
            await loop.run(PERSON, incident.id)
    await settle(two_stores[1], first, ExecutionStatus.SUCCESS)
    with pytest.raises(Conflict):
        await loop.run(PERSON, first.id)
    assert await runs_of(two_stores[0], second) == ()
    assert len(await runs_of(two_stores[0], first)) == 1


async def test_what_is_worse_comes_first(two_stores: tuple[Store, Store]) -> None:
    loop = dispatcher(two_stores[0])
    for severity in ("low", "critical", "medium", "high"):
        given: dict[str, Any] = {"severity": severity, "subject": {"service": severity}}
        await loop.report_incident(PERSON, NewIncident.model_validate({**ALERT.model_dump(), **given}, strict=False))
    line = cast("Line", loop.queue).executions
    async with two_stores[0].reading() as tx:
        named = {
            run.id: (await tx.incidents.get(run.incident_id, client="acme")).subject["service"]
            for run in (await tx.executions.page(client="acme")).items
        }
    ordered = [named[execution] for execution, _, _ in sorted(line, key=lambda one: one[2])]
    assert ordered == ["critical", "high", "medium", "low"]
    assert {host for _, host, _ in line} == {"host-1"}
