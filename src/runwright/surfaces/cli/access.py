"""`runwright user`, `token` and `key`: who may do what. The first admin is made on the server itself."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from runwright.surfaces.cli.connect import connect, server_url, store_secret
from runwright.surfaces.cli.interrupt import run_until_done
from runwright.surfaces.cli.output import Json, print_json, say, table

users = typer.Typer(help="People: add on the server, log in anywhere.", no_args_is_help=True)
tokens = typer.Typer(help="Machines' tokens. They cannot approve.", no_args_is_help=True)
keys = typer.Typer(help="The approval key and the public keys that workers hold.", no_args_is_help=True)

PasswordOption = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")
]


def _password(from_stdin: bool, *, confirm: bool) -> str:
    from runwright.model.errors import UsageFault

    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise UsageFault("Found no terminal to ask for the password.", allowed="Allowed: --password-stdin.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=confirm))


def _grants(roles: list[str]) -> list[dict[str, str | None]]:
    """`approver` or `operator:acme` as grants. Raises UsageFault on an unknown role."""
    from runwright.model.errors import UsageFault
    from runwright.model.principals import Role

    grants: list[dict[str, str | None]] = []
    for text in roles:
        role, _, client = text.partition(":")
        if role not in set(Role):
            raise UsageFault(
                f"Found role {role!r}.", allowed=f"Allowed: {', '.join(Role)}, with :CLIENT for one client."
            )
        grants.append({"role": role, "client_id": client or None})
    return grants


RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="reporter, viewer, operator, author, approver or admin; ROLE:CLIENT for one client."),
]


@users.command("add")
def add_user(
    name: str,
    role: RoleOption = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="The first admin, made directly in this server's database.")
    ] = False,
    password_stdin: PasswordOption = False,
    json_: Json = False,
) -> None:
    """Add a person. The first one is made on the server with --admin; that admin then adds others."""
    from runwright.model.errors import UsageFault
    from runwright.surfaces.wiring import with_access

    if admin == bool(role):
        raise UsageFault(
            "Found both or neither of --admin and --role.", allowed="Allowed: --admin, or --role ROLE[:CLIENT]."
        )
    grants = _grants(role or [])
    password = _password(password_stdin, confirm=True)
    if admin:
        run_until_done(with_access(lambda access: access.bootstrap_admin(name, password)))
    else:
        with connect() as server:
            server.add_user(name, password, list(grants))
    if json_:
        print_json({"name": name, "grants": grants})
    else:
        say(f"{name}: added. Log in with: runwright user login {name}")


@users.command()
def login(name: str, password_stdin: PasswordOption = False, json_: Json = False) -> None:
    """Open a session at the server and keep its secret for later commands."""
    password = _password(password_stdin, confirm=False)
    with connect(anonymous=True) as server:
        answer = server.login(name, password)
    store_secret(server_url(), answer.secret)
    if json_:
        print_json(answer.principal)
    else:
        say(f"Logged in at {server_url()} as {answer.principal.name}.")


@users.command()
def logout(json_: Json = False) -> None:
    """End the session and forget its secret."""
    with connect() as server:
        server.logout()
    store_secret(server_url(), None)
    if json_:
        print_json({"url": server_url(), "logged_in": False})
    else:
        say("Logged out.")


@users.command()
def whoami(json_: Json = False) -> None:
    """Who this command line is to the server."""
    with connect() as server:
        principal = server.whoami()
    if json_:
        print_json(principal)
        return
    grants = ", ".join(f"{item.role.value}:{item.client_id or 'all'}" for item in principal.grants)
    say(f"{principal.name} ({principal.kind.value}, by {principal.method.value}): {grants or 'no grants'}")


@tokens.command("create")
def create_token(
    name: str,
    role: RoleOption = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650)] = 90,
    json_: Json = False,
) -> None:
    """Make a token for a machine; it is shown once."""
    with connect() as server:
        token = server.create_token(name, list(_grants(role or [])), days)
    if json_:
        print_json(token)
    else:
        say(f"{token.id}\n{token.secret}")


@tokens.command("revoke")
def revoke_token(token_id: str, json_: Json = False) -> None:
    """End a token at once."""
    with connect() as server:
        server.revoke_token(token_id)
    if json_:
        print_json({"id": token_id, "revoked": True})
    else:
        say(f"{token_id}: revoked")


@keys.command("list")
def list_keys(json_: Json = False) -> None:
    """Public keys by which this installation checks approvals."""
    from runwright.surfaces.settings import Settings
    from runwright.surfaces.wiring import keyring

    settings = Settings()
    found = keyring(settings).public_keys() if settings.public_keys_dir.is_dir() else {}
    if json_:
        print_json({key: value.hex() for key, value in found.items()})
    else:
        rows = [(key, value.hex()) for key, value in found.items()]
        table("Keys", ("key id", "ed25519 public key"), rows, "None yet: the server makes one at its first start.")
