"""Where the story plays: a machine or a process, a real service on it, a real fault."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from runwright.model.errors import Unavailable
from runwright.model.hosts import Connection
from runwright.model.lab import ScriptResult


class Stage(Protocol):
    """One place with a service that works, can be broken, and can be asked how it is."""

    title: str
    """What this is, for people."""
    hostname: str
    connection: Connection
    incident_type: str
    subject: dict[str, Any]
    runbook_id: str
    runbook_text: str | None
    """A runbook of the demo's own; None where the standard one answers."""
    lab: bool
    """Whether candidates are tried on machines here."""

    async def fix_by_hand(self) -> ScriptResult:
        """What the person on call does at night."""
        ...

    async def break_it(self) -> ScriptResult: ...

    async def healthy(self) -> ScriptResult: ...

    async def symptom(self) -> ScriptResult: ...


async def prove(what: str, answer: ScriptResult, *, wanted: bool) -> None:
    """Raise Unavailable unless the script's answer is the wanted one: the demo never claims what it did not see."""
    if answer.no_evidence or (answer.exit_code == 0) is not wanted:
        raise Unavailable(
            f"Found {what} {'false' if wanted else 'true'} (exit {answer.exit_code}). {answer.output[-400:]}".strip(),
            next_step="This is a fault of the demo or of this machine; `runwright doctor` looks at the machine.",
        )


async def prove_settled(what: str, ask: Callable[[], Awaitable[ScriptResult]], *, seconds: float = 10.0) -> None:
    """Like `prove`, for what may take a moment to come true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await ask()
        if answer.exit_code == 0 or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.2)
    await prove(what, answer, wanted=True)


@asynccontextmanager
async def open_stage(*, lab: bool) -> AsyncIterator[tuple[Stage, str | None]]:
    """The best stage that this computer has, and why it is not a machine if it is none."""
    from runwright.surfaces.wiring import machines

    reason = await machines().unavailable() if lab else "machines were not wanted (--no-lab)"
    if reason is None:
        from runwright.surfaces.cli.demo.machine_stage import machine_stage

        async with machine_stage(machines()) as stage:
            yield stage, None
    else:
        from runwright.surfaces.cli.demo.process_stage import process_stage

        async with process_stage() as stage:
            yield stage, reason
