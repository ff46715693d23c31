"""How hosts and ways to them are named on the command line. Only names of secrets: a value would be in the history of
the shell and in the list of processes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runwright.model.policy import PolicyMode

if TYPE_CHECKING:
    from runwright.model.hosts import Connection as AnyConnection
    from runwright.model.hosts import Host, SecretRef, SshConnection, SshEndpoint
    from runwright.surfaces.client import RunwrightClient

LOGINS = ("key", "agent", "password")

NamedHost = Annotated[str, typer.Argument(metavar="NAME", help="Hostname or id of a registered host.")]
Client = Annotated[str, typer.Option("--client", help="The client (tenant).")]
OptionalClient = Annotated[str | None, typer.Option("--client", help="Only of this client.")]
Connection = Annotated[
    str | None, typer.Option("--connection", help="local, nspawn:MACHINE, or ssh://[user@]address[:port].")
]
AddLogin = Annotated[
    str | None,
    typer.Option("--login", help="key, password, or agent (the worker's own; takes an admin of everything)."),
]
Credential = Annotated[
    str | None, typer.Option("--credential", help="Name of the secret with the private key or the password.")
]
Passphrase = Annotated[str | None, typer.Option("--passphrase", help="Name of the secret with the key's passphrase.")]
Become = Annotated[bool | None, typer.Option("--become/--no-become", help="Run steps through sudo.")]
BecomePassword = Annotated[
    str | None, typer.Option("--become-password", help="Name of the secret with the password that sudo asks for.")
]
Jump = Annotated[str | None, typer.Option("--jump", help="ssh://[user@]address[:port] of a server to go through.")]
JumpLogin = Annotated[str | None, typer.Option("--jump-login", help="As --login, at that server; else the same.")]
JumpCredential = Annotated[
    str | None, typer.Option("--jump-credential", help="As --credential, at that server; else the same.")
]
JumpPassphrase = Annotated[str | None, typer.Option("--jump-passphrase", help="As --passphrase, at that server.")]
HostKeys = Annotated[
    list[str] | None, typer.Option("--host-key", help="An accepted host key, as 'ssh-ed25519 AAAA...'; repeatable.")
]
JumpHostKeys = Annotated[list[str] | None, typer.Option("--jump-host-key", help="As --host-key, of the jump server.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE; repeatable.")]
Policy = Annotated[PolicyMode | None, typer.Option("--policy", help="What an incident may start by itself; else auto.")]

_SECRET = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,126}")


@dataclass(frozen=True)
class Ssh:
    """The options that speak of SSH, as given."""

    login: str | None = None
    credential: str | None = None
    passphrase: str | None = None
    become_password: str | None = None
    jump: str | None = None
    jump_login: str | None = None
    jump_credential: str | None = None
    jump_passphrase: str | None = None
    host_keys: tuple[str, ...] = ()
    jump_host_keys: tuple[str, ...] = ()
    no_jump: bool = False

    @property
    def given(self) -> bool:
        """Whether any of them was given."""
        return self != Ssh()


def connection_of(text: str | None, options: Ssh, client: str, known: AnyConnection | None) -> AnyConnection:
    """The connection that the options describe, on top of the known one. Raises UsageFault."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import LocalConnection, NspawnConnection, SshConnection
    from runwright.surfaces.host_ways import FORMS, built

    kind, _, rest = (text or "").partition(":")
    if text is None and isinstance(known, SshConnection):
        return _ssh(None, options, client, known)
    if kind == "ssh" and rest.startswith("//"):
        return _ssh(rest[2:], options, client, known if isinstance(known, SshConnection) else None)
    if text is not None and not (text == "local" or (kind == "nspawn" and rest)):
        raise UsageFault(f"Found --connection {text!r}.", allowed=f"Allowed: {FORMS}.")
    if options.given:
        raise UsageFault(
            "Found options of SSH for a host that is not reached by it.",
            next_step="Give --connection ssh://[user@]address[:port] with them.",
        )
    if text is None:
        return known or LocalConnection()
    return LocalConnection() if kind == "local" else built(NspawnConnection, {"machine": rest})


def _ssh(address: str | None, options: Ssh, client: str, known: SshConnection | None) -> SshConnection:
    from runwright.model.hosts import SshConnection
    from runwright.surfaces.host_ways import built

    fields: dict[str, Any] = {name: getattr(known, name) for name in SshConnection.model_fields} if known else {}
    fields |= _server(address, "--connection") if address is not None else {}
    fields |= _login(options.login, options.credential, options.passphrase, client, "", fields)
    if options.become_password is not None:
        fields["become_password"] = _secret(options.become_password, client, "--become-password")
    if options.host_keys:
        fields["host_keys"] = tuple(_key(key) for key in options.host_keys)
    fields["jump"] = _jump(options, client, fields)
    return built(SshConnection, fields)


def _jump(options: Ssh, client: str, host: dict[str, Any]) -> SshEndpoint | None:
    """The server to go through. What is not said of it is as at the host."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import SshEndpoint
    from runwright.surfaces.host_ways import built

    known: SshEndpoint | None = host.get("jump")
    about = (options.jump_login, options.jump_credential, options.jump_passphrase, *options.jump_host_keys)
    if options.no_jump or (options.jump is None and known is None):
        if options.jump is not None or any(about):
            raise UsageFault("Found options of a jump server and none to go through.", next_step="Give --jump.")
        return None
    fields: dict[str, Any] = {name: getattr(known, name) for name in SshEndpoint.model_fields} if known else {}
    if known is None:
        fields = {name: host[name] for name in ("user", "login", "credential", "passphrase") if name in host}
    fields |= _server(options.jump, "--jump") if options.jump is not None else {}
    fields |= _login(options.jump_login, options.jump_credential, options.jump_passphrase, client, "jump-", fields)
    if options.jump_host_keys:
        fields["host_keys"] = tuple(_key(key) for key in options.jump_host_keys)
    return built(SshEndpoint, fields)


def _login(
    login: str | None, credential: str | None, passphrase: str | None, client: str, prefix: str, known: dict[str, Any]
) -> dict[str, Any]:
    """The fields of a login, on top of the known ones. Raises UsageFault."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import SshLogin

    if login is not None and login not in LOGINS:
        raise UsageFault(f"Found --{prefix}login {login!r}.", allowed=f"Allowed: {', '.join(LOGINS)}.")
    fields: dict[str, Any] = {}
    if login is not None:
        fields["login"] = SshLogin(login)
    kind = fields.get("login", known.get("login", SshLogin.KEY))
    if kind is SshLogin.AGENT:
        if credential or passphrase:
            raise UsageFault(
                f"Found --{prefix}login agent with a secret.", allowed="Allowed: the agent has the keys itself."
            )
        return {**fields, "credential": None, "passphrase": None}
    if credential is not None:
        fields["credential"] = _secret(credential, client, f"--{prefix}credential")
    if passphrase is not None:
        fields["passphrase"] = _secret(passphrase, client, f"--{prefix}passphrase")
    if fields.get("credential", known.get("credential")) is None:
        raise UsageFault(
            f"Found no --{prefix}credential for the login by {kind.value}.",
            allowed="Allowed: the name of a secret of the client that holds the private key or the password.",
            next_step="docs/how-to/register-hosts.md says where its value is put.",
        )
    return fields


def _server(text: str, option: str) -> dict[str, Any]:
    from runwright.model.errors import UsageFault
    from runwright.surfaces.host_ways import FORMS, server_of

    try:
        return server_of(text).fields()
    except ValueError as error:
        raise UsageFault(f"Found {option} {text!r}.", allowed=f"Allowed: {FORMS}.") from error


def _secret(name: str, client: str, option: str) -> SecretRef | None:
    """The reference; None for an empty name, which takes it off. The error does not repeat what may be the secret."""
    from runwright.model.errors import UsageFault
    from runwright.model.hosts import SecretRef

    if not name:
        return None
    if not _SECRET.fullmatch(name):
        raise UsageFault(
            f"Found no name of a secret after {option}.",
            allowed="Allowed: a letter, then letters, digits, '.', '_' and '-'; never the value itself.",
        )
    return SecretRef(client_id=client, name=name)


def _key(text: str) -> str:
    """Algorithm and base64 of a line of a .pub or known_hosts file, without the comment."""
    return " ".join(text.split()[:2])


def labels_of(pairs: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` pairs. Raises UsageFault."""
    from runwright.model.errors import UsageFault

    found: dict[str, str] = {}
    for pair in pairs or ():
        name, mark, value = pair.partition("=")
        if not mark or not name:
            raise UsageFault(f"Found --label {pair!r}.", allowed="Allowed: NAME=VALUE.")
        found[name] = value
    return found


def find_host(server: RunwrightClient, name: str, client: str | None) -> Host:
    """A host by id or hostname. Raises NotFound, UsageFault where several clients have one of this name."""
    from runwright.model.errors import NotFound, UsageFault

    where = {"hostname": name, **({"client_id": client} if client else {})}
    found = server.hosts(**where)
    if not found and name.startswith("hst_"):
        host = server.host(name)
        found = [host] if client in (None, host.client_id) else []
    if not found:
        raise NotFound(f"Found no host {name!r}.", next_step="`runwright host list` shows the registered ones.")
    if len(found) > 1:
        names = ", ".join(sorted(host.client_id for host in found))
        raise UsageFault(f"Found host {name!r} of several clients ({names}).", next_step="Say which with --client.")
    return found[0]
