"""Executions with their live timeline, and incidents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from runwright.access.permissions import Permission, allows
from runwright.model.executions import Execution
from runwright.model.incidents import IncidentStatus
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.executions import POLL, seen_execution
from runwright.surfaces.api.forms import Cursor
from runwright.surfaces.api.guard import Caller, Standing, services
from runwright.surfaces.dashboard.asking import Answerer, Field, IncidentReader, Runner, RunReader, see_other
from runwright.surfaces.dashboard.pages import page, render
from runwright.surfaces.dashboard.views import execution_view, hostnames
from runwright.surfaces.services import Services

router = APIRouter()

Seen = Annotated[Execution, Depends(seen_execution)]


@router.get("/executions")
async def executions(request: Request, caller: RunReader, cursor: Cursor = None) -> Response:
    async with services(request).store.reading() as tx:
        runs = await tx.executions.page(client=EVERY_CLIENT, where=caller.where(), cursor=cursor, limit=50)
        hosts = await hostnames(tx, {run.host_id for run in runs.items})
    return await page(request, "executions.html", caller, runs=runs.items, next_cursor=runs.next_cursor, hosts=hosts)


async def _timeline(found: Services, caller: Caller, seen: Execution) -> dict[str, Any]:
    """What the changing part of an execution's page is rendered from."""
    async with found.store.reading() as tx:
        view = await execution_view(tx, seen.id, found.clock.now())
    session = caller.session
    return {
        **view,
        "may_run": allows(caller.principal, Permission.RUN, seen.client_id),
        "may_answer": allows(caller.principal, Permission.ANSWER, seen.client_id),
        "frame": {"csrf": session.csrf_token if session else ""},
    }


@router.get("/executions/{execution_id}")
async def execution(request: Request, caller: RunReader, seen: Seen) -> Response:
    found = services(request)
    view = await _timeline(found, caller, seen)
    async with found.store.reading() as tx:
        incident = await tx.incidents.find(seen.incident_id, client=EVERY_CLIENT)
        names = await hostnames(tx, {seen.host_id})
    hostname = names.get(seen.host_id, seen.host_id)
    del view["frame"]
    return await page(request, "execution.html", caller, hostname=hostname, incident=incident, **view)


@router.get("/executions/{execution_id}/live", response_class=EventSourceResponse)
async def live(request: Request, caller: RunReader, seen: Seen) -> AsyncIterable[ServerSentEvent]:
    """The timeline again at every change, until the run is over and was learned from; then `done`."""
    found = services(request)
    shown, standing = "", Standing(request, seen.client_id)
    while await standing.holds():
        view = await _timeline(found, caller, seen)
        text = render("timeline.html", **view)
        if text != shown:
            shown = text
            yield ServerSentEvent(raw_data=text)
        if not view["live"]:
            # Without a named end the page would connect again and again.
            yield ServerSentEvent(raw_data="over", event="done")
            return
        await asyncio.sleep(POLL * 2)


@router.post("/executions/{execution_id}/answer")
async def answer(
    request: Request, caller: Answerer, seen: Seen, value: Field, question: Annotated[str, Form(max_length=300)]
) -> Response:
    await services(request).loop.answer(caller.principal, seen.id, value, question_id=question)
    return see_other(f"/executions/{seen.id}")


@router.post("/executions/{execution_id}/cancel")
async def cancel(request: Request, caller: Runner, seen: Seen) -> Response:
    await services(request).loop.cancel(caller.principal, seen.id)
    return see_other(f"/executions/{seen.id}")


@router.get("/incidents")
async def incidents(
    request: Request, caller: IncidentReader, status: IncidentStatus | None = None, cursor: Cursor = None
) -> Response:
    where = {**caller.where(), **({"status": status.value} if status else {})}
    async with services(request).store.reading() as tx:
        found = await tx.incidents.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=50)
        hosts = await hostnames(tx, {item.host_id for item in found.items})
    return await page(
        request,
        "incidents.html",
        caller,
        incidents=found.items,
        next_cursor=found.next_cursor,
        hosts=hosts,
        shown=status,
        statuses=list(IncidentStatus),
    )


@router.get("/incidents/{incident_id}")
async def incident(request: Request, incident_id: str, caller: IncidentReader) -> Response:
    async with services(request).store.reading() as tx:
        found = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
        caller.check(found.client_id, f"incident {incident_id}")
        names = await hostnames(tx, {found.host_id})
        runs = await tx.executions.page(client=EVERY_CLIENT, where={"incident_id": incident_id})
        escalations = await tx.escalations.page(client=EVERY_CLIENT, where={"incident_id": incident_id})
    startable = found.status in (IncidentStatus.OPEN, IncidentStatus.ESCALATED)
    return await page(
        request,
        "incident.html",
        caller,
        incident=found,
        hostname=names.get(found.host_id, found.host_id),
        runs=runs.items,
        escalations=escalations.items,
        may_run=startable and allows(caller.principal, Permission.RUN, found.client_id),
    )


@router.post("/incidents/{incident_id}/run")
async def run(request: Request, incident_id: str, caller: Runner) -> Response:
    async with services(request).store.reading() as tx:
        found = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
    caller.check(found.client_id, f"incident {incident_id}")
    started = await services(request).loop.run(caller.principal, incident_id)
    return see_other(f"/executions/{started.id}")
