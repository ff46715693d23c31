"""A real store with a client's host, what routes its incidents, and a live version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright.adapters.storage.store import open_store
from runwright.model.hosts import ExecutionPolicy, PolicyMode
from runwright.model.ports.store import Store
from support import records
from support.postgres_server import shared_server


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Clients `acme` and `bolt` with a host each."""
    opened = await open_store(f"sqlite:///{tmp_path / 'runwright.db'}")
    async with opened.transaction() as tx:
        for key in ("acme", "bolt"):
            await tx.clients.add(records.client(key))
        await tx.hosts.add(records.host("host-1"))
        await tx.hosts.add(records.host("host-2", client_id="bolt"))
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def two_stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """One database, opened twice as two processes would, with the client acme, its host and a live version."""
    name = ""
    if request.param == "postgres":
        name = shared_server().create_database()
        url = shared_server().url(name)
    else:
        url = f"sqlite:///{tmp_path / 'runwright.db'}"
    first = await open_store(url)
    second = await open_store(url)
    async with first.transaction() as tx:
        await tx.clients.add(records.client("acme"))
        await tx.hosts.add(records.host("host-1", policy=ExecutionPolicy(mode=PolicyMode.AUTO)))
        await tx.versions.add(records.version())
        await tx.routes.add(records.route())
        await tx.activations.add(records.activation())
    yield first, second
    await first.close()
    await second.close()
    if name:
        shared_server().drop_database(name)
