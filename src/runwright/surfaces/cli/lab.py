"""`runwright lab`: prove scenarios and try runbooks on disposable machines. Needs no server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.interrupt import run_until_done
from runwright.surfaces.cli.output import NEGATIVE, NO_VERDICT, POSITIVE, Json, print_json, say
from runwright.surfaces.cli.published import stamped

if TYPE_CHECKING:
    from runwright.lab.check import CheckReport
    from runwright.model.lab import TrialReport

app = typer.Typer(help="Disposable machines: prove scenarios, try runbooks.", no_args_is_help=True)

Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="How many machines at once.")]


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder of scenarios, or one file.")],
    jobs: Jobs = 2,
    json_: Json = False,
) -> None:
    """Prove scenarios: the fault shows, the reference fix heals, every cheat is caught. Exit 1 if one does not hold."""
    from runwright.lab.check import check_folder
    from runwright.surfaces.wiring import machines, system_clock

    def show(report: CheckReport) -> None:
        if not json_:
            say(f"{'ok  ' if report.ok else 'BAD '} {report.scenario}  {report.seconds:.1f} s")
            for text in (*report.problems, *report.notes):
                say(f"     {text}")

    reports = run_until_done(check_folder(machines(), folder, system_clock(), jobs=jobs, on_report=show))
    if json_:
        print_json(reports)
    else:
        say(f"{sum(report.ok for report in reports)} of {len(reports)} scenarios hold")
    raise typer.Exit(POSITIVE if reports and all(report.ok for report in reports) else NEGATIVE)


@app.command()
def trial(
    runbook: Annotated[Path, typer.Argument(help="The runbook to try.")],
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files or folders.")],
    with_: Annotated[
        list[Path] | None,
        typer.Option("--with", help="A runbook that it calls, beside those that come with Runwright."),
    ] = None,
    jobs: Jobs = 2,
    json_: Json = False,
) -> None:
    """Try a runbook on scenarios, each on a fresh machine. Exit 1 if one ends wrong, 3 if none gave a verdict."""
    from runwright.lab.scenarios import load_folder, load_scenario
    from runwright.lab.trials import Watchers, run_trials
    from runwright.model.lab import TrialOutcome
    from runwright.runbooks.library import starter_runbooks
    from runwright.runbooks.load import load_runbook
    from runwright.surfaces.cli.files import read_text
    from runwright.surfaces.wiring import machines, system_clock

    loaded = load_runbook(read_text(runbook), str(runbook))
    others = [load_runbook(read_text(path), str(path)) for path in with_ or ()]
    called = {each.digest: each.document for each in (*starter_runbooks(), *others)}
    found = [item for path in scenarios for item in (load_folder(path) if path.is_dir() else (load_scenario(path),))]

    def show(report: TrialReport) -> None:
        if not json_:
            mark = "right" if report.right else "WRONG"
            healed = ", verifiers said passed" if report.wrong_healed else ""
            say(f"{mark}  {report.scenario}: {report.outcome.value}{healed}  {report.seconds:.1f} s  {report.reason}")

    reports = run_until_done(
        run_trials(machines(), loaded, found, system_clock(), jobs=jobs, watchers=Watchers(report=show), called=called)
    )
    if json_:
        forms = [stamped("trial", report) for report in reports]
        print_json(forms[0] if len(forms) == 1 else forms)
    if all(report.outcome is TrialOutcome.INVALID for report in reports):
        raise typer.Exit(NO_VERDICT)
    raise typer.Exit(POSITIVE if all(report.right for report in reports) else NEGATIVE)


@app.command("list")
def list_(json_: Json = False) -> None:
    """The scenarios that come with Runwright."""
    from runwright.lab.library import folder
    from runwright.lab.scenarios import load_folder
    from runwright.surfaces.cli.output import table

    found = load_folder(folder())
    if json_:
        print_json(found)
        return
    rows = [
        (
            item.id,
            item.incident.incident_type,
            item.runbook,
            item.failure_type.value if item.failure_type else "",
            item.expect.value,
        )
        for item in found
    ]
    table("Scenarios", ("id", "incident", "runbook", "failure type", "expect"), rows, "None.")


@app.command()
def sweep(json_: Json = False) -> None:
    """End and remove machines whose makers are gone."""
    from runwright.surfaces.wiring import machines

    removed = run_until_done(machines().sweep())
    if json_:
        print_json({"removed": removed})
    else:
        say(f"{removed} machines removed")
