"""A plan is admitted like a run and can start nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from execution.approved_world import CLIENT, HOST, PERSON, World, open_world
from runwright.adapters.hosts.local import LocalConnector
from runwright.execution.planning import PlanMaker, PlanRequests
from runwright.model.errors import Forbidden, GateReason, GateRefused, HostUnreachable
from runwright.model.executions import HostBrief, IncidentRef, RunbookRef, Section, StepIntent
from runwright.model.hosts import Host, PolicyMode
from runwright.model.incidents import NewIncident
from runwright.model.plans import PlanReport, PlanStatus, Prediction, RunPlan
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostConnector, HostSession
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.model.reviews import StopScope, StopSwitch
from runwright.review.gate import ApprovalGate

TEXT = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [disk_full]
parameters:
  log: {type: string, from: caller, required: false}
steps:
  - {id: here, only_if: test -d /, run: touch /nowhere/a}
  - {id: not-here, only_if: test -d /nowhere, run: touch /nowhere/b}
  - {id: done, unless: test -d /, run: touch /nowhere/c}
  - {id: hidden, only_if: "test -d / || touch /nowhere/d", run: "true"}
  - {id: broken, service: {name: $log, state: restarted}}
rollback:
  - {id: back, only_if: test -d /, run: touch /nowhere/e}
"""
ADA = Principal(
    id=PERSON,
    kind=PrincipalKind.PERSON,
    name="person",
    method=AuthMethod.PASSWORD,
    grants=(Grant(role=Role.OPERATOR),),
)


@pytest.fixture
async def world(tmp_path: Path, clock: Clock) -> AsyncIterator[World]:
    found = await open_world(tmp_path, clock)
    yield found
    await found.store.close()


async def planned(world: World) -> RunPlan:
    """The plan of the world's execution, as a request would have stored it."""
    execution = await world.seed(TEXT)
    async with world.store.transaction() as tx:
        incident = await tx.incidents.get("inc_1", client=CLIENT)
        plan = RunPlan(
            id="pln_1",
            client_id=CLIENT,
            incident=incident,
            reported=True,
            execution=execution.model_copy(update={"id": "pln_1"}),
            report=PlanReport(
                plan_id="pln_1",
                client_id=CLIENT,
                status=PlanStatus.PENDING,
                host=HostBrief(hostname="here", platform="linux"),
                incident=IncidentRef(id="inc_1", incident_type="disk_full", subject=dict(incident.subject)),
                runbook=RunbookRef(id="RB-TEST-001", version=1, digest=execution.digest),
                created_at=world.clock.now(),
            ),
            requested_by=PERSON,
            created_at=world.clock.now(),
        )
        await tx.plans.add(plan)
    return plan


def maker(world: World, connector: HostConnector | None = None) -> PlanMaker:
    gate = ApprovalGate(world.store, world.keyring, world.clock)
    here = LocalConnector(base=str(world.directory / "supervisor"))
    return PlanMaker(world.store, gate, connector or here, world.clock)


async def test_a_plan_says_what_would_be_and_is_made_once(world: World) -> None:
    plan = await planned(world)
    report = await maker(world).make(plan.id)
    assert report.status is PlanStatus.READY, report.error
    would = {step.id: (step.would, step.after_changes) for step in report.steps}
    assert would == {
        "here": (Prediction.RUN, False),
        "not-here": (Prediction.SKIP, True),
        "done": (Prediction.SKIP, True),
        "hidden": (Prediction.UNKNOWN, True),
        "broken": (Prediction.STOP, True),
        "back": (Prediction.UNKNOWN, True),
    }
    hidden = next(step for step in report.steps if step.id == "hidden")
    assert "touch" in hidden.guards[0].reason
    assert report.verification is not None
    assert report.verification.outcome.value == "passed"
    assert report.state is not None
    assert not Path("/nowhere").exists()
    assert await maker(world).make(plan.id) == report
    async with world.store.reading() as tx:
        assert await tx.journal.entries(plan.id) == ()
        assert await tx.executions.find(plan.id, client=EVERY_CLIENT) is None
        assert (await tx.plans.get(plan.id, client=CLIENT)).report == report


async def test_the_gate_lets_nothing_of_a_plan_start(world: World) -> None:
    plan = await planned(world)
    gate = ApprovalGate(world.store, world.keyring, world.clock)
    assert (await gate.admit(plan.id)).version_id == "RB-TEST-001-v1"
    intent = StepIntent(
        execution_id=plan.id,
        epoch=1,
        section=Section.STEPS,
        step_id="here",
        attempt=1,
        attempt_id=f"{plan.id}.steps.here.1",
        idempotent=False,
        at=world.clock.now(),
    )
    with pytest.raises(GateRefused) as refused:
        await gate.admit(plan.id, intent)
    assert refused.value.reason is GateReason.UNKNOWN_EXECUTION
    async with world.store.reading() as tx:
        assert await tx.journal.entries(plan.id) == ()


async def test_what_holds_or_ends_a_run_refuses_its_plan(world: World) -> None:
    plan = await planned(world)
    async with world.store.transaction() as tx:
        await tx.switches.add(
            StopSwitch(id="global", scope=StopScope.GLOBAL, reason="freeze", set_by="ada", set_at=world.clock.now())
        )
    report = await maker(world).make(plan.id)
    assert report.status is PlanStatus.REFUSED
    assert report.error is not None
    assert report.error.code == "held"
    assert report.steps == ()


async def test_a_host_that_is_away_gives_no_verdict(world: World) -> None:
    class Away:
        @asynccontextmanager
        async def open(self, host: Host) -> AsyncIterator[HostSession]:
            raise HostUnreachable("It is off.")
            yield

    plan = await planned(world)
    report = await maker(world, Away()).make(plan.id)
    assert report.status is PlanStatus.FAILED
    assert report.error is not None
    assert report.error.code == "host-unreachable"


class Nowhere:
    """A queue into which nothing of these tests may come."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


async def test_why_nothing_would_run_is_said_at_once(world: World) -> None:
    await world.seed(TEXT)
    requests = PlanRequests(world.store, world.clock, Nowhere())  # type: ignore[arg-type]  # nothing is queued
    report = (await requests.of_incident(ADA, "inc_1")).report
    assert report.status is PlanStatus.REFUSED
    assert report.error is not None
    assert report.error.code == "no_runbook"

    new = NewIncident(
        client_id=CLIENT, host=HOST, incident_type="disk_full", subject={"mount": "/", "threshold_percent": 100}
    )
    async with world.store.transaction() as tx:
        host = await tx.hosts.get(HOST, client=CLIENT)
    same = (await requests.of_report(ADA, new, host)).report
    assert same.error is not None
    assert same.error.code == "duplicate"
    async with world.store.transaction() as tx:
        never = host.model_copy(update={"policy": host.policy.model_copy(update={"mode": PolicyMode.NEVER})})
        await tx.hosts.replace(host, never)
    refused = (await requests.of_incident(ADA, "inc_1")).report
    assert refused.error is not None
    assert refused.error.code == "policy"
    stranger = ADA.model_copy(update={"grants": (Grant(role=Role.VIEWER),)})
    with pytest.raises(Forbidden):
        await requests.of_incident(stranger, "inc_1")
