"""`runwright runbook`: lint, diff and schema need no server; add, list, show and history speak to one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, AlwaysJson, Json, print_json, say, table

app = typer.Typer(help="Runbooks and their versions.", no_args_is_help=True)


@app.command()
def lint(
    files: Annotated[list[Path], typer.Argument(help="Runbook files.")],
    json_: Json = False,
) -> None:
    """Load and check runbooks. Exit 1 if a check found an error, 3 if a file is no runbook."""
    from runwright.runbooks.lint import lint as check
    from runwright.runbooks.load import load_runbook
    from runwright.surfaces.cli.files import read_text

    bad = False
    answers = []
    for file in files:
        loaded = load_runbook(read_text(file), str(file))
        findings = check(loaded)
        bad = bad or any(finding.severity.value == "error" for finding in findings)
        answers.append({"file": str(file), "id": loaded.document.id, "digest": loaded.digest, "findings": findings})
        if json_:
            continue
        say(f"{file}: {loaded.document.id} {loaded.digest}", style="bold")
        for finding in findings:
            place = f"{file}:{finding.line}" if finding.line else str(file)
            say(f"  {place}: {finding.severity.value} [{finding.rule}] {finding.message}")
        if not findings:
            say("  nothing found")
    if json_:
        print_json(answers)
    raise typer.Exit(NEGATIVE if bad else POSITIVE)


@app.command()
def diff(old: Path, new: Path, json_: Json = False) -> None:
    """What changed between two versions, step by step. Exit 1 if anything did."""
    from runwright.runbooks.diff import diff_runbooks
    from runwright.surfaces.cli.files import read_text

    before, after = read_text(old), read_text(new)
    answer = diff_runbooks(before, after)
    if json_:
        print_json(answer)
    else:
        say(answer.unified or "No difference.")
    raise typer.Exit(NEGATIVE if before != after else POSITIVE)


@app.command()
def schema(json_: AlwaysJson = True) -> None:
    """Print the JSON Schema of the runbook language."""
    from runwright.runbooks.schema import json_schema

    print_json(json_schema())


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="Runbook files.")],
    scope: Annotated[str, typer.Option("--scope", help="`all`, or `client:<id>`.")] = "all",
    json_: Json = False,
) -> None:
    """Store runbooks as new versions and submit them for review. Nothing runs before a person approves."""
    from runwright.runbooks.load import load_runbook
    from runwright.surfaces.cli.files import read_text

    texts = [read_text(file) for file in files]
    for file, text in zip(files, texts, strict=True):
        load_runbook(text, str(file))
    with connect() as server:
        added = [server.add_runbook(text, scope) for text in texts]
    if json_:
        print_json(added)
        return
    for item in added:
        say(f"{item.version.id}: waits for review ({', '.join(entry.id for entry in item.items)})")


@app.command("list")
def list_(json_: Json = False) -> None:
    """Every runbook with its live version."""
    with connect() as server:
        lines = server.runbooks()
    if json_:
        print_json(lines)
        return
    rows = [
        (
            line["runbook_id"],
            line["name"],
            line["versions"],
            ", ".join(f"{k}: {v}" for k, v in line["live"].items()) or "none",
        )
        for line in lines
    ]
    table("Runbooks", ("id", "name", "versions", "live"), rows, "No runbooks yet: runwright runbook add FILE.")


@app.command()
def show(version_id: str, json_: Json = False) -> None:
    """The text of one version, exactly as stored."""
    with connect() as server:
        version = server.version(version_id)
    if json_:
        print_json(version)
    else:
        say(version.text)


@app.command()
def history(runbook_id: str, json_: Json = False) -> None:
    """The line of versions: who wrote each, from what, with which digest."""
    with connect() as server:
        versions = server.versions(runbook_id)
    if json_:
        print_json(versions)
        return
    rows = [
        (item.id, item.parent or "", item.scope, item.author.name, item.origin_execution or "", item.digest[:19])
        for item in versions
    ]
    table(runbook_id, ("version", "parent", "scope", "author", "learned from", "digest"), rows, "No such runbook.")
