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


class SshConnection(Record):
    """A host reached by SSH with a strictly checked host key."""

    kind: Literal["ssh"] = "ssh"
    address: str
    port: int = Field(default=22, ge=1, le=65535)
    user: str = "root"
    credential: SecretRef | None = None


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
