"""`runwright learn`: diagnose and improve results of any executor; no server, no database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, print_json, print_line, say
from runwright.surfaces.cli.published import stamped
from runwright.surfaces.engine import Engine

if TYPE_CHECKING:
    from runwright.model.executions import ExecutionResult
    from runwright.model.proposals import Improvement

app = typer.Typer(help="Why a run failed, and what would make its runbook better.", no_args_is_help=True)

ResultFile = Annotated[
    Path | None, typer.Argument(help="An ExecutionResult as JSON; without it JSON lines are read.", show_default=False)
]
EngineOption = Annotated[Engine, typer.Option("--engine", help="rules: offline; llm: rules first, then the model.")]


def _results(file: Path | None) -> list[ExecutionResult]:
    from pydantic import ValidationError

    from runwright.model.errors import Fault, InvalidInput
    from runwright.model.executions import ExecutionResult
    from runwright.surfaces.cli.files import read_text

    sources = [(str(file), 1, read_text(file))] if file else [("stdin", n, t) for n, t in enumerate(sys.stdin, 1)]
    results: list[ExecutionResult] = []
    faults: list[Fault] = []
    for name, number, text in sources:
        if not text.strip():
            continue
        try:
            results.append(ExecutionResult.model_validate_json(text))
        except ValidationError as error:
            faults += [
                Fault(message=item["msg"], file=name, line=number, path=".".join(str(part) for part in item["loc"]))
                for item in error.errors()
            ]
    if faults or not results:
        raise InvalidInput(
            "Found no valid ExecutionResult." if not faults else "The input was refused.",
            next_step="The form is docs/reference/schemas/execution-result.json.",
            faults=faults,
        )
    return results


@app.command()
def diagnose(result: ResultFile = None, engine: EngineOption = Engine.AUTO, json_: Json = False) -> None:
    """Print why runs failed. Exit 1 if any stays undetermined."""
    import asyncio

    from runwright.learning.diagnosis import diagnose as ask
    from runwright.model.diagnoses import FailureType
    from runwright.surfaces.wiring import language_model

    model = language_model(engine)
    undetermined = False
    for item in _results(result):
        answer = asyncio.run(ask(item, model=model, runbooks={}))
        undetermined = undetermined or answer.failure_type is FailureType.UNDETERMINED
        if result is None:
            print_line(stamped("diagnosis", answer))
        elif json_:
            print_json(stamped("diagnosis", answer))
        else:
            say(f"{answer.failure_type.value} ({answer.confidence:.0%}, by {answer.method.value})", style="bold")
            say(answer.reasoning)
            for signal in answer.signals:
                say(f"  {signal.kind.value} at {signal.place}: {signal.excerpt}")
    raise typer.Exit(NEGATIVE if undetermined else POSITIVE)


@app.command()
def improve(
    result: ResultFile = None,
    runbook: Annotated[Path | None, typer.Option("--runbook", help="The runbook that failed.")] = None,
    engine: EngineOption = Engine.AUTO,
    json_: Json = False,
) -> None:
    """Print proposed edits and the resulting runbook. Exit 1 where an edit is not the right consequence."""
    import asyncio

    from runwright.learning.diagnosis import diagnose as ask
    from runwright.learning.improve import improve as propose
    from runwright.model.errors import UsageFault
    from runwright.surfaces.cli.files import read_text
    from runwright.surfaces.wiring import language_model

    if runbook is None:
        raise UsageFault("Found no --runbook.", allowed="Allowed: the YAML file of the runbook that failed.")
    text = read_text(runbook)
    model = language_model(engine)
    refused = False
    for item in _results(result):

        async def both(item: ExecutionResult = item) -> Improvement:
            diagnosis = await ask(item, model=model, runbooks={})
            return await propose(item, text, diagnosis, model=model)

        answer = asyncio.run(both())
        refused = refused or answer.refused is not None
        if result is None:
            print_line(stamped("improvement", answer))
        elif json_:
            print_json(stamped("improvement", answer))
        else:
            _show(answer)
    raise typer.Exit(NEGATIVE if refused else POSITIVE)


def _show(answer: Improvement) -> None:
    say(f"{answer.diagnosis.failure_type.value}: {answer.diagnosis.reasoning}", style="bold")
    if answer.refused is not None:
        say(f"No edit: {answer.refused}")
        return
    for edit in answer.edits:
        say(f"  {edit.op}: {edit.reason}")
    say(answer.runbook_yaml or "")
