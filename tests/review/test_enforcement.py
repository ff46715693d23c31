"""Suspending, falling back, revoking, expiring; and what a reviewer is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from runwright.model.diagnoses import Analysis, Diagnosis, DiagnosisMethod, FailureType, Place, Signal, SignalKind
from runwright.model.errors import Conflict, Forbidden, InvalidInput, NotFound
from runwright.model.lab import Trial, TrialOutcome, TrialReport
from runwright.model.principals import ENGINE
from runwright.model.proposals import Proposal, RemoveStep
from runwright.model.reviews import ActivationState
from runwright.model.risk import RiskReport
from runwright.review.subjects import new_rule


async def test_suspension_lets_the_named_fallback_take_over(world: Any) -> None:
    first = await world.approved()
    second = await world.approved(world.version(2))
    suspended = await world.reviews.suspend(ENGINE, second.id, reason="worse than before")
    assert (suspended.state, suspended.reason) == (ActivationState.SUSPENDED, "worse than before")
    live = await world.live()
    assert (live.version_id, live.approval_id) == (first.version_id, first.approval_id)
    assert live.id != first.id
    assert live.until == first.until
    actions = [entry.action for entry in await world.audited()]
    assert actions[-2:] == ["activation.suspended", "activation.fallback"]
    third = await world.approved(world.version(3))
    states = [(await world.get("activations", a.id)).state for a in (second, live)]
    assert states == [ActivationState.SUPERSEDED, ActivationState.SUPERSEDED]
    assert (await world.live()).id == third.id


@pytest.mark.parametrize("why", ["not named", "revoked", "expired", "first of its line", "edited"])
async def test_without_a_live_fallback_nothing_is_live(world: Any, why: str) -> None:
    if why == "expired":
        world.reviews = world.service(approval_days=2)
    first = await world.approved() if why != "first of its line" else None
    if why == "expired":
        world.clock.advance(86400)
        world.reviews = world.service()
    second = await world.approved(world.version(2), fallback=why != "not named")
    if why == "expired":
        world.clock.advance(86400)
    if why == "revoked" and first is not None:
        await world.reviews.revoke(world.ann, first.approval_id, reason="bad")
    if why == "edited" and first is not None:
        await world.put("approvals", await world.approval(first), envelope="{}")
    await world.reviews.suspend(world.ann, second.id, reason="harm")
    assert await world.find_live() is None


async def test_who_may_suspend_and_revoke(world: Any) -> None:
    live = await world.approved(world.version(1, scope="client:acme"))
    for who, error in ((world.vic, Forbidden), (world.machine, Forbidden), (world.eve, NotFound)):
        with pytest.raises(error):
            await world.reviews.suspend(who, live.id, reason="x")
        with pytest.raises(error):
            await world.reviews.revoke(who, live.approval_id, reason="x")
    with pytest.raises(Forbidden):
        await world.reviews.revoke(ENGINE, live.approval_id, reason="x")
    for call, key in ((world.reviews.suspend, live.id), (world.reviews.revoke, live.approval_id)):
        with pytest.raises(InvalidInput, match="no reason"):
            await call(world.ann, key, reason=" ")
        with pytest.raises(NotFound):
            await call(world.ann, "none", reason="x")
    await world.reviews.suspend(world.ann, live.id, reason="x")
    with pytest.raises(Conflict, match="suspended"):
        await world.reviews.suspend(world.ann, live.id, reason="x")


async def test_revoking_ends_what_the_approval_made_live(world: Any) -> None:
    await world.approved()
    live = await world.approved(world.version(2))
    revoked = await world.reviews.revoke(world.ben, live.approval_id, reason="a mistake")
    assert (revoked.revoked_at, revoked.revoked_by) == (world.clock.now(), world.ben.id)
    assert await world.find_live() is None
    assert (await world.get("activations", live.id)).state is ActivationState.EXPIRED
    item = await world.reviews.item(world.vic, live.version_id)
    assert (item.history[-1].action, item.history[-1].note) == ("revoke", "a mistake")
    with pytest.raises(Conflict, match="already"):
        await world.reviews.revoke(world.ben, live.approval_id, reason="again")
    assert await world.reviews.approvals(world.vic, live.version_id) == (revoked,)
    with pytest.raises(Conflict):
        await world.reviews.suspend(world.ben, live.id, reason="x")


async def test_what_expired_is_ended(world: Any) -> None:
    world.reviews = world.service(approval_days=20)
    live, rule = await world.approved(), await world.rule()
    assert await world.reviews.expiring(world.vic) == ()
    assert await world.reviews.expire_due() == ()
    world.clock.advance(timedelta(days=6).total_seconds())
    assert await world.reviews.expiring(world.vic) == (live,)
    assert await world.reviews.expiring(world.vic.model_copy(update={"grants": ()})) == ()
    world.clock.advance(timedelta(days=14).total_seconds())
    assert set(await world.reviews.expire_due()) == {live.id, rule.id}
    assert await world.reviews.expire_due() == ()
    assert (await world.get("activations", live.id)).state is ActivationState.EXPIRED
    assert not (await world.get("routes", rule.id)).active


async def test_a_version_after_an_expired_one_names_no_fallback(world: Any) -> None:
    world.reviews = world.service(approval_days=1)
    first = await world.approved()
    world.clock.advance(86400)
    second = await world.approved(world.version(2))
    assert (await world.get("activations", first.id)).state is ActivationState.EXPIRED
    await world.reviews.suspend(world.ann, second.id, reason="harm")
    assert await world.find_live() is None


async def proposal(world: Any, client: str) -> Proposal:
    now = world.clock.now()
    signal = Signal(kind=SignalKind.EXIT_CODE, place=Place(step="say"), excerpt="exit 1")
    diagnosis = Diagnosis(
        failure_type=FailureType.RUNBOOK_INSUFFICIENT, confidence=0.9, reasoning="r", method=DiagnosisMethod.RULES
    )
    made = Proposal(
        id="pro-1",
        client_id=client,
        execution_id="exe-1",
        analysis_id="ana-1",
        parent="RB-TEST-001-v1",
        candidate="RB-TEST-001-v2",
        edits=(RemoveStep(step="say", reason="useless"),),
        signals=(signal,),
        added_risk=RiskReport(),
        method="rules",
        created_at=now,
    )
    analysis = Analysis(
        id="ana-1", client_id=client, execution_id="exe-1", failure_fingerprint="f", diagnosis=diagnosis, created_at=now
    )
    async with world.store.transaction() as tx:
        await tx.proposals.add(made)
        await tx.analyses.add(analysis)
    return made


async def test_a_reviewer_sees_the_whole_change_and_why(world: Any) -> None:
    await world.approved()
    made = await proposal(world, "acme")
    item = await world.queue(world.version(2), proposal_id=made.id)
    trial = Trial(
        id="tri-1",
        version_id=item.id,
        digest=item.subject.digest,
        report=TrialReport(scenario="s/x", outcome=TrialOutcome.HEALED, right=True),
        created_at=world.clock.now(),
    )
    stale = trial.model_copy(update={"id": "tri-2", "digest": "sha256:" + "0" * 64})
    async with world.store.transaction() as tx:
        await tx.trials.add(trial)
        await tx.trials.add(stale)
    shown = await world.reviews.comparison(world.vic, item.id)
    assert (shown.item, shown.parent_id) == (item, "RB-TEST-001-v1")
    assert "echo 1" in (shown.parent_text or "")
    assert "echo 2" in shown.candidate_text
    assert shown.diff is not None
    assert (shown.edits, shown.signals) == (made.edits, made.signals)
    assert shown.diagnosis is not None
    assert shown.trials == (trial,)
    # A library item learned from one client does not show that client's telemetry to another's people.
    hidden = await world.reviews.comparison(world.eve, item.id)
    assert (hidden.edits, hidden.signals, hidden.diagnosis) == ((), (), None)
    assert hidden.candidate_text == shown.candidate_text


async def test_the_first_version_and_rules_are_compared_with_nothing(world: Any) -> None:
    first = await world.reviews.comparison(world.vic, (await world.queue()).id)
    assert (first.parent_text, first.parent_id) == (None, None)
    active = await world.rule(runbook="RB-OTHER-001")
    rule = new_rule(world.clock, scope="all", incident_type="service_crash", runbook_id=world.runbook)
    shown = await world.reviews.comparison(world.vic, (await world.queue(rule=rule)).id)
    assert (shown.parent_id, shown.diff) == (active.id, None)
    assert "RB-OTHER-001" in (shown.parent_text or "")
    assert shown.candidate_text == "scope all: incidents of type service_crash are answered by runbook RB-TEST-001\n"
