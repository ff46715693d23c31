"""Plans: what a run would do, asked for with `--check`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.plans import PlanReport
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.forms import ERRORS
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(prefix="/plans", tags=["incidents"], responses=ERRORS)


@router.get("/{plan_id}", summary="What would run; `pending` until a worker has looked at the host.")
async def show(
    request: Request, plan_id: str, caller: Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]
) -> PlanReport:
    async with services(request).store.reading() as tx:
        plan = await tx.plans.get(plan_id, client=EVERY_CLIENT)
    caller.check(plan.client_id, f"plan {plan_id}")
    return plan.report
