"""On a real systemd machine: what a look sees of a step, and that a plan changes nothing, whatever its guards are."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.execution.looks import TEXT
from runwright.execution.memory_journal import MemoryJournal
from runwright.execution.plan import make_plan
from runwright.execution.request import RunRequest
from runwright.execution.run import run_runbook
from runwright.model.admission import LabRunbook
from runwright.model.errors import InvalidInput
from runwright.model.executions import ExecutionResult, HostBrief, RunbookRef, StepIntent
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.hosts import Command, Look
from runwright.model.ports.machines import Machine, MachineRequest
from runwright.runbooks.load import LoadedRunbook, load_runbook
from support.cases import read_only_texts

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]

CLOCK = SystemClock()
SHOPD = {"incident_type": "service_crash", "subject": {"service": "shopd"}}
HEAD = """\
schema: runwright/v1
id: RB-TEST-001
name: A test
incident_types: [service_crash, disk_full, memory_leak]
parameters:
  service: {type: string, pattern: '[a-z]+', required: false, from: incident.subject.service}
"""
UNIT = """
printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >/etc/systemd/system/shopd.service
mkdir -p /srv/full; mount -t tmpfs -o size=20m none /srv/full
systemctl daemon-reload
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Machine]:
    machines = NspawnMachines()
    problem = await machines.unavailable()
    if problem is not None:
        pytest.skip(problem)
    async with machines.boot(MachineRequest()) as booted:
        await booted.script(UNIT, 20)
        yield booted


class Gate:
    """Admits one runbook for the machine, and writes down what was intended."""

    def __init__(self, machine: Machine, loaded: LoadedRunbook, journal: MemoryJournal) -> None:
        self._machine, self._loaded, self._journal = machine, loaded, journal
        self.intents: list[StepIntent] = []

    async def admit(self, execution_id: str, intent: StepIntent | None = None) -> LabRunbook:
        if intent is not None:
            self.intents.append(intent)
            await self._journal.intend(intent)
        return LabRunbook(self._loaded.document, "RB-TEST-001-v1", self._loaded.digest, machine=self._machine.name)


def request(loaded: LoadedRunbook, incident: dict[str, Any], **more: Any) -> RunRequest:
    return RunRequest(
        execution_id=CLOCK.new_id("exe"),
        client_id="acme",
        brief=IncidentBrief(**incident),
        incident_id="inc_1",
        host=HostBrief(hostname="m", platform="linux"),
        runbook_ref=RunbookRef(id="RB-TEST-001", version=1, digest=loaded.digest),
        **more,
    )


async def run(machine: Machine, steps: str, incident: dict[str, Any]) -> ExecutionResult:
    loaded, journal = load_runbook(HEAD + steps), MemoryJournal()
    gate = Gate(machine, loaded, journal)
    return await run_runbook(
        request(loaded, incident), gate=gate, journal=journal, session=machine.session, clock=CLOCK
    )


async def test_each_step_tells_what_it_changed_of_the_service(machine: Machine) -> None:
    steps = """
steps:
  - {id: nothing, run: "true"}
  - {id: start, service: {name: $service, state: started}}
  - {id: restart, run: systemctl restart shopd}
  - {id: quiet, run: systemctl is-active shopd}
  - {id: stop, run: "systemctl stop shopd; exit 3"}
"""
    result = await run(machine, steps, SHOPD)
    told = {step.id: [change.text for change in step.state_changes] for step in result.steps}
    assert told["nothing"] == told["quiet"] == []
    assert told["start"] == ["shopd: inactive -> active"]
    (restarted,) = told["restart"]
    assert restarted.startswith("shopd: restarted (process ")
    assert told["stop"] == ["shopd: active -> inactive"]
    assert result.steps[-1].attempts[-1].exit_code == 3
    assert all("looked" not in attempt.extra for step in result.steps for attempt in step.attempts)


async def test_each_step_tells_what_it_changed_of_the_disk(machine: Machine) -> None:
    steps = """
steps:
  - {id: fill, run: head -c 18000000 /dev/zero >/srv/full/a}
  - {id: nothing, run: "true"}
  - {id: free, run: rm /srv/full/a}
"""
    incident = {"incident_type": "disk_full", "subject": {"mount": "/srv/full"}}
    result = await run(machine, steps, incident)
    told = {step.id: [change.text for change in step.state_changes] for step in result.steps}
    assert told["nothing"] == []
    assert told["fill"][0].startswith("/srv/full: 0% -> 86%")
    assert told["free"][0].startswith("/srv/full: 86% -> 0%")
    assert [change.path for change in result.steps[0].state_changes] == ["disks./srv/full.used_percent"]


async def test_a_plan_changes_nothing_whatever_its_guards_look_like(machine: Machine) -> None:
    hostile = read_only_texts("writes")
    harmless = read_only_texts("only_reads")
    await machine.script("systemctl start shopd; touch /etc/x /tmp/x; printf x >/etc/y", 20)
    guards = [text for text in [*hostile, *harmless] if load_quietly(text)]
    steps = "steps:\n" + "".join(
        f"  - {{id: step-{number}, only_if: {quoted(text)}, run: 'rm -rf /etc/x'}}\n"
        for number, text in enumerate(guards)
    )
    loaded, journal = load_runbook(HEAD + steps + "rollback:\n  - {id: back, run: rm /etc/y}\n"), MemoryJournal()
    gate = Gate(machine, loaded, journal)
    asked = request(loaded, SHOPD)
    await machine.mark()
    found = await make_plan(asked, gate=gate, session=machine.session, clock=CLOCK)
    assert await machine.changes() == ()
    assert gate.intents == []
    planned = {step.id: step for step in found["steps"]}
    for number, text in enumerate(guards):
        (guard,) = planned[f"step-{number}"].guards
        assert (guard.answer is None) == (text in hostile), text
        assert guard.reason
    assert found["verification"].outcome.value == "passed"
    assert found["state"].services


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def load_quietly(text: str) -> bool:
    """Whether the language takes the text as a guard at all."""
    try:
        load_runbook(HEAD + f"steps:\n  - {{id: a, only_if: {quoted(text)}, run: 'true'}}\n")
    except InvalidInput:
        return False
    return True


async def test_a_look_costs_little(machine: Machine) -> None:
    """Prints what it measured; the bound is loose, since other work shares this computer."""
    subjects = {
        "no look": None,
        "a unit": {"look_0": "shopd.service", "look_1": "", "look_2": "", "look_mount": "", "look_known": ""},
        "a disk": {"look_0": "", "look_1": "", "look_2": "", "look_mount": "/srv/full", "look_known": "before"},
    }
    took = dict.fromkeys(subjects, 9.0)
    for turn in range(12):
        for name, parameters in subjects.items():
            look = Look(text=TEXT, parameters=parameters) if parameters else None
            begun = CLOCK.monotonic()
            await machine.session.run_attempt(
                f"{name[-4:]}-{turn}".replace(" ", "_"), Command(text="true", timeout=10, look=look)
            )
            took[name] = min(took[name], CLOCK.monotonic() - begun)
    figures = ", ".join(f"{name} {seconds * 1000:.2f} ms" for name, seconds in took.items())
    sys.stderr.write(f"\none attempt with: {figures}\n")
    assert took["a unit"] - took["no look"] < 0.05
    assert took["a disk"] - took["no look"] < 0.05
