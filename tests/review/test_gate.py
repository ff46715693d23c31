"""The gate: what is admitted, and each reason to refuse."""

from __future__ import annotations

import ast
import asyncio
import copy
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import runwright
from runwright.adapters.keys import EnvironmentSigner
from runwright.model.errors import Conflict, Forbidden, GateReason, GateRefused, Held, InvalidInput, NotFound
from runwright.model.executions import ExecutionStatus, StepStatus
from runwright.model.hosts import HostIdentity, PolicyMode
from runwright.model.principals import Grant, Role, Token
from runwright.model.reviews import ActivationState
from runwright.review.gate import ApprovalGate


async def refusal(world: Any, execution: Any, intent: Any = None) -> GateReason:
    with pytest.raises(GateRefused) as caught:
        await world.gate.admit(execution.id, intent)
    assert str(caught.value).startswith("Found ")
    return caught.value.reason


async def test_what_is_approved_is_admitted_for_its_host(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    admitted = await world.gate.admit(execution.id)
    assert admitted.document.name == "Version 1"
    assert (admitted.version_id, admitted.digest) == (live.version_id, live.digest)
    assert (admitted.execution_id, admitted.approval_id) == (execution.id, live.approval_id)
    assert admitted.permits(HostIdentity(host_id="host-acme", kind="local"))
    assert not admitted.permits(HostIdentity(host_id="host-other", kind="local"))
    for copying in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="ask the gate"):
            copying(admitted)


async def test_the_start_is_audited_and_steps_are_journaled(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    await world.gate.admit(execution.id)
    (entry,) = await world.audited("acme")
    assert (entry.action, entry.subject, entry.digest) == ("gate.admit", execution.id, live.digest)
    assert entry.facts == {"version": live.version_id, "approval": live.approval_id, "host": "host-acme"}
    intents = [world.intent(execution, attempt) for attempt in (1, 2)]
    for intent in intents:
        await world.gate.admit(execution.id, intent)
    async with world.store.reading() as tx:
        assert [e.intent for e in await tx.journal.entries(execution.id)] == intents
    assert len(await world.audited("acme")) == 1


async def test_a_refused_step_is_not_journaled(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    await world.reviews.revoke(world.ann, live.approval_id, reason="bad")
    assert await refusal(world, execution, world.intent(execution)) is GateReason.ACTIVATION_EXPIRED
    async with world.store.reading() as tx:
        assert await tx.journal.entries(execution.id) == ()
    (entry,) = await world.audited("acme")
    assert (entry.action, entry.facts) == ("gate.refuse", {"reason": "activation_expired"})


async def test_an_unknown_execution(world: Any) -> None:
    with pytest.raises(GateRefused) as caught:
        await world.gate.admit("exe_none")
    assert caught.value.reason is GateReason.UNKNOWN_EXECUTION
    assert [entry.action for entry in await world.audited()] == ["gate.refuse"]


@pytest.mark.parametrize("status", [status for status in ExecutionStatus if status.final])
async def test_what_has_ended_is_over(world: Any, status: ExecutionStatus) -> None:
    execution = await world.run(await world.approved(), status=status)
    assert await refusal(world, execution) is GateReason.FINISHED


@pytest.mark.parametrize(
    ("mode", "by", "wanted"),
    [
        (PolicyMode.NEVER, "usr-ann", GateReason.POLICY),
        (PolicyMode.NEVER, "engine", GateReason.POLICY),
        (PolicyMode.ASK, "engine", GateReason.POLICY),
        (PolicyMode.ASK, "tok-1", GateReason.POLICY),
        (PolicyMode.ASK, "usr-nobody", GateReason.POLICY),
        (PolicyMode.ASK, "usr-ann", None),
        (PolicyMode.AUTO, "engine", None),
    ],
)
async def test_the_policy_of_the_host(world: Any, mode: PolicyMode, by: str, wanted: GateReason | None) -> None:
    live, rule = await world.approved(), await world.rule()
    await world.put("hosts", await world.get("hosts", "host-acme"), policy=world.host("acme", mode).policy)
    execution = await world.run(live, rule=rule, requested_by=by)
    if wanted is None:
        await world.gate.admit(execution.id)
    else:
        assert await refusal(world, execution) is wanted


async def test_a_disabled_person_asks_for_nothing(world: Any) -> None:
    live = await world.approved()
    await world.put("users", await world.get("users", "usr-ann"), disabled_at=world.clock.now())
    assert await refusal(world, await world.run(live)) is GateReason.NO_ROUTE


async def test_approvals_expire_in_the_middle_of_a_run(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    await world.gate.admit(execution.id, world.intent(execution))
    world.clock.advance(365 * 86400 - 1)
    await world.gate.admit(execution.id, world.intent(execution, 2))
    world.clock.advance(1)
    assert await refusal(world, execution, world.intent(execution, 3)) is GateReason.ACTIVATION_EXPIRED


async def test_a_version_is_not_admitted_before_its_time(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    world.clock.advance(-60)
    assert await refusal(world, execution) is GateReason.NOT_YET


async def test_an_activation_from_tomorrow_on_is_not_live_today(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    await world.put("activations", live, since=world.clock.now() + timedelta(days=1))
    assert await refusal(world, execution) is GateReason.NOT_YET
    world.clock.advance(86400)
    await world.gate.admit(execution.id)


async def test_suspended_and_superseded(world: Any) -> None:
    first = await world.approved()
    runs = [await world.run(first)]
    second = await world.approved(world.version(2))
    runs.append(await world.run(second))
    assert await refusal(world, runs[0]) is GateReason.SUPERSEDED
    await world.gate.admit(runs[1].id)
    await world.reviews.suspend(world.ann, second.id, reason="it harms")
    assert await refusal(world, runs[1]) is GateReason.SUSPENDED
    fallback = await world.live()
    assert fallback.version_id == first.version_id
    assert (await world.gate.admit((await world.run(fallback)).id)).document.name == "Version 1"
    assert await refusal(world, runs[0]) is GateReason.SUPERSEDED


async def test_a_clients_version_is_for_that_client(world: Any) -> None:
    live = await world.approved(world.version(1, scope="client:other"))
    assert await refusal(world, await world.run(live)) is GateReason.OUT_OF_SCOPE
    await world.gate.admit((await world.run(live, client="other")).id)
    execution = await world.run(live, client="other", host_id="host-acme")
    assert await refusal(world, execution) is GateReason.MISMATCH
    execution = await world.run(live, client="other", incident_id="inc-acme")
    assert await refusal(world, execution) is GateReason.MISMATCH


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("host_id", "host-none", GateReason.UNKNOWN_HOST),
        ("incident_id", "inc-none", GateReason.UNKNOWN_INCIDENT),
        ("activation_id", "act-none", GateReason.NO_ACTIVATION),
        ("routing_id", "rte-none", GateReason.NO_ROUTE),
        ("version_id", "RB-TEST-001-v7", GateReason.MISMATCH),
        ("digest", "sha256:" + "0" * 64, GateReason.MISMATCH),
        ("approval_id", "apr-none", GateReason.MISMATCH),
        ("runbook_id", "RB-OTHER-001", GateReason.MISMATCH),
        ("requested_by", "engine", GateReason.NO_ROUTE),
    ],
)
async def test_each_reference_of_an_execution_holds(world: Any, field: str, value: str, wanted: GateReason) -> None:
    execution = await world.run(await world.approved(), **{field: value})
    assert await refusal(world, execution) is wanted


async def test_rows_that_are_gone(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    world.attack("DELETE FROM runbooks")
    assert await refusal(world, execution) is GateReason.UNKNOWN_VERSION
    second = await world.run(await world.approved(world.version(2)))
    world.attack("DELETE FROM approvals")
    assert await refusal(world, second) is GateReason.NO_APPROVAL


async def test_the_rule_that_chose_is_approved_too(world: Any) -> None:
    live, rule = await world.approved(), await world.rule()
    await world.gate.admit((await world.run(live, rule=rule)).id)
    other = await world.rule(incident_type="disk_full")
    assert await refusal(world, await world.run(live, rule=other)) is GateReason.MISMATCH
    foreign = await world.rule(scope="client:other")
    assert await refusal(world, await world.run(live, rule=foreign)) is GateReason.OUT_OF_SCOPE
    elsewhere = await world.rule(runbook="RB-OTHER-001")
    assert await refusal(world, await world.run(live, rule=elsewhere)) is GateReason.MISMATCH
    assert await refusal(world, await world.run(live, rule=rule)) is GateReason.NO_ROUTE
    await world.reviews.revoke(world.ann, elsewhere.approval_id, reason="bad")
    assert not (await world.get("routes", elsewhere.id)).active


async def test_an_unapproved_rule_chooses_nothing(world: Any) -> None:
    live, rule = await world.approved(), await world.rule()
    await world.put("routes", rule, approval_id=None)
    assert await refusal(world, await world.run(live, rule=rule)) is GateReason.NO_APPROVAL


async def test_an_expired_rule_chooses_nothing(world: Any) -> None:
    short = world.service(approval_days=1)
    world.reviews = short
    rule = await world.rule()
    world.reviews = world.service()
    world.clock.advance(86400)
    live = await world.approved()
    assert await refusal(world, await world.run(live, rule=rule)) is GateReason.APPROVAL_EXPIRED


async def test_a_machine_that_named_the_runbook_needs_a_token_that_holds(world: Any) -> None:
    live = await world.approved()
    now = world.clock.now()
    operator = (Grant(role=Role.OPERATOR, client_id="acme"),)
    token = Token(
        id="tok-1", name="ci", secret_digest="d", grants=operator, created_at=now, expires_at=now.replace(year=2030)
    )
    execution = await world.run(live, requested_by="tok-1")
    assert await refusal(world, execution) is GateReason.NO_ROUTE
    async with world.store.transaction() as tx:
        await tx.tokens.add(token)
    await world.gate.admit(execution.id)
    for broken in ({"revoked_at": now}, {"expires_at": now}, {"grants": (Grant(role=Role.VIEWER),)}):
        await world.put("tokens", token, **broken)
        assert await refusal(world, execution) is GateReason.NO_ROUTE
        await world.put("tokens", await world.get("tokens", "tok-1"), **{name: getattr(token, name) for name in broken})


async def test_who_may_not_run_asks_for_nothing(world: Any) -> None:
    """A viewer's or another client's name in `requested_by` is nobody's decision to run."""
    live = await world.approved()
    for who in ("usr-vic", "usr-eve", "usr-ben"):
        assert await refusal(world, await world.run(live, requested_by=who)) is GateReason.NO_ROUTE


@pytest.mark.parametrize("switch", ["global", "client:acme", "runbook:RB-TEST-001"])
async def test_a_stop_switch_holds_and_lets_go(world: Any, switch: str) -> None:
    execution = await world.run(await world.approved())
    await world.gate.admit(execution.id, world.intent(execution))
    await world.switches.stop(world.ann, switch, "an outage")
    before = len(await world.audited("acme"))
    for intent in (None, world.intent(execution, 2)):
        with pytest.raises(Held, match="an outage") as caught:
            await world.gate.admit(execution.id, intent)
        assert caught.value.reason is GateReason.STOPPED
    assert len(await world.audited("acme")) == before  # who waits asks often
    await world.switches.release(world.ann, switch)
    await world.gate.admit(execution.id, world.intent(execution, 2))


@pytest.mark.parametrize("switch", ["client:other", "runbook:RB-OTHER-001"])
async def test_a_stop_switch_of_others_does_not_hold(world: Any, switch: str) -> None:
    execution = await world.run(await world.approved())
    await world.switches.stop(world.ann, switch, "an outage")
    await world.gate.admit(execution.id)


async def test_held_means_that_nothing_else_is_wrong(world: Any) -> None:
    live = await world.approved()
    execution = await world.run(live)
    await world.switches.stop(world.ann, "global", "an outage")
    await world.reviews.revoke(world.ann, live.approval_id, reason="bad")
    with pytest.raises(GateRefused) as caught:
        await world.gate.admit(execution.id)
    assert not isinstance(caught.value, Held)


async def test_who_may_stop_and_release(world: Any) -> None:
    with pytest.raises(Forbidden):
        await world.switches.stop(world.vic, "global", "no")
    await world.switches.stop(world.machine, "global", "an alarm")
    with pytest.raises(Forbidden):
        await world.switches.release(world.machine, "global")
    with pytest.raises(Conflict):
        await world.switches.stop(world.ann, "global", "again")
    await world.switches.stop(world.eve, "client:other", "ours")
    for switch in ("global", "client:acme", "runbook:RB-TEST-001"):
        with pytest.raises(Forbidden):
            await world.switches.stop(world.eve, switch, "not ours")
    assert {switch.id for switch in await world.switches.all(world.vic)} == {"global", "client:other"}
    await world.switches.release(world.ann, "global")
    with pytest.raises(NotFound):
        await world.switches.release(world.ann, "global")
    for wrong in ("", "all", "client:", "host:x"):
        with pytest.raises(InvalidInput):
            await world.switches.stop(world.ann, wrong, "x")
    with pytest.raises(InvalidInput, match="no reason"):
        await world.switches.stop(world.ann, "global", " ")


async def test_a_stale_worker_is_refused(world: Any) -> None:
    execution = await world.run(await world.approved())
    await world.gate.admit(execution.id, world.intent(execution, 1, epoch=1))
    newer = await world.put("executions", execution, epoch=2)
    with pytest.raises(Conflict, match="newer than 1"):
        await world.gate.admit(execution.id, world.intent(execution, 2, epoch=1))
    await world.gate.admit(execution.id, world.intent(execution, 2, epoch=2))
    await world.put("executions", newer, epoch=1)  # turned back by hand: the journal knows better
    with pytest.raises(Conflict):
        await world.gate.admit(execution.id, world.intent(execution, 3, epoch=1))
    assert await refusal(world, execution, world.intent(execution, 3, epoch=2)) is GateReason.MISMATCH


async def test_an_intent_is_of_its_execution_and_once(world: Any) -> None:
    live = await world.approved()
    one, two = await world.run(live), await world.run(live)
    assert await refusal(world, one, world.intent(two)) is GateReason.MISMATCH
    intent = world.intent(one)
    await world.gate.admit(one.id, intent)
    with pytest.raises(Conflict):
        await world.gate.admit(one.id, intent)


async def test_a_worker_needs_public_keys_only(world: Any) -> None:
    execution = await world.run(await world.approved())
    stranger = EnvironmentSigner(Ed25519PrivateKey.generate())

    class Foreign:
        def public_keys(self) -> dict[str, bytes]:
            return {stranger.key_id: stranger.public_key}

    with pytest.raises(GateRefused) as caught:
        await ApprovalGate(world.store, Foreign(), world.clock).admit(execution.id)
    assert caught.value.reason is GateReason.SIGNATURE
    assert [entry.action for entry in await world.audited("acme")] == ["gate.tampered"]


async def test_revoking_between_check_and_intent_is_impossible(world: Any) -> None:
    """Admissions and a revocation at once: each step is journaled before the revocation or refused after it."""
    live = await world.approved()
    execution = await world.run(live)
    calls: list[Any] = [world.gate.admit(execution.id, world.intent(execution, n)) for n in range(1, 9)]
    calls.insert(4, world.reviews.revoke(world.ann, live.approval_id, reason="bad"))
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in done if isinstance(result, GateRefused)]
    async with world.store.reading() as tx:
        entries = await tx.journal.entries(execution.id)
    assert len(entries) + len(refused) == 8
    for entry in entries:
        async with world.store.transaction() as tx:
            await tx.journal.finish(entry.intent, None, StepStatus.OK, "")
    assert await refusal(world, execution) is GateReason.ACTIVATION_EXPIRED


async def test_if_the_audit_cannot_be_written_nothing_is_admitted(world: Any) -> None:
    execution = await world.run(await world.approved())
    world.attack("CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Exception, match="Nothing was changed"):
        await world.gate.admit(execution.id)


def calls_of(name: str) -> set[str]:
    """Source files that call a name, however it was imported."""
    root = Path(runwright.__file__).parent
    found: set[str] = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            text = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            imported = isinstance(node, ast.ImportFrom) and any(a.name == name and a.asname for a in node.names)
            if text == name or imported:
                found.add(file.relative_to(root).as_posix())
    return found


def test_only_the_gate_makes_an_approved_runbook() -> None:
    assert calls_of("ApprovedRunbook") == {"review/gate.py"}
    assert all(file.startswith("lab/") for file in calls_of("LabRunbook"))
    assert calls_of("AdmittedRunbook") == set()
    # No one makes an instance behind the constructor's back either.
    root = Path(runwright.__file__).parent
    assert not [
        f
        for f in root.rglob("*.py")
        if "object.__new__" in f.read_text() or ("_document =" in f.read_text() and f.name != "admission.py")
    ]


async def test_every_reason_is_reached_by_some_test() -> None:
    """By the tests of this room, by name: a new member of GateReason needs one."""
    here = "".join(file.read_text() for file in Path(__file__).parent.glob("test_gate*.py"))
    assert [reason.name for reason in GateReason if f"GateReason.{reason.name}" not in here] == []


async def test_a_revoked_approval_alone_is_enough(world: Any) -> None:
    """Even if the activation had been left live, the approval's own revocation refuses."""
    live = await world.approved()
    execution = await world.run(live)
    await world.put("approvals", await world.approval(live), revoked_at=world.clock.now(), revoked_by="usr-ann")
    assert (await world.live()).state is ActivationState.LIVE
    with pytest.raises(GateRefused) as caught:
        await world.gate.admit(execution.id)
    assert caught.value.reason.value == "revoked"
