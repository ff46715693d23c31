"""The command line. Every command's exit status: 0 positive verdict, 1 negative, 2 usage, 3 no verdict."""

from __future__ import annotations

import logging
import os
import sys

import typer
from typer._click.exceptions import ClickException  # typer exports its subclasses, not the base

from runwright import __version__
from runwright.surfaces.cli import (
    access,
    audit,
    evidence,
    execution,
    incident,
    inventory,
    lab,
    learn,
    review,
    runbook,
    server,
    text,
)
from runwright.surfaces.cli.output import NEGATIVE, show_error

app = typer.Typer(
    name="runwright",
    help="Run runbooks on real hosts, prove that the incident is over, turn failures into reviewed better versions.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"runwright {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Options before the command."""


for module in (server, text, incident, evidence):
    module.add_commands(app)
for name, group in (
    ("incident", incident.app),
    ("execution", execution.app),
    ("evidence", evidence.app),
    ("runbook", runbook.app),
    ("review", review.app),
    ("learn", learn.app),
    ("lab", lab.app),
    ("audit", audit.app),
    ("host", inventory.hosts),
    ("client", inventory.clients),
    ("user", access.users),
    ("token", access.tokens),
    ("key", access.keys),
):
    app.add_typer(group, name=name)


def _call(*, as_json: bool) -> None:
    """Run the command that was called. For a program a wrong call is an error of ours, with a code; for people typer
    shows how the call should look."""
    if not as_json:
        app()
        return
    try:
        status = app(standalone_mode=False)
    except ClickException as wrong:
        from runwright.model.errors import UsageFault

        context = getattr(wrong, "ctx", None)
        path = context.command_path if context is not None else "runwright"
        raise UsageFault(wrong.format_message(), next_step=f"See `{path} --help`.") from wrong
    except typer.Abort:
        status = NEGATIVE
    sys.exit(status)


def main() -> None:
    """Run the command line; every error is a sentence and an exit status, never a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    as_json = "--json" in sys.argv
    try:
        _call(as_json=as_json)
    except BrokenPipeError:
        # The reader went away (`| head`): nothing is wrong here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(NEGATIVE)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from runwright.model.errors import RunwrightError  # late: a call that goes well needs no pydantic

        if isinstance(error, RunwrightError):
            show_error(error, as_json=as_json)
            sys.exit(error.exit_status)
        if os.environ.get("RUNWRIGHT_DEBUG"):
            raise
        sys.stderr.write(
            f"error [internal]: {type(error).__name__}: {error}\n"
            "This is a fault of Runwright. Run the command again with RUNWRIGHT_DEBUG=1 and report what it prints.\n"
        )
        sys.exit(NEGATIVE)
