"""The demo's server: a real `runwright serve` in its own process, on a free port, on the demo's data."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from runwright.model.errors import Unavailable


@asynccontextmanager
async def demo_server(folder: Path, *, lab: bool) -> AsyncIterator[str]:
    """The address of the server, which is ended with its worker when the block ends."""
    environment = {
        **os.environ,
        "RUNWRIGHT_DATA_DIR": str(folder),
        "RUNWRIGHT_LAB": "true" if lab else "false",
    }
    for name in ("RUNWRIGHT_DATABASE_URL", "RUNWRIGHT_APPROVAL_KEY"):
        environment.pop(name, None)
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runwright",
            "serve",
            "--port",
            "0",
            "--json",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    try:
        if process.stdout is None:
            raise RuntimeError("the server was started without a standard output")
        line = await asyncio.wait_for(process.stdout.readline(), timeout=90)
        if not line:
            raise Unavailable(
                "The demo's server did not start.",
                next_step="What it said: " + (folder / "server.log").read_text()[-2000:],
            )
        yield str(json.loads(line)["url"])
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and end it after 20 s; shielded, so that a second Ctrl-C does not leave it behind."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.shield(asyncio.wait_for(process.wait(), timeout=20))
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
