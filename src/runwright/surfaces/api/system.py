"""Stop switches, audit, figures, and the description of this API."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from runwright.access.permissions import Permission
from runwright.model.audit import SYSTEM_CHAIN, AuditEntry
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.reviews import StopSwitch
from runwright.surfaces.api.bodies import body_of, json_body, openapi
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing, Sequence, StopForm
from runwright.surfaces.api.guard import Caller, needs, services
from runwright.surfaces.figures import figures

router = APIRouter(tags=["system"], responses=ERRORS)


@router.get("/stops", summary="Stop switches that are set.")
async def list_stops(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[StopSwitch]:
    found: list[StopSwitch] = []
    async with services(request).store.reading() as tx:
        while True:
            page = await tx.switches.page(client=EVERY_CLIENT, cursor=cursor, limit=limit - len(found))
            found += (switch for switch in page.items if _concerns(caller, switch))
            cursor = page.next_cursor
            if cursor is None or len(found) >= limit:
                return Listing(items=found, next_cursor=cursor)


def _concerns(caller: Caller, switch: StopSwitch) -> bool:
    """The global switch and those of runbooks concern everyone; a client's only who may see that client."""
    return not switch.id.startswith("client:") or caller.sees(switch.id.removeprefix("client:"))


@router.post("/stops", status_code=201, openapi_extra=body_of(StopForm), summary="Hold every run of a scope.")
async def stop(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.STOP))],
    form: Annotated[StopForm, Depends(json_body(StopForm))],
) -> StopSwitch:
    return await services(request).switches.stop(caller.principal, form.scope, form.reason)


@router.delete("/stops/{scope}", status_code=204, summary="Let held runs go on.")
async def release(
    request: Request, scope: str, caller: Annotated[Caller, Depends(needs(Permission.RESUME))]
) -> Response:
    await services(request).switches.release(caller.principal, scope)
    return Response(status_code=204)


@router.get("/audit/{chain}", summary="Entries of one chain, oldest first.")
async def audit(
    request: Request,
    chain: str,
    caller: Annotated[Caller, Depends(needs(Permission.READ_AUDIT))],
    cursor: Annotated[Sequence, Query(description="`next_cursor` of the page before.")] = 0,
    limit: Limit = 100,
) -> Listing[AuditEntry]:
    caller.check(None if chain == SYSTEM_CHAIN else chain, f"audit chain {chain}")
    async with services(request).store.reading() as tx:
        found = await tx.audit.entries(chain, after=cursor, limit=limit + 1)
    entries = list(found[:limit])
    return Listing(items=entries, next_cursor=str(entries[-1].sequence) if len(found) > limit else None)


@router.get("/kpis", summary="Figures, each with numerator and denominator.")
async def kpis(
    request: Request, caller: Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]
) -> dict[str, Any]:
    async with services(request).store.reading() as tx:
        return await figures(tx, caller.where())


@router.get("/openapi.json", summary="This description.")
async def description(request: Request, _: Annotated[Caller, Depends(needs(None))]) -> dict[str, Any]:
    return openapi(request.app)
