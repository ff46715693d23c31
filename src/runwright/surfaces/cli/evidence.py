"""`runwright evidence`, and `runwright ansible-plugin-path`: what is kept of runs, and where results come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.output import NEGATIVE, NO_VERDICT, POSITIVE, Json, print_json, say

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="Evidence bundles: check them, without a server.", no_args_is_help=True)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A bundle of `runwright execution export`.", show_default=False)],
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="A public key (PEM) to trust; may be given several times.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check every byte, signature and digest of a bundle, and name what was changed.

    Trusted are the keys given, else this machine's own. Exit 1 if anything was changed or a key given did not sign it,
    3 if all is intact and who signed it is unknown here.
    """
    from runwright.execution.evidence_check import EvidenceVerdict, check_bundle
    from runwright.surfaces.cli.files import read_bytes

    trusted = _given(key) if key else _own()
    report = check_bundle(read_bytes(file), trusted, named=bool(key))
    if json_:
        print_json(report)
    elif report.verdict is EvidenceVerdict.CHANGED:
        say(f"CHANGED: {file}", style="bold red")
        for finding in report.findings:
            say(f"  {finding.part}: {finding.problem}")
    else:
        say(f"{report.execution_id} of client {report.client_id}: {report.status}, {report.runbook}", style="bold")
        say(f"approved by {report.approved_by}")
        if report.verdict is EvidenceVerdict.INTACT:
            say(f"intact, signed by {', '.join(report.signers)}")
        else:
            say(f"intact, signer unknown: {', '.join(report.unknown)}")
            say("Compare it with `runwright key list` on the server, then name its file in public-keys/ with --key.")
    statuses = {
        EvidenceVerdict.INTACT: POSITIVE,
        EvidenceVerdict.CHANGED: NEGATIVE,
        EvidenceVerdict.UNKNOWN_SIGNER: NO_VERDICT,
    }
    raise typer.Exit(statuses[report.verdict])


def _given(paths: list[Path]) -> Mapping[str, bytes]:
    from runwright.surfaces.wiring import public_key

    return dict(public_key(path) for path in paths)


def _own() -> Mapping[str, bytes]:
    """This machine's keyring; empty where there is none."""
    from runwright.surfaces.settings import Settings
    from runwright.surfaces.wiring import keyring

    settings = Settings()
    return keyring(settings).public_keys() if settings.public_keys_dir.is_dir() else {}


def ansible_plugin_path(json_: Json = False) -> None:
    """Print the folder of the Ansible callback plugin, for `callback_plugins` in ansible.cfg."""
    from runwright.surfaces import __file__ as surfaces

    folder = Path(surfaces).parent / "ansible"
    if json_:
        print_json({"path": str(folder)})
    else:
        say(str(folder))


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module on the root."""
    app.command("ansible-plugin-path")(ansible_plugin_path)
