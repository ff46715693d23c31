"""The whole output of an attempt, for the API: found in telemetry, read from the artefacts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from fastapi.responses import StreamingResponse

from runwright.model.errors import NotFound
from runwright.model.executions import AttemptRecord, ExecutionResult, OutputArtefact, StepRecord
from runwright.model.ports.artefacts import ArtefactStore

STREAMS = ("stdout", "stderr")

Named = tuple[StepRecord, AttemptRecord, str, OutputArtefact]


def named(result: ExecutionResult) -> Iterator[Named]:
    """Every artefact that a run's telemetry names, with its step, attempt and stream."""
    for step in result.steps:
        for attempt in step.attempts:
            for stream in STREAMS:
                artefact = getattr(attempt, f"{stream}_artefact")
                if artefact is not None:
                    yield step, attempt, stream, artefact


async def attachment(store: ArtefactStore, result: ExecutionResult, digest: str) -> StreamingResponse:
    """An artefact that this run names, as a file to save: a browser neither shows nor runs it.

    Raises NotFound for a digest that is another run's or nobody's, and for content that is not here.
    """
    for step, attempt, stream, artefact in named(result):
        if artefact.digest == digest:
            blocks: AsyncIterator[bytes] = await store.open(result.client_id, digest)
            safe = "".join(char if char.isalnum() or char in "-_" else "-" for char in step.id)
            name = f"{result.execution_id}-{safe}-{attempt.attempt}-{stream}.txt"
            headers = {
                "Content-Disposition": f'attachment; filename="{name}"',
                "Content-Length": str(artefact.stored_bytes),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
                "Cache-Control": "private, no-store",
            }
            return StreamingResponse(blocks, media_type="text/plain; charset=utf-8", headers=headers)
    raise NotFound(
        f"Found no artefact {digest[:80]} of execution {result.execution_id}.",
        next_step="Its telemetry names the digests of its artefacts.",
    )
