"""Runs of other executors: report them, look at them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from runwright.access.permissions import Permission
from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.external import ExternalExecution
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(prefix="/executions", tags=["executions"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]


@router.post(
    "",
    status_code=201,
    openapi_extra=body_of(ExecutionResult),
    summary="Report a run of another executor.",
    responses={200: {"description": "Known already, with the same content: nothing was changed."}},
)
async def report(
    request: Request,
    response: Response,
    caller: Annotated[Caller, Depends(needs(Permission.REPORT_EXECUTION))],
    result: Annotated[ExecutionResult, Depends(json_body(ExecutionResult))],
) -> ExternalExecution:
    """The same again is answered 200; other content under a known id is refused (409) naming what differs.

    Its verification is kept as reported, never as passed. A run that failed is learned from.
    """
    caller.check(result.client_id, f"client {result.client_id}")
    row, new = await services(request).loop.report_execution(caller.principal, result)
    if not new:
        response.status_code = 200
    return row


@router.get("/external", summary="Runs of other executors, newest first.")
async def list_external(
    request: Request,
    caller: Reader,
    source: str | None = None,
    status: ExecutionStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[ExternalExecution]:
    where = caller.where()
    for name, value in (("source", source), ("status", status)):
        if value is not None:
            where[name] = str(value)
    async with services(request).store.reading() as tx:
        page = await tx.externals.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.get("/external/{execution_id}", summary="One run of another executor.")
async def show_external(request: Request, execution_id: str, caller: Reader) -> ExternalExecution:
    async with services(request).store.reading() as tx:
        row = await tx.externals.get(execution_id, client=EVERY_CLIENT)
    caller.check(row.client_id, f"external execution {execution_id}")
    return row
