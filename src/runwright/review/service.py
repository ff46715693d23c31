"""The review queue as people and surfaces use it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from runwright.access.permissions import Permission, allows, clients_of, require
from runwright.model.errors import InvalidInput, NotFound
from runwright.model.ports.clock import Clock
from runwright.model.ports.signing import Keyring, Signer
from runwright.model.ports.store import EVERY_CLIENT, Page, Store, Transaction
from runwright.model.principals import ENGINE, Principal
from runwright.model.reviews import ReviewAction, ReviewItem, ReviewStatus, TestEvidence
from runwright.review.activation import Hands
from runwright.review.approving import Approver, Wish
from runwright.review.comparison import Comparison, compare
from runwright.review.decisions import act, leased_to, refuse_decided, refuse_other_digest
from runwright.review.enforcement import Enforcement
from runwright.review.queue import announce, attach_evidence
from runwright.review.settings import ReviewSettings
from runwright.review.subjects import client_of

__all__ = ["Comparison", "ReviewService"]


class ReviewService(Enforcement):
    """Looking at the queue and deciding. `signer` is None where there is no approval key: then nothing is approved."""

    def __init__(
        self,
        store: Store,
        signer: Signer | None,
        keyring: Keyring,
        clock: Clock,
        settings: ReviewSettings | None = None,
    ) -> None:
        self.settings = settings or ReviewSettings()
        super().__init__(store, keyring, clock, timedelta(days=self.settings.expiry_warning_days))
        self._approver = Approver(signer, keyring, self.settings)

    async def pending(
        self, principal: Principal, *, cursor: str | None = None, limit: int = 50, client: str | None = None
    ) -> Page[ReviewItem]:
        """What waits for a decision, most urgent first: of a client, or of all that the principal may read."""
        if client is not None:
            require(principal, Permission.READ_REVIEWS, client)
        async with self._store.reading() as tx:
            if client is not None or clients_of(principal, Permission.READ_REVIEWS) is None:
                return await tx.reviews.pending(client=client or EVERY_CLIENT, cursor=cursor, limit=limit)
            found: list[ReviewItem] = []
            while True:
                page = await tx.reviews.pending(client=EVERY_CLIENT, cursor=cursor, limit=limit - len(found))
                found += (item for item in page.items if _readable(principal, item))
                cursor = page.next_cursor
                if cursor is None or len(found) >= limit:
                    return Page(tuple(found), cursor)

    async def item(self, principal: Principal, subject_id: str) -> ReviewItem:
        """One item. Raises NotFound, also for one of a client that the principal may not read."""
        async with self._store.reading() as tx:
            return await self._visible(tx, principal, subject_id)

    async def stats(self, principal: Principal, client: str | None = None) -> Mapping[str, int]:
        """Items per status of a client, or of all that the principal may read."""
        if client is not None:
            require(principal, Permission.READ_REVIEWS, client)
        clients = frozenset({client}) if client is not None else clients_of(principal, Permission.READ_REVIEWS)
        counted = dict.fromkeys((status.value for status in ReviewStatus), 0)
        async with self._store.reading() as tx:
            for name in [EVERY_CLIENT] if clients is None else sorted(clients):
                for status, number in (await tx.reviews.stats(client=name)).items():
                    counted[status] += number
        return counted

    async def comparison(self, principal: Principal, subject_id: str) -> Comparison:
        """The item beside what it would replace: change, added risk, why, and what trials found."""
        async with self._store.reading() as tx:
            item = await self._visible(tx, principal, subject_id)
            return await compare(tx, item, lambda client: allows(principal, Permission.READ_EXECUTIONS, client))

    async def submit(self, principal: Principal, subject_id: str) -> ReviewItem:
        """Put a draft into the queue. Its author may, and whoever authors runbooks for its scope."""
        async with self._store.transaction() as tx:
            item = await self._visible(tx, principal, subject_id)
            if item.author_id != principal.id:
                require(principal, Permission.AUTHOR_RUNBOOKS, client_of(item))
            return await self._move(tx, item, ReviewAction.SUBMIT, principal)

    async def claim(self, principal: Principal, subject_id: str) -> ReviewItem:
        """Take an item for half an hour, or renew the lease. Raises Conflict while another person holds it."""
        async with self._store.transaction() as tx:
            item = await self._allowed(tx, principal, Permission.CLAIM_REVIEW, subject_id)
            refuse_decided(item)
            claimed = leased_to(item, principal, self._clock.now(), self.settings.lease)
            await tx.reviews.replace(item, claimed)
            await announce(tx, self._clock, principal.id, "review.claim", claimed)
        return claimed

    async def release(self, principal: Principal, subject_id: str) -> ReviewItem:
        """Give an item back. Raises Conflict unless it is in review, Forbidden for another's lease (admins may)."""
        async with self._store.transaction() as tx:
            item = await self._allowed(tx, principal, Permission.CLAIM_REVIEW, subject_id)
            if item.assignee not in (None, principal.id):
                require(principal, Permission.MANAGE_USERS, client_of(item))
            return await self._move(tx, item, ReviewAction.RELEASE, principal)

    async def approve(
        self,
        principal: Principal,
        subject_id: str,
        *,
        digest: str,
        note: str = "",
        fallback: bool = True,
        override_reason: str | None = None,
    ) -> ReviewItem:
        """Approve the content with this digest; it is live when this returns.

        One transaction: status, signed approval, activation (or routing rule), audit entry. Raises Forbidden,
        NotFound, Conflict (another digest, decided already, claimed by another), InvalidInput for an objection
        without an `override_reason`, Tampered, Unavailable without the key.
        """
        wish = Wish(digest=digest, note=note, fallback=fallback, override=override_reason)
        async with self._store.transaction() as tx:
            item = await self._allowed(tx, principal, Permission.DECIDE_REVIEW, subject_id)
            hands = Hands(tx, self._clock, principal)
            decided, approval = await self._approver.approve(hands, item, wish)
            facts = {"override": "yes"} if override_reason else {}
            await announce(tx, self._clock, principal.id, "review.approve", decided, approval=approval.id, **facts)
        return decided

    async def reject(self, principal: Principal, subject_id: str, *, digest: str, reason: str) -> ReviewItem:
        """Reject the content with this digest, for a reason. Raises as `approve`."""
        return await self._decide(principal, subject_id, ReviewAction.REJECT, digest, reason)

    async def request_changes(self, principal: Principal, subject_id: str, *, digest: str, note: str) -> ReviewItem:
        """Send it back with what is to change. Raises as `approve`."""
        return await self._decide(principal, subject_id, ReviewAction.REQUEST_CHANGES, digest, note)

    async def withdraw(self, principal: Principal, subject_id: str, *, note: str = "") -> ReviewItem:
        """Take an undecided item out of the queue. Its author may, and whoever decides."""
        async with self._store.transaction() as tx:
            item = await self._visible(tx, principal, subject_id)
            if item.author_id != principal.id:
                require(principal, Permission.DECIDE_REVIEW, client_of(item))
            if item.status is not ReviewStatus.NEEDS_CHANGES:
                refuse_decided(item)
            return await self._move(tx, item, ReviewAction.WITHDRAW, principal, note)

    async def record_test(self, principal: Principal, subject_id: str, evidence: TestEvidence) -> ReviewItem:
        """Attach what a person or a machine found when testing; its time is now, whatever it says."""
        async with self._store.transaction() as tx:
            item = await self._allowed(tx, principal, Permission.TEST_REVIEW, subject_id)
            timed = evidence.model_copy(update={"at": self._clock.now()})
            return await attach_evidence(tx, item.id, timed, by=principal, clock=self._clock)

    async def _decide(
        self, principal: Principal, subject_id: str, action: ReviewAction, digest: str, reason: str
    ) -> ReviewItem:
        async with self._store.transaction() as tx:
            item = await self._allowed(tx, principal, Permission.DECIDE_REVIEW, subject_id)
            refuse_decided(item)
            refuse_other_digest(item, digest)
            if not reason.strip():
                raise InvalidInput("Found no reason.", allowed="Allowed: a sentence that the author can work with.")
            leased = leased_to(item, principal, self._clock.now(), self.settings.lease)
            return await self._move(tx, item, action, principal, reason.strip(), leased=leased)

    async def _move(
        self,
        tx: Transaction,
        item: ReviewItem,
        action: ReviewAction,
        by: Principal,
        note: str = "",
        *,
        leased: ReviewItem | None = None,
    ) -> ReviewItem:
        moved = act(leased or item, action, by, self._clock.now(), note=note)
        await tx.reviews.replace(item, moved)
        await announce(tx, self._clock, by.id, f"review.{action.value}", moved)
        return moved

    async def _allowed(
        self, tx: Transaction, principal: Principal, permission: Permission, subject_id: str
    ) -> ReviewItem:
        """The item, if the principal may see it and holds the permission for its scope."""
        item = await self._visible(tx, principal, subject_id)
        require(principal, permission, client_of(item))
        return item

    async def _visible(self, tx: Transaction, principal: Principal, subject_id: str) -> ReviewItem:
        item = await tx.reviews.find(subject_id, client=EVERY_CLIENT)
        if item is None or not _readable(principal, item):
            raise NotFound(f"Found no review item {subject_id!r}.", next_step="List them with `runwright review list`.")
        return item


def _readable(principal: Principal, item: ReviewItem) -> bool:
    return principal == ENGINE or allows(principal, Permission.READ_REVIEWS, client_of(item))
