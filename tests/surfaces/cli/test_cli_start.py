"""Starting up: quick, light, complete for shells, and `--json` wherever something is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from runwright.surfaces.cli.main import app

if TYPE_CHECKING:
    from conftest import Cli

HEAVY = {
    "sqlalchemy",
    "fastapi",
    "starlette",
    "uvicorn",
    "dbos",
    "pydantic",
    "pydantic_ai",
    "rich",
    "asyncio",
    "alembic",
}

WITHOUT_JSON = {
    "demo": "a story for people at a terminal",
}
"""Command -> why it has no --json."""


def commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command of the tree that does something, by its full name."""
    for name, command in node.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


PLAIN = {"client", "status", "incident", "name", "note", "days", "severity"}
"""Options whose name says it all."""

COMMANDS = dict(commands(typer.main.get_command(app)))


def python(text: str) -> str:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_needs_nothing_heavy() -> None:
    loaded = python(
        "import sys\n"
        "from runwright.surfaces.cli.main import main\n"
        "sys.argv = ['runwright', '--help']\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "print('MODULES', *sys.modules)\n"
    )
    help_text, _, modules = loaded.partition("MODULES ")
    assert "worker" in help_text
    assert {name.partition(".")[0] for name in modules.split()} & HEAVY == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_is_for(name: str) -> None:
    command = COMMANDS[name]
    assert (command.help or "").strip().endswith((".", ")")), f"{name} has no sentence"
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help or parameter.name in PLAIN, f"{name} {parameter.opts} has no help"


def test_every_command_prints_json_for_programs() -> None:
    silent = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert silent == set(WITHOUT_JSON)


def test_there_are_the_commands_that_the_documentation_promises() -> None:
    promised = {"demo", "serve", "worker", "run", "incident", "execution", "runbook", "review", "learn", "risk"}
    promised |= {"redact", "lab", "audit", "user", "token", "key", "kpis", "doctor"}
    assert promised <= {name.split()[0] for name in COMMANDS}


def test_a_shell_gets_its_completion() -> None:
    runwright = Path(sys.executable).with_name("runwright")
    shown = subprocess.run(
        ["bash", "-c", f"{runwright} --show-completion bash; exit $?"],
        capture_output=True,
        text=True,
        env={**os.environ, "SHELL": "/bin/bash"},
        check=False,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    assert "complete -o default -F _runwright_completion runwright" in shown.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("runwright re", {"release", "redact", "review"}),
        ("runwright runbook ", {"lint", "diff", "schema", "add", "list", "show", "history"}),
        ("runwright run service_crash --severity ", {"critical", "high", "medium", "low"}),
        ("runwright learn diagnose --engine ", {"auto", "rules", "llm"}),
    ],
)
def test_completion_offers_commands_and_choices(words: str, offered: set[str]) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("runwright")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "_RUNWRIGHT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        },
        check=False,
        timeout=60,
    )
    assert set(done.stdout.split()) == offered, done.stderr


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("nonsense", "No such command"),
        ("risk --nonsense", "--nonsense"),
        ("runbook lint", "files"),
        ("lab trial x y --jobs 0", "greater than or equal to 1"),
        ("run service_crash --host x --set a=b --severity awful", "critical"),
    ],
)
def test_a_wrong_call_is_a_usage_error(cli: Cli, call: str, says: str) -> None:
    said = cli(*call.split())
    assert (said.status, said.out) == (2, "")
    assert says in said.err
    assert "-h' for help" in said.err
    program = cli(*call.split(), "--json")
    assert (program.status, program.out) == (2, "")
    assert program.problem["code"] == "usage"
    assert says in program.problem["found"]
    assert "--help" in program.problem["next_step"]
