"""A database that cannot be used: one sentence that says what to do, and nothing changed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from runwright.adapters.storage import open_store
from runwright.adapters.storage.faults import NOTHING_CHANGED
from runwright.adapters.storage.migrate import upgrade
from runwright.model.errors import Conflict, InvalidInput, StorageUnavailable
from runwright.model.ports.store import EVERY_CLIENT, Store
from support import records
from support.postgres_server import PostgresServer


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no mounts here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def _add_audited(store: Store, n: int, *, size: int) -> None:
    async with store.transaction() as tx:
        await tx.audit.append(records.audit_event(subject=f"host-{n}"))
        await tx.hosts.add(records.host(f"host-{n}", labels={"text": "x" * size}))


async def _fill(store: Store, *, size: int) -> int:
    """Add hosts until it fails; how many were added. Each addition is audited."""
    added = 0

    async def fill() -> None:
        nonlocal added
        while added < 1000:
            await _add_audited(store, added, size=size)
            added += 1

    with pytest.raises(StorageUnavailable) as raised:
        await fill()
    assert NOTHING_CHANGED in str(raised.value)
    assert raised.value.next_step
    return added


async def _check_whole(store: Store, hosts: int) -> None:
    async with store.reading() as tx:
        assert await tx.hosts.count(client=EVERY_CLIENT) == hosts
        assert len(await tx.audit.entries("acme")) == hosts, "each host has its entry, the refused one has none"


async def test_a_full_disk(small_disk: Path) -> None:
    store = await open_store(f"sqlite:///{small_disk / 'runwright.db'}")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 400_000)
    added = await _fill(store, size=20_000)
    assert added > 0
    await _check_whole(store, added)
    with pytest.raises(StorageUnavailable, match="full"):
        await _add_audited(store, 999, size=500_000)
    ballast.unlink()
    async with store.transaction() as tx:
        await tx.audit.append(records.audit_event())
        await tx.hosts.add(records.host("after"))
    await _check_whole(store, added + 1)
    await store.close()


async def test_a_disk_too_full_to_begin_with(small_disk: Path) -> None:
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(b"\0" * (free - 40_000))
    with pytest.raises(StorageUnavailable, match=r"full|disk") as raised:
        await open_store(f"sqlite:///{small_disk / 'runwright.db'}")
    assert raised.value.next_step


async def test_a_disk_that_becomes_read_only(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk / 'runwright.db'}"
    store = await open_store(url)
    async with store.transaction() as tx:
        await tx.clients.add(records.client())
    await store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageUnavailable, match=r"[Rr]ead-only") as raised:
        await open_store(url)
    assert "writable" in raised.value.next_step


async def test_a_database_that_becomes_read_only_while_open(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'runwright.db'}")
    async with store.transaction() as tx:
        await tx.clients.add(records.client())
        await tx._unit._run("PRAGMA query_only = ON", ())  # type: ignore[attr-defined]

    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client("other"))

    with pytest.raises(StorageUnavailable, match="read-only"):
        await change()
    async with store.reading() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 1
    await store.close()


LIMITED = """
import asyncio, resource, signal, sys
sys.path[:0] = {paths!r}
from runwright.adapters.storage import open_store
from runwright.model.errors import StorageUnavailable
from support import records

async def main():
    store = await open_store({url!r})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))
    for n in range(1000):
        try:
            async with store.transaction() as tx:
                await tx.audit.append(records.audit_event())
                await tx.hosts.add(records.host(f"host-{{n}}", labels={{"text": "x" * 20_000}}))
        except StorageUnavailable as error:
            print(n, error)
            return
    print("never refused")

asyncio.run(main())
"""


async def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runwright.db'}"
    program = textwrap.dedent(LIMITED).format(url=url, paths=sys.path)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    added, _, sentence = ended.stdout.strip().partition(" ")
    assert "disk" in sentence, ended.stdout + ended.stderr
    store = await open_store(url)
    await _check_whole(store, int(added))
    await store.close()


async def test_a_database_held_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runwright.adapters.storage.engines.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("runwright.adapters.storage.engines._SQLITE_PRAGMAS", ("PRAGMA busy_timeout = 50",))
    path = tmp_path / "runwright.db"
    store = await open_store(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client())

    with pytest.raises(StorageUnavailable, match="Another process"):
        await change()
    async with store.reading() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 0
    other.execute("ROLLBACK")
    other.close()
    await change()
    await store.close()


@pytest.mark.parametrize("content", [b"this is no database, it is a letter to a friend\n" * 100, os.urandom(5000)])
async def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.db"
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="not a database"):
        await open_store(f"sqlite:///{path}")
    assert path.read_bytes() == content


async def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "runwright.db"
    await upgrade(f"sqlite:///{path}")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StorageUnavailable, match="damaged"):
        await open_store(f"sqlite:///{path}")


async def test_a_missing_directory_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="does not exist"):
        await open_store(f"sqlite:///{tmp_path}/no/where/runwright.db")
    assert not (tmp_path / "no").exists()
    with pytest.raises(StorageUnavailable, match="is a directory"):
        await open_store(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://root@localhost/db"])
async def test_urls_of_other_databases(url: str) -> None:
    with pytest.raises(InvalidInput, match="Allowed"):
        await open_store(url)


async def test_a_refused_url_does_not_show_its_password() -> None:
    with pytest.raises(InvalidInput) as raised:
        await open_store("mysql://root:hunter2@localhost/db")
    assert "hunter2" not in str(raised.value)


@pytest.mark.postgres
async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="cannot be reached") as raised:
        await open_store(f"postgresql://eva@/db?host={tmp_path}")
    assert "runs" in raised.value.next_step


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    server = PostgresServer(settings=("synchronous_commit=on",))
    server.start()
    yield server
    server.remove()


async def _add_client(store: Store, key: str) -> None:
    async with store.transaction() as tx:
        await tx.clients.add(records.client(key))


@pytest.mark.postgres
async def test_a_server_that_stops_in_between_and_comes_back(own_server: PostgresServer) -> None:
    with pytest.raises(StorageUnavailable, match="no such database"):
        await open_store(own_server.url("nowhere"))
    store = await open_store(own_server.url(own_server.create_database()))
    await _add_client(store, "one")

    async def cut_off() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client("lost"))
            own_server.stop("immediate")
            await tx.clients.add(records.client("never"))

    with pytest.raises(StorageUnavailable, match=r"lost|gave up"):
        await cut_off()
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await _add_client(store, "two")
    own_server.start()
    await _add_client(store, "three")
    async with store.reading() as tx:
        assert {item.id for item in (await tx.clients.page(client=EVERY_CLIENT)).items} == {"one", "three"}
    own_server.stop("fast")
    own_server.start()
    await _add_client(store, "four")
    async with store.reading() as tx:
        assert await tx.clients.count(client=EVERY_CLIENT) == 3, "idle connections that ended are replaced unseen"
    await store.close()


@pytest.mark.postgres
async def test_a_commit_whose_answer_is_lost_says_so(own_server: PostgresServer) -> None:
    store = await open_store(own_server.url(own_server.create_database()))

    async def change() -> None:
        async with store.transaction() as tx:
            await tx.clients.add(records.client())
            own_server.stop("immediate")

    with pytest.raises(StorageUnavailable, match="while the change was being committed") as raised:
        await change()
    assert "Look at the records" in raised.value.next_step
    assert NOTHING_CHANGED not in str(raised.value)
    await store.close()


@pytest.mark.postgres
async def test_transactions_that_cross_end_with_a_conflict(own_server: PostgresServer) -> None:
    store = await open_store(own_server.url(own_server.create_database()))
    both = asyncio.Barrier(2)

    async def change(first: str, second: str) -> None:
        async with store.transaction() as tx:
            await tx.audit.append(records.audit_event(first))
            await both.wait()
            await tx.audit.append(records.audit_event(second))

    async with store.transaction() as tx:
        await tx.audit.append(records.audit_event("a"))
        await tx.audit.append(records.audit_event("b"))
    ended = await asyncio.gather(change("a", "b"), change("b", "a"), return_exceptions=True)
    assert sorted(type(item).__name__ for item in ended) == ["Conflict", "NoneType"]
    assert "crossed" in str(next(item for item in ended if isinstance(item, Conflict)))
    await store.close()
