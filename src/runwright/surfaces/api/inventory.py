"""Clients and hosts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.clients import Client
from runwright.model.errors import NotFound
from runwright.model.hosts import AcceptedKeys, Host, HostChange, HostCheck, HostImport, ImportedHosts, NewHost
from runwright.model.ports.store import EVERY_CLIENT
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, ClientForm, Cursor, Limit, Listing
from runwright.surfaces.api.guard import Caller, needs, services

router = APIRouter(tags=["inventory"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_HOSTS))]
Manager = Annotated[Caller, Depends(needs(Permission.MANAGE_HOSTS))]


async def seen_host(request: Request, host_id: str, caller: Caller) -> Host:
    """The host, where the caller holds the route's permission for its client. Raises NotFound."""
    async with services(request).store.reading() as tx:
        found = await tx.hosts.get(host_id, client=EVERY_CLIENT)
    caller.check(found.client_id, f"host {host_id!r}")
    return found


async def readable_host(request: Request, host_id: str, caller: Reader) -> Host:
    """A dependency: the host of the path, which the caller may see."""
    return await seen_host(request, host_id, caller)


async def managed_host(request: Request, host_id: str, caller: Manager) -> Host:
    """A dependency: the host of the path, which the caller may change."""
    return await seen_host(request, host_id, caller)


Readable = Annotated[Host, Depends(readable_host)]
Managed = Annotated[Host, Depends(managed_host)]


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


@router.post(
    "/hosts/import",
    openapi_extra=body_of(ImportedHosts),
    summary="Register many hosts, all or none; a second time only what differs.",
)
async def import_hosts(
    request: Request, caller: Manager, form: Annotated[ImportedHosts, Depends(json_body(ImportedHosts))]
) -> HostImport:
    return await services(request).inventory.import_hosts(caller.principal, form)


@router.get("/hosts/{host_id}", summary="One host.")
async def get_host(host: Readable) -> Host:
    return host


@router.patch("/hosts/{host_id}", openapi_extra=body_of(HostChange), summary="Change what is named of a host.")
async def edit_host(
    request: Request, host: Managed, caller: Manager, change: Annotated[HostChange, Depends(json_body(HostChange))]
) -> Host:
    return await services(request).inventory.edit_host(caller.principal, host, change)


@router.delete("/hosts/{host_id}", status_code=204, summary="Take a host off the inventory; what ran stays.")
async def remove_host(request: Request, host: Managed, caller: Manager) -> None:
    await services(request).inventory.remove_host(caller.principal, host)


@router.put(
    "/hosts/{host_id}/host-keys", openapi_extra=body_of(AcceptedKeys), summary="Accept host keys of an SSH host."
)
async def accept_host_keys(
    request: Request, host: Managed, caller: Manager, keys: Annotated[AcceptedKeys, Depends(json_body(AcceptedKeys))]
) -> Host:
    return await services(request).inventory.accept_keys(caller.principal, host, keys)


@router.post("/hosts/{host_id}/checks", status_code=202, summary="Queue a look at a host; a worker makes it.")
async def check_host(request: Request, host: Managed, caller: Manager) -> HostCheck:
    return await services(request).inventory.request_check(caller.principal, host)


@router.get("/hosts/{host_id}/checks", summary="The last few looks at a host, newest first.")
async def list_host_checks(request: Request, host: Readable) -> Listing[HostCheck]:
    async with services(request).store.reading() as tx:
        page = await tx.host_checks.page(client=host.client_id, where={"host_id": host.id})
    return Listing(items=list(page.items))


@router.get("/hosts/{host_id}/checks/{check_id}", summary="One look at a host: what came of it.")
async def get_host_check(request: Request, host: Readable, check_id: str) -> HostCheck:
    async with services(request).store.reading() as tx:
        found = await tx.host_checks.get(check_id, client=host.client_id)
    if found.host_id != host.id:
        raise NotFound(f"Found no host check {check_id!r} of host {host.id}.")
    return found
