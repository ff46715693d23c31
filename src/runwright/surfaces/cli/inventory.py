"""`runwright host` and `runwright client`."""

from __future__ import annotations

from typing import Annotated

import typer

from runwright.model.policy import PolicyMode
from runwright.surfaces.cli.connect import connect
from runwright.surfaces.cli.output import Json, print_json, say, table

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
    client: Annotated[str, typer.Option("--client")] = "default",
    connection: Annotated[str, typer.Option("--connection", help="local, or nspawn:MACHINE.")] = "local",
    label: Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE")] = None,
    policy: Annotated[
        PolicyMode, typer.Option("--policy", help="What an incident may start by itself.")
    ] = PolicyMode.AUTO,
    become: Annotated[bool, typer.Option("--become", help="Run steps through sudo.")] = False,
    json_: Json = False,
) -> None:
    """Register a host of a client."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import ExecutionPolicy, LocalConnection, NewHost, NspawnConnection

    kind, _, rest = connection.partition(":")
    if kind == "local" and not rest:
        way: LocalConnection | NspawnConnection = LocalConnection()
    elif kind == "nspawn" and rest:
        way = NspawnConnection(machine=rest)
    else:
        raise UsageFault(f"Found --connection {connection!r}.", allowed="Allowed: local, nspawn:MACHINE.")
    labels = {name: value for name, _, value in (pair.partition("=") for pair in label or [])}
    with connect() as server:
        host = server.add_host(
            NewHost(
                client_id=client,
                hostname=hostname,
                labels=labels,
                connection=way,
                become=become,
                policy=ExecutionPolicy(mode=policy),
            )
        )
    if json_:
        print_json(host)
    else:
        say(f"{host.id}: {host.hostname} registered")


@hosts.command("list")
def list_hosts(client: Annotated[str | None, typer.Option("--client")] = None, json_: Json = False) -> None:
    """Registered hosts."""
    with connect() as server:
        found = server.hosts(**({"client_id": client} if client else {}))
    if json_:
        print_json(found)
        return
    rows = [(item.id, item.client_id, item.hostname, item.connection.kind, item.policy.mode.value) for item in found]
    table("Hosts", ("id", "client", "hostname", "connection", "policy"), rows, "None: runwright host add HOSTNAME.")
