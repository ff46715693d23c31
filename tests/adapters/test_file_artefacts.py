"""Whole outputs as files: content-addressed, each client's apart, durable or not there at all."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os
import resource
import stat
from pathlib import Path

import pytest

from runwright.adapters import artefacts as module
from runwright.adapters.artefacts import FileArtefacts
from runwright.model.errors import InvalidInput, NotFound, StorageUnavailable, Tampered

HOSTILE = b"\x1b]0;owned\x07" + bytes(range(256)) + "‮ \ud800".encode("utf-8", "surrogatepass")


@pytest.fixture
def store(tmp_path: Path) -> FileArtefacts:
    return FileArtefacts(tmp_path / "artefacts")


async def put(store: FileArtefacts, client: str, *chunks: bytes) -> str:
    writer = await store.begin(client)
    for chunk in chunks:
        await writer.write(chunk)
    return await writer.keep()


async def whole(store: FileArtefacts, client: str, digest: str) -> bytes:
    return b"".join([block async for block in await store.open(client, digest)])


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("sizes", [[0], [1], [module.BLOCK], [module.BLOCK + 1, 3], [100_000] * 20], ids=str)
async def test_what_was_written_is_read_by_its_digest(store: FileArtefacts, tmp_path: Path, sizes: list[int]) -> None:
    chunks = [(HOSTILE + os.urandom(size))[:size] for size in sizes]
    digest = await put(store, "acme", *chunks)
    content = b"".join(chunks)
    assert digest == "sha256:" + hashlib.sha256(content).hexdigest()
    assert await whole(store, "acme", digest) == content
    (file,) = files(tmp_path)
    assert gzip.decompress(file.read_bytes()) == content


async def test_only_the_owner_may_read_them_and_the_same_is_kept_once(store: FileArtefacts, tmp_path: Path) -> None:
    one, two = await put(store, "acme", b"same"), await put(store, "acme", b"sa", b"me")
    assert one == two
    (file,) = files(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for folder in (file.parent, file.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_client_reads_and_erases_its_own_alone(store: FileArtefacts, tmp_path: Path) -> None:
    digest = await put(store, "acme", b"secretive")
    with pytest.raises(NotFound):
        await store.open("rival", digest)
    await put(store, "rival", b"other")
    assert await store.erase("acme") == 1
    assert await store.erase("acme") == 0
    with pytest.raises(NotFound):
        await store.open("acme", digest)
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:" + "0" * 64, "sha256:" + "g" * 64])
async def test_what_is_no_digest_is_not_found(store: FileArtefacts, digest: str) -> None:
    with pytest.raises(NotFound):
        await store.open("acme", digest)


@pytest.mark.parametrize("client", ["..", "a/b", "", "A", "-a"])
async def test_a_client_id_is_no_path(store: FileArtefacts, client: str) -> None:
    with pytest.raises(InvalidInput):
        await store.begin(client)


async def test_nothing_is_there_before_it_is_kept_nor_after_it_is_discarded(
    store: FileArtefacts, tmp_path: Path
) -> None:
    writer = await store.begin("acme")
    await writer.write(b"x" * module.BLOCK)
    (part,) = files(tmp_path)
    assert part.name.startswith(".part-")
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    await writer.discard()
    assert files(tmp_path) == []


async def test_a_part_of_a_dead_worker_is_swept_and_a_live_ones_is_not(store: FileArtefacts, tmp_path: Path) -> None:
    dead, live = await store.begin("acme"), await store.begin("acme")
    await dead.write(b"half")
    old, young = files(tmp_path)
    os.utime(old, (1, 1))
    await put(store, "acme", b"next")
    assert not old.exists()
    assert young.exists()
    for writer in (dead, live):
        await writer.discard()


@pytest.mark.parametrize("damage", ["flipped", "cut", "other"])
async def test_a_changed_file_is_told(store: FileArtefacts, tmp_path: Path, damage: str) -> None:
    digest = await put(store, "acme", os.urandom(1000))
    (file,) = files(tmp_path)
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[500] ^= 1
    elif damage == "cut":
        del data[600:]
    else:
        data = bytearray(gzip.compress(b"another"))
    file.write_bytes(data)
    with pytest.raises(Tampered):
        await whole(store, "acme", digest)


async def test_a_disk_that_is_full_leaves_nothing_behind(
    store: FileArtefacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = await store.begin("acme")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    await writer.write(b"some")
    with pytest.raises(StorageUnavailable, match="No space left"):
        await writer.keep()
    assert files(tmp_path) == []


async def test_memory_stays_flat_in_both_directions(store: FileArtefacts) -> None:
    block = b"0123456789abcdef" * 4096
    writer = await store.begin("acme")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1024):  # 64 MB, which shrinks to next to nothing
        await writer.write(block)
    digest = await writer.keep()
    size = 0
    async for part in await store.open("acme", digest):
        assert len(part) <= module.BLOCK
        size += len(part)
    assert size == 1024 * len(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000


async def test_two_writers_of_the_same_do_not_disturb_each_other(store: FileArtefacts) -> None:
    one, two = await asyncio.gather(*(put(store, "acme", b"x" * 500_000) for _ in range(2)))
    assert one == two
    assert len(await whole(store, "acme", one)) == 500_000
