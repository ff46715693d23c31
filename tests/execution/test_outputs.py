"""Output that is longer than its record shows is kept whole, and never costs the run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from execution.conftest import MakeRun
from runwright.adapters.artefacts import FileArtefacts, FileWriter
from runwright.execution.attempts import NO_MORE
from runwright.execution.outputs import CUT, LOST, OutputKeeper
from runwright.model.errors import StorageUnavailable
from runwright.model.executions import EventKind, ExecutionStatus
from support import records

FLOOD = """
steps:
  - {id: short, run: echo hello}
  - id: long
    run: |
      head -c 1500000 /dev/zero | tr '\\0' a; echo end
      head -c 1200000 /dev/zero | tr '\\0' b >&2
"""


@pytest.fixture
def store(tmp_path: Path) -> FileArtefacts:
    return FileArtefacts(tmp_path / "artefacts")


class FullDisk(FileArtefacts):
    """Refuses to begin, or after so many bytes."""

    def __init__(self, directory: Path, room: int) -> None:
        super().__init__(directory)
        self._room = room

    async def begin(self, client_id: str) -> FileWriter:
        if not self._room:
            raise StorageUnavailable("No space left on device")
        writer, write, room = await super().begin(client_id), FileWriter.write, [self._room]

        async def bounded(data: bytes) -> None:
            room[0] -= len(data)
            if room[0] < 0:
                await writer.discard()
                raise StorageUnavailable("No space left on device")
            await write(writer, data)

        writer.write = bounded  # type: ignore[method-assign]  # a disk that fills up
        return writer


async def read(store: FileArtefacts, digest: str | None) -> bytes:
    assert digest is not None
    return b"".join([block async for block in await store.open("acme", digest)])


async def test_a_run_keeps_long_output_whole_and_names_it(make_run: MakeRun, store: FileArtefacts) -> None:
    run = make_run(FLOOD)
    result = await run.go(artefacts=store)
    assert result.status is ExecutionStatus.SUCCESS
    short, long = (step.attempts[0] for step in result.steps)
    assert short.stdout == "hello\n"
    assert short.stdout_artefact is short.stderr_artefact is None
    assert long.stdout_artefact is not None
    assert long.stderr_artefact is not None
    wanted = b"a" * 1_500_000 + b"end\n"
    assert await read(store, long.stdout_artefact.digest) == wanted
    assert long.stdout_artefact.digest == "sha256:" + hashlib.sha256(wanted).hexdigest()
    assert long.stdout_artefact.whole
    assert await read(store, long.stderr_artefact.digest) == b"b" * 1_200_000
    assert len(long.stdout) < len(wanted)
    entries = await run.journal.entries(run.request.execution_id)
    assert entries[-1].outcome is not None
    assert entries[-1].outcome.stdout_artefact == long.stdout_artefact
    live = "".join(str(e.data["text"]) for e in run.journal.events if e.kind is EventKind.STEP_OUTPUT)
    assert live.count(NO_MORE) == 1
    assert len(live) < 200_000


async def test_without_a_store_the_record_is_all_there_is(make_run: MakeRun) -> None:
    result = await make_run(FLOOD).go()
    assert result.status is ExecutionStatus.SUCCESS
    assert result.steps[1].attempts[0].stdout_artefact is None


@pytest.mark.parametrize("room", [0, 1_100_000])
async def test_a_full_disk_costs_the_artefact_and_not_the_run(make_run: MakeRun, tmp_path: Path, room: int) -> None:
    folder = tmp_path / "artefacts"
    result = await make_run(FLOOD).go(artefacts=FullDisk(folder, room))
    assert result.status is ExecutionStatus.SUCCESS
    artefact = result.steps[1].attempts[0].stdout_artefact
    assert artefact is not None
    assert (artefact.digest, artefact.bytes, artefact.stored_bytes) == (None, 1_500_004, 0)
    assert "No space left" in artefact.reason
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_what_is_too_long_is_counted_and_cut(store: FileArtefacts) -> None:
    keeper = OutputKeeper(store, "acme", shown=10, most=100)
    for _ in range(30):
        await keeper.feed("stdout", b"0123456789")
    done = await keeper.finish(records.attempt())
    artefact = done.stdout_artefact
    assert artefact is not None
    assert (artefact.bytes, artefact.stored_bytes, artefact.reason) == (300, 100, CUT)
    assert not artefact.whole
    assert await read(store, artefact.digest) == b"0123456789" * 10


async def test_what_was_lost_on_the_way_is_said(store: FileArtefacts) -> None:
    keeper = OutputKeeper(store, "acme", shown=10)
    await keeper.feed("stderr", b"x" * 50)
    done = await keeper.finish(records.attempt(adopted=True))
    assert done.stderr_artefact is not None
    assert done.stderr_artefact.reason == LOST


async def test_an_attempt_that_came_to_nothing_leaves_nothing(store: FileArtefacts, tmp_path: Path) -> None:
    keeper = OutputKeeper(store, "acme", shown=10)
    await keeper.feed("stdout", b"x" * 50)
    await keeper.discard()
    await keeper.discard()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
