"""Incidents: report, look at, start by hand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from runwright.access.permissions import Permission
from runwright.incidents.intake import find_host
from runwright.model.base import Record
from runwright.model.executions import Execution
from runwright.model.incidents import Escalation, Incident, IncidentStatus, NewIncident
from runwright.model.plans import PlanReport
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(prefix="/incidents", tags=["incidents"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_INCIDENTS))]
Handler = Annotated[Caller, Depends(needs(Permission.HANDLE_INCIDENTS))]


class Ending(Record):
    """Why an incident is ended."""

    note: str = Field(default="", max_length=2000)


EndingBody = Annotated[Ending, Depends(json_body(Ending))]


async def _seen(tx: Transaction, caller: Caller, incident_id: str) -> Incident:
    incident = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
    caller.check(incident.client_id, f"incident {incident_id}")
    return incident


@router.post("", status_code=201, openapi_extra=body_of(NewIncident), summary="Report an incident.")
async def report(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.REPORT_INCIDENT))],
    new: Annotated[NewIncident, Depends(json_body(NewIncident))],
) -> Incident:
    caller.check(new.client_id, f"client {new.client_id}")
    return await services(request).loop.report_incident(caller.principal, new)


@router.post("/check", status_code=202, openapi_extra=body_of(NewIncident), summary="What reporting it would start.")
async def check_report(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.RUN))],
    new: Annotated[NewIncident, Depends(json_body(NewIncident))],
) -> PlanReport:
    """Nothing is reported and nothing runs. A worker looks at the host; the report is at `/api/plans/{plan_id}`."""
    caller.check(new.client_id, f"client {new.client_id}")
    found = services(request)
    async with found.store.reading() as tx:
        host = await find_host(tx, new.client_id, new.host)
    return (await found.plans.of_report(caller.principal, new, host)).report


@router.get("", summary="Incidents, newest first.")
async def list_incidents(
    request: Request,
    caller: Reader,
    client_id: str | None = None,
    status: IncidentStatus | None = None,
    incident_type: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Incident]:
    where = caller.where()
    if client_id is not None:
        where["client_id"] = client_id if caller.sees(client_id) else ""
    if status is not None:
        where["status"] = status.value
    if incident_type is not None:
        where["incident_type"] = incident_type
    async with services(request).store.reading() as tx:
        page = await tx.incidents.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.get("/{incident_id}", summary="One incident.")
async def show(request: Request, incident_id: str, caller: Reader) -> Incident:
    async with services(request).store.reading() as tx:
        return await _seen(tx, caller, incident_id)


@router.get("/{incident_id}/escalations", summary="Why and when it was handed to a person.")
async def escalations(
    request: Request, incident_id: str, caller: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Listing[Escalation]:
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, incident_id)
        page = await tx.escalations.page(
            client=EVERY_CLIENT, where={"incident_id": incident_id}, cursor=cursor, limit=limit
        )
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post("/{incident_id}/resolve", openapi_extra=body_of(Ending), summary="It is over: nothing runs for it.")
async def resolve(request: Request, incident_id: str, caller: Handler, ending: EndingBody) -> Incident:
    """For monitoring that sees the end, or a person who made it. A queued run is cancelled; a running one is a 409."""
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, incident_id)
    loop = services(request).loop
    return await loop.end_incident(caller.principal, incident_id, IncidentStatus.RESOLVED, note=ending.note)


@router.post("/{incident_id}/close", openapi_extra=body_of(Ending), summary="Nothing is to be done about it.")
async def close(request: Request, incident_id: str, caller: Handler, ending: EndingBody) -> Incident:
    """Final. A queued run is cancelled; while one is running the answer is 409."""
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, incident_id)
    loop = services(request).loop
    return await loop.end_incident(caller.principal, incident_id, IncidentStatus.CLOSED, note=ending.note)


@router.post("/{incident_id}/check", status_code=202, summary="What starting it by hand would do.")
async def check(
    request: Request, incident_id: str, caller: Annotated[Caller, Depends(needs(Permission.RUN))]
) -> PlanReport:
    """Nothing runs. A worker looks at the host, in turn with its runs; the report is at `/api/plans/{plan_id}`."""
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, incident_id)
    return (await services(request).plans.of_incident(caller.principal, incident_id)).report


@router.post("/{incident_id}/run", status_code=202, summary="Start what answers it, as a person's decision.")
async def run(
    request: Request, incident_id: str, caller: Annotated[Caller, Depends(needs(Permission.RUN))]
) -> Execution:
    async with services(request).store.reading() as tx:
        await _seen(tx, caller, incident_id)
    return await services(request).loop.run(caller.principal, incident_id)
