"""Clients (tenants) and scopes."""

from __future__ import annotations

from pydantic import field_validator

from runwright.model.base import Moment, Record
from runwright.model.ids import ALL, ClientId


class Client(Record):
    """A tenant: hosts, incidents, executions, analyses and learned versions belong to one."""

    id: ClientId
    name: str
    created_at: Moment

    @field_validator("id")
    @classmethod
    def _not_the_library(cls, value: str) -> str:
        if value == ALL:
            raise ValueError("found client id 'all'; that word means the shared library, choose another id")
        return value


def client_scope(client_id: str) -> str:
    """The scope string of one client: `client:<id>`."""
    return f"client:{client_id}"


def scopes_for(client_id: str) -> tuple[str, str]:
    """Scopes that apply to a client, the narrower first (it wins)."""
    return client_scope(client_id), ALL


def scope_client(scope: str) -> str | None:
    """The client id of a scope, or None for the library's."""
    return scope.removeprefix("client:") if scope != ALL else None
