"""A whole house over a real SQLite store, spoken to as a browser and as a program would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
from fastapi import FastAPI

from runwright.access.service import AccessService
from runwright.access.settings import AccessSettings
from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.surfaces.api.app import create_app
from runwright.surfaces.server import listen, serve_app
from runwright.surfaces.services import Services
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import open_services

PASSWORD = "correct horse battery staple"
ADMIN = Principal(
    id="usr_test",
    kind=PrincipalKind.PERSON,
    name="test admin",
    method=AuthMethod.PASSWORD,
    grants=(Grant(role=Role.ADMIN),),
)
CHEAP = AccessSettings(argon2_time_cost=1, argon2_memory_kib=8, argon2_parallelism=1)
"""Passwords are hashed for real, and fast."""


@dataclass
class House:
    """The services, the app over them, and ways to ask it."""

    services: Services
    app: FastAPI

    def anonymous(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
            headers=headers,
        )

    async def add_person(self, name: str, *grants: Grant) -> None:
        await self.services.access.add_user(ADMIN, name, PASSWORD, grants=grants)

    async def person(self, name: str, *grants: Grant) -> str:
        """The secret of a fresh session of a person with these grants."""
        await self.add_person(name, *grants)
        _, secret = await self.services.access.login(name, PASSWORD)
        return secret

    async def machine(self, *grants: Grant) -> str:
        """A machine's token."""
        _, secret = await self.services.access.create_token(ADMIN, "robot", grants=grants)
        return secret

    async def speaking(self, *grants: Grant, name: str = "ada") -> httpx2.AsyncClient:
        return self.anonymous(Authorization=f"Bearer {await self.person(name, *grants)}")


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """The services over a data directory, with cheap password hashes, and the app over them."""
    async with open_services(Settings(data_dir=folder, database_url=None)) as found:
        services = replace(found, access=AccessService(found.store, found.clock, CHEAP))
        yield House(services, create_app(services))


@asynccontextmanager
async def served(house: House) -> AsyncIterator[str]:
    """The house on a real socket of this computer; its address."""
    with listen("127.0.0.1", 0) as bound:
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = asyncio.ensure_future(serve_app(house.app, bound, stop, ready.set))
        starting = asyncio.ensure_future(ready.wait())
        try:
            await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            starting.cancel()
            stop.set()
            await serving


def grant(role: Role, client: str | None = None) -> Grant:
    return Grant(role=role, client_id=client)
