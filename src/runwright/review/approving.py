"""Approving: one transaction from the person's word to what is live (promise 2)."""

from __future__ import annotations

from dataclasses import dataclass

from runwright.access.dsse import open_statement, sign_statement
from runwright.access.passwords import new_secret
from runwright.model.errors import Forbidden, InvalidInput, Tampered, Unavailable
from runwright.model.ports.signing import Keyring, Signer
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import (
    Approval,
    ApprovalStatement,
    ReviewAction,
    ReviewItem,
    RoutingSubject,
    VersionSubject,
)
from runwright.model.risk import RiskVerdict
from runwright.review.activation import Hands, make_live, make_rule_active
from runwright.review.decisions import act, leased_to, open_failures, refuse_decided, refuse_other_digest
from runwright.review.settings import ReviewSettings
from runwright.review.subjects import routing_digest
from runwright.runbooks.stored import check_stored


@dataclass(frozen=True)
class Wish:
    """What the person at the queue asks for."""

    digest: str
    note: str = ""
    fallback: bool = True
    """Whether the version that is superseded may take over again if this one is suspended."""
    override: str | None = None
    """Why it is approved in spite of an open failed test or a refused risk."""


class Approver:
    """Holds the approval key for the length of one decision."""

    def __init__(self, signer: Signer | None, keyring: Keyring, settings: ReviewSettings) -> None:
        self._signer = signer
        self._keyring = keyring
        self._settings = settings

    async def approve(self, hands: Hands, item: ReviewItem, wish: Wish) -> tuple[ReviewItem, Approval]:
        """Decide, sign, activate. The caller has checked the right; its transaction commits all or nothing.

        Raises Conflict (decided, claimed by another, another digest), Forbidden for the author, InvalidInput for
        an objection that is not overridden, Tampered if the stored subject is not what was queued.
        """
        now = hands.clock.now()
        refuse_decided(item)
        refuse_other_digest(item, wish.digest)
        if item.author_id == hands.by.id and not self._settings.author_may_approve:
            raise Forbidden(
                f"Found {hands.by.name} approving what they wrote.",
                allowed="Allowed: another person with the approver role.",
            )
        override = _override(item, wish)
        leased = leased_to(item, hands.by, now, self._settings.lease)
        note = f"{wish.note} [override: {override}]".strip() if override else wish.note
        decided = act(leased, ReviewAction.APPROVE, hands.by, now, note=note)
        await hands.tx.reviews.replace(item, decided)
        approval, statement = await self._sign(hands, item, wish)
        await hands.tx.approvals.add(approval)
        await self._put_in_force(hands, item, statement)
        return decided, approval

    async def _sign(self, hands: Hands, item: ReviewItem, wish: Wish) -> tuple[Approval, ApprovalStatement]:
        if self._signer is None:
            raise Unavailable(
                "Found no approval key in this process.",
                allowed="Allowed: the server, which alone holds it.",
                next_step="Approve through the server.",
            )
        subject, now = item.subject, hands.clock.now()
        statement = ApprovalStatement(
            approval_id=hands.clock.new_id("apr"),
            subject_kind=subject.kind,
            subject_id=subject.id,
            digest=subject.digest,
            raw_digest=subject.raw_digest if isinstance(subject, VersionSubject) else None,
            scope=subject.scope,
            reviewer_id=hands.by.id,
            reviewer_name=hands.by.name,
            method=hands.by.method.value,
            decided_at=now,
            expires_at=now + self._settings.approval_lifetime,
            nonce=new_secret(),
            fallback=await _fallback(hands, subject) if wish.fallback else None,
        )
        envelope = sign_statement(self._signer, statement)
        try:
            open_statement(self._keyring, envelope)
        except Tampered as error:
            raise Unavailable(
                f"Found the approval key {self._signer.key_id} missing in the keyring, so no worker would accept it.",
                next_step="Publish its public key to the keyring.",
            ) from error
        approval = Approval(
            id=statement.approval_id,
            subject_id=statement.subject_id,
            scope=statement.scope,
            envelope=envelope,
            decided_at=statement.decided_at,
            expires_at=statement.expires_at,
        )
        return approval, statement

    async def _put_in_force(self, hands: Hands, item: ReviewItem, statement: ApprovalStatement) -> None:
        """Make the subject live, once its stored form is found to be what was queued, shown and signed."""
        subject = item.subject
        if isinstance(subject, RoutingSubject):
            rule = await hands.tx.routes.get(subject.id, client=EVERY_CLIENT)
            told = (rule.scope, rule.incident_type, rule.runbook_id)
            if told != (subject.scope, subject.incident_type, subject.runbook_id) or (
                routing_digest(*told) != statement.digest
            ):
                raise _edited(item)
            await make_rule_active(hands, rule, statement.approval_id)
            return
        version = await hands.tx.versions.get(subject.id, client=EVERY_CLIENT)
        loaded = check_stored(version.text, subject.digest, subject.raw_digest)
        if loaded.document.id != version.runbook_id or version.id != subject.id:
            raise _edited(item)
        await make_live(hands, statement, f"approved by {hands.by.name}")


async def _fallback(hands: Hands, subject: VersionSubject | RoutingSubject) -> str | None:
    """The version that this approval will supersede, if one is live."""
    if isinstance(subject, RoutingSubject):
        return None
    version = await hands.tx.versions.get(subject.id, client=EVERY_CLIENT)
    live = await hands.tx.activations.live(version.runbook_id, subject.scope)
    if live is None or live.until <= hands.clock.now() or live.version_id == subject.id:
        return None
    return live.version_id


def _override(item: ReviewItem, wish: Wish) -> str | None:
    """The reason why objections are overridden; None where there are none. Raises InvalidInput without a reason."""
    objections = [f"test {evidence.id} failed ({evidence.note})" for evidence in open_failures(item)]
    if item.added_risk.verdict is RiskVerdict.REFUSE:
        objections.append(f"its risk is refused ({item.added_risk.explanation or 'see the findings'})")
    if not objections:
        return None
    reason = (wish.override or "").strip()
    if not reason:
        raise InvalidInput(
            f"Found {item.id} with {len(objections)} objection(s): {'; '.join(objections)}.",
            allowed="Allowed: approval with a reason that overrides them.",
            next_step="Have it changed, close the failed test with one that passed, or give the reason.",
        )
    return reason


def _edited(item: ReviewItem) -> Tampered:
    return Tampered(
        f"Found {item.id} stored otherwise than it was queued.",
        next_step="Someone edited the store: run `runwright audit verify`, then submit it anew.",
    )
