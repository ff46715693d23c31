"""Login, logout, the overview, the stop switch."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from runwright.access.permissions import Permission, allows
from runwright.model.errors import TooMany, Unauthenticated
from runwright.model.incidents import IncidentStatus
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.guard import Caller, cookie_name, needs, open_to_all, refuse_foreign, services
from runwright.surfaces.dashboard.asking import Field, Password, Releaser, RunReader, Stopper, see_other
from runwright.surfaces.dashboard.pages import page
from runwright.surfaces.dashboard.views import hostnames
from runwright.surfaces.figures import figures

router = APIRouter()

_OUR_PAGE = re.compile(r"/[A-Za-z0-9][A-Za-z0-9/_.:-]*")
"""Where a login may lead: a path of this server, never an address."""


@router.get("/login", dependencies=[Depends(open_to_all)])
async def login_page(request: Request, next: str = "") -> Response:
    return await page(request, "login.html", name="", problem=None, next=next if _OUR_PAGE.fullmatch(next) else "")


@router.post("/login", dependencies=[Depends(open_to_all)])
async def login(request: Request, name: Field, password: Password, next: Field = "") -> Response:
    refuse_foreign(request)
    found = services(request)
    onward = next if _OUR_PAGE.fullmatch(next) else ""
    try:
        session, secret = await found.access.login(name, password)
    except (Unauthenticated, TooMany) as refused:
        status = 429 if isinstance(refused, TooMany) else 401
        return await page(request, "login.html", status=status, name=name, problem=refused.found, next=onward)
    answer = see_other(onward or "/")
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
    answer = see_other("/login")
    answer.delete_cookie(cookie_name(request), path="/")
    return answer


@router.get("/")
async def overview(request: Request, caller: RunReader) -> Response:
    found = services(request)
    pending = await found.reviews.pending(caller.principal, limit=6)
    async with found.store.reading() as tx:
        runs = await tx.executions.page(client=EVERY_CLIENT, where=caller.where(), limit=8)
        hosts = await hostnames(tx, {run.host_id for run in runs.items})
        numbers = await figures(tx, caller.where())
        waiting = await tx.incidents.count(
            client=EVERY_CLIENT, where={**caller.where(), "status": IncidentStatus.ESCALATED.value}
        )
    return await page(
        request,
        "overview.html",
        caller,
        tiles=_tiles(numbers, waiting),
        pending=pending.items,
        runs=runs.items,
        hosts=hosts,
        may_stop=allows(caller.principal, Permission.STOP, None),
    )


def _tiles(numbers: dict[str, Any], waiting: int) -> list[dict[str, Any]]:
    """Each figure with what is counted over what, in words."""

    def share(name: str, href: str, label: str, counted: str) -> dict[str, Any]:
        figure = numbers[name]
        note = (
            f"{figure['numerator']} of {figure['denominator']} {counted}" if figure["denominator"] else f"no {counted}"
        )
        return {"href": href, "share": figure, "label": label, "note": note}

    return [
        share("success_rate", "/executions", "Runs that worked", "runs that ended"),
        share("incidents_resolved", "/incidents", "Incidents resolved", "incidents"),
        {
            "href": "/incidents?status=escalated",
            "count": waiting,
            "label": "Wait for a person",
            "note": "incidents, escalated",
        },
        {
            "href": "/runbooks",
            "count": numbers["improved_versions"]["value"],
            "label": "Versions learned",
            "note": "proposed after failed runs",
        },
        share("approval_rate", "/queue", "Approved", "decided items"),
    ]


@router.post("/stop")
async def stop(request: Request, caller: Stopper, reason: Field) -> Response:
    await services(request).switches.stop(caller.principal, "global", reason)
    return see_other("/")


@router.post("/stop/release")
async def release(request: Request, caller: Releaser, scope: Field) -> Response:
    await services(request).switches.release(caller.principal, scope)
    return see_other("/")
