"""`runwright host check|trust|import`: can it be reached, is it the one that we mean, and many of them at once."""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.host_options import (
    Client,
    Labels,
    NamedHost,
    OptionalClient,
    find_host,
    labels_of,
)
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE, Json, print_json, say, table, warn

if TYPE_CHECKING:
    from runwright.model.hosts import Host, HostCheck, HostFacts, HostImport, SeenKey
    from runwright.surfaces.client import RunwrightClient
    from runwright.surfaces.host_import import Defaults

PATIENCE = 120.0
"""Seconds that a check is waited for: a host behind a jump server that drops packets takes a while to give up on."""
EVERY = 0.2

_SECRET_VARIABLE = re.compile(r"pass|secret|token|vault|private_key|api_?key", re.IGNORECASE)

pause = threading.Event().wait
"""Seconds to wait; apart so that tests need none."""


def check(name: NamedHost, client: OptionalClient = None, json_: Json = False) -> None:
    """Let a worker look at a host: its key, user, sudo, system, tools, clock. Exit 1 if no run would work."""
    with connect() as server:
        host = find_host(server, name, client)
        done = checked(server, host)
    if json_:
        print_json(done)
    else:
        show_check(host, done)
    raise typer.Exit(POSITIVE if done.ready else NEGATIVE)


def checked(server: RunwrightClient, host: Host) -> HostCheck:
    """Queue a look at a host and wait for a worker to make it. Raises Unavailable where none does."""
    from runwright.model.errors import Unavailable
    from runwright.model.hosts import CheckStatus

    asked = server.check_host(host.id)
    for _ in range(round(PATIENCE / EVERY)):
        found = server.host_check(host.id, asked.id)
        if found.status is CheckStatus.DONE:
            return found
        pause(EVERY)
    raise Unavailable(
        f"No worker has checked {host.hostname} within {PATIENCE:.0f} s.",
        next_step="Look whether one runs: `runwright doctor`.",
    )


def show_check(host: Host, done: HostCheck) -> None:
    """What came of a check, for people."""
    verdict = "not reachable" if not done.reachable else "ready" if done.ready else "reachable, and no run would work"
    say(f"{host.hostname}: {verdict}", style="bold")
    if done.problem:
        say(f"  {done.problem} {done.next_step}".rstrip())
    rows = [*_key_rows(done.keys), *(_fact_rows(done.facts) if done.facts is not None else ())]
    if rows:
        table("", ("", ""), rows, "")
    for hint in done.hints:
        say(f"  hint: {hint}")


def _key_rows(keys: tuple[SeenKey, ...]) -> list[tuple[str, str]]:
    return [
        (
            f"host key{' of the jump server' if key.jump else ''}",
            f"{key.standing.value}  {key.key.partition(' ')[0]} {key.fingerprint}",
        )
        for key in keys
    ]


def _fact_rows(facts: HostFacts) -> list[tuple[str, str]]:
    def known(value: object) -> str:
        return "not known" if value is None or value == "" else str(value)

    sudo = "not needed" if facts.uid == 0 else {True: "works", False: "does not work", None: "not known"}[facts.become]
    groups = {True: "yes", False: "no", None: "not known"}[facts.control_groups]
    skew = f"{facts.clock_skew_seconds:+.1f} s" if facts.clock_skew_seconds is not None else "not known"
    return [
        ("user", f"{known(facts.user)} (uid {known(facts.uid)})"),
        ("sudo", sudo),
        ("system", f"{known(facts.os)}, init {known(facts.init)}"),
        ("missing tools", ", ".join(facts.missing_tools) or "none"),
        ("control groups", groups),
        ("supervisor directory", known(facts.supervisor_directory)),
        ("clock", skew),
        ("round trip", f"{facts.round_trip_ms:.1f} ms" if facts.round_trip_ms is not None else "not known"),
    ]


def trust(
    name: NamedHost,
    client: OptionalClient = None,
    fingerprint: Annotated[
        list[str] | None,
        typer.Option("--fingerprint", help="SHA256:... that the key must have, known from elsewhere; repeatable."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Accept a first key without being asked; never one that changed.")
    ] = False,
    json_: Json = False,
) -> None:
    """Show the host key that an SSH host offers, and accept it. Also of the server on the way to it."""
    from runwright.model.hosts import KeyStanding

    if json_ and not (yes or fingerprint):
        from runwright.model.errors import UsageFault

        raise UsageFault(
            "Found --json and nothing that says which key is right.", allowed="Give --fingerprint or --yes."
        )
    accepted: list[SeenKey] = []
    with connect() as server:
        host = find_host(server, name, client)
        # Twice at most: behind a jump server the host's own key is seen only after that one's was accepted.
        for _ in range(3):
            done = checked(server, host)
            offered = next((key for key in done.keys if key.standing is not KeyStanding.ACCEPTED), None)
            if offered is None:
                break
            _show_offer(host, done, offered)
            _agree(offered, fingerprint or [], yes)
            host = _accept(server, host, offered)
            accepted.append(offered)
    if json_:
        print_json({"host": host, "accepted": accepted, "check": done})
    elif not accepted and done.reachable:
        say(f"{host.hostname}: offers no other key than the accepted ones")
    for key in accepted if not json_ else ():
        say(f"accepted {key.fingerprint}{' of the jump server' if key.jump else ''}")
    if not done.reachable and not json_:
        show_check(host, done)
    raise typer.Exit(POSITIVE if done.reachable or (accepted and done.code != "host-key-refused") else NEGATIVE)


def _show_offer(host: Host, done: HostCheck, offered: SeenKey) -> None:
    """The offered key; where it replaced another, beside the accepted ones and with a warning. On standard error."""
    from runwright.model.hosts import KeyStanding

    whose = f"the jump server of {host.hostname}" if offered.jump else host.hostname
    warn(f"{whose} offers {offered.key.partition(' ')[0]} {offered.fingerprint}")
    if offered.standing is KeyStanding.CHANGED:
        for key in done.keys:
            if key.standing is KeyStanding.ACCEPTED and key.jump == offered.jump:
                warn(f"accepted until now  {key.key.partition(' ')[0]} {key.fingerprint}")
        warn(
            "WARNING: this is another key than the accepted one. Either the machine was set up anew, or something else "
            "answers in its place. Compare the fingerprint on the machine's own console: "
            "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        )


def _agree(offered: SeenKey, fingerprints: list[str], yes: bool) -> None:
    """Return if the key is to be accepted. Raises Refused, UsageFault where nobody can be asked."""
    from runwright.model.errors import Refused, UsageFault
    from runwright.model.hosts import KeyStanding

    if fingerprints:
        if offered.fingerprint not in fingerprints:
            raise Refused(
                f"Found {offered.fingerprint}, which is not the fingerprint given.",
                allowed="Nothing was accepted.",
                next_step="Find out which machine answers before anything is sent to it.",
            )
        return
    changed = offered.standing is KeyStanding.CHANGED
    if yes and not changed:
        return
    if yes and changed:
        raise Refused(
            "Found a key that changed, and --yes, which accepts only first ones.",
            next_step=f"Compare it on the machine's console, then give --fingerprint {offered.fingerprint}.",
        )
    if not sys.stdin.isatty():
        raise UsageFault(
            "Found nobody to ask whether the key is right.", allowed="Allowed: --fingerprint SHA256:..., --yes."
        )
    if not typer.confirm("Is this the machine that you mean?", default=False):
        raise Refused("The key was not accepted.", allowed="Nothing was changed.")


def _accept(server: RunwrightClient, host: Host, offered: SeenKey) -> Host:
    """A first key is added to the accepted ones; one that changed takes their place."""
    from runwright.model.hosts import AcceptedKeys, KeyStanding, endpoints

    servers = list(endpoints(host.connection))
    known = servers[1 if offered.jump else 0].host_keys
    keys = (offered.key,) if offered.standing is KeyStanding.CHANGED else (*known, offered.key)
    form = AcceptedKeys(jump_host_keys=keys) if offered.jump else AcceptedKeys(host_keys=keys)
    return server.accept_host_keys(host.id, form)


def import_(
    file: Annotated[str, typer.Argument(help="The inventory; `-` for standard input.")],
    client: Client = "default",
    format_: Annotated[
        str | None, typer.Option("--format", help="ansible (INI, YAML, JSON of ansible-inventory --list) or csv.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "--check", help="Only say what would come of it.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Change registered hosts that differ.")] = False,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", help="A group or host to take, or !NAME to leave out; repeatable.")
    ] = None,
    user: Annotated[str, typer.Option("--user", help="Of hosts that name none.")] = "root",
    login: Annotated[str, typer.Option("--login", help="key, password or agent, of hosts that name none.")] = "key",
    credential: Annotated[
        str, typer.Option("--credential", help="Name of the secret of hosts that name none.")
    ] = "ssh-key",
    jump: Annotated[str | None, typer.Option("--jump", help="Server to go through, for hosts that name none.")] = None,
    label: Labels = None,
    label_var: Annotated[
        list[str] | None, typer.Option("--label-var", help="An Ansible variable that becomes a label; repeatable.")
    ] = None,
    json_: Json = False,
) -> None:
    """Register the hosts of an Ansible inventory or a CSV file: all or none. Values of secrets are never taken over."""
    from runwright.model.hosts import ImportedHosts
    from runwright.surfaces.host_import import read_hosts

    kind = _format(format_)
    defaults = _defaults(client, user, login, credential, jump, label, label_var, limit)
    raw, name = _given(file)
    read = read_hosts(raw, name, defaults, kind)
    form = ImportedHosts(client_id=client, hosts=read.hosts, update=update, dry_run=dry_run, own_labels=read.own_labels)
    with connect() as server:
        outcome = server.import_hosts(form)
    notes = [*read.notes, *_beside(file)]
    if json_:
        print_json({**outcome.model_dump(mode="json"), "notes": notes})
    else:
        show_import(outcome, notes)


def _format(text: str | None) -> str | None:
    from runwright.model.errors import UsageFault
    from runwright.surfaces.host_import import FORMATS

    if text is not None and text not in FORMATS:
        raise UsageFault(f"Found --format {text!r}.", allowed=f"Allowed: {', '.join(FORMATS)}.")
    return text


def _defaults(
    client: str,
    user: str,
    login: str,
    credential: str,
    jump: str | None,
    label: list[str] | None,
    label_var: list[str] | None,
    limit: list[str] | None,
) -> Defaults:
    """What holds for hosts of which the file says nothing. Raises UsageFault."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import SshLogin
    from runwright.surfaces.cli.host_options import LOGINS
    from runwright.surfaces.host_import import Defaults
    from runwright.surfaces.host_ways import server_of

    if login not in LOGINS:
        raise UsageFault(f"Found --login {login!r}.", allowed=f"Allowed: {', '.join(LOGINS)}.")
    for name in label_var or ():
        if _SECRET_VARIABLE.search(name):
            raise UsageFault(
                f"Found --label-var {name}.", allowed="Allowed: variables that hold no secret: labels are shown to all."
            )
    made = Defaults(
        client=client,
        user=user,
        login=SshLogin(login),
        credential=credential,
        labels=labels_of(label),
        label_variables=tuple(label_var or ()),
        limit=tuple(limit or ()),
    )
    try:
        made.secret(credential)
        return replace(made, jump=server_of(jump)) if jump is not None else made
    except ValueError as error:
        raise UsageFault(f"Found an option that does not fit: {error}.") from error


def _given(file: str) -> tuple[bytes, str]:
    """The bytes of the file and its name. Raises InvalidInput."""
    from runwright.model.errors import InvalidInput
    from runwright.surfaces.host_import.read import MAX_BYTES

    try:
        if file == "-":
            return sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"
        with Path(file).open("rb") as opened:
            return opened.read(MAX_BYTES + 1), file
    except OSError as error:
        raise InvalidInput(f"Found {file}, which cannot be read ({error.strerror}).") from error


def _beside(file: str) -> list[str]:
    """What lies beside an inventory and is not read with it."""
    folder = Path(file).parent
    found = [name for name in ("group_vars", "host_vars") if file != "-" and (folder / name).is_dir()]
    if not found:
        return []
    return [
        f"Not read: {' and '.join(found)} beside {file}. "
        f"`ansible-inventory -i {file} --list` puts all together; its output can be imported."
    ]


def show_import(outcome: HostImport, notes: list[str]) -> None:
    """What came, or would come, of an import, for people."""
    would = "" if outcome.applied else "would be "
    rows = [(f"{would}new", name, "") for name in outcome.new]
    rows += [
        ("changed" if outcome.updated else "differs", item.hostname, ", ".join(item.fields)) for item in outcome.changed
    ]
    rows += [("unchanged", name, "") for name in outcome.unchanged]
    table("Hosts", ("", "hostname", "what"), rows, "No hosts in the file.")
    say(f"{len(outcome.new)} {would}new, {len(outcome.changed)} differ, {len(outcome.unchanged)} unchanged")
    if outcome.changed and not outcome.updated:
        say("Give --update to change those that differ.")
    for note in notes:
        say(f"note: {note}")
    if outcome.secrets:
        say("Secrets that these hosts name, and where each may be put (one of them is enough):", style="bold")
        for secret in outcome.secrets:
            say(f"  {secret.name}: {secret.file} (mode 600), {secret.variable}, or the credential {secret.credential}")
    if outcome.new and outcome.applied:
        say("Next: accept their host keys with `runwright host trust NAME`.")


def add_commands(app: typer.Typer) -> None:
    """Put the commands of this module on the group `host`."""
    app.command("check")(check)
    app.command("trust")(trust)
    app.command("import")(import_)
