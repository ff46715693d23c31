"""What only looks or waits leaves off soon when a person cancels the run or sets a stop switch."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from execution.conftest import MakeRun, Run
from runwright.model.errors import GateReason, Held
from runwright.model.executions import ExecutionResult, ExecutionStatus, StepStatus

SOON = 2.0
"""Seconds within which it is to be heard, on a machine that is not overloaded."""

LOOKING = {
    "until": """steps:\n  - {id: looks, run: 'touch "$log.on"', until: 'touch "$log.on"; sleep 600'}\n""",
    "guard": """steps:\n  - {id: looks, run: 'true', only_if: 'touch "$log.on"; sleep 600'}\n""",
    "wait_for": """steps:\n  - {id: looks, wait_for: {run: 'touch "$log.on"; sleep 600', for: 600s}}\n""",
    "verify": """steps:\n  - {id: says, run: 'true'}\nverify:\n  - {id: looks, run: 'touch "$log.on"; sleep 600'}\n""",
}


async def begun(run: Run) -> None:
    """Until the part that looks has begun."""
    mark = run.log_file.with_name("log.on")
    async with asyncio.timeout(20):
        while not mark.exists():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("part", LOOKING)
async def test_a_cancel_is_heard(make_run: MakeRun, part: str) -> None:
    run = make_run(LOOKING[part])
    wanted = False

    async def cancelled() -> bool:
        return wanted

    going = asyncio.ensure_future(run.go(cancelled=cancelled))
    await begun(run)
    wanted, at = True, time.monotonic()
    result = await going
    assert result.status is ExecutionStatus.CANCELLED
    assert time.monotonic() - at < SOON + 2, "and the state after is captured meanwhile"


async def test_a_stop_switch_ends_a_wait_that_begins_anew_when_it_is_released(make_run: MakeRun) -> None:
    text = """
steps:
  - id: waits
    wait_for: {run: 'touch "$log.on"; echo look >> "$log"; test -e "$log.there"', for: 600s, every: 100ms}
  - {id: after, run: 'echo after >> "$log"'}
"""
    run = make_run(text)
    going, seen = await _stopped_while(run)
    looks = len(run.log())
    async with asyncio.timeout(20):
        while seen["asked"] < 40:  # two hundredths of a second each, many times as long as between two looks
            await asyncio.sleep(0.02)
    assert len(run.log()) == looks, "while it is held nothing is asked on the host"
    run.log_file.with_name("log.there").touch()
    seen["stopped"] = False
    result: ExecutionResult = await going
    assert result.status is ExecutionStatus.SUCCESS
    assert run.log()[-1] == "after"
    waits = result.steps[0]
    assert (waits.status, len(waits.attempts)) == (StepStatus.OK, 1), "being held is no failed attempt"
    assert [entry.intent.attempt for entry in await run.journal.entries(result.execution_id)] == [1, 2, 1]


async def test_a_stop_switch_leaves_an_effect_alone(make_run: MakeRun) -> None:
    """Ending a step that changes something would leave half of it."""
    run = make_run("""steps:\n  - {id: does, run: 'touch "$log.on"; sleep 1.5; echo done >> "$log"'}\n""")
    going, seen = await _stopped_while(run, held=False)
    async with asyncio.timeout(20):
        while run.log() != ["done"]:
            await asyncio.sleep(0.05)
    seen["stopped"] = False
    assert (await going).status is ExecutionStatus.SUCCESS


async def _stopped_while(run: Run, *, held: bool = True) -> tuple[asyncio.Future[Any], dict[str, int]]:
    """Set the switch while the first step is under way; when that was heard, its run and the switch."""
    seen = {"stopped": False, "asked": 0}
    admit, asked = run.gate.admit, asyncio.Event()

    async def held_admit(execution_id: str, intent: Any = None) -> Any:
        if seen["stopped"]:
            asked.set()
            seen["asked"] += 1
            await asyncio.sleep(0.02)
            raise Held("Found the stop switch global set.", reason=GateReason.STOPPED)
        return await admit(execution_id, intent)

    async def stopped() -> bool:
        return bool(seen["stopped"])

    run.gate.admit = held_admit  # type: ignore[method-assign]  # the gate as a switch makes it
    going = asyncio.ensure_future(run.go(stopped=stopped))
    await begun(run)
    seen["stopped"], at = True, time.monotonic()
    if held:
        await asyncio.wait_for(asked.wait(), 20)
        assert time.monotonic() - at < SOON
    return going, seen
