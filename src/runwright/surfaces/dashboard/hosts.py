"""Hosts: how each is reached, what may run by itself, what the last look at it found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from runwright.access.permissions import Permission, allows
from runwright.model.executions import Execution, ExecutionStatus
from runwright.model.hosts import Host, HostCheck, endpoints
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.surfaces.api.forms import Cursor
from runwright.surfaces.api.guard import Caller, needs, services
from runwright.surfaces.api.inventory import managed_host, readable_host
from runwright.surfaces.dashboard.asking import see_other
from runwright.surfaces.dashboard.pages import page
from runwright.surfaces.host_ways import address_of, way_of

router = APIRouter()

HostReader = Annotated[Caller, Depends(needs(Permission.READ_HOSTS))]
HostManager = Annotated[Caller, Depends(needs(Permission.MANAGE_HOSTS))]

UNFINISHED = (ExecutionStatus.RUNNING, ExecutionStatus.PENDING)
"""In the order in which a host's row names them."""


def verdict(check: HostCheck | None) -> str:
    """One word for a badge."""
    if check is None:
        return "not checked"
    if check.reachable is None:
        return "pending"
    return "ok" if check.ready else "failed"


@dataclass(frozen=True)
class HostRow:
    """A host as the list shows it."""

    host: Host
    way: str
    check: HostCheck | None
    run: Execution | None
    """What runs there, or else waits to."""

    @property
    def verdict(self) -> str:
        return verdict(self.check)


async def _last_check(tx: Transaction, host: Host) -> HostCheck | None:
    found = await tx.host_checks.page(client=host.client_id, where={"host_id": host.id}, limit=1)
    return found.items[0] if found.items else None


async def _now(tx: Transaction, host: Host) -> Execution | None:
    for status in UNFINISHED:
        found = await tx.executions.page(
            client=host.client_id, where={"host_id": host.id, "status": status.value}, limit=1
        )
        if found.items:
            return found.items[0]
    return None


@router.get("/hosts")
async def hosts(request: Request, caller: HostReader, cursor: Cursor = None) -> Response:
    async with services(request).store.reading() as tx:
        found = await tx.hosts.page(client=EVERY_CLIENT, where=caller.where(), cursor=cursor, limit=50)
        rows: list[HostRow] = []
        for host in found.items:
            check = await _last_check(tx, host)
            rows.append(HostRow(host, way_of(host.connection), check, await _now(tx, host)))
    by_client = sorted(rows, key=lambda row: (row.host.client_id, row.host.hostname))
    return await page(request, "hosts.html", caller, rows=by_client, next_cursor=found.next_cursor)


@router.get("/hosts/{host_id}")
async def host(request: Request, caller: HostReader, host: Annotated[Host, Depends(readable_host)]) -> Response:
    async with services(request).store.reading() as tx:
        checks = await tx.host_checks.page(client=host.client_id, where={"host_id": host.id})
        runs = await tx.executions.page(client=host.client_id, where={"host_id": host.id}, limit=10)
    reads_runs = allows(caller.principal, Permission.READ_EXECUTIONS, host.client_id)
    return await page(
        request,
        "host.html",
        caller,
        host=host,
        way=way_of(host.connection),
        servers=[(address_of(server), server) for server in endpoints(host.connection)],
        checks=[(check, verdict(check)) for check in checks.items],
        runs=runs.items if reads_runs else (),
        may_check=allows(caller.principal, Permission.MANAGE_HOSTS, host.client_id),
    )


@router.post("/hosts/{host_id}/check")
async def check(request: Request, caller: HostManager, host: Annotated[Host, Depends(managed_host)]) -> Response:
    await services(request).inventory.request_check(caller.principal, host)
    return see_other(f"/hosts/{host.id}")
