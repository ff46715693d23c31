"""Proofs of scenarios, without any runbook: the fault is real, curable, and shortcuts are caught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runwright.lab.judge import lasting
from runwright.lab.references import References, find_references
from runwright.lab.scenarios import load_files, scenario_files
from runwright.lab.several import several
from runwright.lab.trials import demand_lab, machine_request, run_limit
from runwright.lab.watch import NoVerdict, StageObserver, Watch, break_it, make_healthy, said, tail
from runwright.model.base import OpenRecord, Record
from runwright.model.errors import HostUnreachable, NoMachine
from runwright.model.lab import Expectation, Scenario, TrialStage
from runwright.model.ports.clock import Clock
from runwright.model.ports.machines import Machines


class Proof(Record):
    """One machine's part of the proof."""

    kind: Literal["fault", "fix", "cheat"]
    """`fault`: there is no reference script, only the fault itself was shown."""
    script: str | None = None
    ok: bool
    problem: str = ""
    note: str = ""
    """How a cheat was caught."""
    seconds: float = 0.0
    stages: tuple[TrialStage, ...] = ()


class CheckReport(OpenRecord):
    """The public form of `lab check`, one per scenario."""

    scenario: str
    file: str
    expect: Expectation
    ok: bool
    problems: tuple[str, ...] = ()
    """What is wrong, in sentences; empty if the scenario is proven."""
    notes: tuple[str, ...] = ()
    """What was not proven, because nothing was given to prove it with."""
    proofs: tuple[Proof, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Lab:
    """What proofs need."""

    machines: Machines
    clock: Clock
    on_stage: StageObserver | None = None


async def check_folder(
    machines: Machines,
    place: Path,
    clock: Clock,
    *,
    jobs: int = 2,
    on_stage: StageObserver | None = None,
    on_report: Callable[[CheckReport], None] | None = None,
) -> tuple[CheckReport, ...]:
    """Prove every scenario of a folder, or one file, `jobs` at once; reports in the order of the files.

    Raises InvalidInput with all faults of all files before any machine is made; NoMachine.
    """
    loaded = load_files(scenario_files(place))
    root = place if place.is_dir() else None
    await demand_lab(machines)

    async def one(item: tuple[Path, Scenario]) -> CheckReport:
        path, scenario = item
        report = await _prove(Lab(machines, clock, on_stage), path, scenario, find_references(path, root))
        if on_report is not None:
            on_report(report)
        return report

    return await several(one, loaded, jobs)


async def check_scenario(
    machines: Machines, path: Path, clock: Clock, *, root: Path | None = None, on_stage: StageObserver | None = None
) -> CheckReport:
    """Prove one scenario file: healthy, broken and staying so, cured by the fix, every cheat caught.

    `root` is a further place to look for `fixes/` and `cheats/`. Raises InvalidInput, NoMachine.
    """
    ((path, scenario),) = load_files((Path(path),))
    await demand_lab(machines)
    return await _prove(Lab(machines, clock, on_stage), path, scenario, find_references(path, root))


async def _prove(lab: Lab, path: Path, scenario: Scenario, references: References) -> CheckReport:
    began = lab.clock.monotonic()
    proofs = await _proofs(lab, scenario, references)
    problems = tuple(proof.problem for proof in proofs if not proof.ok)
    notes = [proof.note for proof in proofs if proof.note]
    if references.fix is None and scenario.expect is Expectation.HEALED:
        notes.append(f"No fixes/{path.stem}.sh was found: that the fault can be cured is not proven.")
    if not references.cheats:
        notes.append(f"No cheats/{path.stem}.sh was found: that a shortcut is caught is not proven.")
    return CheckReport(
        scenario=scenario.id,
        file=str(path),
        expect=scenario.expect,
        ok=not problems,
        problems=tuple(dict.fromkeys(problems)),
        notes=tuple(notes),
        proofs=proofs,
        seconds=round(lab.clock.monotonic() - began, 3),
    )


async def _proofs(lab: Lab, scenario: Scenario, references: References) -> tuple[Proof, ...]:
    """The fix first; a scenario that gives no verdict there is not tried with its cheats."""
    first = await _proof(lab, scenario, "fix" if references.fix else "fault", references.fix)
    if any(stage.name == "no verdict" for stage in first.stages):
        return (first,)
    return (first, *[await _proof(lab, scenario, "cheat", cheat) for cheat in references.cheats])


async def _proof(lab: Lab, scenario: Scenario, kind: Literal["fault", "fix", "cheat"], script: Path | None) -> Proof:
    """One fresh machine, broken; then the script, if any."""
    began = lab.clock.monotonic()
    stages: Sequence[TrialStage] = ()
    problem, note = "", ""
    try:
        async with lab.machines.boot(machine_request(scenario)) as machine:
            watch = Watch(machine, scenario, lab.clock, lab.on_stage)
            stages = watch.stages
            watch.note("boot", True, f"machine {machine.name}", seconds=lab.clock.monotonic() - began)
            try:
                await make_healthy(watch)
                await break_it(watch)
            except NoVerdict as failure:
                watch.note("no verdict", False, str(failure))
                problem = str(failure)
            else:
                weakness = await _apply(watch, kind, script)
                if kind == "cheat":
                    problem = "" if weakness else f"{_name(script)} is not caught: healthy and keeps let it pass."
                    note = f"{_name(script)}: {weakness}" if weakness else ""
                elif weakness:
                    problem = f"{_name(script)}: {weakness}" if script else weakness
    except (NoMachine, HostUnreachable) as failure:
        problem = str(failure)
    return Proof(
        kind=kind,
        script=str(script) if script else None,
        ok=not problem,
        problem=problem,
        note=note,
        seconds=round(lab.clock.monotonic() - began, 3),
        stages=tuple(stages),
    )


async def _apply(watch: Watch, kind: str, script: Path | None) -> str:
    """Run the script and look as a trial does. Empty if the scenario takes it for right, else what tells against it."""
    scenario = watch.scenario
    twin = scenario.expect is not Expectation.HEALED
    well = twin and (await watch.once("healthy before the script", scenario.healthy)).exit_code == 0
    await watch.machine.mark()
    if script is not None:
        text = script.read_text(encoding="utf-8")
        result = await watch.once(kind, text, run_limit(scenario))
        if kind == "fix" and result.exit_code != 0:
            return f"it {said(result)}. {tail(result)}"
    effects = lasting(await watch.machine.changes())
    if script is not None and (not twin or well):
        healthy = await watch.until("healthy afterwards", scenario.healthy, scenario.settle)
        if healthy.exit_code != 0:
            return f"healthy {said(healthy)} afterwards. {tail(healthy)}"
        held = await watch.holds("healthy for hold", scenario.healthy, scenario.hold)
        if held.exit_code != 0:
            return f"healthy {said(held)} within hold. {tail(held)}"
    keeps = await watch.keeps("keeps afterwards")
    if keeps is not None and keeps.exit_code != 0:
        return f"keeps {said(keeps)} afterwards. {tail(keeps)}"
    if twin and script is not None and effects:
        return f"it changed {effects[0].path}, and the scenario wants nothing changed."
    return ""


def _name(script: Path | None) -> str:
    return f"{script.parent.name}/{script.name}" if script else "the fault"
