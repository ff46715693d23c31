"""Managed machines and how they are reached."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from runwright.model.base import Moment, Record, Sha256
from runwright.model.ids import ClientId, digest
from runwright.model.policy import PolicyMode as PolicyMode


class Platform(StrEnum):
    LINUX = "linux"


SecretName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,126}$")]
"""The name of a secret of a client."""


class SecretRef(Record):
    """The name of a secret, never its value; resolved in the host adapter at the moment of use."""

    client_id: ClientId
    name: SecretName


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

LabelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]{0,250}$"),
]
"""Text without control, bidi and zero-width characters."""


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
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=64)
    connection: Connection
    become: bool = False
    policy: ExecutionPolicy = ExecutionPolicy()


class HostChange(Record):
    """What is to be different about a host; what is left out stays."""

    hostname: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")
    labels: dict[LabelName, LabelValue] | None = Field(default=None, max_length=64)
    """All of them: what is not named here is taken off."""
    connection: Connection | None = None
    become: bool | None = None
    policy: ExecutionPolicy | None = None


class AcceptedKeys(Record):
    """The host keys that are accepted from now on; what is left out stays."""

    host_keys: tuple[PublicKey, ...] | None = Field(default=None, max_length=16)
    jump_host_keys: tuple[PublicKey, ...] | None = Field(default=None, max_length=16)
    """Those of the server to go through."""


class ImportedHosts(Record):
    """Hosts of one client as an inventory file names them."""

    client_id: ClientId
    hosts: tuple[NewHost, ...] = Field(max_length=5000)
    update: bool = False
    """Whether hosts that are registered already and differ are changed."""
    dry_run: bool = False
    """Only say what would come of it."""
    own_labels: str = Field(default="", max_length=20)
    """Labels that begin so are the file's: one that it no longer names is taken off. Others stay."""


class HostDifference(Record):
    """A registered host that an inventory file describes otherwise."""

    hostname: str
    fields: tuple[str, ...]
    """What differs: `connection`, `labels`, `become`."""


class SecretPlaces(Record):
    """A secret that imported hosts need, and where its value may be put."""

    name: str
    file: str
    """On the worker's machine; mode 600."""
    variable: str
    """Of the worker's environment."""
    credential: str
    """A systemd credential of the worker's unit."""


class HostImport(Record):
    """What came, or would come, of an import."""

    new: tuple[str, ...] = ()
    changed: tuple[HostDifference, ...] = ()
    unchanged: tuple[str, ...] = ()
    applied: bool = False
    """False where nothing was written: it was only asked for."""
    updated: bool = False
    """Whether the changed ones were changed."""
    secrets: tuple[SecretPlaces, ...] = ()


class KeyStanding(StrEnum):
    """What an SSH server's host key is to us."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    """Nobody has accepted any key of this server yet."""
    CHANGED = "changed"
    """Another key than the accepted ones."""


class SeenKey(Record):
    """A host key of an SSH server."""

    key: str
    """As in a `.pub` file, without its comment."""
    fingerprint: str
    standing: KeyStanding
    jump: bool = False
    """Of the server to go through."""


class HostFacts(Record):
    """What a host said of itself when it was checked. None and empty: it did not say."""

    user: str = ""
    uid: int | None = None
    become: bool | None = None
    """Whether steps can run as root through sudo; None for root itself."""
    become_problem: str = ""
    os: str = ""
    init: str = ""
    missing_tools: tuple[str, ...] = ()
    """Programs that the supervisor or state capture use and the host lacks."""
    control_groups: bool | None = None
    """Whether a step runs in a control group of its own, so that ending its tree misses nothing."""
    supervisor_directory: str = ""
    clock_skew_seconds: float | None = None
    """The host's clock minus the worker's; 0 where no difference can be told."""
    round_trip_ms: float | None = None


class CheckStatus(StrEnum):
    PENDING = "pending"
    """No worker has come to an end with it yet."""
    DONE = "done"


class HostCheck(Record):
    """One look at whether a host can be reached and worked on. Made by a worker; changes nothing."""

    id: str
    client_id: ClientId
    host_id: str
    requested_by: str
    created_at: Moment
    status: CheckStatus = CheckStatus.PENDING
    completed_at: Moment | None = None
    reachable: bool | None = None
    ready: bool | None = None
    """Whether a run could work: reachable, with what the supervisor needs, and with sudo if its steps use it."""
    code: str = ""
    """Of the error that was in the way."""
    problem: str = ""
    """What was in the way, in a sentence."""
    next_step: str = ""
    keys: tuple[SeenKey, ...] = ()
    """Of an SSH host: the accepted keys, and the one that was offered and refused."""
    facts: HostFacts | None = None
    hints: tuple[str, ...] = ()
    """What does not stand in the way and a person should know, in sentences."""


class HostIdentity(Record):
    """What an open session is connected to, as the adapter knows it.

    `lab_machine` is set only by the lab's own factory, for a machine it isolated itself; it is what
    a `LabRunbook` is bound to (promise 11).
    """

    host_id: str
    kind: str
    lab_machine: str | None = None


def fingerprint(key: PublicKey) -> str:
    """`SHA256:...` of a public key, as `ssh-keygen -l` prints it (RFC 4253 section 6.6 gives the blob).

    Raises ValueError where the text is no public key of the algorithm that it names.
    """
    algorithm, _, encoded = key.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("found text that is not base64") from error
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length] != algorithm.encode() or len(blob) <= 4 + length:
        raise ValueError(f"found a key that is none of {algorithm}")
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def connection_digest(connection: Connection) -> Sha256:
    """By which the audit chain tells one way to a host from another: address, user, keys, names of secrets."""
    return digest(connection.model_dump(mode="json"))


def endpoints(connection: Connection) -> Iterator[SshEndpoint]:
    """The SSH servers on the way to a host, the host itself first; none for other kinds."""
    if isinstance(connection, SshConnection):
        yield connection
        if connection.jump is not None:
            yield connection.jump


def secrets_of(connection: Connection) -> tuple[SecretRef, ...]:
    """Every secret that a connection names."""
    named = [found for server in endpoints(connection) for found in (server.credential, server.passphrase)]
    if isinstance(connection, SshConnection):
        named.append(connection.become_password)
    return tuple(found for found in named if found is not None)
