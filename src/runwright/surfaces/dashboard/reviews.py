"""The queue, and one item of it: the change, the evidence, the decision."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from runwright.access.permissions import Permission, allows
from runwright.model.clients import scope_client
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.reviews import ReviewItem, ReviewStatus
from runwright.review.decisions import open_failures
from runwright.surfaces.api.forms import Cursor
from runwright.surfaces.api.guard import services
from runwright.surfaces.api.recent import login_is_old, require_recent_login
from runwright.surfaces.dashboard.asking import (
    AskedPassword,
    Claimer,
    Decider,
    Field,
    ReviewReader,
    Revoker,
    Suspender,
    Tester,
    see_other,
)
from runwright.surfaces.dashboard.pages import page
from runwright.surfaces.dashboard.side_by_side import counts, rows
from runwright.surfaces.dashboard.views import evidence_of

router = APIRouter()

OPEN = frozenset({ReviewStatus.PENDING_REVIEW, ReviewStatus.IN_REVIEW})
"""Where a decision is possible now."""


def _item(subject_id: str) -> str:
    return f"/review/{quote(subject_id)}"


@router.get("/queue")
async def queue(request: Request, caller: ReviewReader, cursor: Cursor = None) -> Response:
    found = services(request).reviews
    items = await found.pending(caller.principal, cursor=cursor, limit=50)
    stats = await found.stats(caller.principal)
    return await page(
        request, "queue.html", caller, items=items.items, next_cursor=items.next_cursor, stats=list(stats.items())
    )


@router.get("/review/{subject_id}")
async def review(request: Request, subject_id: str, caller: ReviewReader) -> Response:
    found = services(request)
    comparison = await found.reviews.comparison(caller.principal, subject_id)
    item = comparison.item
    client = scope_client(item.subject.scope)
    made = rows(comparison.parent_text or "", comparison.candidate_text)
    return await page(
        request,
        "review.html",
        caller,
        comparison=comparison,
        evidence=evidence_of(comparison),
        rows=made,
        line_counts=counts(made),
        open=item.status in OPEN,
        may_decide=allows(caller.principal, Permission.DECIDE_REVIEW, client),
        may_test=allows(caller.principal, Permission.TEST_REVIEW, client),
        may_suspend=allows(caller.principal, Permission.SUSPEND_ACTIVATION, client),
        may_revoke=allows(caller.principal, Permission.REVOKE_APPROVAL, client),
        mine=item.assignee == caller.principal.id,
        failed_test=bool(open_failures(item)),
        ask_password=login_is_old(found, caller),
        **await _standing(found.store, item),
    )


async def _standing(store: Store, item: ReviewItem) -> dict[str, Any]:
    """Where the subject runs now, under which approval."""
    async with store.reading() as tx:
        approvals = await tx.approvals.page(client=EVERY_CLIENT, where={"subject_id": item.id}, limit=1)
        activations = (
            (await tx.activations.page(client=EVERY_CLIENT, where={"version_id": item.id}, limit=5)).items
            if item.subject.kind == "version"
            else ()
        )
        origin = await tx.versions.find(item.id, client=EVERY_CLIENT)
    return {
        "approval": next(iter(approvals.items), None),
        "activations": [entry for entry in activations if entry.scope == item.subject.scope],
        "origin": origin.origin_execution if origin else None,
    }


@router.post("/review/{subject_id}/approve")
async def approve(
    request: Request,
    subject_id: str,
    caller: Decider,
    digest: Field,
    note: Field = "",
    override_reason: Field = "",
    password: AskedPassword = None,
) -> Response:
    found = services(request)
    await require_recent_login(found, caller, password)
    await found.reviews.approve(caller.principal, subject_id, digest=digest, note=note, override_reason=override_reason)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/reject")
async def reject(
    request: Request,
    subject_id: str,
    caller: Decider,
    digest: Field,
    reason: Field = "",
    password: AskedPassword = None,
) -> Response:
    found = services(request)
    await require_recent_login(found, caller, password)
    await found.reviews.reject(caller.principal, subject_id, digest=digest, reason=reason)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/changes")
async def changes(request: Request, subject_id: str, caller: Decider, digest: Field, reason: Field = "") -> Response:
    await services(request).reviews.request_changes(caller.principal, subject_id, digest=digest, note=reason)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/claim")
async def claim(request: Request, subject_id: str, caller: Claimer) -> Response:
    await services(request).reviews.claim(caller.principal, subject_id)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/release")
async def release(request: Request, subject_id: str, caller: Claimer) -> Response:
    await services(request).reviews.release(caller.principal, subject_id)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/suspend")
async def suspend(
    request: Request, subject_id: str, caller: Suspender, activation: Field, reason: Field = ""
) -> Response:
    await services(request).reviews.suspend(caller.principal, activation, reason=reason)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/revoke")
async def revoke(request: Request, subject_id: str, caller: Revoker, approval: Field, reason: Field = "") -> Response:
    await services(request).reviews.revoke(caller.principal, approval, reason=reason)
    return see_other(_item(subject_id))


@router.post("/review/{subject_id}/test")
async def try_out(request: Request, subject_id: str, caller: Tester) -> Response:
    item = await services(request).reviews.item(caller.principal, subject_id)
    await services(request).loop.request_test(caller.principal, item.id)
    return see_other(_item(subject_id))
