"""What may run: activations and the approvals behind them; taking either back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import Activation, ActivationState, Approval
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing, ReasonForm
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(tags=["standing"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_REVIEWS))]
Reason = Annotated[ReasonForm, Depends(json_body(ReasonForm))]


def _given(**fields: object) -> dict[str, Any]:
    return {name: str(value) for name, value in fields.items() if value is not None}


@router.get("/activations", summary="What is live, and what was, newest first.")
async def list_activations(
    request: Request,
    caller: Reader,
    state: ActivationState | None = None,
    runbook_id: str | None = None,
    version_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Activation]:
    where = {**caller.scopes(), **_given(state=state, runbook_id=runbook_id, version_id=version_id)}
    async with services(request).store.reading() as tx:
        page = await tx.activations.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post(
    "/activations/{activation_id}/suspend",
    openapi_extra=body_of(ReasonForm),
    summary="Stop a live version; the fallback that its approval names takes over.",
)
async def suspend(
    request: Request,
    activation_id: str,
    caller: Annotated[Caller, Depends(needs(Permission.SUSPEND_ACTIVATION))],
    form: Reason,
) -> Activation:
    return await services(request).reviews.suspend(caller.principal, activation_id, reason=form.reason)


@router.get("/approvals", summary="Signed approvals, newest first.")
async def list_approvals(
    request: Request, caller: Reader, subject_id: str | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Listing[Approval]:
    where = {**caller.scopes(), **_given(subject_id=subject_id)}
    async with services(request).store.reading() as tx:
        page = await tx.approvals.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post(
    "/approvals/{approval_id}/revoke",
    openapi_extra=body_of(ReasonForm),
    summary="Take an approval back; what it made live ends at once.",
)
async def revoke(
    request: Request,
    approval_id: str,
    caller: Annotated[Caller, Depends(needs(Permission.REVOKE_APPROVAL))],
    form: Reason,
) -> Approval:
    return await services(request).reviews.revoke(caller.principal, approval_id, reason=form.reason)
