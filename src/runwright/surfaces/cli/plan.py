"""`--check`: asks for a plan, waits for the worker's look at the host, and prints what would run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import NEGATIVE, NO_VERDICT, POSITIVE, print_json, say

if TYPE_CHECKING:
    from runwright.model.plans import PlannedStep, PlanReport
    from runwright.surfaces.client import RunwrightClient

INTERVAL = 0.2
"""Seconds between two questions whether the plan is made."""
PATIENCE = 600.0
"""Seconds: a run that is under way on the host comes first."""

pause = threading.Event().wait


def show_check(ask: Callable[[RunwrightClient], PlanReport], *, as_json: bool) -> NoReturn:
    """Print the plan and leave: exit 0 where a run would start, 1 where none would, 3 where the host did not say."""
    from runwright.model.errors import Unavailable
    from runwright.model.plans import PlanStatus

    with connect() as server:
        report = ask(server)
        left = PATIENCE
        while report.status is PlanStatus.PENDING:
            if left <= 0:
                raise Unavailable(
                    f"Found plan {report.plan_id} not made within {PATIENCE:g} s.",
                    next_step="Look whether a worker runs, and whether another run holds the host.",
                )
            pause(INTERVAL)
            left -= INTERVAL
            report = server.plan(report.plan_id)
    if as_json:
        print_json(report)
    else:
        show_plan(report)
    status = {PlanStatus.READY: POSITIVE, PlanStatus.REFUSED: NEGATIVE}.get(report.status, NO_VERDICT)
    raise typer.Exit(status)


def show_plan(report: PlanReport) -> None:
    """The plan for people. Nothing was changed."""
    incident = report.incident
    subject = ", ".join(f"{key}={value}" for key, value in incident.subject.items())
    say(f"{incident.incident_type} on {report.host.hostname} ({subject}): nothing was run or changed", style="bold")
    if report.error is not None:
        say(f"  nothing would run [{report.error.code}]: {report.error.message}")
    if report.runbook is not None:
        say(f"  version {report.version_id} ({report.runbook.digest})")
    if report.approval is not None:
        until = f" until {report.approval.expires_at:%Y-%m-%d}" if report.approval.expires_at else ""
        say(f"  approved by {report.approval.approval_id}{until}, live for {report.approval.scope}")
        say(f"  chosen by {report.approval.routing_id}")
    for name, parameter in report.parameters.items():
        value = f"secret {parameter.secret}" if parameter.secret is not None else parameter.value
        say(f"  {name} = {'not given' if value is None else value}")
    if report.verification is not None:
        there = {"failed": "the incident is there", "passed": "the incident is not there"}
        outcome = report.verification.outcome.value
        say(f"  now: {there.get(outcome, 'whether the incident is there cannot be told')}")
        for check in report.verification.checks:
            say(f"    {check.id}: {check.outcome.value} - {check.reason}")
    for step in report.steps:
        _step(step)
    if report.verify:
        say(f"  then verified by the incident's verifier and: {', '.join(report.verify)}")
    if report.state is not None and report.state.missing:
        say("  not read of the host: " + "; ".join(f"{fact.fact} ({fact.reason})" for fact in report.state.missing))


def _step(step: PlannedStep) -> None:
    marks = [step.kind, *(["become"] if step.become else []), *(item.value for item in step.risk)]
    later = " (as the host is now; earlier steps may change it)" if step.after_changes and step.guards else ""
    say(f"  {step.section.value}/{step.id} [{', '.join(marks)}]: {step.would.value}{later}")
    for line in step.command.splitlines():
        say(f"      {line}")
    for guard in step.guards:
        answer = guard.answer.value if guard.answer is not None else "not evaluated"
        reason = guard.reason.removeprefix("not evaluated: ")
        say(f"      {guard.field} {guard.text}: {answer} - {reason}")
    if step.problem:
        say(f"      cannot run: {step.problem}")
