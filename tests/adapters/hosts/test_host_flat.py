"""However much a step prints, this process and the host's files stay small, and nothing is left afterwards."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from adapters.hosts.rigs import host, sh
from runwright.adapters.hosts.local import LocalConnector, clean_environment
from runwright.adapters.hosts.session import KEPT_DAYS, ShellSession
from runwright.adapters.hosts.transport import LocalChannel, LocalTransport
from runwright.model.hosts import HostIdentity, LocalConnection
from runwright.model.ports.hosts import AttemptState

PRINTED = 200_000_000
LIMIT = 100_000


def greatest_resident() -> int:
    """Kilobytes: the greatest resident size since it was last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not tell")


async def test_memory_and_the_hosts_files_stay_flat_while_a_step_prints_200_megabytes(tmp_path: Path) -> None:
    connector = LocalConnector(base=str(tmp_path))
    seen = 0

    async def sink(_: str, data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    async with connector.open(host(LocalConnection())) as session:
        Path("/proc/self/clear_refs").write_text("5")
        before = greatest_resident()
        text = f"head -c {PRINTED} /dev/zero | tr '\\000' x"
        done = await session.run_attempt("big", sh(text, timeout=120, output_limit=LIMIT), sink)
        grown = greatest_resident() - before
        kept = sum(file.stat().st_size for file in tmp_path.iterdir())
        await session.forget_attempts(["big"])
    assert (done.exit_code, seen) == (0, PRINTED)
    assert len(done.stdout) < LIMIT + 100
    assert grown < 40_000
    assert kept < 2 * LIMIT + 10_000
    assert list(tmp_path.iterdir()) == []


async def test_what_nobody_came_back_for_is_swept_and_what_still_runs_is_not(tmp_path: Path) -> None:
    connector = LocalConnector(base=str(tmp_path))
    gate = tmp_path.parent / f"{tmp_path.name}-gate"
    async with connector.open(host(LocalConnection())) as session:
        for name in ("old", "young", "killed"):
            await session.run_attempt(name, sh("echo x"))
        await session.attempt_status("buried", bury=True)
        running = asyncio.ensure_future(
            session.run_attempt("running", sh(f"while [ ! -e {gate} ]; do sleep 0.05; done"))
        )
        while (await session.attempt_status("running")).state is AttemptState.UNKNOWN:
            pass
        (tmp_path / "killed.exit").unlink()  # as a supervisor leaves it that was killed
        long_ago = time.time() - (KEPT_DAYS + 1) * 86400
        for file in tmp_path.iterdir():
            if not file.name.startswith("young"):
                os.utime(file, (long_ago, long_ago))
        async with LocalConnector(base=str(tmp_path)).open(host(LocalConnection())):
            pass
        assert {file.name.rsplit(".", 1)[0] for file in tmp_path.iterdir()} == {"young", "running"}
        gate.touch()
        await running


class FilingShell:
    """A transport whose shell keeps here-documents in files, as bash did before 5.1 and mksh does."""

    def __init__(self) -> None:
        self._inner = LocalTransport({**clean_environment(), "BASH_COMPAT": "50"})

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> LocalChannel:
        return await self._inner.spawn(("/bin/bash", "--posix") if argv == ("/bin/sh",) else argv, stdin)


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="needs bash")
async def test_a_shell_that_keeps_here_documents_in_files_supervises_as_well(tmp_path: Path) -> None:
    session = ShellSession(HostIdentity(host_id="hst_1", kind="local"), FilingShell(), base=str(tmp_path))
    await session.prepare()
    told = await session.probe(sh("exec 5<<o\no\n[ -p /proc/self/fd/5 ] || echo in a file"))
    assert told.stdout == "in a file\n"
    done = await session.run_attempt("one", sh('echo "out $p"; echo err >&2; exit 4', parameters={"p": "x"}))
    assert (done.exit_code, done.stdout, done.stderr) == (4, "out x\n", "err\n")
    assert (await session.attempt_status("one")).outcome is not None
    assert await session.forget_attempts(["one"]) == ()
    assert list(tmp_path.iterdir()) == []
