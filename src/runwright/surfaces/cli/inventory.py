"""`runwright host` and `runwright client`: what is managed. Checking, trusting and importing are in `hosts.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.model.policy import PolicyMode
from runwright.surfaces.cli import hosts as more
from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.host_options import (
    AddLogin,
    Become,
    BecomePassword,
    Client,
    Connection,
    Credential,
    HostKeys,
    Jump,
    JumpCredential,
    JumpHostKeys,
    JumpLogin,
    JumpPassphrase,
    Labels,
    NamedHost,
    OptionalClient,
    Passphrase,
    Policy,
    Ssh,
    connection_of,
    find_host,
    labels_of,
)
from runwright.surfaces.cli.output import Json, moment, print_json, say, table

if TYPE_CHECKING:
    from runwright.model.hosts import Host, HostCheck

hosts = typer.Typer(help="Managed hosts.", no_args_is_help=True)
clients = typer.Typer(help="Clients (tenants).", no_args_is_help=True)


@clients.command("add")
def add_client(client_id: str, name: Annotated[str, typer.Option("--name")] = "", json_: Json = False) -> None:
    """Register a client."""
    with connect() as server:
        client = server.add_client(client_id, name or client_id)
    if json_:
        print_json(client)
    else:
        say(f"{client.id}: registered")


@clients.command("list")
def list_clients(json_: Json = False) -> None:
    """Registered clients."""
    with connect() as server:
        found = server.clients()
    if json_:
        print_json(found)
    else:
        table("Clients", ("id", "name"), [(item.id, item.name) for item in found], "None: runwright client add ID.")


@hosts.command("add")
def add_host(
    hostname: str,
    client: Client = "default",
    connection: Connection = "local",
    login: AddLogin = None,
    credential: Credential = None,
    passphrase: Passphrase = None,
    become: Become = None,
    become_password: BecomePassword = None,
    jump: Jump = None,
    jump_login: JumpLogin = None,
    jump_credential: JumpCredential = None,
    jump_passphrase: JumpPassphrase = None,
    host_key: HostKeys = None,
    jump_host_key: JumpHostKeys = None,
    label: Labels = None,
    policy: Policy = None,
    json_: Json = False,
) -> None:
    """Register a host of a client. Secrets are named, never given."""
    from runwright.model.hosts import ExecutionPolicy, NewHost
    from runwright.surfaces.host_ways import built

    options = Ssh(
        *(login, credential, passphrase, become_password, jump, jump_login, jump_credential, jump_passphrase),
        tuple(host_key or ()),
        tuple(jump_host_key or ()),
    )
    fields: dict[str, Any] = {
        "client_id": client,
        "hostname": hostname,
        "labels": labels_of(label),
        "connection": connection_of(connection, options, client, None),
        "become": bool(become),
        "policy": ExecutionPolicy(mode=policy or PolicyMode.AUTO),
    }
    new = built(NewHost, fields)
    with connect() as server:
        host = server.add_host(new)
    if json_:
        print_json(host)
        return
    say(f"{host.id}: {host.hostname} registered")
    if host.connection.kind == "ssh":
        say(f"Next: accept its host key with `runwright host trust {host.hostname}`.")


@hosts.command("list")
def list_hosts(client: OptionalClient = None, json_: Json = False) -> None:
    """Registered hosts."""
    from runwright.surfaces.host_ways import way_of

    with connect() as server:
        found = server.hosts(**({"client_id": client} if client else {}))
    if json_:
        print_json(found)
        return
    rows = [
        (item.id, item.client_id, item.hostname, way_of(item.connection), item.policy.mode.value, _labels(item))
        for item in found
    ]
    empty = "None: runwright host add HOSTNAME."
    table("Hosts", ("id", "client", "hostname", "connection", "policy", "labels"), rows, empty)


@hosts.command("show")
def show_host(name: NamedHost, client: OptionalClient = None, json_: Json = False) -> None:
    """One host with its last checks."""
    with connect() as server:
        host = find_host(server, name, client)
        checks = server.host_checks(host.id)
    if json_:
        print_json({"host": host, "checks": checks})
        return
    _show(host, checks)


@hosts.command("edit")
def edit_host(
    name: NamedHost,
    client: OptionalClient = None,
    rename: Annotated[str | None, typer.Option("--rename", help="A new hostname.")] = None,
    connection: Connection = None,
    login: AddLogin = None,
    credential: Credential = None,
    passphrase: Passphrase = None,
    become: Become = None,
    become_password: BecomePassword = None,
    jump: Jump = None,
    jump_login: JumpLogin = None,
    jump_credential: JumpCredential = None,
    jump_passphrase: JumpPassphrase = None,
    no_jump: Annotated[bool, typer.Option("--no-jump", help="Go straight to it.")] = False,
    host_key: HostKeys = None,
    jump_host_key: JumpHostKeys = None,
    label: Labels = None,
    remove_label: Annotated[list[str] | None, typer.Option("--remove-label", help="NAME")] = None,
    policy: Policy = None,
    json_: Json = False,
) -> None:
    """Change what is named; the rest stays."""
    from runwright.model.hosts import HostChange
    from runwright.surfaces.host_ways import built

    options = Ssh(
        *(login, credential, passphrase, become_password, jump, jump_login, jump_credential, jump_passphrase),
        tuple(host_key or ()),
        tuple(jump_host_key or ()),
        no_jump=no_jump,
    )
    with connect() as server:
        known = find_host(server, name, client)
        fields: dict[str, Any] = {"hostname": rename, "become": become}
        if connection is not None or options.given:
            fields["connection"] = connection_of(connection, options, known.client_id, known.connection)
        if label or remove_label:
            kept = {key: value for key, value in known.labels.items() if key not in (remove_label or ())}
            fields["labels"] = {**kept, **labels_of(label)}
        if policy is not None:
            fields["policy"] = known.policy.model_copy(update={"mode": policy})
        host = server.edit_host(known.id, built(HostChange, fields))
    if json_:
        print_json(host)
    else:
        _show(host, [])


@hosts.command("remove")
def remove_host(name: NamedHost, client: OptionalClient = None, json_: Json = False) -> None:
    """Take a host off the inventory. What ran on it stays; refused while something waits or runs on it."""
    with connect() as server:
        host = find_host(server, name, client)
        server.remove_host(host.id)
    if json_:
        print_json({"id": host.id, "hostname": host.hostname, "removed": True})
    else:
        say(f"{host.id}: {host.hostname} removed; what ran on it stays")


def _labels(host: Host) -> str:
    return ", ".join(f"{name}={value}" for name, value in host.labels.items())


def _show(host: Host, checks: list[HostCheck]) -> None:
    from runwright.model.hosts import endpoints, fingerprint, secrets_of
    from runwright.surfaces.host_ways import address_of, way_of

    say(f"{host.hostname}  {host.id}  client {host.client_id}", style="bold")
    say(f"connection {way_of(host.connection)}{', steps through sudo' if host.become else ''}")
    for endpoint in endpoints(host.connection):
        keys = [f"{key.partition(' ')[0]} {fingerprint(key)}" for key in endpoint.host_keys]
        say(f"  {address_of(endpoint)}: login {endpoint.login.value}, accepts {', '.join(keys) or 'no host key yet'}")
    if secrets := secrets_of(host.connection):
        say(f"secrets {', '.join(dict.fromkeys(item.name for item in secrets))}")
    say(f"policy {host.policy.mode.value}")
    say(f"labels {_labels(host) or '-'}")
    for check in checks:
        verdict = "not made yet" if check.reachable is None else "reachable" if check.reachable else check.problem
        say(f"checked {moment(check.created_at)}: {verdict}")


more.add_commands(hosts)
