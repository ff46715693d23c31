"""Moving an item along the table of edges. Pure: items in, items out."""

from __future__ import annotations

from datetime import datetime, timedelta

from runwright.model.edges import DECIDED, next_review_status
from runwright.model.errors import Conflict
from runwright.model.principals import ENGINE, Principal
from runwright.model.reviews import ReviewAction, ReviewEntry, ReviewItem, ReviewStatus, TestEvidence


def act(
    item: ReviewItem,
    action: ReviewAction,
    by: Principal,
    at: datetime,
    *,
    note: str = "",
    lease: timedelta | None = None,
) -> ReviewItem:
    """The item after an action, with its line of history. `lease` is how long a claim holds.

    Raises Conflict where the table of edges has no such edge.
    """
    status = next_review_status(item.status, action)
    entry = ReviewEntry(
        action=action.value,
        by=by.id,
        by_name=by.name,
        at=at,
        note=note,
        from_status=item.status,
        to_status=status,
    )
    claimed = status is ReviewStatus.IN_REVIEW
    return item.model_copy(
        update={
            "status": status,
            "history": (*item.history, entry),
            "assignee": by.id if claimed else None,
            "lease_until": at + lease if claimed and lease is not None else None,
            "decided_at": at if status in DECIDED else item.decided_at,
        }
    )


def note_down(item: ReviewItem, action: str, by: Principal, at: datetime, note: str) -> ReviewItem:
    """The item with a line of history that moves nothing, as a revocation of its approval."""
    entry = ReviewEntry(
        action=action,
        by=by.id,
        by_name=by.name,
        at=at,
        note=note,
        from_status=item.status,
        to_status=item.status,
    )
    return item.model_copy(update={"history": (*item.history, entry)})


def leased_to(item: ReviewItem, by: Principal, at: datetime, lease: timedelta) -> ReviewItem:
    """The item claimed by this person: now, or still, or again after a lease that expired.

    Raises Conflict naming who holds the lease and until when, or where the item cannot be claimed.
    """
    if item.status is ReviewStatus.IN_REVIEW:
        running = item.lease_until is not None and at < item.lease_until
        if running and item.assignee == by.id:
            return item.model_copy(update={"lease_until": at + lease})
        if running:
            raise Conflict(
                f"Found {item.id} in review by {_name_of(item)} until {_moment(item.lease_until)}.",
                next_step="Wait, or ask them to release it.",
            )
        item = act(item, ReviewAction.RELEASE, ENGINE, at, note="the lease expired")
    return act(item, ReviewAction.CLAIM, by, at, lease=lease)


def refuse_decided(item: ReviewItem) -> None:
    """Raise Conflict naming who decided and when, if the item is decided."""
    if item.status not in DECIDED and item.status is not ReviewStatus.NEEDS_CHANGES:
        return
    last = next((entry for entry in reversed(item.history) if entry.to_status is not entry.from_status), None)
    who = f" by {last.by_name} at {_moment(last.at)}" if last else ""
    raise Conflict(
        f"Found {item.id} {item.status.value.replace('_', ' ')}{who} already.",
        allowed="Allowed: one decision.",
        next_step="Submit a new version to have it decided anew.",
    )


def refuse_other_digest(item: ReviewItem, digest: str) -> None:
    """Raise Conflict unless the digest named is the one in the queue: what was shown is what is decided on."""
    if digest != item.subject.digest:
        raise Conflict(
            f"Found digest {digest} named for {item.id}.",
            allowed=f"Allowed: {item.subject.digest}, the content that is in the queue.",
            next_step="Look at it again; what you saw is not what is there.",
        )


def open_failures(item: ReviewItem) -> tuple[TestEvidence, ...]:
    """Failed tests that no later passed test names as closed."""
    closed: set[str] = set()
    failed: list[TestEvidence] = []
    for evidence in item.evidence:
        if evidence.passed is False:
            failed.append(evidence)
        elif evidence.passed and evidence.closes is not None:
            closed.add(evidence.closes)
    return tuple(evidence for evidence in failed if evidence.id not in closed)


def _name_of(item: ReviewItem) -> str:
    """The name of the one who claimed last."""
    claims = [entry for entry in item.history if entry.to_status is ReviewStatus.IN_REVIEW]
    return claims[-1].by_name if claims else "someone"


def _moment(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds") if at is not None else "an unknown time"
