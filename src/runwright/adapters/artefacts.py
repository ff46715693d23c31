"""Artefacts as files: `<directory>/<client>/<2 hex digits>/<sha-256>.gz`, readable by `gzip -dc`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from runwright.model.errors import InvalidInput, NotFound, StorageUnavailable, Tampered

BLOCK = 256 * 1024
"""Bytes that are compressed, and read, at once."""
LEVEL = 1
"""Output of commands shrinks well at the fastest level; a worker has other work for its processor."""
STALE_SECONDS = 86_400.0
"""A part that nobody has written to for so long belongs to a worker that is gone."""

_GZIP = 31
_PART = ".part-"
_CLIENT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class FileArtefacts:
    """Implements the `ArtefactStore` port on a directory. Workers on several machines need a shared one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def begin(self, client_id: str) -> FileWriter:
        """Raises StorageUnavailable where the directory cannot be written, InvalidInput on a bad client id."""
        folder = self._folder(client_id)
        return await asyncio.to_thread(_begin, folder)

    async def open(self, client_id: str, digest: str) -> AsyncIterator[bytes]:
        """Raises NotFound, and Tampered at the end."""
        match = _DIGEST.fullmatch(digest)
        path = self._folder(client_id) / match[1][:2] / f"{match[1]}.gz" if match else None
        try:
            if path is None or match is None:
                raise FileNotFoundError
            file = await asyncio.to_thread(path.open, "rb")
        except OSError as error:
            raise NotFound(
                f"Found no artefact {digest[:80]} of client {client_id} here.",
                next_step="It was erased, or kept by a worker on another machine: give all of them one shared "
                "directory (RUNWRIGHT_ARTEFACTS_DIR).",
            ) from error
        return _blocks(_unpacked(file, match[1]))

    async def erase(self, client_id: str) -> int:
        return await asyncio.to_thread(_erase, self._folder(client_id))

    def _folder(self, client_id: str) -> Path:
        if not _CLIENT.fullmatch(client_id):
            raise InvalidInput(f"Found client id {client_id[:80]!r}.", allowed="Allowed: a-z, 0-9 and -.")
        return self._directory / client_id


class FileWriter:
    """Implements `ArtefactWriter`: compressed into a part with a name of its own, then renamed to its digest."""

    def __init__(self, folder: Path, part: Path, descriptor: int) -> None:
        self._folder = folder
        self._part = part
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
        self._hash = hashlib.sha256()
        self._waiting = bytearray()

    async def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= BLOCK:
            block, self._waiting = self._waiting, bytearray()
            await self._guarded(lambda: self._pack(block))

    async def keep(self) -> str:
        return await self._guarded(self._finish)

    async def discard(self) -> None:
        await asyncio.to_thread(self._remove)

    def _pack(self, block: bytearray) -> str:
        self._hash.update(block)
        self._put(self._packer.compress(block))
        return ""

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]

    def _finish(self) -> str:
        self._pack(self._waiting)
        self._put(self._packer.flush())
        os.fsync(self._file.fileno())
        self._file.close()
        name = self._hash.hexdigest()
        folder = self._folder / name[:2]
        folder.mkdir(mode=0o700, exist_ok=True)
        self._part.replace(folder / f"{name}.gz")
        for each in (folder, self._folder):
            _sync(each)
        return f"sha256:{name}"

    def _remove(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    async def _guarded(self, work: Callable[[], str]) -> str:
        """Off the loop; where the disk refuses, nothing of the artefact stays."""
        try:
            return await asyncio.to_thread(work)
        except (OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                await self.discard()
            raise _unwritable(self._folder, error) from error


def _begin(folder: Path) -> FileWriter:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        part = folder / f"{_PART}{secrets.token_hex(16)}"
        return FileWriter(folder, part, os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise _unwritable(folder, error) from error


def _sweep(folder: Path) -> None:
    """Remove parts that a worker left which died in the middle of one."""
    oldest = time.time() - STALE_SECONDS
    for part in folder.glob(f"{_PART}*"):
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_mtime < oldest:
                part.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _erase(folder: Path) -> int:
    if not folder.exists():
        return 0
    gone = folder.with_name(f"{_PART}{secrets.token_hex(16)}")
    try:
        folder.replace(gone)  # at once for whoever reads, however long the removal takes
        count = sum(1 for _ in gone.glob("*/*.gz"))
        shutil.rmtree(gone)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return count


def _unpacked(file: BinaryIO, wanted: str) -> Iterator[bytes]:
    """Blocks of at most BLOCK bytes, however well they were packed. Raises Tampered."""
    unpacker, seen = zlib.decompressobj(_GZIP), hashlib.sha256()
    with file:
        packed = file.read(BLOCK)
        while packed and not unpacker.eof:
            try:
                block = unpacker.decompress(packed, BLOCK)
            except zlib.error as error:
                raise _altered(wanted) from error
            packed = unpacker.unconsumed_tail or file.read(BLOCK)
            seen.update(block)
            if block:
                yield block
    if not unpacker.eof or seen.hexdigest() != wanted:
        raise _altered(wanted)


async def _blocks(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


def _altered(digest: str) -> Tampered:
    return Tampered(
        f"Found an artefact whose content is not what its digest sha256:{digest} says.",
        next_step="The file was changed or damaged: restore it from a backup.",
    )


def _unwritable(folder: Path, error: Exception) -> StorageUnavailable:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StorageUnavailable(
        f"The whole output could not be kept in {folder}: {why}.", next_step="Make room, or give the directory back."
    )
