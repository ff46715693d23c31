"""Managed machines and how they are reached."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from runwright.model.base import Moment, Record
from runwright.model.ids import ClientId
from runwright.model.policy import PolicyMode as PolicyMode


class Platform(StrEnum):
    LINUX = "linux"


class SecretRef(Record):
    """The name of a secret, never its value; resolved in the host adapter at the moment of use."""

    client_id: ClientId
    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,126}$")


class LocalConnection(Record):
    """This machine itself."""

    kind: Literal["local"] = "local"


class NspawnConnection(Record):
    """A systemd-nspawn machine on this machine, by name."""

    kind: Literal["nspawn"] = "nspawn"
    machine: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")


class SshLogin(StrEnum):
    """How the user of an SSH connection proves who it is."""

    KEY = "key"
    """A private key: the secret named by `credential`."""
    AGENT = "agent"
    """The SSH agent of the worker's environment."""
    PASSWORD = "password"  # noqa: S105 - the name of a method
    """The secret named by `credential`."""


PublicKey = Annotated[str, Field(pattern=r"^[a-z0-9@.-]{3,64} [A-Za-z0-9+/=]{16,4096}$")]
"""Algorithm and base64, as in a `.pub` file, without its comment."""


class SshEndpoint(Record):
    """One SSH server and how to get in. Secrets are references, resolved when the connection is made."""

    address: Annotated[str, Field(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]{0,252}$")]
    """A host name or IP address."""
    port: int = Field(default=22, ge=1, le=65535)
    user: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.@-]{0,63}$")] = "root"
    login: SshLogin = SshLogin.KEY
    credential: SecretRef | None = None
    """The private key's text (OpenSSH or PEM), or the password; none for the agent."""
    passphrase: SecretRef | None = None
    """Of the private key, where it has one."""
    host_keys: tuple[PublicKey, ...] = ()
    """The server's keys that were accepted. Empty: nobody has accepted any yet, and nothing connects."""


class SshConnection(SshEndpoint):
    """A host reached by SSH with a strictly checked host key."""

    kind: Literal["ssh"] = "ssh"
    become_password: SecretRef | None = None
    """For sudo, where it asks for one."""
    jump: SshEndpoint | None = None
    """A server to go through."""


Connection = Annotated[LocalConnection | NspawnConnection | SshConnection, Field(discriminator="kind")]


class ExecutionPolicy(Record):
    """What may run on a host, and when."""

    mode: PolicyMode = PolicyMode.AUTO
    max_concurrent_hosts: int = Field(default=10, ge=1)
    max_failures: int = Field(default=5, ge=1)


class Host(Record):
    """One managed machine of a client."""

    id: str
    client_id: ClientId
    hostname: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")
    platform: Platform = Platform.LINUX
    labels: dict[str, str] = Field(default_factory=dict)
    connection: Connection
    become: bool = False
    """Whether steps run through sudo unless they say otherwise."""
    policy: ExecutionPolicy = ExecutionPolicy()
    created_at: Moment


class NewHost(Record):
    """A host as a person describes it."""

    client_id: ClientId
    hostname: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")
    platform: Platform = Platform.LINUX
    labels: dict[str, str] = Field(default_factory=dict)
    connection: Connection
    become: bool = False
    policy: ExecutionPolicy = ExecutionPolicy()


class HostIdentity(Record):
    """What an open session is connected to, as the adapter knows it.

    `lab_machine` is set only by the lab's own factory, for a machine it isolated itself; it is what
    a `LabRunbook` is bound to (promise 11).
    """

    host_id: str
    kind: str
    lab_machine: str | None = None
