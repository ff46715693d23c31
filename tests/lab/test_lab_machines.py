"""Trials and proofs on real machines."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from runwright.adapters.clock import SystemClock
from runwright.lab.check import check_scenario
from runwright.lab.library import folder
from runwright.lab.scenarios import load_scenario, scenario_files
from runwright.lab.several import several
from runwright.lab.trials import Watchers, run_trial, run_trials
from runwright.model.errors import NoMachine
from runwright.model.executions import ExecutionStatus
from runwright.model.lab import Change, Scenario, TrialOutcome, TrialReport, TrialStage
from runwright.model.ports.machines import Machines
from runwright.model.verdicts import VerificationOutcome
from runwright.runbooks.load import LoadedRunbook, load_runbook

pytestmark = pytest.mark.lab

CASES = Path(__file__).parent.parent / "cases" / "lab"
GREETING = CASES / "foreign" / "team" / "scenarios" / "greeting.yaml"


def runbook(name: str) -> LoadedRunbook:
    return load_runbook((CASES / "trials" / f"{name}.yaml").read_text(), file=name)


async def test_what_heals_what_does_nothing_and_what_cheats(machines: Machines, system_clock: SystemClock) -> None:
    scenario = load_scenario(folder() / "service-crash" / "stale-lock.yaml").model_copy(update={"hold": 1.0})

    async def trial(name: str) -> TrialReport:
        return await run_trial(machines, runbook(name), scenario, system_clock, version="RB-LINUX-SERVICE-001-v2")

    healing, idle, cheating = await several(trial, ("heals", "does-nothing", "cheats"), jobs=2)

    assert (healing.outcome, healing.right, healing.wrong_healed) == (TrialOutcome.HEALED, True, False), healing
    assert healing.execution is not None
    assert healing.execution.runbook.version == 2
    assert healing.execution.status is ExecutionStatus.SUCCESS
    assert {effect.path for effect in healing.effects if effect.change is not Change.CREATED} <= {"/run/shopd.lock"}
    assert [stage.name for stage in healing.stages][:2] == ["boot", "setup"]

    assert (idle.outcome, idle.right, idle.wrong_healed) == (TrialOutcome.FAILED, False, False), idle
    assert "healthy exited 3" in idle.reason

    assert cheating.outcome is TrialOutcome.FAILED
    assert "must survive" in cheating.reason
    assert cheating.execution is not None
    assert cheating.execution.verification is not None
    assert cheating.execution.verification.outcome is VerificationOutcome.FAILED
    assert "does not any more" in cheating.execution.verification.explanation
    assert not cheating.wrong_healed
    assert "/etc/systemd/system/shopd.service" in {effect.path for effect in cheating.effects}


async def test_leaving_a_false_alarm_alone_is_right(machines: Machines, system_clock: SystemClock) -> None:
    scenario = load_scenario(folder() / "service-crash" / "false-alarm.yaml").model_copy(update={"hold": 1.0})
    report = await run_trial(machines, runbook("does-nothing"), scenario, system_clock)
    assert (report.outcome, report.right) == (TrialOutcome.UNCHANGED, True), report.reason


async def test_a_run_is_ended_at_the_timeout(machines: Machines, system_clock: SystemClock) -> None:
    scenario = load_scenario(GREETING).model_copy(update={"timeout": 1.0})
    report = await run_trial(machines, runbook("never-ends"), scenario, system_clock)
    assert (report.outcome, report.right) == (TrialOutcome.FAILED, False)
    assert "longer than" in report.reason
    assert report.execution is not None
    assert report.execution.status is ExecutionStatus.CANCELLED
    assert report.seconds < 30


async def test_a_scenario_that_cannot_be_shown_broken_gives_no_verdict(
    machines: Machines, system_clock: SystemClock
) -> None:
    """The first line of each file says what the reason must name."""
    paths = scenario_files(CASES / "no-verdict")
    scenarios = [load_scenario(path) for path in paths]
    reports = await run_trials(machines, runbook("never-ends"), scenarios, system_clock, jobs=4)
    for path, report in zip(paths, reports, strict=True):
        assert report.outcome is TrialOutcome.INVALID, (report.scenario, report.reason)
        assert not report.right
        assert report.execution is None
        assert path.read_text().splitlines()[0].removeprefix("# wants: ") in report.reason


async def test_another_teams_files_are_proven_as_they_are(machines: Machines, system_clock: SystemClock) -> None:
    report = await check_scenario(machines, GREETING, system_clock)
    assert report.ok, report.problems
    assert [proof.kind for proof in report.proofs] == ["fix", "cheat"]
    assert "cheats/greeting.sh: healthy exited 2" in report.notes[0]


async def test_a_useless_fix_and_an_uncaught_cheat_are_named(
    machines: Machines, system_clock: SystemClock, tmp_path: Path
) -> None:
    (tmp_path / "greeting.yaml").write_text(GREETING.read_text())
    for name, text in (("fixes/greeting.sh", "true"), ("cheats/greeting.sh", "echo hello > /srv/greeting/text")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    report = await check_scenario(machines, tmp_path / "greeting.yaml", system_clock)
    assert not report.ok
    assert len(report.problems) == 2
    assert report.problems[0].startswith("fixes/greeting.sh: healthy exited 2 afterwards")
    assert report.problems[1] == "cheats/greeting.sh is not caught: healthy and keeps let it pass."


async def test_a_twin_of_the_library_is_proven(machines: Machines, system_clock: SystemClock) -> None:
    report = await check_scenario(machines, folder() / "disk-full" / "protected-data.yaml", system_clock)
    assert report.ok, report.problems
    assert [proof.kind for proof in report.proofs] == ["fault", "cheat"]


async def test_stages_are_told_as_they_end(machines: Machines, system_clock: SystemClock) -> None:
    told: list[str] = []

    def on_stage(scenario: Scenario, stage: TrialStage) -> None:
        told.append(f"{scenario.id} {stage.name}")

    scenario = load_scenario(CASES / "no-verdict" / "setup-fails.yaml")
    watchers = Watchers(stage=on_stage)
    report = await run_trial(machines, runbook("never-ends"), scenario, system_clock, watchers=watchers)
    assert told == ["no-verdict/setup-fails boot", "no-verdict/setup-fails setup"]
    assert [stage.name for stage in report.stages] == ["boot", "setup"]


INTERRUPTED = """
import asyncio, sys
from pathlib import Path
from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.lab.scenarios import load_scenario
from runwright.lab.trials import Watchers, run_trial
from runwright.runbooks.load import load_runbook

def tell(_, stage):
    print(stage.name, "|", stage.note, flush=True)

async def watch(event):
    print(event.kind.value, "|", flush=True)

asyncio.run(run_trial(
    NspawnMachines(), load_runbook(Path(sys.argv[1]).read_text()), load_scenario(sys.argv[2]), SystemClock(),
    watchers=Watchers(stage=tell, event=watch),
))
"""


async def test_an_interrupt_leaves_nothing_behind() -> None:
    """Ctrl-C in the middle of a run that would take minutes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INTERRUPTED, str(CASES / "trials" / "never-ends.yaml"), str(GREETING)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    machine = ""
    async for line in process.stdout:
        stage, _, note = (part.strip() for part in line.decode().partition("|"))
        machine = note.removeprefix("machine ") if stage == "boot" else machine
        if stage == "step_started":
            break
    assert machine
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) != 0
    assert left_of(machine) == []


def left_of(machine: str) -> list[str]:
    """Processes, mounts, cgroups and directories that name a machine."""
    left = [line for line in Path("/proc/mounts").read_text().splitlines() if machine in line]
    left += [str(path) for path in Path("/run/runwright/machines").glob(f"*{machine}*")]
    for depth in ("*", "*/*", "*/*/*", "*/*/*/*"):  # no deeper: a machine's own groups lie below one of these
        left += [str(path) for path in Path("/sys/fs/cgroup").glob(depth) if machine in path.name]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if re.search(rf"\b{re.escape(machine)}\b", words):
                left.append(f"process {entry.name}: {words}")
    return left


class NoLab:
    """A host without a lab, as the port says it."""

    async def unavailable(self) -> str | None:
        return "systemd-nspawn is not installed"

    def boot(self, request: object) -> object:
        raise AssertionError("nothing is booted where nothing can be")

    async def sweep(self) -> int:
        return 0


async def test_no_lab_is_said_before_anything_is_tried(system_clock: SystemClock) -> None:
    nowhere: Machines = NoLab()  # type: ignore[assignment]  # boot never returns
    with pytest.raises(NoMachine, match="systemd-nspawn is not installed"):
        await run_trials(nowhere, runbook("never-ends"), [load_scenario(GREETING)], system_clock)
