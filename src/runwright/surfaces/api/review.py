"""The review queue: look, try, decide. A decision names the digest that was shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.reviews import ReviewItem
from runwright.review.service import Comparison
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, ChangeRequest, Cursor, Decision, Limit, Listing, NoteForm, Rejection
from runwright.surfaces.api.guard import Caller, needs, services
from runwright.surfaces.api.recent import require_recent_login

router = APIRouter(prefix="/review", tags=["review"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_REVIEWS))]
Decider = Annotated[Caller, Depends(needs(Permission.DECIDE_REVIEW))]


@router.get("/pending", summary="What waits for a decision, most urgent first.")
async def pending(request: Request, caller: Reader, cursor: Cursor = None, limit: Limit = 50) -> Listing[ReviewItem]:
    page = await services(request).reviews.pending(caller.principal, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.get("/stats", summary="Items per status.")
async def stats(request: Request, caller: Reader) -> Mapping[str, int]:
    return await services(request).reviews.stats(caller.principal)


@router.get("/runbook/{subject_id}", summary="One item: status, evidence, history.")
async def item(request: Request, subject_id: str, caller: Reader) -> ReviewItem:
    return await services(request).reviews.item(caller.principal, subject_id)


@router.get("/comparison/{subject_id}", summary="The change, the risk it adds, the evidence, side by side.")
async def comparison(request: Request, subject_id: str, caller: Reader) -> Comparison:
    return await services(request).reviews.comparison(caller.principal, subject_id)


@router.get("/history/{subject_id}", summary="What happened to an item, kept for ever.")
async def history(request: Request, subject_id: str, caller: Reader) -> Listing[dict[str, Any]]:
    found = await services(request).reviews.item(caller.principal, subject_id)
    return Listing(items=[entry.model_dump(mode="json") for entry in found.history])


@router.post("/claim/{subject_id}", summary="Take an item; the lease runs out by itself.")
async def claim(
    request: Request, subject_id: str, caller: Annotated[Caller, Depends(needs(Permission.CLAIM_REVIEW))]
) -> ReviewItem:
    return await services(request).reviews.claim(caller.principal, subject_id)


@router.post("/release/{subject_id}", summary="Give a taken item back, undecided.")
async def release(
    request: Request, subject_id: str, caller: Annotated[Caller, Depends(needs(Permission.CLAIM_REVIEW))]
) -> ReviewItem:
    return await services(request).reviews.release(caller.principal, subject_id)


@router.post(
    "/approve/{subject_id}", openapi_extra=body_of(Decision), summary="Approve what was shown; it becomes live."
)
async def approve(
    request: Request, subject_id: str, caller: Decider, form: Annotated[Decision, Depends(json_body(Decision))]
) -> ReviewItem:
    await require_recent_login(services(request), caller, form.password)
    return await services(request).reviews.approve(
        caller.principal, subject_id, digest=form.digest, note=form.note, override_reason=form.override_reason
    )


@router.post("/reject/{subject_id}", openapi_extra=body_of(Rejection), summary="Reject, with the reason.")
async def reject(
    request: Request, subject_id: str, caller: Decider, form: Annotated[Rejection, Depends(json_body(Rejection))]
) -> ReviewItem:
    await require_recent_login(services(request), caller, form.password)
    return await services(request).reviews.reject(caller.principal, subject_id, digest=form.digest, reason=form.reason)


@router.post("/changes/{subject_id}", openapi_extra=body_of(ChangeRequest), summary="Ask for changes.")
async def changes(
    request: Request,
    subject_id: str,
    caller: Decider,
    form: Annotated[ChangeRequest, Depends(json_body(ChangeRequest))],
) -> ReviewItem:
    return await services(request).reviews.request_changes(
        caller.principal, subject_id, digest=form.digest, note=form.note
    )


@router.post(
    "/withdraw/{subject_id}", openapi_extra=body_of(NoteForm), summary="Take an undecided item out of the queue."
)
async def withdraw(
    request: Request,
    subject_id: str,
    caller: Annotated[Caller, Depends(needs(Permission.CLAIM_REVIEW))],
    form: Annotated[NoteForm, Depends(json_body(NoteForm))],
) -> ReviewItem:
    return await services(request).reviews.withdraw(caller.principal, subject_id, note=form.note)


@router.post("/test/{subject_id}", status_code=202, summary="Try it on disposable machines.")
async def test(
    request: Request, subject_id: str, caller: Annotated[Caller, Depends(needs(Permission.TEST_REVIEW))]
) -> dict[str, str]:
    found = await services(request).reviews.item(caller.principal, subject_id)
    return {"request_id": await services(request).loop.request_test(caller.principal, found.id)}
