"""`runwright audit`: the hash-chained record of every decision."""

from __future__ import annotations

from typing import Annotated

import typer

from runwright.surfaces.cli.interrupt import run_until_done
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, AlwaysJson, Json, print_json, print_line, say

app = typer.Typer(help="The audit chains: verify, export.", no_args_is_help=True)

Chain = Annotated[str | None, typer.Option("--chain", help="A client id, or `system`; all if left out.")]


@app.command()
def verify(chain: Chain = None, json_: Json = False) -> None:
    """Check the chains in this server's database, and against the checkpoints signed outside it.

    Exit 1 naming each edited, removed, inserted or reordered entry.
    """
    from runwright.surfaces.wiring import verify_audit

    chains, found = run_until_done(verify_audit())
    names = [chain] if chain else sorted({*chains, *(fault.chain for fault in found)})
    faults = {name: [fault for fault in found if fault.chain == name] for name in names}
    if json_:
        print_json(
            {name: {"entries": len(chains.get(name, ())), "faults": faults[name]} for name in names},
        )
    else:
        for name in names:
            say(f"{name}: {len(chains.get(name, ()))} entries, {'intact' if not faults[name] else 'BROKEN'}")
            for fault in faults[name]:
                say(f"  {fault.text}")
    raise typer.Exit(NEGATIVE if any(faults.values()) else POSITIVE)


@app.command()
def export(chain: Chain = None, json_: AlwaysJson = True) -> None:
    """All entries as JSON lines."""
    from runwright.surfaces.wiring import audit_chains

    for name, entries in run_until_done(audit_chains()).items():
        if chain in (None, name):
            for entry in entries:
                print_line(entry)
