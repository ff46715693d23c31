"""Executions: telemetry, what was learned, live events, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from runwright.access.permissions import Permission
from runwright.execution.evidence import MEDIA_TYPE, bundle_id
from runwright.model.diagnoses import Analysis
from runwright.model.errors import NotFound
from runwright.model.executions import Execution, ExecutionResult, ExecutionStatus
from runwright.model.ids import is_external
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.surfaces.api.artefacts import attachment
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing, Sequence
from runwright.surfaces.api.guard import Caller, Standing, needs, services

router = APIRouter(prefix="/executions", tags=["executions"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]

SOON, POLL = 0.02, 0.1
"""Seconds between looks for new events: right after news, and where there are none."""


async def _seen(tx: Transaction, caller: Caller, execution_id: str) -> Execution:
    execution = await tx.executions.get(execution_id, client=EVERY_CLIENT)
    caller.check(execution.client_id, f"execution {execution_id}")
    return execution


async def _check_seen(tx: Transaction, caller: Caller, execution_id: str) -> None:
    """Raise NotFound unless the run, of ours or reported by another executor, may be shown."""
    if is_external(execution_id):
        row = await tx.externals.get(execution_id, client=EVERY_CLIENT)
        caller.check(row.client_id, f"external execution {execution_id}")
    else:
        await _seen(tx, caller, execution_id)


async def seen_execution(request: Request, execution_id: str, caller: Reader) -> Execution:
    """The execution of the path. A dependency, so that a stream's errors come before its first byte."""
    async with services(request).store.reading() as tx:
        return await _seen(tx, caller, execution_id)


@router.get("", summary="Executions, newest first.")
async def list_executions(
    request: Request,
    caller: Reader,
    status: ExecutionStatus | None = None,
    incident_id: str | None = None,
    version_id: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Execution]:
    where = caller.where()
    for name, value in (("status", status), ("incident_id", incident_id), ("version_id", version_id)):
        if value is not None:
            where[name] = str(value)
    async with services(request).store.reading() as tx:
        page = await tx.executions.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.get("/{execution_id}", summary="Where a run stands.")
async def show(request: Request, execution_id: str, caller: Reader) -> Execution:
    async with services(request).store.reading() as tx:
        return await _seen(tx, caller, execution_id)


@router.get("/{execution_id}/result", summary="The whole telemetry of a run.")
async def result(request: Request, execution_id: str, caller: Reader) -> ExecutionResult:
    async with services(request).store.reading() as tx:
        await _check_seen(tx, caller, execution_id)
        found = await tx.executions.result(execution_id, client=EVERY_CLIENT)
    if found is None:
        raise NotFound(f"Found no telemetry of execution {execution_id} yet.", next_step="Watch its events.")
    return found


@router.get(
    "/{execution_id}/artefacts/{digest}",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The output."}},
    summary="A whole output that the telemetry only shows head and tail of.",
)
async def artefact(request: Request, execution_id: str, digest: str, caller: Reader) -> Response:
    """As a file to save: what a host put out is never shown by a browser as more than text."""
    found = services(request)
    async with found.store.reading() as tx:
        await _seen(tx, caller, execution_id)
        telemetry = await tx.executions.result(execution_id, client=EVERY_CLIENT)
    if telemetry is None:
        raise NotFound(f"Found no telemetry of execution {execution_id} yet.", next_step="Watch its events.")
    return await attachment(found.artefacts, telemetry, digest)


@router.get("/{execution_id}/analysis", summary="What was learned from a failed run.")
async def analysis(request: Request, execution_id: str, caller: Reader) -> Analysis:
    async with services(request).store.reading() as tx:
        await _check_seen(tx, caller, execution_id)
        page = await tx.analyses.page(client=EVERY_CLIENT, where={"execution_id": execution_id}, limit=1)
    if not page.items:
        raise NotFound(f"Found no analysis of execution {execution_id}.")
    return page.items[0]


@router.get(
    "/{execution_id}/evidence",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "The signed bundle."}},
    summary="Signed evidence of a run that has ended.",
)
async def evidence(request: Request, execution_id: str, caller: Reader) -> Response:
    """The same run always gives the same bytes but for the key that signs. `runwright evidence verify` checks it."""
    async with services(request).store.reading() as tx:
        await _check_seen(tx, caller, execution_id)
    data = await services(request).evidence.export(execution_id)
    headers = {"Content-Disposition": f'attachment; filename="{bundle_id(execution_id)}.jsonl"'}
    return Response(data, media_type=MEDIA_TYPE, headers=headers)


@router.post("/{execution_id}/cancel", status_code=202, summary="Ask a run to stop.")
async def cancel(
    request: Request, execution_id: str, caller: Annotated[Caller, Depends(needs(Permission.RUN))]
) -> Execution:
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, execution_id)
    return await services(request).loop.cancel(caller.principal, execution_id)


@router.get("/{execution_id}/events", response_class=EventSourceResponse, summary="Events as they happen.")
async def events(
    request: Request,
    execution: Annotated[Execution, Depends(seen_execution)],
    last_event_id: Annotated[Sequence, Header()] = 0,
) -> AsyncIterable[ServerSentEvent]:
    """Those after `Last-Event-ID`, from the first without it. Ends with the run, all told, or with the login."""
    store, execution_id = services(request).store, execution.id
    after, standing = last_event_id, Standing(request, execution.client_id)
    pause = SOON
    while await standing.holds():
        async with store.reading() as tx:
            # The row before the events: both are written in one transaction, so a final row has its last event.
            over = (await tx.executions.get(execution_id, client=EVERY_CLIENT)).status.final
            found = await tx.events.since(after, client=EVERY_CLIENT, subject_id=execution_id)
        for event in found:
            after = event.sequence
            yield ServerSentEvent(raw_data=event.model_dump_json(), event=event.kind.value, id=str(event.sequence))
        if over and not found:
            return
        pause = SOON if found else min(pause * 1.5, POLL)
        await asyncio.sleep(pause)
