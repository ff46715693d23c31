"""Queue and decisions: who may, in which state, once."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest

from runwright.access.dsse import open_statement
from runwright.model.edges import REVIEW_EDGES, next_review_status
from runwright.model.errors import Conflict, Forbidden, InvalidInput, NotFound, RunwrightError, Tampered, Unavailable
from runwright.model.ids import sha256
from runwright.model.incidents import Severity
from runwright.model.principals import ENGINE
from runwright.model.reviews import ActivationState, ReviewAction, ReviewStatus, TestEvidence
from runwright.model.risk import RiskReport, RiskVerdict
from runwright.review.queue import attach_evidence, priority_for
from runwright.review.service import ReviewService
from runwright.review.subjects import new_rule


async def test_a_submitted_version_waits_and_an_approved_one_is_live(world: Any) -> None:
    item = await world.queue()
    assert item.status is ReviewStatus.PENDING_REVIEW
    assert (await world.reviews.pending(world.vic)).items == (item,)
    decided = await world.reviews.approve(world.ann, item.id, digest=item.subject.digest, note="fine")
    assert decided.status is ReviewStatus.APPROVED
    assert [entry.action for entry in decided.history] == ["submit", "claim", "approve"]
    assert decided.history[-1].note == "fine"
    assert decided.decided_at == world.clock.now()
    live = await world.live()
    assert (live.version_id, live.digest, live.state) == (item.id, item.subject.digest, ActivationState.LIVE)
    assert (await world.reviews.pending(world.vic)).items == ()
    assert [e.action for e in await world.audited()] == ["review.submit", "activation.live", "review.approve"]


async def test_the_signed_statement_says_everything(world: Any) -> None:
    item = await world.queue()
    await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    live = await world.live()
    approval = await world.approval(live)
    statement = open_statement(world.ring, approval.envelope)
    assert statement.approval_id == approval.id == live.approval_id
    assert (statement.subject_kind, statement.subject_id) == ("version", item.id)
    assert (statement.digest, statement.raw_digest) == (item.subject.digest, item.subject.raw_digest)
    assert (statement.scope, statement.fallback) == ("all", None)
    assert (statement.reviewer_id, statement.reviewer_name, statement.method) == (world.ann.id, "Ann", "password")
    assert (statement.decided_at, statement.expires_at) == (live.since, live.until)
    assert (statement.expires_at - statement.decided_at).days == 365
    assert len(statement.nonce) >= 43
    second = await world.approved(world.version(2))
    other = open_statement(world.ring, (await world.approval(second)).envelope)
    assert other.fallback == item.id
    assert other.nonce != statement.nonce


async def test_a_better_version_supersedes_the_live_one_of_its_scope_alone(world: Any) -> None:
    first = await world.approved()
    own = await world.approved(world.version(2, scope="client:acme"))
    assert (await world.live()).id == first.id
    third = await world.approved(world.version(3))
    assert (await world.get("activations", first.id)).state is ActivationState.SUPERSEDED
    assert (await world.live()).id == third.id
    assert (await world.live("client:acme")).id == own.id


@pytest.mark.parametrize("who", ["machine", "engine", "viewer", "foreign", "stranger"])
async def test_who_may_not_decide(world: Any, who: str) -> None:
    principal = {
        "machine": world.machine,
        "engine": ENGINE,
        "viewer": world.vic,
        "foreign": world.eve,
        "stranger": world.ann.model_copy(update={"grants": ()}),
    }[who]
    library = await world.queue()
    own = await world.queue(world.version(2, scope="client:acme"))
    for item in (library, own):
        digest = item.subject.digest
        for attempt in (
            world.reviews.approve(principal, item.id, digest=digest),
            world.reviews.reject(principal, item.id, digest=digest, reason="no"),
            world.reviews.request_changes(principal, item.id, digest=digest, note="change"),
            world.reviews.claim(principal, item.id),
            world.reviews.approve(principal, item.id, digest=sha256(b"another")),
        ):
            with pytest.raises((Forbidden, NotFound)):
                await attempt
    assert await world.find_live() is None
    stored = [await world.reviews.item(world.ann, item.id) for item in (library, own)]
    assert stored == [library, own]


async def test_foreign_and_unknown_items_look_the_same(world: Any) -> None:
    item = await world.queue(world.version(1, scope="client:acme"))
    told = []
    for key in (item.id, "RB-NONE-001-v1"):
        for call in (world.reviews.item, world.reviews.claim, world.reviews.comparison):
            with pytest.raises(NotFound) as caught:
                await call(world.eve, key)
            told.append(str(caught.value).replace(key, "ID"))
    assert len(set(told)) == 1


async def test_a_client_approver_decides_for_that_client(world: Any) -> None:
    item = await world.queue(world.version(1, scope="client:other"))
    await world.reviews.approve(world.eve, item.id, digest=item.subject.digest)
    assert (await world.live("client:other")).version_id == item.id
    assert "review.approve" in [e.action for e in await world.audited("other")]
    assert await world.audited() == []


async def test_another_digest_is_a_conflict(world: Any) -> None:
    item = await world.queue()
    for digest in (sha256(b"other"), item.subject.raw_digest, "", item.subject.digest.upper()):
        with pytest.raises(Conflict, match="named"):
            await world.reviews.approve(world.ann, item.id, digest=digest)
        with pytest.raises(Conflict):
            await world.reviews.reject(world.ann, item.id, digest=digest, reason="no")
    assert await world.find_live() is None


async def test_decided_already_says_who_and_when(world: Any) -> None:
    item = await world.queue()
    await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    for attempt in (
        world.reviews.approve(world.ben, item.id, digest=item.subject.digest),
        world.reviews.reject(world.ben, item.id, digest=item.subject.digest, reason="late"),
        world.reviews.withdraw(world.ben, item.id),
        world.reviews.claim(world.ben, item.id),
    ):
        with pytest.raises(Conflict, match=r"approved by Ann at 2026-01-05T09:00:00"):
            await attempt


@pytest.mark.parametrize("actions", [("approve", "approve"), ("approve", "reject"), ("approve", "withdraw")])
async def test_of_two_reviewers_at_once_one_wins(world: Any, actions: tuple[str, str]) -> None:
    item = await world.queue()
    digest = item.subject.digest
    calls = {
        "approve": lambda who: world.reviews.approve(who, item.id, digest=digest),
        "reject": lambda who: world.reviews.reject(who, item.id, digest=digest, reason="no"),
        "withdraw": lambda who: world.reviews.withdraw(who, item.id),
    }
    pairs = zip(actions, (world.ann, world.ben), strict=True)
    done = await asyncio.gather(*(calls[name](who) for name, who in pairs), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in done) == 1
    winner = next(result for result in done if not isinstance(result, BaseException))
    assert await world.reviews.item(world.vic, item.id) == winner
    assert (await world.find_live() is not None) is (winner.status is ReviewStatus.APPROVED)


async def test_a_lease_keeps_others_out_until_it_expires(world: Any) -> None:
    item = await world.queue()
    claimed = await world.reviews.claim(world.ann, item.id)
    assert (claimed.status, claimed.assignee) == (ReviewStatus.IN_REVIEW, world.ann.id)
    with pytest.raises(Conflict, match="in review by Ann until"):
        await world.reviews.claim(world.ben, item.id)
    with pytest.raises(Conflict, match="in review by Ann"):
        await world.reviews.approve(world.ben, item.id, digest=item.subject.digest)
    world.clock.advance(20 * 60)
    await world.reviews.claim(world.ann, item.id)  # renewed
    world.clock.advance(30 * 60 - 1)
    with pytest.raises(Conflict):
        await world.reviews.claim(world.ben, item.id)
    world.clock.advance(1)
    taken = await world.reviews.claim(world.ben, item.id)
    assert taken.assignee == world.ben.id
    assert [entry.action for entry in taken.history] == ["submit", "claim", "release", "claim"]
    assert taken.history[2].note == "the lease expired"


async def test_a_lease_is_given_back(world: Any) -> None:
    item = await world.queue()
    with pytest.raises(Conflict):
        await world.reviews.release(world.ann, item.id)
    await world.reviews.claim(world.ann, item.id)
    with pytest.raises(Forbidden):
        await world.reviews.release(world.ben, item.id)
    back = await world.reviews.release(world.ann, item.id)
    assert (back.status, back.assignee, back.lease_until) == (ReviewStatus.PENDING_REVIEW, None, None)
    await world.reviews.approve(world.ben, item.id, digest=item.subject.digest)


async def test_the_author_does_not_approve_their_own(world: Any) -> None:
    item = await world.queue(world.version(author=world.ann), author=world.ann)
    with pytest.raises(Forbidden, match="what they wrote"):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    lenient = world.service(author_may_approve=True)
    second = await world.queue(world.version(2, author=world.ann), author=world.ann)
    await lenient.approve(world.ann, second.id, digest=second.subject.digest)
    await world.reviews.approve(world.ben, item.id, digest=item.subject.digest)


async def test_rejecting_and_asking_for_changes_need_a_reason(world: Any) -> None:
    items = [await world.queue(world.version(number)) for number in (1, 2)]
    for item in items:
        with pytest.raises(InvalidInput):
            await world.reviews.reject(world.ann, item.id, digest=item.subject.digest, reason="  ")
    rejected = await world.reviews.reject(world.ann, items[0].id, digest=items[0].subject.digest, reason="rm -rf")
    changes = await world.reviews.request_changes(world.ann, items[1].id, digest=items[1].subject.digest, note="less")
    assert (rejected.status, rejected.history[-1].note) == (ReviewStatus.REJECTED, "rm -rf")
    assert (changes.status, changes.history[-1].note) == (ReviewStatus.NEEDS_CHANGES, "less")
    with pytest.raises(Conflict, match="needs changes by Ann"):
        await world.reviews.approve(world.ben, changes.id, digest=changes.subject.digest)
    assert (await world.reviews.withdraw(world.ben, changes.id)).status is ReviewStatus.WITHDRAWN
    assert await world.find_live() is None


async def test_an_author_withdraws_their_own(world: Any) -> None:
    mine = await world.queue(author=world.vic)
    with pytest.raises(Forbidden):
        await world.reviews.withdraw(world.vic, (await world.queue(world.version(2))).id)
    assert (await world.reviews.withdraw(world.vic, mine.id)).status is ReviewStatus.WITHDRAWN
    learned = await world.queue(world.version(3))
    assert (await world.reviews.withdraw(ENGINE, learned.id)).status is ReviewStatus.WITHDRAWN


async def test_drafts_wait_to_be_submitted(world: Any) -> None:
    draft = await world.queue(draft=True)
    assert draft.status is ReviewStatus.DRAFT
    assert (await world.reviews.pending(world.ann)).items == ()
    with pytest.raises(Conflict):
        await world.reviews.approve(world.ann, draft.id, digest=draft.subject.digest)
    with pytest.raises(Forbidden):
        await world.reviews.submit(world.vic, draft.id)
    assert (await world.reviews.submit(ENGINE, draft.id)).status is ReviewStatus.PENDING_REVIEW


def evidence(key: str, passed: bool | None, **fields: Any) -> TestEvidence:
    return TestEvidence(
        id=key, source="person", passed=passed, note="seen", at=datetime(2020, 1, 1, tzinfo=UTC), **fields
    )


async def test_an_open_failed_test_blocks_approval(world: Any) -> None:
    item = await world.queue()
    await world.reviews.record_test(world.machine, item.id, evidence("t1", False))
    with pytest.raises(InvalidInput, match="test t1 failed"):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    for who, closing in ((world.machine, "t1"), (world.ann, "t9")):
        with pytest.raises((Forbidden, InvalidInput)):
            await world.reviews.record_test(who, item.id, evidence("t2", True, closes=closing))
    await world.reviews.record_test(world.machine, item.id, evidence("t2", True))
    with pytest.raises(InvalidInput):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest, override_reason=" ")
    closed = await world.reviews.record_test(world.ann, item.id, evidence("t3", True, closes="t1"))
    assert closed.evidence[-1].at == world.clock.now()
    with pytest.raises(Conflict):
        await world.reviews.record_test(world.ann, item.id, evidence("t3", True))
    await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)


async def test_an_objection_is_overridden_with_a_reason_that_is_kept(world: Any) -> None:
    risky = RiskReport(verdict=RiskVerdict.REFUSE, explanation="wipes a disk")
    item = await world.queue(added_risk=risky, evidence=[evidence("t1", False)])
    with pytest.raises(InvalidInput, match=r"2 objection.*wipes a disk"):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    decided = await world.reviews.approve(
        world.ann, item.id, digest=item.subject.digest, override_reason="the lab is broken"
    )
    assert "the lab is broken" in decided.history[-1].note
    assert (await world.audited())[-1].facts["override"] == "yes"


async def test_evidence_of_a_trial_is_a_trial_of_this_content(world: Any) -> None:
    item = await world.queue()
    async with world.store.transaction() as tx:
        with pytest.raises(InvalidInput, match="none of"):
            await attach_evidence(tx, item.id, evidence("t1", True, trial_id="tri-x"), by=ENGINE, clock=world.clock)
        await attach_evidence(tx, item.id, evidence("t2", None), by=ENGINE, clock=world.clock)
    with pytest.raises(Forbidden):
        await world.reviews.record_test(world.vic, item.id, evidence("t3", True))


async def test_content_that_was_edited_in_the_queue_is_not_signed(world: Any) -> None:
    item = await world.queue()
    world.attack("UPDATE runbooks SET document = replace(document, 'echo 1', 'echo 2')")
    with pytest.raises(Tampered):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    assert (await world.reviews.item(world.ann, item.id)).status is ReviewStatus.PENDING_REVIEW
    assert await world.find_live() is None


async def test_a_rule_that_was_edited_in_the_queue_is_not_signed(world: Any) -> None:
    rule = new_rule(world.clock, scope="all", incident_type="service_crash", runbook_id=world.runbook)
    item = await world.queue(rule=rule)
    world.attack("UPDATE routing_rules SET document = replace(document, 'RB-TEST-001', 'RB-EVIL-001')")
    with pytest.raises(Tampered):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)


async def test_without_the_key_nothing_is_approved(world: Any) -> None:
    item = await world.queue()
    keyless = ReviewService(world.store, None, world.ring, world.clock)
    with pytest.raises(Unavailable, match="no approval key"):
        await keyless.approve(world.ann, item.id, digest=item.subject.digest)
    world.ring.keys.clear()
    with pytest.raises(Unavailable, match="missing in the keyring"):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    assert (await world.reviews.item(world.ann, item.id)).status is ReviewStatus.PENDING_REVIEW


@pytest.mark.parametrize("table", ["approvals", "activations", "audit_log", "events", "review_queue"])
async def test_approval_is_all_or_nothing(world: Any, table: str) -> None:
    """Whatever write of the one transaction fails, nothing of it is left."""
    first = await world.approved()
    item = await world.queue(world.version(2))
    entries = len(await world.audited())
    when = "UPDATE" if table == "review_queue" else "INSERT"
    with sqlite3.connect(world.path) as raw:
        raw.execute(f"CREATE TRIGGER crash BEFORE {when} ON {table} BEGIN SELECT RAISE(ABORT, 'crash'); END")
    raw.close()
    with pytest.raises(RunwrightError):
        await world.reviews.approve(world.ann, item.id, digest=item.subject.digest)
    assert (await world.live()).id == first.id
    assert await world.reviews.item(world.ann, item.id) == item
    assert await world.reviews.approvals(world.ann, item.id) == ()
    assert len(await world.audited()) == entries


async def test_routing_rules_replace_each_other(world: Any) -> None:
    first = await world.rule()
    assert first.active
    assert first.approval_id is not None
    second = await world.rule(runbook="RB-OTHER-001")
    own = await world.rule(scope="client:acme")
    assert not (await world.get("routes", first.id)).active
    assert second.active
    assert own.active
    with pytest.raises(InvalidInput):
        await world.queue(rule=second)


async def test_what_cannot_be_submitted(world: Any) -> None:
    version = world.version(1, scope="client:acme")
    for scope in ("all", "client:other"):
        with pytest.raises(InvalidInput, match="not offered to others"):
            await world.queue(version, scope=scope)
    await world.queue(version)
    with pytest.raises(Conflict):
        await world.queue(version)
    with pytest.raises(Conflict, match="another version stored"):
        await world.queue(version.model_copy(update={"text": "other"}))
    rule = new_rule(world.clock, scope="all", incident_type="disk_full", runbook_id=world.runbook)
    with pytest.raises(InvalidInput, match="another digest"):
        await world.queue(rule=rule.model_copy(update={"runbook_id": "RB-OTHER-001"}))
    with pytest.raises(InvalidInput, match="exactly one"):
        await world.queue(version=version, rule=rule)
    narrowed = await world.queue(world.version(2), scope="client:acme")
    assert narrowed.subject.scope == "client:acme"


async def test_lists_show_what_may_be_read_in_order(world: Any) -> None:
    plan = [(1, "all", 3), (2, "client:acme", 1), (3, "client:other", 1), (4, "client:acme", 4), (5, "all", 1)]
    for number, scope, priority in plan:
        await world.queue(world.version(number, scope=scope), priority=priority)
        world.clock.advance(1)

    async def numbers(who: Any, limit: int, client: str | None = None) -> list[int]:
        found: list[int] = []
        cursor = None
        while True:
            page = await world.reviews.pending(who, cursor=cursor, limit=limit, client=client)
            found += (int(item.id[-1]) for item in page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert await numbers(world.vic, 2) == [2, 3, 5, 1, 4]
    assert await numbers(world.eve, 1) == [3, 5, 1]
    assert await numbers(world.eve, 5) == [3, 5, 1]
    assert await numbers(world.vic, 5, "acme") == [2, 4]
    with pytest.raises(Forbidden):
        await numbers(world.eve, 5, "acme")
    assert (await world.reviews.stats(world.vic))["pending_review"] == 5
    assert (await world.reviews.stats(world.eve))["pending_review"] == 1
    assert (await world.reviews.stats(world.vic, "acme")) == {**dict.fromkeys(ReviewStatus, 0), "pending_review": 2}
    with pytest.raises(Forbidden):
        await world.reviews.stats(world.eve, "acme")


@pytest.mark.parametrize("status", list(ReviewStatus))
@pytest.mark.parametrize("action", list(ReviewAction))
def test_the_table_of_edges_is_the_only_way(status: ReviewStatus, action: ReviewAction) -> None:
    if (status, action) in REVIEW_EDGES:
        assert next_review_status(status, action) is REVIEW_EDGES[status, action]
    else:
        with pytest.raises(Conflict, match=status.value):
            next_review_status(status, action)


def test_priority_comes_from_severity_frequency_and_risk() -> None:
    assert [priority_for(severity) for severity in Severity] == [1, 2, 3, 4]
    assert priority_for(Severity.MEDIUM, occurrences=5) == 2
    assert priority_for(Severity.MEDIUM, risk=RiskVerdict.REFUSE) == 4
    assert priority_for(Severity.MEDIUM, risk=RiskVerdict.WARN) == 3
    assert priority_for(Severity.CRITICAL, occurrences=9) == 1
    assert priority_for(Severity.LOW, risk=RiskVerdict.REFUSE) == 4
