"""A whole house over a real SQLite store, for every test of a surface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright.access.settings import AccessSettings
from runwright.surfaces.api.app import create_app
from runwright.surfaces.run import first_start
from runwright.surfaces.settings import Settings
from runwright.surfaces.wiring import open_services
from support.house import House


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    cheap = AccessSettings(argon2_time_cost=1, argon2_memory_kib=8, argon2_parallelism=1)
    monkeypatch.setattr("runwright.surfaces.wiring.AccessSettings", lambda **_: cheap)
    async with open_services(Settings(data_dir=tmp_path / "data")) as services:
        await first_start(services)
        yield House(services, create_app(services))
