"""After approval: suspending what harms, revoking approvals, ending what expires."""

from __future__ import annotations

from datetime import timedelta

from runwright.access.permissions import Permission, allows, require
from runwright.model.clients import scope_client
from runwright.model.errors import Conflict, InvalidInput, NotFound
from runwright.model.ports.clock import Clock
from runwright.model.ports.signing import Keyring
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.principals import ENGINE, Principal
from runwright.model.reviews import Activation, ActivationState, Approval
from runwright.review.activation import Hands, all_running, end, end_of_approval, expire_due, fall_back
from runwright.review.decisions import note_down


class Enforcement:
    """What may be taken back, by whom, and what then runs instead."""

    def __init__(self, store: Store, keyring: Keyring, clock: Clock, warning: timedelta) -> None:
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._warning = warning

    async def suspend(self, principal: Principal, activation_id: str, *, reason: str) -> Activation:
        """Stop a live version from running; by a person, or by the engine's harm monitor.

        The version that its approval named as fallback takes over if its own approval is live. Raises NotFound,
        Forbidden, InvalidInput without a reason, Conflict if it is not live.
        """
        _need(reason)
        async with self._store.transaction() as tx:
            activation = await tx.activations.find(activation_id, client=EVERY_CLIENT)
            if activation is None or not _sees(principal, activation.scope):
                raise NotFound(f"Found no activation {activation_id!r}.")
            if principal != ENGINE:
                require(principal, Permission.SUSPEND_ACTIVATION, scope_client(activation.scope))
            hands = Hands(tx, self._clock, principal)
            suspended = await end(hands, activation, ActivationState.SUSPENDED, reason.strip())
            await fall_back(hands, self._keyring, suspended)
        return suspended

    async def revoke(self, principal: Principal, approval_id: str, *, reason: str) -> Approval:
        """Take an approval back: what it made live ends at once, and nothing takes over.

        Raises NotFound, Forbidden, InvalidInput without a reason, Conflict if it is revoked already.
        """
        _need(reason)
        async with self._store.transaction() as tx:
            approval = await tx.approvals.find(approval_id, client=EVERY_CLIENT)
            if approval is None or not _sees(principal, approval.scope):
                raise NotFound(f"Found no approval {approval_id!r}.")
            require(principal, Permission.REVOKE_APPROVAL, scope_client(approval.scope))
            if approval.revoked_at is not None:
                raise Conflict(f"Found approval {approval_id} revoked at {approval.revoked_at.isoformat()} already.")
            now = self._clock.now()
            revoked = approval.model_copy(update={"revoked_at": now, "revoked_by": principal.id})
            await tx.approvals.replace(approval, revoked)
            hands = Hands(tx, self._clock, principal)
            item = await tx.reviews.get(approval.subject_id, client=EVERY_CLIENT)
            await hands.note("approval.revoke", approval.id, approval.scope, item.subject.digest, about=item.id)
            await end_of_approval(hands, approval, f"its approval was revoked: {reason.strip()}")
            await tx.reviews.replace(item, note_down(item, "revoke", principal, now, reason.strip()))
        return revoked

    async def approvals(self, principal: Principal, subject_id: str) -> tuple[Approval, ...]:
        """The approvals of a subject that the principal may see, newest first."""
        async with self._store.reading() as tx:
            page = await tx.approvals.page(client=EVERY_CLIENT, where={"subject_id": subject_id}, limit=200)
        return tuple(approval for approval in page.items if _sees(principal, approval.scope))

    async def expire_due(self) -> tuple[str, ...]:
        """End activations and rules whose approval expired; the ids of what ended. To be called now and then.

        The gate needs it not: it reads the times itself.
        """
        async with self._store.transaction() as tx:
            return await expire_due(tx, self._clock)

    async def expiring(self, principal: Principal) -> tuple[Activation, ...]:
        """Live activations that end within the warning time (14 days), soonest first."""
        limit = self._clock.now() + self._warning
        async with self._store.reading() as tx:
            running = await all_running(tx)
        soon = [
            a for a in running if a.until <= limit and a.state is ActivationState.LIVE and _sees(principal, a.scope)
        ]
        return tuple(sorted(soon, key=lambda activation: activation.until))


def _sees(principal: Principal, scope: str) -> bool:
    return principal == ENGINE or allows(principal, Permission.READ_REVIEWS, scope_client(scope))


def _need(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput("Found no reason.", allowed="Allowed: a sentence for those who find it stopped.")
