"""The whole output of an attempt: what is longer than its record shows goes into an artefact, as it comes."""

from __future__ import annotations

import logging

from runwright.model.errors import StorageUnavailable
from runwright.model.executions import AttemptRecord, OutputArtefact
from runwright.model.ports.artefacts import ArtefactStore, ArtefactWriter

logger = logging.getLogger(__name__)

MOST = 64_000_000
"""Bytes of one stream that are kept at most, where nothing else is set; what comes after is counted."""

LOST = "the connection was lost while it was running, and what it wrote after that did not come"
CUT = "longer than the most that is kept of one output"


class OutputKeeper:
    """Both streams of one attempt. Memory stays flat, and a disk that is full costs the artefact, never the run."""

    def __init__(self, store: ArtefactStore | None, client_id: str, *, shown: int, most: int = MOST) -> None:
        """`shown`: bytes of each stream that the record itself can show; up to them nothing is kept."""
        self._streams = {name: _Stream(store, client_id, shown, most) for name in ("stdout", "stderr")}

    async def feed(self, stream: str, data: bytes) -> None:
        """Take masked output as it comes."""
        await self._streams[stream].feed(data)

    async def finish(self, outcome: AttemptRecord) -> AttemptRecord:
        """The outcome with its artefacts named."""
        found = {name: await stream.finish(lost=outcome.adopted) for name, stream in self._streams.items()}
        named = {f"{name}_artefact": artefact for name, artefact in found.items() if artefact is not None}
        return outcome.model_copy(update=named) if named else outcome

    async def discard(self) -> None:
        """Nothing came of the attempt here. Harmless after `finish`."""
        for stream in self._streams.values():
            await stream.discard()


class _Stream:
    def __init__(self, store: ArtefactStore | None, client_id: str, shown: int, most: int) -> None:
        self._store = store
        self._client_id = client_id
        self._shown = shown
        self._most = most
        self._total = 0
        self._stored = 0
        self._held = bytearray()
        self._writer: ArtefactWriter | None = None
        self._problem = ""

    async def feed(self, data: bytes) -> None:
        self._total += len(data)
        if self._store is None or self._problem:
            return
        if self._writer is None:
            self._held += data
            if len(self._held) <= self._shown:
                return
            data, self._held = bytes(self._held), bytearray()
        data = data[: max(self._most - self._stored, 0)]
        if not data:
            return
        try:
            if self._writer is None:
                self._writer = await self._store.begin(self._client_id)
            await self._writer.write(data)
            self._stored += len(data)
        except StorageUnavailable as error:
            self._give_up(error)

    async def finish(self, *, lost: bool) -> OutputArtefact | None:
        self._held.clear()
        if self._store is None or self._total <= self._shown:
            return None
        digest = None
        if self._writer is not None:
            try:
                digest = await self._writer.keep()
            except StorageUnavailable as error:
                self._give_up(error)
        reason = self._problem or (LOST if lost else "") or (CUT if self._stored < self._total else "")
        stored = self._stored if digest is not None else 0
        return OutputArtefact(digest=digest, bytes=self._total, stored_bytes=stored, reason=reason)

    async def discard(self) -> None:
        self._held.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.discard()

    def _give_up(self, error: StorageUnavailable) -> None:
        logger.warning("An output is not kept whole. %s", error)
        self._problem, self._writer, self._stored = error.found, None, 0
