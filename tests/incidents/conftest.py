"""A real store with a client's host, what routes its incidents, and a live version."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright.adapters.storage.store import open_store
from runwright.model.ports.store import Store
from support import records


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
