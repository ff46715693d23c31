"""What runs: making an activation live, ending it, falling back. Callers bring their transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from runwright.access.desk import record
from runwright.access.dsse import open_statement
from runwright.model.edges import ACTIVATION_EDGES, check_edge
from runwright.model.errors import Tampered
from runwright.model.ids import split_version_id
from runwright.model.ports.clock import Clock
from runwright.model.ports.signing import Keyring
from runwright.model.ports.store import EVERY_CLIENT, Collection, Transaction
from runwright.model.principals import ENGINE, Principal
from runwright.model.reviews import Activation, ActivationState, Approval, ApprovalStatement, RoutingRule
from runwright.review.subjects import chain_of

R = TypeVar("R")

RUNNING = (ActivationState.LIVE.value, ActivationState.SUSPENDED.value)


@dataclass(frozen=True)
class Hands:
    """What every change of an activation needs: the transaction, the clock, and who does it."""

    tx: Transaction
    clock: Clock
    by: Principal

    async def note(self, action: str, subject: str, scope: str, digest: str, **facts: str) -> None:
        """Audit on the scope's chain."""
        await record(
            self.tx, self.clock, self.by, action, subject, chain=chain_of(scope), digest=digest, scope=scope, **facts
        )


async def end(hands: Hands, activation: Activation, state: ActivationState, reason: str) -> Activation:
    """Move an activation out of use. Raises Conflict where the table of edges does not lead there."""
    check_edge(ACTIVATION_EDGES, activation.state, state)
    ended = activation.model_copy(update={"state": state, "ended_at": hands.clock.now(), "reason": reason})
    await hands.tx.activations.replace(activation, ended)
    await hands.note(
        f"activation.{state.value}", activation.id, activation.scope, activation.digest, version=activation.version_id
    )
    return ended


async def make_live(hands: Hands, statement: ApprovalStatement, reason: str) -> Activation:
    """Activate an approved version for its scope; whatever was live or suspended there is superseded."""
    runbook_id, _ = split_version_id(statement.subject_id)
    for earlier in await _running(hands.tx, runbook_id, statement.scope):
        over = earlier.state is ActivationState.LIVE and earlier.until <= hands.clock.now()
        after = ActivationState.EXPIRED if over else ActivationState.SUPERSEDED
        await end(hands, earlier, after, f"{statement.subject_id} took its place")
    return await _activate(hands, statement, "activation.live", reason)


async def fall_back(hands: Hands, keyring: Keyring, suspended: Activation) -> Activation | None:
    """After a suspension: the version that the approval named takes over, if its own approval is live.

    None if it named none or that one's approval is not; then nothing is live and incidents escalate.
    """
    tx, now = hands.tx, hands.clock.now()
    approval = await tx.approvals.find(suspended.approval_id, client=EVERY_CLIENT)
    statement = readable(keyring, approval) if approval else None
    if statement is None or statement.fallback is None:
        return None
    where = {"subject_id": statement.fallback, "scope": suspended.scope}
    page = await tx.approvals.page(client=EVERY_CLIENT, where=where)
    for candidate in page.items:
        earlier = readable(keyring, candidate)
        if earlier is None or not is_live(candidate, earlier, now):
            continue
        if earlier.subject_kind == "version" and earlier.subject_id == statement.fallback:
            reason = f"fallback of {suspended.version_id}, which was suspended"
            return await _activate(hands, earlier, "activation.fallback", reason)
    return None


async def _activate(hands: Hands, statement: ApprovalStatement, action: str, reason: str) -> Activation:
    runbook_id, _ = split_version_id(statement.subject_id)
    activation = Activation(
        id=hands.clock.new_id("act"),
        runbook_id=runbook_id,
        scope=statement.scope,
        version_id=statement.subject_id,
        digest=statement.digest,
        approval_id=statement.approval_id,
        since=hands.clock.now(),
        until=statement.expires_at,
        reason=reason,
    )
    await hands.tx.activations.add(activation)
    await hands.note(action, activation.id, activation.scope, activation.digest, version=activation.version_id)
    return activation


async def make_rule_active(hands: Hands, rule: RoutingRule, approval_id: str) -> RoutingRule:
    """Let an approved routing rule choose; the rule it replaces (same scope and type) no longer does."""
    where = {"scope": rule.scope, "incident_type": rule.incident_type, "active": True}
    page = await hands.tx.routes.page(client=EVERY_CLIENT, where=where, limit=200)
    for earlier in page.items:
        await end_rule(hands, earlier)
    active = rule.model_copy(update={"active": True, "approval_id": approval_id})
    await hands.tx.routes.replace(rule, active)
    await hands.note("routing.active", rule.id, rule.scope, rule.digest, runbook=rule.runbook_id)
    return active


async def end_rule(hands: Hands, rule: RoutingRule) -> RoutingRule:
    """A rule that chooses no more."""
    ended = rule.model_copy(update={"active": False})
    await hands.tx.routes.replace(rule, ended)
    await hands.note("routing.ended", rule.id, rule.scope, rule.digest, runbook=rule.runbook_id)
    return ended


async def end_of_approval(hands: Hands, approval: Approval, reason: str) -> None:
    """An approval that is over takes its activations and its routing rule with it."""
    where = {"approval_id": approval.id, "state": RUNNING}
    page = await hands.tx.activations.page(client=EVERY_CLIENT, where=where, limit=200)
    for activation in page.items:
        await end(hands, activation, ActivationState.EXPIRED, reason)
    rule = await hands.tx.routes.find(approval.subject_id, client=EVERY_CLIENT)
    if rule is not None and rule.active and rule.approval_id == approval.id:
        await end_rule(hands, rule)


async def expire_due(tx: Transaction, clock: Clock) -> tuple[str, ...]:
    """End what has expired by now: activations past their end, rules whose approval is. The ids of what ended."""
    hands = Hands(tx, clock, ENGINE)
    now = clock.now()
    ended: list[str] = []
    for activation in await all_running(tx):
        if activation.until <= now:
            await end(hands, activation, ActivationState.EXPIRED, "its approval expired")
            ended.append(activation.id)
    for rule in await _every(tx.routes, {"active": True}):
        approval = await tx.approvals.find(rule.approval_id, client=EVERY_CLIENT) if rule.approval_id else None
        if approval is None or approval.revoked_at is not None or approval.expires_at <= now:
            await end_rule(hands, rule)
            ended.append(rule.id)
    return tuple(ended)


def readable(keyring: Keyring, approval: Approval) -> ApprovalStatement | None:
    """The statement of an approval whose signature is good; None if it is not."""
    try:
        return open_statement(keyring, approval.envelope)
    except Tampered:
        return None


def is_live(approval: Approval, statement: ApprovalStatement, now: datetime) -> bool:
    """Whether an approval holds: the row is the statement's, not revoked, not expired."""
    same = approval.id == statement.approval_id and approval.scope == statement.scope
    return same and approval.revoked_at is None and now < min(approval.expires_at, statement.expires_at)


async def _running(tx: Transaction, runbook_id: str, scope: str) -> tuple[Activation, ...]:
    where = {"runbook_id": runbook_id, "scope": scope, "state": RUNNING}
    return (await tx.activations.page(client=EVERY_CLIENT, where=where, limit=200)).items


async def all_running(tx: Transaction) -> list[Activation]:
    """Every activation that is live or suspended."""
    return await _every(tx.activations, {"state": RUNNING})


async def _every(collection: Collection[R], where: Mapping[str, Any]) -> list[R]:
    """All records that fit, page by page, before any of them is changed."""
    found: list[R] = []
    cursor: str | None = None
    while True:
        page = await collection.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=200)
        found.extend(page.items)
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor
