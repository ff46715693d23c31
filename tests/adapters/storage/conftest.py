"""One store per test, on each database. The schema is built once and copied."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runwright.adapters.storage.migrate import upgrade
from runwright.adapters.storage.store import SqlStore
from support.postgres_server import shared_server

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

_templates: dict[str, str] = {}


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    asyncio.run(upgrade(f"sqlite:///{path}"))
    return path


def postgres_template() -> str:
    """The name of a PostgreSQL database with the schema."""
    if "postgres" not in _templates:
        name = shared_server().create_database()
        asyncio.run(upgrade(shared_server().url(name)))
        _templates["postgres"] = name
    return _templates["postgres"]


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'runwright.db'}"
        return
    name = shared_server().create_database()
    yield shared_server().url(name)
    shared_server().drop_database(name)


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the schema and no records."""
    if request.param == "sqlite":
        path = tmp_path / "runwright.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    name = shared_server().create_database(postgres_template())
    yield shared_server().url(name)
    shared_server().drop_database(name)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    """An open store without records."""
    from runwright.adapters.storage import open_store

    opened = await open_store(url)
    assert isinstance(opened, SqlStore)
    yield opened
    await opened.close()
