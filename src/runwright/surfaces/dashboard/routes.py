"""The pages. Forms post and redirect, so everything essential works without scripts."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from runwright.surfaces.dashboard import entry, hosts, library, reviews, runs

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
for module in (entry, reviews, runs, hosts, library):
    router.include_router(module.router)
