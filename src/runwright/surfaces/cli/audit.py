"""`runwright audit`: the hash-chained record of every decision."""

from __future__ import annotations

from typing import Annotated

import typer

from runwright.surfaces.cli.interrupt import run_until_done
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, print_json, print_line, say

app = typer.Typer(help="The audit chains: verify, export.", no_args_is_help=True)

Chain = Annotated[str | None, typer.Option("--chain", help="A client id, or `system`; all if left out.")]


@app.command()
def verify(chain: Chain = None, json_: Json = False) -> None:
    """Check every chain in this server's database. Exit 1 naming each edited, removed or reordered entry."""
    from runwright.surfaces.wiring import audit_chains, verify_audit

    chains = run_until_done(audit_chains())
    names = [chain] if chain else list(chains)
    faults = {name: [str(fault) for fault in verify_audit(chains.get(name, ()))] for name in names}
    if json_:
        print_json({name: {"entries": len(chains.get(name, ())), "faults": found} for name, found in faults.items()})
    else:
        for name, found in faults.items():
            say(f"{name}: {len(chains.get(name, ()))} entries, {'intact' if not found else 'BROKEN'}")
            for fault in found:
                say(f"  {fault}")
    raise typer.Exit(NEGATIVE if any(faults.values()) else POSITIVE)


@app.command()
def export(chain: Chain = None) -> None:
    """All entries as JSON lines."""
    from runwright.surfaces.wiring import audit_chains

    for name, entries in run_until_done(audit_chains()).items():
        if chain in (None, name):
            for entry in entries:
                print_line(entry)
