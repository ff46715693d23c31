"""A whole house over a real SQLite store, spoken to as a browser and as a program would."""

from __future__ import annotations

from dataclasses import dataclass

import httpx2
from fastapi import FastAPI

from runwright.model.principals import AuthMethod, Grant, Principal, PrincipalKind, Role
from runwright.surfaces.services import Services

PASSWORD = "correct horse battery staple"
ADMIN = Principal(
    id="usr_test",
    kind=PrincipalKind.PERSON,
    name="test admin",
    method=AuthMethod.PASSWORD,
    grants=(Grant(role=Role.ADMIN),),
)


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

    async def person(self, name: str, *grants: Grant) -> str:
        """The secret of a fresh session of a person with these grants."""
        await self.services.access.add_user(ADMIN, name, PASSWORD, grants=grants)
        _, secret = await self.services.access.login(name, PASSWORD)
        return secret

    async def machine(self, *grants: Grant) -> str:
        """A machine's token."""
        _, secret = await self.services.access.create_token(ADMIN, "robot", grants=grants)
        return secret

    async def speaking(self, *grants: Grant, name: str = "ada") -> httpx2.AsyncClient:
        return self.anonymous(Authorization=f"Bearer {await self.person(name, *grants)}")


def grant(role: Role, client: str | None = None) -> Grant:
    return Grant(role=role, client_id=client)
