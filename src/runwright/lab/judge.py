"""What a trial proves, from what was seen. Pure; the rules of docs/reference/scenario-format.md."""

from __future__ import annotations

from dataclasses import dataclass

from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.lab import Change, Expectation, FileChange, ScriptResult, TrialOutcome
from runwright.model.states import ServiceFact
from runwright.model.verdicts import VerificationOutcome

ALLOWANCE: tuple[tuple[str, str], ...] = (
    ("/run/runwright/", "the supervisor's notes on attempts"),
    ("/run/systemd/", "systemd's own notes"),
    ("/tmp/", "temporary by its meaning"),  # noqa: S108 - a prefix to compare with, nothing is written
    ("/var/tmp/", "temporary by its meaning"),  # noqa: S108 - as above
    ("/var/log/journal/", "the journal writes and rotates by itself"),
    ("/var/lib/systemd/", "stamps of timers and units"),
    ("/var/lib/runwright/", "the supervisor's notes on attempts"),
    ("/var/cache/apt/", "can be fetched again"),
)
"""Paths whose change says nothing about what a run did to the machine, and why."""

LOGS = "/var/log/"
"""What is written here is allowed; what is deleted here is a change."""

HANDED_OVER = frozenset(
    {ExecutionStatus.PENDING, ExecutionStatus.PARTIAL, ExecutionStatus.INTERRUPTED, ExecutionStatus.CANCELLED}
)
"""A run that ends so goes to a person as it stands, whatever it was for. Pending is one that asks a person: in the
lab nobody answers."""


@dataclass(frozen=True)
class Seen:
    """What was seen after the run. A script not run, or not given, is None."""

    expect: Expectation
    execution: ExecutionResult | None
    effects: tuple[FileChange, ...] = ()
    restless: frozenset[str] = frozenset()
    """Paths that changed before the run too, while nothing was done."""
    overran: bool = False
    error: str = ""
    """Why there is no execution, or why the machine could not be asked any more."""
    healthy: ScriptResult | None = None
    held: ScriptResult | None = None
    keeps: ScriptResult | None = None
    keeps_given: bool = False


@dataclass(frozen=True)
class Judgement:
    outcome: TrialOutcome
    right: bool
    wrong_healed: bool
    reason: str


def judge(seen: Seen) -> Judgement:
    """The outcome of a trial whose scenario was proven broken before the run.

    `healed`: healthy within settle, for hold, and keeps. Twins (`unchanged`, `escalated`): keeps, and the run
    changed nothing or was handed to a person. A script without evidence, an overrun or a lost machine is a failure.
    """
    problem = _problem(seen)
    if seen.expect is Expectation.HEALED and _asks(seen) and not _ok(seen.healthy) and not _lost(seen):
        return Judgement(TrialOutcome.ESCALATED, False, False, f"The run asks a person, and nobody is there. {problem}")
    if problem is None and seen.expect is Expectation.HEALED:
        return Judgement(TrialOutcome.HEALED, True, False, "The fault is gone, stayed gone, and nothing was lost.")
    if problem is None:
        return _twin(seen)
    return _failed(seen, problem)


def _problem(seen: Seen) -> str | None:
    if seen.error:
        return seen.error
    if seen.overran:
        return "The run was ended: it took longer than the scenario's timeout."
    if seen.execution is None:
        return "The run left no result."
    if seen.expect is Expectation.HEALED:
        if not _ok(seen.healthy):
            return f"The fault is still there: healthy {_said(seen.healthy)} within settle."
        if not _ok(seen.held):
            return f"The fix did not hold: healthy {_said(seen.held)} within hold."
    if _lost(seen):
        return f"Something that must survive did not: keeps {_said(seen.keeps)}."
    return None


def _asks(seen: Seen) -> bool:
    """Whether the run itself came to a question and ended there."""
    ended = not seen.error and not seen.overran
    return ended and seen.execution is not None and seen.execution.status is ExecutionStatus.PENDING


def _lost(seen: Seen) -> bool:
    return seen.keeps_given and not _ok(seen.keeps)


def _twin(seen: Seen) -> Judgement:
    """A scenario in which doing nothing, or a person, is right. Which of the two is named as expected if both hold."""
    touched = touched_by(seen)
    over = handed_over(seen.execution, seen.expect)
    if over and (seen.expect is Expectation.ESCALATED or touched):
        return Judgement(TrialOutcome.ESCALATED, True, False, "The run ended with a person, and nothing was lost.")
    if not touched:
        return Judgement(TrialOutcome.UNCHANGED, True, False, "The run changed nothing.")
    named = ", ".join(touched[:5]) + (f" and {len(touched) - 5} more" if len(touched) > 5 else "")
    return _failed(seen, f"The run changed what it should have left alone: {named}.")


def _failed(seen: Seen, reason: str) -> Judgement:
    return Judgement(TrialOutcome.FAILED, False, claims_healed(seen.execution), reason)


def claims_healed(execution: ExecutionResult | None) -> bool:
    """Whether the verifiers said passed; where the trial failed, that is a `wrong_healed`."""
    if execution is None or execution.verification is None:
        return False
    return execution.verification.outcome is VerificationOutcome.PASSED


def handed_over(execution: ExecutionResult | None, expect: Expectation) -> bool:
    """Whether a run ended in an escalation.

    Partial, interrupted and cancelled runs go to a person as they stand. A run that failed and says so is
    handed over too (the loop escalates it), which is right where a person was expected, but not where doing
    nothing was: there it has done something for no reason.
    """
    if execution is None:
        return False
    if execution.status in HANDED_OVER:
        return True
    failed = execution.status in (ExecutionStatus.FAILURE, ExecutionStatus.TIMED_OUT)
    return expect is Expectation.ESCALATED and failed and not claims_healed(execution)


def touched_by(seen: Seen) -> tuple[str, ...]:
    """What the run changed: files beyond the allowance, then services it stopped, started or restarted."""
    files = lasting(seen.effects, seen.restless)
    return tuple(f"{change.path} ({change.change.value})" for change in files) + moved_services(seen.execution)


def lasting(effects: tuple[FileChange, ...], restless: frozenset[str] = frozenset()) -> tuple[FileChange, ...]:
    """The effects that say something about the run: without the allowance and what changes by itself."""
    return tuple(change for change in effects if not _allowed(change) and change.path not in restless)


def _allowed(change: FileChange) -> bool:
    if change.path.startswith(tuple(prefix for prefix, _ in ALLOWANCE)):
        return True
    return change.path.startswith(LOGS) and change.change is not Change.DELETED


def moved_services(execution: ExecutionResult | None) -> tuple[str, ...]:
    """Services that the run stopped, or restarted: not those that died or came back by themselves.

    A restart by systemd itself counts up `restarts`; one by hand does not. A service that was down before is
    left out: it may have been coming back anyway, and a start that fails changes nothing.
    """
    if execution is None or execution.state_before is None or execution.state_after is None:
        return ()
    after = {fact.name: fact for fact in execution.state_after.services}
    moved = []
    for before in execution.state_before.services:
        now = after.get(before.name)
        if now is not None and before.active == "active" and before.main_pid:
            moved += _moved(before, now)
    return tuple(moved)


def _moved(before: ServiceFact, now: ServiceFact) -> list[str]:
    if now.active == "inactive":
        return [f"service {before.name} (stopped)"]
    by_itself = (now.restarts or 0) > (before.restarts or 0)
    if now.active == "active" and now.main_pid not in (None, before.main_pid) and not by_itself:
        return [f"service {before.name} (restarted)"]
    return []


def _ok(result: ScriptResult | None) -> bool:
    return result is not None and result.exit_code == 0


def _said(result: ScriptResult | None) -> str:
    if result is None:
        return "was not asked"
    return "ran out of time" if result.exit_code is None else f"exited {result.exit_code}"
