"""Shared fixtures: a driven clock, and which parts this machine has."""

from __future__ import annotations

import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings

from runwright.model.ids import make_id

# The same examples in every run: what CI shows can be seen again. RUNWRIGHT_EXPLORE looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("explore" if os.environ.get("RUNWRIGHT_EXPLORE") else "repeatable")


class DrivenClock:
    """Time that moves only when told; `sleep` moves it on."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
        self.elapsed = 0.0
        self._random = random.Random(7)  # noqa: S311 - ids of tests, repeatable

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def new_id(self, prefix: str) -> str:
        return make_id(prefix, self.now(), self._random.randbytes(8))


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


def missing_part(part: str) -> str | None:
    """Why a part of the machine cannot be used here, or None."""
    if part == "lab":
        if os.geteuid() != 0:
            return "machines need root"
        return None if shutil.which("systemd-nspawn") else "systemd-nspawn is not installed (Debian: systemd-container)"
    if part == "postgres":
        found = shutil.which("pg_ctl") or next(iter(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")), None)
        return None if found else "no PostgreSQL server programs (Debian: postgresql)"
    if part == "browser":
        return None if shutil.which("chromium") else "chromium is not installed"
    if part == "peers":
        found = PEERS / "ansible-playbook"
        return None if found.exists() else "the peers' environment is not made (scripts/setup peers)"
    raise ValueError(part)


LONG = ("server", "demo", "crash")
PARTS = ("lab", "postgres", "browser", "peers")
PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin"
"""Programs of ansible-core and pyinfra, in an environment of their own."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, with the reason; under RUNWRIGHT_REQUIRE a missing part fails instead."""
    # Files that start whole servers take longest: first, so that no worker of pytest is left alone with one at the end.
    items.sort(key=lambda item: item.path.parent.name not in LONG)
    required = {part for part in os.environ.get("RUNWRIGHT_REQUIRE", "").split(",") if part}
    for part in PARTS:
        reason = missing_part(part)
        if reason is None:
            continue
        if part in required:
            raise pytest.UsageError(f"RUNWRIGHT_REQUIRE names {part}, but {reason}")
        for item in items:
            if item.get_closest_marker(part):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _private_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads this user's settings, data or model keys."""
    for name in list(os.environ):
        if name.startswith("RUNWRIGHT_") and name != "RUNWRIGHT_REQUIRE":
            monkeypatch.delenv(name)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("RUNWRIGHT_DATA_DIR", str(tmp_path / "runwright-data"))
