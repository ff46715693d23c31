"""The story without machines: a real process in a temporary directory, on this host, as this user."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from runwright.model.hosts import Connection, LocalConnection
from runwright.model.lab import ScriptResult
from runwright.surfaces.cli.demo.stage import prove

RUNBOOK = "RB-DEMO-SHOP-001"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ProcessStage:
    """A small shop: a control script, a server process, a lock file."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.title = f"a process in {folder}, port {port}"
        self.hostname = socket.gethostname().split(".")[0] or "localhost"
        self.connection: Connection = LocalConnection()
        self.incident_type = "service_crash"
        self.subject: dict[str, Any] = {
            "service": "shopd",
            "port": port,
            "url": f"http://127.0.0.1:{port}/",
            "folder": str(folder),
        }
        self.runbook_id = RUNBOOK
        self.runbook_text: str | None = (files("runwright.surfaces.cli.demo") / "shop.yaml").read_text()
        self.lab = False

    async def set_up(self) -> None:
        """Write the shop and open it."""
        (self._folder / "index.html").write_text("<h1>The shop is open</h1>\n")
        (self._folder / "python").write_text(sys.executable)
        (self._folder / "port").write_text(str(self.subject["port"]))
        for name in ("shopctl", "shopd.py"):
            target = self._folder / name
            target.write_bytes((files("runwright.surfaces.cli.demo") / name).read_bytes())
            target.chmod(stat.S_IRWXU)
        await prove("the set-up", await self._sh('sh "$1/shopctl" start'), wanted=True)

    async def fix_by_hand(self) -> ScriptResult:
        return await self._sh('rm -- "$1/shopd.lock" && sh "$1/shopctl" start')

    async def break_it(self) -> ScriptResult:
        """Kill the server so that its lock stays."""
        return await self._sh('kill -KILL "$(cat "$1/shopd.lock")"')

    async def healthy(self) -> ScriptResult:
        return await self._sh('sh "$1/shopctl" status')

    async def symptom(self) -> ScriptResult:
        return await self._sh('! sh "$1/shopctl" status && test -e "$1/shopd.lock"')

    async def close(self) -> None:
        """End the shop's process and remove its directory."""
        with contextlib.suppress(OSError):
            await self._sh('kill -KILL "$(cat "$1/shopd.lock")" 2>/dev/null')
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _sh(self, text: str) -> ScriptResult:
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            text,
            "demo",
            str(self._folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8"},
        )
        output, _ = await process.communicate()
        return ScriptResult(exit_code=process.returncode, output=output.decode(errors="replace"))


@asynccontextmanager
async def process_stage() -> AsyncIterator[ProcessStage]:
    """Open the shop, and leave neither process nor directory when the block ends."""
    stage = ProcessStage(Path(tempfile.mkdtemp(prefix="runwright-demo-")), _free_port())
    try:
        await stage.set_up()
        yield stage
    finally:
        await stage.close()
