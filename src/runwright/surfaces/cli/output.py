"""How commands print: tables and sentences for people, JSON for programs, errors with a way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from runwright.model.errors import RunwrightError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

AlwaysJson = Annotated[bool, typer.Option("--json", help="Taken for uniformity: this command always prints JSON.")]

POSITIVE, NEGATIVE, USAGE, NO_VERDICT = 0, 1, 2, 3
"""Exit status of every command: positive verdict, negative, usage, no verdict."""


UNFOLDED = 10_000
"""Columns: wider than any row."""


@cache
def console() -> Console:
    """Standard output. Markup is off: what comes from telemetry is never read as style."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(markup=False, highlight=False)
    # Into a pipe nothing is folded: an id that is broken over two lines cannot be found or copied.
    return Console(markup=False, highlight=False, soft_wrap=True, width=UNFOLDED)


@cache
def errors() -> Console:
    """Standard error."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, soft_wrap=True)


def plain(value: Any) -> Any:
    """Records, and collections of them, as JSON data with the public field names."""
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    terminal = sys.stdout.isatty()  # which would act on what some characters say
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=terminal, indent=2 if terminal else None) + "\n")


def print_line(value: Any) -> None:
    """One JSON document on a line of its own, for JSON lines."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def shown(text: str) -> str:
    """Text that may come from a host, safe for a terminal: hidden characters are written as `<U+001B>`."""
    if text.replace("\n", "").isprintable():
        return text
    from runwright.model.redaction import visible  # late: most lines need none of it

    return visible(text.replace("\t", "    "))


def say(text: str, style: str | None = None) -> None:
    """A line for people."""
    console().print(shown(text), style=style)


def warn(text: str) -> None:
    """A line for people beside the output."""
    errors().print(shown(text), style="yellow" if sys.stderr.isatty() else None)


def moment(at: datetime | None) -> str:
    """A time as tables show it; empty for none."""
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else ""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """A table, or the sentence that says what to do when there is nothing in it."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, overflow="fold")
    found = False
    for row in rows:
        found = True
        made.add_row(*(Text("" if cell is None else shown(str(cell))) for cell in row))
    if found:
        console().print(made)
    else:
        say(empty)


def show_error(error: RunwrightError, *, as_json: bool) -> None:
    """The whole error on standard error: what was found, what is allowed, what to do next, every fault."""
    if as_json:
        problem = {
            "code": error.code,
            "found": error.found,
            "allowed": error.allowed,
            "next_step": error.next_step,
            "faults": plain(list(error.faults)),
        }
        sys.stderr.write(json.dumps(problem, ensure_ascii=False) + "\n")
        return
    errors().print(shown(f"error [{error.code}]: {error}"), style="red" if sys.stderr.isatty() else None)
    for fault in error.faults:
        if str(fault) not in str(error):  # some errors spell their faults out themselves
            errors().print(shown(f"  {fault}"))
