"""Every `runwright ...` that a page shows is one that the command line understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer._click.core import Context
from typer._click.exceptions import MissingParameter, UsageError

from runwright.surfaces.cli.main import app

ROOT = Path(__file__).parents[2]
REDIRECTION = re.compile(r"(?<!\S)\d?>>?\s*\S+|(?<!\S)<\s*\S+|(?<!\S)&$|(?<!\S)[|;].*|\s&&.*")
ASSIGNMENT = re.compile(r"[A-Z_]+=")


def pages() -> list[Path]:
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def shown(text: str) -> Iterator[tuple[int, str, bool]]:
    """Line number, command line and whether it is whole, of a page: from code blocks, and from within sentences."""
    fenced, previous = None, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = line.lstrip(" `") if fenced is None else None
            continue
        in_block = fenced in ("sh", "bash", "shell", "console") or (fenced is None and re.match(r" {4,}\S", line))
        if in_block:
            line = previous + line.strip().removeprefix("$ ")
            previous = line[:-1] if line.endswith("\\") else ""
            if not previous and (found := re.search(r"(?<![\w/.-])(?:\.venv/bin/)?runwright (.*)", line)):
                before = line[: found.start()].split()
                if all(ASSIGNMENT.match(word) for word in before):
                    yield number, found[1], True
        else:
            for found in re.finditer(r"`(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?runwright ([^`]+)`", line):
                yield number, found[1], False


def words_of(command: str) -> list[str]:
    """The words of a command line without pipes, redirections and comments."""
    return shlex.split(REDIRECTION.sub("", command).replace("...", ""), comments=True)


@cache
def tree() -> Any:
    """The commands, as typer builds them."""
    return typer.main.get_command(app)


def understood(words: list[str], whole: bool) -> str | None:
    """Why the command line does not understand, or None. Nothing is run."""
    node = tree()
    context = Context(node, info_name="runwright")
    while hasattr(node, "commands"):
        if not words or words[0].startswith("-"):
            known = {option for parameter in node.get_params(context) for option in parameter.opts}
            return None if set(words) <= known else f"unknown {words}"
        name, *words = words
        if "|" in name:  # `runwright runbook lint|diff|schema`
            return None if set(name.split("|")) <= set(node.commands) else f"no such commands {name}"
        if name not in node.commands:
            return f"no command {name!r}"
        node = node.commands[name]
        context = Context(node, info_name=name, parent=context)
    try:
        node.make_context(node.name, list(words), parent=context.parent)
    except MissingParameter as missing:
        return str(missing) if whole else None
    except UsageError as wrong:
        return str(wrong)
    return None


COMMANDS = [
    pytest.param(words_of(command), whole, id=f"{page.relative_to(ROOT).as_posix()}:{number}")
    for page in pages()
    for number, command, whole in shown(page.read_text(encoding="utf-8"))
    if page.name != "cli.md"  # it shows forms of calls, not calls
]


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("words", "whole"), COMMANDS)
def test_a_command_of_a_page_is_understood(words: list[str], whole: bool) -> None:
    assert understood(words, whole) is None, words


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("risk 'rm -rf /' --json | head", None),
        ("nonsense", "no command"),
        ("risk --nonsense", "No such option"),
        ("runbook lint", "Missing"),
        ("runbook nonsense x", "no command"),
        ("lab trial a b --jobs 0", "greater than or equal to 1"),
        ("run service_crash --host h --set a=b --severity awful", "awful"),
        ("serve --port 0 > log 2>&1 &", None),
    ],
)
def test_what_is_not_understood_is_found(line: str, problem: str | None) -> None:
    answer = understood(words_of(line), whole=True)
    assert answer is None if problem is None else problem in (answer or "")


def test_commands_are_found_in_blocks_and_sentences() -> None:
    text = "\n".join(
        [
            "Use `runwright risk X` or `RUNWRIGHT_LAB=false runwright serve`.",
            "",
            "    .venv/bin/runwright run service_crash \\",
            "      --host web-1 --set service=nginx",
            "",
            "```sh",
            "A=b runwright doctor",
            "```",
            "```yaml",
            "runwright doctor",
            "```",
        ]
    )
    assert [(number, command.split()[0], whole) for number, command, whole in shown(text)] == [
        (1, "risk", False),
        (1, "serve", False),
        (4, "run", True),
        (7, "doctor", True),
    ]
