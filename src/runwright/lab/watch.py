"""A scenario's scripts on one machine: run, repeated until they say what is wanted, and written down."""

from __future__ import annotations

from collections.abc import Callable

from runwright.model.errors import RunwrightError
from runwright.model.lab import Expectation, Scenario, ScriptResult, TrialStage
from runwright.model.ports.clock import Clock
from runwright.model.ports.machines import Machine

CHECK_TIMEOUT = 20.0
"""Seconds that healthy, symptom and keeps have, each time."""
SETUP_TIMEOUT = 120.0
"""Seconds that setup, and inject, have."""
LEAST_SETTLE = 5.0
"""Before the run, setup and inject get at least this long to show."""

_POLL = 0.3
_HOLD_POLL = 1.0
_OUTPUT = 8000
"""Characters of a script's output kept in a stage."""

StageObserver = Callable[[Scenario, TrialStage], None]
"""Told every stage as it ends, for progress displays."""


class NoVerdict(RunwrightError):
    """The scenario could not be brought to the point where a run would prove anything: the trial is invalid."""

    code = "no-verdict"
    exit_status = 3


class Watch:
    """Runs scripts of one scenario on one machine and keeps a stage for each."""

    def __init__(
        self, machine: Machine, scenario: Scenario, clock: Clock, on_stage: StageObserver | None = None
    ) -> None:
        self.machine = machine
        self.scenario = scenario
        self.clock = clock
        self.stages: list[TrialStage] = []
        self._on_stage = on_stage

    def note(self, name: str, ok: bool, note: str = "", output: str = "", seconds: float = 0.0) -> None:
        """Write a stage down."""
        stage = TrialStage(name=name, ok=ok, note=note, output=_cut(output), seconds=round(seconds, 3))
        self.stages.append(stage)
        if self._on_stage is not None:
            self._on_stage(self.scenario, stage)

    async def once(self, name: str, text: str, timeout: float = CHECK_TIMEOUT) -> ScriptResult:
        """Run a script once."""
        result = await self.machine.script(text, timeout)
        self.note(name, result.exit_code == 0, said(result), result.output, result.seconds)
        return result

    async def until(self, name: str, text: str, within: float) -> ScriptResult:
        """Run a script until it exits 0, for at most `within` seconds; the last answer."""
        began = self.clock.monotonic()
        while True:
            result = await self.machine.script(text, CHECK_TIMEOUT)
            spent = self.clock.monotonic() - began
            if result.exit_code == 0 or spent >= within:
                break
            await self.clock.sleep(min(_POLL, within - spent))
        self.note(name, result.exit_code == 0, said(result), result.output, self.clock.monotonic() - began)
        return result

    async def holds(self, name: str, text: str, seconds: float) -> ScriptResult:
        """Run a script again and again for `seconds`; the first answer that is not 0, else the last."""
        began = self.clock.monotonic()
        while True:
            left = began + seconds - self.clock.monotonic()
            if left > 0:
                await self.clock.sleep(min(_HOLD_POLL, left))
            result = await self.machine.script(text, CHECK_TIMEOUT)
            if result.exit_code != 0 or self.clock.monotonic() - began >= seconds:
                break
        self.note(name, result.exit_code == 0, said(result), result.output, self.clock.monotonic() - began)
        return result

    async def keeps(self, name: str) -> ScriptResult | None:
        """Whether what must survive is still there; None where the scenario does not say."""
        return await self.once(name, self.scenario.keeps) if self.scenario.keeps is not None else None


async def make_healthy(watch: Watch) -> None:
    """Setup, healthy and keeps. Raises NoVerdict."""
    scenario = watch.scenario
    setup = await watch.once("setup", scenario.setup, SETUP_TIMEOUT)
    if setup.exit_code != 0:
        raise NoVerdict(f"setup {said(setup)}.", allowed="It must exit 0.", next_step=tail(setup))
    healthy = await watch.until("healthy before the fault", scenario.healthy, max(scenario.settle, LEAST_SETTLE))
    if healthy.exit_code != 0:
        raise NoVerdict(
            f"healthy {said(healthy)} before the fault.", allowed="It must exit 0.", next_step=tail(healthy)
        )
    await _demand_keeps(watch, "keeps before the fault")


async def break_it(watch: Watch) -> None:
    """Inject, and for faults to heal: the symptom shows, healthy says so, both still after `hold`. Raises NoVerdict.

    An inject script may exit 1 to 125, since its last command may be the one that now fails; what counts is
    what the machine shows afterwards.
    """
    scenario = watch.scenario
    inject = await watch.once("inject", scenario.inject, SETUP_TIMEOUT)
    if inject.no_evidence:
        raise NoVerdict(f"inject {said(inject)}, which is no evidence.", next_step=tail(inject))
    if scenario.expect is Expectation.HEALED:
        await _demand_fault(watch, "after the fault", max(scenario.settle, LEAST_SETTLE))
        await watch.clock.sleep(scenario.hold)
        await _demand_fault(watch, "after hold", 0.0)
    else:
        await watch.once("symptom after the fault", scenario.symptom)
        await watch.once("healthy after the fault", scenario.healthy)
    await _demand_keeps(watch, "keeps after the fault")


async def _demand_fault(watch: Watch, when: str, within: float) -> None:
    """The symptom shows and healthy answers 1 to 125."""
    began = watch.clock.monotonic()
    while True:
        symptom = await watch.machine.script(watch.scenario.symptom, CHECK_TIMEOUT)
        healthy = await watch.machine.script(watch.scenario.healthy, CHECK_TIMEOUT)
        broken = healthy.exit_code != 0
        if (symptom.exit_code == 0 and broken) or watch.clock.monotonic() - began >= within:
            break
        await watch.clock.sleep(_POLL)
    watch.note(f"symptom {when}", symptom.exit_code == 0, said(symptom), symptom.output, symptom.seconds)
    watch.note(
        f"not healthy {when}", broken and not healthy.no_evidence, said(healthy), healthy.output, healthy.seconds
    )
    if symptom.exit_code != 0:
        raise NoVerdict(f"symptom {said(symptom)} {when}: the fault does not show.", next_step=tail(symptom))
    if not broken:
        raise NoVerdict(f"healthy exited 0 {when}: nothing is broken that a runbook could heal.")
    if healthy.no_evidence:
        raise NoVerdict(f"healthy {said(healthy)} {when}, which is no evidence of a fault.", next_step=tail(healthy))


async def _demand_keeps(watch: Watch, name: str) -> None:
    keeps = await watch.keeps(name)
    if keeps is not None and keeps.exit_code != 0:
        raise NoVerdict(f"{name}: it {said(keeps)}.", allowed="It must exit 0 before the run.", next_step=tail(keeps))


def said(result: ScriptResult) -> str:
    """`exited 7` or `ran out of time`."""
    return "ran out of time" if result.exit_code is None else f"exited {result.exit_code}"


def tail(result: ScriptResult) -> str:
    """The last words of a script, for a sentence."""
    lines = result.output.strip().splitlines()
    return f"Its last words: {lines[-1][:300]}" if lines else "It printed nothing."


def _cut(text: str) -> str:
    return text if len(text) <= _OUTPUT else f"{text[: _OUTPUT // 2]}\n[cut]\n{text[-_OUTPUT // 2 :]}"
