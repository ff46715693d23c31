"""The one anonymous route."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from runwright import __version__
from runwright.surfaces.api.forms import ERRORS
from runwright.surfaces.api.guard import open_to_all, services

router = APIRouter(tags=["system"], responses={key: ERRORS[key] for key in (405, 421, 503)})


@router.get("/health", dependencies=[Depends(open_to_all)], summary="Whether the server and its database answer.")
async def health(request: Request) -> dict[str, Any]:
    found = services(request)
    async with found.store.reading() as tx:
        await tx.switches.count(client="*")
    return {"status": "ok", "version": __version__, "learning": found.engine()}
