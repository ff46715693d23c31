"""Trials: one runbook against one real fault on a fresh machine (docs/reference/scenario-format.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from runwright.execution.memory_journal import MemoryJournal, Observer
from runwright.execution.request import RunRequest
from runwright.execution.run import run_runbook
from runwright.lab.gate import LabGate, Tried
from runwright.lab.judge import Judgement, Seen, judge
from runwright.lab.several import several
from runwright.lab.watch import NoVerdict, StageObserver, Watch, break_it, make_healthy
from runwright.model.documents import RunbookDocument
from runwright.model.errors import HostUnreachable, NoMachine, RunwrightError
from runwright.model.executions import ExecutionResult, ExecutionStatus, HostBrief, RunbookRef
from runwright.model.hosts import Platform
from runwright.model.ids import split_version_id, version_id
from runwright.model.lab import Expectation, Scenario, TrialOutcome, TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.machines import Machine, MachineRequest, Machines

LAB_CLIENT = "lab"
"""Runs on disposable machines belong to no client."""

GRACE = 15.0
"""Seconds a run has to end its steps after its timeout before it is ended from outside."""


@dataclass(frozen=True)
class Watchers:
    """Who is told what while trials run. All optional."""

    stage: StageObserver | None = None
    event: Observer | None = None
    """Events of the run itself: steps, output, checks."""
    report: Callable[[TrialReport], None] | None = None


async def demand_lab(machines: Machines) -> None:
    """Raises NoMachine, with the reason, where no machine can be made."""
    reason = await machines.unavailable()
    if reason is not None:
        raise NoMachine(f"No disposable machine can be made here: {reason}")


def machine_request(scenario: Scenario) -> MachineRequest:
    """The machine a scenario needs."""
    return MachineRequest(packages=scenario.requires)


def run_limit(scenario: Scenario) -> float:
    """Seconds the run has: the timeout, and never less than the outside world takes to heal plus settle."""
    return max(scenario.timeout, (scenario.recovers_after or 0.0) + scenario.settle)


async def run_trials(
    machines: Machines,
    tried: Tried,
    scenarios: Sequence[Scenario],
    clock: Clock,
    *,
    version: str | None = None,
    jobs: int = 2,
    watchers: Watchers | None = None,
    called: Mapping[str, RunbookDocument] | None = None,
) -> tuple[TrialReport, ...]:
    """A trial per scenario, `jobs` at once; reports in the order of the scenarios.

    `called`: runbooks that `call` steps may name, by digest.

    Raises NoMachine where there is no lab. When it is cancelled, or a trial raises, all machines are ended first.
    """
    await demand_lab(machines)

    async def one(scenario: Scenario) -> TrialReport:
        return await run_trial(machines, tried, scenario, clock, version=version, watchers=watchers, called=called)

    return await several(one, scenarios, jobs)


async def run_trial(
    machines: Machines,
    tried: Tried,
    scenario: Scenario,
    clock: Clock,
    *,
    version: str | None = None,
    watchers: Watchers | None = None,
    called: Mapping[str, RunbookDocument] | None = None,
) -> TrialReport:
    """One trial: boot, setup, inject, the run, and what the machine shows afterwards.

    `version` names what is tried (`RB-X-001-v2`); without it the version 1 of its id is meant. A scenario that
    cannot be shown broken before the run, and a machine that does not boot, give `invalid`. Raises NoMachine
    where there is no lab at all.
    """
    await demand_lab(machines)
    watchers = watchers or Watchers()
    began = clock.monotonic()
    trial = _Trial(tried, version or version_id(tried.document.id, 1), scenario, clock, watchers, called or {})
    try:
        async with machines.boot(machine_request(scenario)) as machine:
            report = await trial.on(machine, clock.monotonic() - began)
    except NoMachine as failure:
        report = TrialReport(scenario=scenario.id, outcome=TrialOutcome.INVALID, right=False, reason=str(failure))
    report = report.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})
    if watchers.report is not None:
        watchers.report(report)
    return report


@dataclass(frozen=True)
class _Run:
    """What came of the run itself."""

    execution: ExecutionResult | None
    overran: bool = False
    error: str = ""


class _Trial:
    """One runbook and one scenario; `on` a machine gives the report."""

    def __init__(
        self,
        tried: Tried,
        version: str,
        scenario: Scenario,
        clock: Clock,
        watchers: Watchers,
        called: Mapping[str, RunbookDocument],
    ) -> None:
        self._tried = tried
        self._version = version
        self._scenario = scenario
        self._clock = clock
        self._watchers = watchers
        self._called = called

    async def on(self, machine: Machine, boot_seconds: float) -> TrialReport:
        """The trial on a machine that has booted."""
        watch = Watch(machine, self._scenario, self._clock, self._watchers.stage)
        watch.note("boot", True, f"machine {machine.name}", seconds=boot_seconds)
        seen = Seen(self._scenario.expect, None, keeps_given=self._scenario.keeps is not None)
        try:
            await make_healthy(watch)
            await break_it(watch)
            seen = replace(seen, restless=await self._restless(machine))
            await machine.mark()
        except (NoVerdict, HostUnreachable) as failure:
            return self._report(watch, seen, Judgement(TrialOutcome.INVALID, False, False, str(failure)))
        run = await self._run(watch)
        seen = replace(seen, execution=run.execution, overran=run.overran, error=run.error)
        try:
            seen = await self._look(watch, seen)
        except HostUnreachable as lost:
            seen = replace(seen, error=f"The machine was lost: {lost}")
        return self._report(watch, seen, judge(seen))

    async def _restless(self, machine: Machine) -> frozenset[str]:
        """For twins: what changes on this machine by itself, watched for `hold` seconds."""
        if self._scenario.expect is Expectation.HEALED:
            return frozenset()
        await machine.mark()
        await self._clock.sleep(self._scenario.hold)
        return frozenset(change.path for change in await machine.changes())

    async def _look(self, watch: Watch, seen: Seen) -> Seen:
        """The effects of the run, then the scenario's checks."""
        scenario = self._scenario
        seen = replace(seen, effects=await watch.machine.changes())
        if scenario.expect is Expectation.HEALED:
            healthy = await watch.until("healthy after the run", scenario.healthy, scenario.settle)
            seen = replace(seen, healthy=healthy)
            if healthy.exit_code == 0:
                seen = replace(seen, held=await watch.holds("healthy for hold", scenario.healthy, scenario.hold))
        return replace(seen, keeps=await watch.keeps("keeps after the run"))

    async def _run(self, watch: Watch) -> _Run:
        """Run it for as long as the scenario allows, then ask it to stop, then end it."""
        began = self._clock.monotonic()
        limit = run_limit(self._scenario)
        known: list[ExecutionResult] = []

        async def late() -> bool:
            return self._clock.monotonic() - began >= limit

        async def keep(result: ExecutionResult) -> None:
            known.append(result)

        try:
            journal = MemoryJournal(self._watchers.event)
            gate = LabGate(self._tried, self._version, machine=watch.machine, journal=journal, called=self._called)
            request = replace(self._request(watch.machine), cancelled=late, checkpoint=keep)
            async with asyncio.timeout(limit + GRACE):
                result = await run_runbook(
                    request, gate=gate, journal=journal, session=watch.machine.session, clock=self._clock
                )
            run = _Run(result, overran=result.status is ExecutionStatus.CANCELLED and await late())
        except TimeoutError:
            run = _Run(known[-1] if known else None, overran=True)
        except RunwrightError as failure:
            run = _Run(known[-1] if known else None, error=f"The run could not go on: {failure}")
        status = run.execution.status if run.execution else None
        note = run.error or ("ended at its timeout" if run.overran else f"ended {status.value if status else ''}")
        ok = status is ExecutionStatus.SUCCESS
        watch.note("run", ok, note, seconds=self._clock.monotonic() - began)
        return run

    def _request(self, machine: Machine) -> RunRequest:
        number = split_version_id(self._version)[1]
        platform = Platform.LINUX.value
        return RunRequest(
            execution_id=self._clock.new_id("tri"),
            client_id=LAB_CLIENT,
            brief=self._scenario.incident,
            incident_id=self._clock.new_id("inc"),
            host=HostBrief(hostname=machine.name, platform=platform),
            runbook_ref=RunbookRef(id=self._tried.document.id, version=number, digest=self._tried.digest),
            host_attributes={"hostname": machine.name, "platform": platform},
            tags={"lab": self._scenario.id},
        )

    def _report(self, watch: Watch, seen: Seen, judgement: Judgement) -> TrialReport:
        return TrialReport(
            scenario=self._scenario.id,
            outcome=judgement.outcome,
            right=judgement.right,
            wrong_healed=judgement.wrong_healed,
            execution=seen.execution,
            effects=seen.effects,
            reason=judgement.reason,
            stages=tuple(watch.stages),
        )
