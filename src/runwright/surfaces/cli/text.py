"""`runwright risk` and `runwright redact`: filters over text; neither needs a server."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, print_json, print_line, say
from runwright.surfaces.cli.published import stamped


def _lines(field: str) -> list[str]:
    """The texts on standard input: JSON lines `{field: "..."}`. Raises InvalidInput naming every bad line."""
    from runwright.model.errors import Fault, InvalidInput

    texts: list[str] = []
    faults: list[Fault] = []
    for number, line in enumerate(sys.stdin, start=1):
        if not line.strip():
            continue
        try:
            data: Any = json.loads(line)
            value = data[field]
            if not isinstance(value, str):
                raise TypeError(type(value).__name__)
        except (ValueError, KeyError, TypeError, RecursionError):
            faults.append(
                Fault(message=f'found {line.strip()[:80]!r}; allowed: {{"{field}": "text"}}', file="stdin", line=number)
            )
        else:
            texts.append(value)
    if faults:
        raise InvalidInput("Standard input was refused.", next_step="Give one JSON object a line.", faults=faults)
    return texts


def risk(
    command: Annotated[str | None, typer.Argument(help="One shell text; without it JSON lines are read.")] = None,
    json_: Json = False,
) -> None:
    """What shell text would do: verdict, risk classes and effective commands. Exit 1 if any is refused."""
    from runwright.model.risk import RiskVerdict
    from runwright.runbooks.risk import assess_command, assess_commands

    refused = False
    if command is not None:
        report = assess_command(command)
        refused = report.verdict is RiskVerdict.REFUSE
        if json_:
            print_json(stamped("risk", report))
        else:
            classes = ", ".join(item.value for item in report.classes) or "no risk class"
            say(f"{report.verdict.value}: {classes}")
            for found in report.findings:
                say(f"  {found.rule}: {found.explanation}" + (f" Safer: {found.safer}" if found.safer else ""))
            say("  runs: " + "; ".join(report.commands))
    else:
        texts = _lines("command")
        for text, report in zip(texts, assess_commands(texts), strict=True):
            refused = refused or report.verdict is RiskVerdict.REFUSE
            print_line({**stamped("risk", report), "command": text})
    raise typer.Exit(NEGATIVE if refused else POSITIVE)


def redact(
    text: Annotated[str | None, typer.Argument(help="One text; without it JSON lines are read.")] = None,
    json_: Json = False,
) -> None:
    """Mask secrets in text. Exit 1 if something was found."""
    from runwright.model.redaction import redact as mask

    found = False
    if text is not None:
        answer = mask(text)
        found = bool(answer.found)
        if json_:
            print_json(stamped("redact", answer))
        else:
            say(answer.text)
    else:
        for line in _lines("text"):
            answer = mask(line)
            found = found or bool(answer.found)
            print_line(stamped("redact", answer))
    raise typer.Exit(NEGATIVE if found else POSITIVE)


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module on the root."""
    app.command()(risk)
    app.command()(redact)
