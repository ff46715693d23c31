"""Runbooks with their lineage, and the audit chains."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from runwright.access.audit import read_chain, verify_chain
from runwright.model.audit import SYSTEM_CHAIN
from runwright.model.errors import NotFound
from runwright.surfaces.api.forms import Cursor, Sequence
from runwright.surfaces.api.guard import services
from runwright.surfaces.api.runbooks import lines
from runwright.surfaces.dashboard.asking import AuditReader, RunbookReader
from runwright.surfaces.dashboard.pages import page
from runwright.surfaces.dashboard.views import lineage, names_of, newest_entries

router = APIRouter()

ENTRIES = 50
"""Audit entries on a page."""


@router.get("/runbooks")
async def runbooks(request: Request, caller: RunbookReader, cursor: Cursor = None) -> Response:
    async with services(request).store.reading() as tx:
        found = await lines(tx, caller, cursor=cursor)
    return await page(request, "runbooks.html", caller, lines=found.items, next_cursor=found.next_cursor)


@router.get("/runbooks/{runbook_id}")
async def runbook(request: Request, runbook_id: str, caller: RunbookReader, cursor: Cursor = None) -> Response:
    async with services(request).store.reading() as tx:
        found, next_cursor = await lineage(tx, caller, runbook_id, cursor)
    if not found and cursor is None:
        raise NotFound(f"Found no runbook {runbook_id}.")
    return await page(request, "runbook.html", caller, runbook_id=runbook_id, rows=found, next_cursor=next_cursor)


def _chain_client(chain: str) -> str | None:
    return None if chain == SYSTEM_CHAIN else chain


@router.get("/audit")
async def audit(
    request: Request,
    caller: AuditReader,
    chain: Annotated[str, Query(max_length=200)] = "",
    before: Annotated[Sequence | None, Query()] = None,
    check: bool = False,
) -> Response:
    found = services(request)
    async with found.store.reading() as tx:
        chains = [name for name in await tx.audit.chains() if caller.sees(_chain_client(name))]
        if chain:
            caller.check(_chain_client(chain), f"audit chain {chain}")
        shown = chain or next(iter(sorted(chains, key=lambda name: name != SYSTEM_CHAIN)), "")
        entries, older = await newest_entries(tx, shown, before, ENTRIES) if shown else ((), None)
        actors = await names_of(tx, {entry.event.actor for entry in entries})
    return await page(
        request,
        "audit.html",
        caller,
        chains=chains,
        chain=shown,
        entries=entries,
        older=older,
        actors=actors,
        checked=await _checked(request, shown) if check and shown else None,
    )


async def _checked(request: Request, chain: str) -> dict[str, Any]:
    """The whole chain walked anew: how many entries, and every fault."""
    entries = await read_chain(services(request).store, chain)
    # Hashing a long chain takes a while; the event loop serves others meanwhile.
    return {"entries": len(entries), "faults": await asyncio.to_thread(verify_chain, entries)}
