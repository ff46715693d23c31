"""A whole house over a real SQLite store, for every test of a surface."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runwright.surfaces.run import first_start
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import open_services
from support.house import House, open_house
from surfaces import seed


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A fresh one: the starter library waits for review."""
    async with open_house(tmp_path / "data") as found:
        await first_start(found.services)
        yield found


@dataclass(frozen=True)
class History:
    """A data directory with a story in it; copy it, never open it."""

    folder: Path
    seeded: seed.Seeded

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.folder, to))


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """v1 failed, what was learned from it waits for review. Made once; each test works on a copy."""
    folder = tmp_path_factory.mktemp("history") / "data"

    async def tell() -> seed.Seeded:
        async with open_services(Settings(data_dir=folder, database_url=None)) as services:
            return await seed.pending_candidate(services)

    return History(folder, asyncio.run(tell()))


@pytest.fixture
async def told(history: History, tmp_path: Path) -> AsyncIterator[House]:
    """A house with that history."""
    async with open_house(history.copy(tmp_path / "data")) as found:
        yield found
