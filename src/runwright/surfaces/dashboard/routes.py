"""The pages. Forms post and redirect, so everything essential works without scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from runwright.access.permissions import Permission, allows
from runwright.model.clients import scope_client
from runwright.model.edges import DECIDED
from runwright.model.errors import NotFound, TooMany, Unauthenticated
from runwright.model.executions import Execution
from runwright.model.incidents import IncidentStatus
from runwright.model.ports.store import EVERY_CLIENT
from runwright.review.decisions import open_failures
from runwright.surfaces.api.executions import POLL, seen_execution
from runwright.surfaces.api.forms import Cursor
from runwright.surfaces.api.guard import Caller, cookie_name, needs, open_to_all, refuse_foreign, services
from runwright.surfaces.api.recent import login_is_old, require_recent_login
from runwright.surfaces.api.runbooks import lines
from runwright.surfaces.dashboard.pages import page, render
from runwright.surfaces.dashboard.side_by_side import rows
from runwright.surfaces.dashboard.views import execution_view, hostnames, lineage
from runwright.surfaces.figures import figures

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

ReviewReader = Annotated[Caller, Depends(needs(Permission.READ_REVIEWS))]
RunReader = Annotated[Caller, Depends(needs(Permission.READ_EXECUTIONS))]
IncidentReader = Annotated[Caller, Depends(needs(Permission.READ_INCIDENTS))]
RunbookReader = Annotated[Caller, Depends(needs(Permission.READ_RUNBOOKS))]
Decider = Annotated[Caller, Depends(needs(Permission.DECIDE_REVIEW))]
Runner = Annotated[Caller, Depends(needs(Permission.RUN))]
Field = Annotated[str, Form(max_length=4000)]


def _see_other(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


@router.get("/login", dependencies=[Depends(open_to_all)])
async def login_page(request: Request) -> Response:
    return page(request, "login.html", name="", problem=None)


@router.post("/login", dependencies=[Depends(open_to_all)])
async def login(request: Request, name: Field, password: Annotated[str, Form(max_length=1000)]) -> Response:
    refuse_foreign(request)
    found = services(request)
    try:
        session, secret = await found.access.login(name, password)
    except (Unauthenticated, TooMany) as refused:
        return page(request, "login.html", status=401, name=name, problem=str(refused))
    answer = _see_other("/")
    answer.set_cookie(
        cookie_name(request),
        secret,
        expires=session.expires_at,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    return answer


@router.post("/logout")
async def logout(request: Request, caller: Annotated[Caller, Depends(needs(None))]) -> Response:
    await services(request).access.logout(caller.secret)
    answer = _see_other("/login")
    answer.delete_cookie(cookie_name(request), path="/")
    return answer


@router.get("/")
async def overview(request: Request, caller: RunReader) -> Response:
    found = services(request)
    pending = await found.reviews.pending(caller.principal, limit=6)
    async with found.store.reading() as tx:
        runs = await tx.executions.page(client=EVERY_CLIENT, where=caller.where(), limit=8)
        numbers = await figures(tx, caller.where())
        stops = await tx.switches.page(client=EVERY_CLIENT, limit=20)
        waiting = await tx.incidents.count(
            client=EVERY_CLIENT, where={**caller.where(), "status": IncidentStatus.ESCALATED.value}
        )
    return page(
        request,
        "overview.html",
        caller,
        tiles=_tiles(numbers, waiting),
        pending=pending.items,
        runs=runs.items,
        stops=[stop for stop in stops.items if not stop.id.startswith("client:") or caller.sees(stop.id[7:])],
    )


def _tiles(numbers: dict[str, dict[str, object]], waiting: int) -> list[dict[str, object]]:
    def share(name: str) -> tuple[str, str]:
        figure = numbers[name]
        value = figure["value"]
        text = f"{float(str(value)):.0%}" if value is not None else "-"
        return text, f"{figure['numerator']} of {figure['denominator']}"

    success, runs = share("success_rate")
    resolved, incidents = share("incidents_resolved")
    approved, decided = share("approval_rate")
    return [
        {"href": "/executions", "value": success, "label": "Runs that ended their incident", "note": runs},
        {"href": "/incidents", "value": resolved, "label": "Incidents resolved", "note": incidents},
        {"href": "/incidents?status=escalated", "value": waiting, "label": "Wait for a person", "note": "escalated"},
        {
            "href": "/runbooks",
            "value": numbers["improved_versions"]["value"],
            "label": "Versions learned",
            "note": "from failed runs",
        },
        {"href": "/queue", "value": approved, "label": "Approved of decided", "note": decided},
    ]


@router.get("/queue")
async def queue(request: Request, caller: ReviewReader, cursor: Cursor = None) -> Response:
    found = services(request).reviews
    items = await found.pending(caller.principal, cursor=cursor, limit=50)
    stats = await found.stats(caller.principal)
    return page(
        request, "queue.html", caller, items=items.items, next_cursor=items.next_cursor, stats=list(stats.items())
    )


@router.get("/review/{subject_id}")
async def review(request: Request, subject_id: str, caller: ReviewReader) -> Response:
    found = services(request)
    comparison = await found.reviews.comparison(caller.principal, subject_id)
    item = comparison.item
    return page(
        request,
        "review.html",
        caller,
        comparison=comparison,
        rows=rows(comparison.parent_text or "", comparison.candidate_text),
        open=item.status not in DECIDED,
        may_decide=allows(caller.principal, Permission.DECIDE_REVIEW, scope_client(item.subject.scope)),
        failed_test=bool(open_failures(item)),
        ask_password=login_is_old(found, caller),
    )


@router.post("/review/{subject_id}/approve")
async def approve(
    request: Request,
    subject_id: str,
    caller: Decider,
    digest: Field,
    note: Field = "",
    override_reason: Field = "",
    password: Annotated[str | None, Form(max_length=1000)] = None,
) -> Response:
    found = services(request)
    await require_recent_login(found, caller, password)
    await found.reviews.approve(caller.principal, subject_id, digest=digest, note=note, override_reason=override_reason)
    return _see_other(f"/review/{quote(subject_id)}")


@router.post("/review/{subject_id}/reject")
async def reject(
    request: Request,
    subject_id: str,
    caller: Decider,
    digest: Field,
    reason: Field,
    password: Annotated[str | None, Form(max_length=1000)] = None,
) -> Response:
    found = services(request)
    await require_recent_login(found, caller, password)
    await found.reviews.reject(caller.principal, subject_id, digest=digest, reason=reason)
    return _see_other(f"/review/{quote(subject_id)}")


@router.post("/review/{subject_id}/changes")
async def changes(request: Request, subject_id: str, caller: Decider, digest: Field, reason: Field) -> Response:
    await services(request).reviews.request_changes(caller.principal, subject_id, digest=digest, note=reason)
    return _see_other(f"/review/{quote(subject_id)}")


@router.post("/review/{subject_id}/test")
async def try_out(
    request: Request, subject_id: str, caller: Annotated[Caller, Depends(needs(Permission.TEST_REVIEW))]
) -> Response:
    item = await services(request).reviews.item(caller.principal, subject_id)
    await services(request).loop.request_test(caller.principal, item.id)
    return _see_other(f"/review/{quote(subject_id)}")


@router.get("/executions")
async def executions(request: Request, caller: RunReader, cursor: Cursor = None) -> Response:
    async with services(request).store.reading() as tx:
        runs = await tx.executions.page(client=EVERY_CLIENT, where=caller.where(), cursor=cursor, limit=50)
        hosts = await hostnames(tx, {run.host_id for run in runs.items})
    return page(request, "executions.html", caller, runs=runs.items, next_cursor=runs.next_cursor, hosts=hosts)


@router.get("/executions/{execution_id}")
async def execution(
    request: Request, caller: RunReader, seen: Annotated[Execution, Depends(seen_execution)]
) -> Response:
    async with services(request).store.reading() as tx:
        view = await execution_view(tx, seen.id)
        names = await hostnames(tx, {seen.host_id})
    may_run = allows(caller.principal, Permission.RUN, seen.client_id)
    hostname = names.get(seen.host_id, seen.host_id)
    return page(request, "execution.html", caller, may_run=may_run, hostname=hostname, **view)


@router.get("/executions/{execution_id}/live", response_class=EventSourceResponse)
async def live(request: Request, seen: Annotated[Execution, Depends(seen_execution)]) -> AsyncIterable[ServerSentEvent]:
    """The timeline again at every change, until the run is over."""
    store = services(request).store
    shown = ""
    while not await request.is_disconnected():
        async with store.reading() as tx:
            view = await execution_view(tx, seen.id)
        text = render("timeline.html", **view)
        if text != shown:
            shown = text
            yield ServerSentEvent(raw_data=text)
        if view["execution"].status.final:
            return
        await asyncio.sleep(POLL * 2)


@router.post("/executions/{execution_id}/cancel")
async def cancel(request: Request, caller: Runner, seen: Annotated[Execution, Depends(seen_execution)]) -> Response:
    await services(request).loop.cancel(caller.principal, seen.id)
    return _see_other(f"/executions/{seen.id}")


@router.get("/incidents")
async def incidents(
    request: Request, caller: IncidentReader, status: IncidentStatus | None = None, cursor: Cursor = None
) -> Response:
    where = {**caller.where(), **({"status": status.value} if status else {})}
    async with services(request).store.reading() as tx:
        found = await tx.incidents.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=50)
        hosts = await hostnames(tx, {item.host_id for item in found.items})
    return page(request, "incidents.html", caller, incidents=found.items, next_cursor=found.next_cursor, hosts=hosts)


@router.get("/incidents/{incident_id}")
async def incident(request: Request, incident_id: str, caller: IncidentReader) -> Response:
    async with services(request).store.reading() as tx:
        found = await tx.incidents.get(incident_id, client=EVERY_CLIENT)
        caller.check(found.client_id, f"incident {incident_id}")
        names = await hostnames(tx, {found.host_id})
        runs = await tx.executions.page(client=EVERY_CLIENT, where={"incident_id": incident_id})
        escalations = await tx.escalations.page(client=EVERY_CLIENT, where={"incident_id": incident_id})
    startable = found.status in (IncidentStatus.OPEN, IncidentStatus.ESCALATED)
    return page(
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
    return _see_other(f"/executions/{started.id}")


@router.get("/runbooks")
async def runbooks(request: Request, caller: RunbookReader) -> Response:
    async with services(request).store.reading() as tx:
        return page(request, "runbooks.html", caller, lines=await lines(tx, caller))


@router.get("/runbooks/{runbook_id}")
async def runbook(request: Request, runbook_id: str, caller: RunbookReader) -> Response:
    async with services(request).store.reading() as tx:
        found = await lineage(tx, caller, runbook_id)
    if not found:
        raise NotFound(f"Found no runbook {runbook_id}.")
    return page(request, "runbook.html", caller, runbook_id=runbook_id, rows=found)
