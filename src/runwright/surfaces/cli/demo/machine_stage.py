"""The story on a disposable systemd machine, with the library's scenario of a stale lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runwright.lab.library import folder
from runwright.lab.scenarios import load_scenario
from runwright.model.hosts import Connection, NspawnConnection
from runwright.model.lab import Scenario, ScriptResult
from runwright.model.ports.machines import Machine, MachineRequest, Machines
from runwright.surfaces.cli.demo.stage import prove

CHECK_SECONDS = 20.0
SETUP_SECONDS = 120.0


def _fix() -> str:
    """The scenario's reference fix, as a person would type it. Learning never reads it."""
    return (folder() / "service-crash" / "fixes" / "stale-lock.sh").read_text()


class MachineStage:
    """A booted machine with the scenario's service."""

    def __init__(self, machine: Machine, scenario: Scenario) -> None:
        self._machine = machine
        self._scenario = scenario
        self.title = f"systemd machine {machine.name}, service {scenario.incident.subject['service']}"
        self.hostname = "shop-1"
        self.connection: Connection = NspawnConnection(machine=machine.name)
        self.incident_type = scenario.incident.incident_type
        self.subject: dict[str, Any] = dict(scenario.incident.subject)
        self.runbook_id = scenario.runbook
        self.runbook_text: str | None = None
        self.lab = True

    async def fix_by_hand(self) -> ScriptResult:
        return await self._machine.script(_fix(), CHECK_SECONDS)

    async def break_it(self) -> ScriptResult:
        return await self._machine.script(self._scenario.inject, CHECK_SECONDS)

    async def healthy(self) -> ScriptResult:
        return await self._machine.script(self._scenario.healthy, CHECK_SECONDS)

    async def symptom(self) -> ScriptResult:
        return await self._machine.script(self._scenario.symptom, CHECK_SECONDS)

    async def set_up(self) -> None:
        """Build the healthy service. Raises Unavailable if it is not healthy then."""
        await prove("the set-up", await self._machine.script(self._scenario.setup, SETUP_SECONDS), wanted=True)


@asynccontextmanager
async def machine_stage(machines: Machines) -> AsyncIterator[MachineStage]:
    """Boot, build, and end the machine when the block ends."""
    await machines.sweep()
    scenario = load_scenario(folder() / "service-crash" / "stale-lock.yaml")
    async with machines.boot(MachineRequest(packages=scenario.requires)) as machine:
        stage = MachineStage(machine, scenario)
        await stage.set_up()
        yield stage
