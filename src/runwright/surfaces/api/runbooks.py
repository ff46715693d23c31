"""Runbooks: lines of versions, their texts, new ones."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.clients import scope_client
from runwright.model.errors import NotFound
from runwright.model.ports.store import EVERY_CLIENT, Transaction
from runwright.model.versions import RunbookVersion
from runwright.runbooks.load import load_runbook
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing, RunbookForm
from runwright.surfaces.api.guard import Caller, needs, services
from runwright.surfaces.client import AddedRunbook

router = APIRouter(prefix="/runbooks", tags=["runbooks"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_RUNBOOKS))]


async def lines(tx: Transaction, caller: Caller) -> list[dict[str, Any]]:
    """Every line of versions that the caller may see: id, name, count, newest version, what is live by scope."""
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        page = await tx.versions.page(client=EVERY_CLIENT, cursor=cursor, limit=200)
        for version in page.items:
            if not caller.sees(scope_client(version.scope)):
                continue
            line = found.setdefault(
                version.runbook_id, {"runbook_id": version.runbook_id, "versions": 0, "newest": version.id, "live": {}}
            )
            line.setdefault("name", load_runbook(version.text).document.name)
            line["versions"] += 1
        cursor = page.next_cursor
        if cursor is None:
            break
    live = await tx.activations.page(client=EVERY_CLIENT, where={"state": "live"}, limit=200)
    for activation in live.items:
        if activation.runbook_id in found and caller.sees(scope_client(activation.scope)):
            found[activation.runbook_id]["live"][activation.scope] = activation.version_id
    return [found[name] for name in sorted(found)]


@router.get("", summary="Every runbook with what is live.")
async def list_runbooks(request: Request, caller: Reader) -> Listing[dict[str, Any]]:
    async with services(request).store.reading() as tx:
        return Listing(items=await lines(tx, caller))


@router.post(
    "",
    status_code=201,
    openapi_extra=body_of(RunbookForm),
    summary="Store a text as a new version; it waits for review.",
)
async def add(
    request: Request,
    caller: Annotated[Caller, Depends(needs(Permission.AUTHOR_RUNBOOKS))],
    form: Annotated[RunbookForm, Depends(json_body(RunbookForm))],
) -> AddedRunbook:
    version, items = await services(request).inventory.add_runbook(caller.principal, form.text, form.scope)
    return AddedRunbook(version=version, items=list(items))


@router.get("/versions/{version_id}", summary="One version, exactly as stored.")
async def version(request: Request, version_id: str, caller: Reader) -> RunbookVersion:
    async with services(request).store.reading() as tx:
        found = await tx.versions.get(version_id, client=EVERY_CLIENT)
    caller.check(scope_client(found.scope), f"version {version_id}")
    return found


@router.get("/{runbook_id}", summary="The line of versions, newest first.")
async def line(
    request: Request, runbook_id: str, caller: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Listing[RunbookVersion]:
    async with services(request).store.reading() as tx:
        page = await tx.versions.page(client=EVERY_CLIENT, where={"runbook_id": runbook_id}, cursor=cursor, limit=limit)
    items = [item for item in page.items if caller.sees(scope_client(item.scope))]
    if not items:
        raise NotFound(f"Found no runbook {runbook_id}.")
    return Listing(items=items, next_cursor=page.next_cursor)
