"""Clients and hosts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.clients import Client
from runwright.model.hosts import Host, NewHost
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, ClientForm, Cursor, Limit, Listing
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(tags=["inventory"], responses=ERRORS)


@router.get("/clients", summary="The clients that the caller may see.")
async def list_clients(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.READ_HOSTS))],
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Client]:
    async with services(request).store.reading() as tx:
        page = await tx.clients.page(client=EVERY_CLIENT, where=caller.where("id"), cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post("/clients", status_code=201, openapi_extra=body_of(ClientForm), summary="Register a client.")
async def add_client(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.MANAGE_CLIENTS))],
    form: Annotated[ClientForm, Depends(json_body(ClientForm))],
) -> Client:
    return await services(request).inventory.add_client(caller.principal, form.id, form.name)


@router.get("/hosts", summary="Managed hosts.")
async def list_hosts(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.READ_HOSTS))],
    client_id: str | None = None,
    hostname: str | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Listing[Host]:
    where = {**caller.where(), **({"hostname": hostname} if hostname else {})}
    if client_id is not None:
        where["client_id"] = client_id if caller.sees(client_id) else ""
    async with services(request).store.reading() as tx:
        page = await tx.hosts.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


@router.post("/hosts", status_code=201, openapi_extra=body_of(NewHost), summary="Register a host.")
async def add_host(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.MANAGE_HOSTS))],
    new: Annotated[NewHost, Depends(json_body(NewHost))],
) -> Host:
    return await services(request).inventory.add_host(caller.principal, new)
