"""Runbooks: lines of versions, their texts, new ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from runwright.access.permissions import Permission
from runwright.model.clients import scope_client
from runwright.model.errors import NotFound
from runwright.model.ports.store import EVERY_CLIENT, Page, Transaction
from runwright.model.versions import RunbookVersion
from runwright.runbooks.load import load_runbook
from runwright.surfaces.api.bodies import body_of, json_body
from runwright.surfaces.api.forms import ERRORS, Cursor, Limit, Listing, RunbookForm
from runwright.surfaces.api.guard import Caller, needs, services
from runwright.surfaces.client import AddedRunbook, RunbookLine

router = APIRouter(prefix="/runbooks", tags=["runbooks"], responses=ERRORS)

Reader = Annotated[Caller, Depends(needs(Permission.READ_RUNBOOKS))]


@lru_cache(maxsize=512)
def _name(text: str) -> str:
    """The name that a stored text gives itself. Texts are immutable, so each is read once."""
    return load_runbook(text).document.name


async def lines(tx: Transaction, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> Page[RunbookLine]:
    """The lines of versions that the caller may see, newest line first. A line is found by its first version."""
    found: list[RunbookLine] = []
    while True:
        wanted = limit - len(found)
        page = await tx.versions.page(client=EVERY_CLIENT, where={"number": 1}, cursor=cursor, limit=wanted)
        for first in page.items:
            line = await _line(tx, caller, first.runbook_id)
            if line is not None:
                found.append(line)
        cursor = page.next_cursor
        if cursor is None or len(found) >= limit:
            return Page(tuple(found), cursor)


async def _line(tx: Transaction, caller: Caller, runbook_id: str) -> RunbookLine | None:
    """One line as far as the caller may see it; None where its every version is another client's."""
    where = {"runbook_id": runbook_id, **caller.scopes()}
    newest = await tx.versions.page(client=EVERY_CLIENT, where=where, limit=1)
    if not newest.items:
        return None
    live = await tx.activations.page(client=EVERY_CLIENT, where={**where, "state": "live"}, limit=200)
    return RunbookLine(
        runbook_id=runbook_id,
        name=_name(newest.items[0].text),
        versions=await tx.versions.count(client=EVERY_CLIENT, where=where),
        newest=newest.items[0].id,
        live={item.scope: item.version_id for item in live.items},
    )


@router.get("", summary="Every runbook with what is live.")
async def list_runbooks(
    request: Request, caller: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Listing[RunbookLine]:
    async with services(request).store.reading() as tx:
        page = await lines(tx, caller, cursor=cursor, limit=limit)
    return Listing(items=list(page.items), next_cursor=page.next_cursor)


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
    where = {"runbook_id": runbook_id, **caller.scopes()}
    async with services(request).store.reading() as tx:
        page = await tx.versions.page(client=EVERY_CLIENT, where=where, cursor=cursor, limit=limit)
    if not page.items and cursor is None:
        raise NotFound(f"Found no runbook {runbook_id}.")
    return Listing(items=list(page.items), next_cursor=page.next_cursor)
