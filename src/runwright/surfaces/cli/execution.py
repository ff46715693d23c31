"""`runwright execution`: runs and their telemetry."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, moment, print_json, say, table, warn

if TYPE_CHECKING:
    from runwright.model.executions import Event, ExecutionResult
    from runwright.model.questions import Question
    from runwright.surfaces.client import RunwrightClient

PATIENCE = 120
"""Seconds that a server may stay away before following it ends."""

pause = threading.Event().wait
"""Seconds to wait; apart so that tests need none."""

app = typer.Typer(help="Executions: list, look at, watch live, answer, cancel.", no_args_is_help=True)


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option("--status")] = None,
    incident: Annotated[str | None, typer.Option("--incident")] = None,
    json_: Json = False,
) -> None:
    """Executions, newest first."""
    where = {key: value for key, value in (("status", status), ("incident_id", incident)) if value}
    with connect() as server:
        runs = server.executions(**where)
    if json_:
        print_json(runs)
        return
    rows = [(run.id, run.client_id, run.version_id, run.host_id, run.standing, moment(run.created_at)) for run in runs]
    table("Executions", ("id", "client", "version", "host", "status", "created"), rows, "Nothing ran yet.")


@app.command()
def show(execution_id: str, json_: Json = False) -> None:
    """The whole telemetry of one run, and what was learned from it."""
    from runwright.model.errors import NotFound

    with connect() as server:
        result = server.result(execution_id)
        try:
            analysis = server.analysis(execution_id)
        except NotFound:
            analysis = None
    if json_:
        print_json(result)
        return
    show_result(result)
    if analysis is not None:
        diagnosis = analysis.diagnosis
        say(
            f"Diagnosis: {diagnosis.failure_type.value} ({diagnosis.confidence:.0%}): {diagnosis.reasoning}",
            style="bold",
        )
        for signal in diagnosis.signals:
            say(f"  {signal.kind.value} at {signal.place}: {signal.excerpt}")


@app.command()
def export(
    execution_id: str,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; named after the bundle if left out.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write the signed evidence of a run that has ended. `runwright evidence verify` checks it anywhere."""
    from runwright.model.ids import sha256
    from runwright.surfaces.cli.files import write_bytes

    with connect() as server:
        data = server.evidence(execution_id)
    path = output or Path(f"evidence-{execution_id}.jsonl")
    write_bytes(path, data)
    if str(path) == "-":
        return
    if json_:
        print_json({"execution_id": execution_id, "file": str(path), "bytes": len(data), "sha256": sha256(data)})
    else:
        say(f"{path}: {len(data)} bytes")


@app.command()
def watch(execution_id: str, json_: Json = False) -> None:
    """Follow a run live to its end. Exit 0 only if it was verified to be a success."""
    from runwright.model.executions import ExecutionStatus

    with connect() as server:
        result = follow(server, execution_id, quiet=json_)
    if json_:
        print_json(result)
    else:
        show_result(result)
    raise typer.Exit(POSITIVE if result.status is ExecutionStatus.SUCCESS else NEGATIVE)


@app.command()
def output(
    execution_id: str,
    step: Annotated[str, typer.Option("--step", help="The step's id.")],
    attempt: Annotated[int | None, typer.Option("--attempt", help="Its number; the last one if not given.")] = None,
    stream: Annotated[str, typer.Option("--stream", help="stdout or stderr.")] = "stdout",
    whole: Annotated[bool, typer.Option("--whole", help="All of it, where the telemetry has head and tail.")] = False,
    json_: Json = False,
) -> None:
    """What a step put out: as the telemetry shows it, or whole. Into a pipe or file the bytes are those of the host."""
    from runwright.surfaces.cli.step_output import print_output

    with connect() as server:
        print_output(server, execution_id, step, attempt, stream, whole=whole, as_json=json_)


@app.command()
def cancel(execution_id: str, json_: Json = False) -> None:
    """End a run: its process tree on the host is ended, nothing further starts."""
    with connect() as server:
        execution = server.cancel(execution_id)
    if json_:
        print_json(execution)
    else:
        say(f"{execution.id}: asked to stop")


@app.command()
def questions(
    all_: Annotated[bool, typer.Option("--all", help="Also those that are answered, expired or withdrawn.")] = False,
    json_: Json = False,
) -> None:
    """What runs ask persons, newest first. Exit 1 if nothing is asked."""
    with connect() as server:
        asked = server.questions() if all_ else server.questions(status="open")
    if json_:
        print_json(asked)
    else:
        rows = [
            (item.execution_id, item.text, _wanted(item), item.status.value, moment(item.expires_at)) for item in asked
        ]
        table("Questions", ("execution", "question", "answer", "status", "until"), rows, "Nobody is asked anything.")
    raise typer.Exit(POSITIVE if asked else NEGATIVE)


@app.command()
def answer(
    execution_id: str,
    value: Annotated[str, typer.Option("--value", help="The answer, as the question's parameter allows it.")],
    json_: Json = False,
) -> None:
    """Answer what a run waits for, as a person; it goes on then. Exit 1 where that comes too late."""
    with connect() as server:
        waiting = server.execution(execution_id).waiting_for
        execution = server.answer(execution_id, value, waiting)
    if json_:
        print_json(execution)
    else:
        say(f"{execution.id}: answered, and goes on")


def _wanted(question: Question) -> str:
    """What an answer may be, in words: `sure: boolean`, `which: a | b`."""
    declared = question.answer
    choices = getattr(declared, "enum", None)
    return f"{question.parameter}: {' | '.join(choices) if choices else declared.type}"


def follow(server: RunwrightClient, execution_id: str, *, quiet: bool = False) -> ExecutionResult:
    """Print events until the run has ended; its telemetry.

    The run does not need this connection: where the server goes away it is waited for, PATIENCE seconds long.
    Raises Unavailable where it stays away.
    """
    from runwright.model.errors import Unavailable

    after, lost = 0, 0
    while True:
        try:
            for event in server.events(execution_id, after):
                after, lost = event.sequence, 0
                if not quiet and (line := event_line(event)):
                    say(line)
                if event.ends_run:
                    return server.result(execution_id)
            if server.execution(execution_id).status.final:
                return server.result(execution_id)
        except Unavailable as error:
            if lost >= PATIENCE:
                raise
            if lost == 0:
                warn(f"{error.found} What it runs goes on; waiting for it, Ctrl-C ends only this.")
            lost += 1
        pause(1.0)


def event_line(event: Event) -> str:
    """An event as a line for people; empty for those that say nothing alone."""
    from runwright.model.executions import EventKind

    data = event.data
    at = f"{event.at:%H:%M:%S}"
    match event.kind:
        case EventKind.EXECUTION_STATUS:
            waits = " (waits for a person)" if data.get("waiting_for") else ""
            return f"{at}  {data.get('status', '')}{waits}"
        case EventKind.QUESTION if data.get("status") == "open":
            way = f"runwright execution answer {event.subject_id} --value ..."
            return f"{at}  asks for {data.get('parameter', '')}: {data.get('text', '')}  ({way})"
        case EventKind.QUESTION:
            by = f" by {data['by']}" if data.get("by") else ""
            return f"{at}  the question of {data.get('step', '')} is {data.get('status', '')}{by}"
        case EventKind.STEP_STARTED:
            return f"{at}  {data.get('section', 'steps')}/{data.get('step', '')} attempt {data.get('attempt', 1)}"
        case EventKind.STEP_FINISHED:
            return f"{at}  {data.get('section', 'steps')}/{data.get('step', '')} {data.get('status', '')}"
        case EventKind.CHECK_FINISHED:
            return f"{at}  check {data.get('check', '')}: {data.get('outcome', '')} {data.get('reason', '')}"
        case EventKind.STEP_OUTPUT:
            return "          | " + str(data.get("text", "")).rstrip("\n").replace("\n", "\n          | ")
        case _:
            return ""


def show_result(result: ExecutionResult) -> None:
    """The telemetry for people: steps with their last output, state changes, verification."""
    say(
        f"{result.execution_id}  {result.runbook.id} v{result.runbook.version}  {result.status.value}"
        + (f"  {result.duration_seconds:.1f} s" if result.duration_seconds is not None else ""),
        style="bold",
    )
    for step in result.steps:
        say(
            f"  {step.section.value}/{step.id} ({step.kind}): {step.status.value}"
            + (f" - {step.reason}" if step.reason else "")
        )
        for attempt in step.attempts[-1:]:
            for line in (attempt.stderr or attempt.stdout).splitlines()[-6:]:
                say(f"      | {line}")
    for change in result.state_diff:
        say(f"  changed: {change.text}")
    if result.verification is not None:
        seen = result.verification
        say(f"  verification: {seen.outcome.value} ({seen.confidence:.0%}) {seen.explanation}")
        for check in seen.checks:
            say(f"    {check.id}: {check.outcome.value} - {check.reason}")
    if result.question is not None:
        say(f"  asks for {_wanted(result.question)} until {moment(result.question.expires_at)}: {result.question.text}")
    if result.error is not None:
        say(f"  error [{result.error.code}]: {result.error.message}")
