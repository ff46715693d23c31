"""A session on this machine itself, and the reader of verification cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.local import LocalConnector
from runwright.model.ports.hosts import HostSession
from support import records


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[HostSession]:
    """A real session on this machine."""
    async with LocalConnector(base=str(tmp_path / "supervisor")).open(records.host()) as opened:
        yield opened


@pytest.fixture
def real_clock() -> SystemClock:
    """Real ids and durations, for what waits for real processes."""
    return SystemClock()
