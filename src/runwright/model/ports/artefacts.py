"""Whole outputs of attempts: kept per client by their digest, apart from the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class ArtefactWriter(Protocol):
    """One artefact on its way in. End it with `keep` or `discard`; until then nobody can read it."""

    async def write(self, data: bytes) -> None:
        """Append. Raises StorageUnavailable where it cannot be stored; the writer is discarded then."""
        ...

    async def keep(self) -> str:
        """Make it readable and durable; its `sha256:<hex>`. Raises StorageUnavailable."""
        ...

    async def discard(self) -> None:
        """Leave nothing of it behind. Harmless after `keep`."""
        ...


class ArtefactStore(Protocol):
    """Content by digest, each client's apart. Content has been masked before it comes here (promise 10)."""

    async def begin(self, client_id: str) -> ArtefactWriter:
        """Raises StorageUnavailable."""
        ...

    async def open(self, client_id: str, digest: str) -> AsyncIterator[bytes]:
        """The content from its beginning, in blocks. Raises NotFound before the first block; Tampered at the end
        of content that is not what its digest says."""
        ...

    async def erase(self, client_id: str) -> int:
        """Remove all artefacts of a client; how many. Part of erasing its telemetry. Raises StorageUnavailable."""
        ...
