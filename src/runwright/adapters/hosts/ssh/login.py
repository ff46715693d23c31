"""What an SSH endpoint says of getting in, as settings of asyncssh: that, and nothing else, is tried.

No agent, key, configuration or list of known hosts of the user who runs this is looked at, unless the
endpoint itself names the agent.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncssh
from asyncssh.public_key import get_default_public_key_algs

from runwright.model.errors import HostUnreachable, NotFound, Refused
from runwright.model.hosts import SecretRef, SshEndpoint, SshLogin
from runwright.model.ports.secrets import SecretSource

RSA = ("rsa-sha2-512", "rsa-sha2-256")
"""Signatures of an `ssh-rsa` key that are worth something (RFC 8332)."""
BANNER = 200
"""Characters of a server's own words that a message quotes."""


def shown(text: str) -> str:
    """A server's own words for a message: one short line, without control, bidi and zero-width characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:BANNER]


class LoginClient(asyncssh.SSHClient):
    """Judges the server's key and answers for the password. One for each connection attempt."""

    def __init__(self, accepted: Iterable[str], password: str | None) -> None:
        self._accepted = {base64.b64decode(key.split(" ")[1]) for key in accepted}
        self._password = password
        self.offered: asyncssh.SSHKey | None = None
        self.accepted = False
        self.said = ""
        """The server's banner as a sentence, for messages."""
        self.lost = False
        """The connection has ended, for whatever reason."""
        self.on_lost: Callable[[], None] = lambda: None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.offered = key
        self.accepted = key.public_data in self._accepted
        return self.accepted

    def auth_banner_received(self, msg: str, lang: str) -> None:
        said = shown(msg)
        self.said = f" It said: {said}" if said else ""

    def _once(self) -> str | None:
        # servers count failures: what was refused is not tried by another method
        password, self._password = self._password, None
        return password

    def password_auth_requested(self) -> str | None:
        return self._once()

    def kbdint_auth_requested(self) -> str | None:
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> Sequence[str] | None:
        if not prompts:
            return []
        # one question whose answer is not shown is for the password; anything else (a code, a new
        # password) has no answer here
        if len(prompts) != 1 or prompts[0][1]:
            return None
        password = self._once()
        return None if password is None else [password]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.on_lost()


@dataclass(frozen=True)
class Login:
    """Ready to be used once."""

    client: LoginClient
    settings: Mapping[str, object]
    described: str
    """How it goes in, for messages; no value of a secret."""


def key_algorithms(accepted: Iterable[str]) -> list[str]:
    """Signatures to ask the server for: those of the accepted keys first.

    A server with several keys then shows the one that is known, and not one that looks changed.
    """
    known = [name for key in accepted for name in (RSA if key.startswith("ssh-rsa ") else (key.split(" ")[0],))]
    usual = [name.decode() for name in get_default_public_key_algs()]
    return list(dict.fromkeys([*(name for name in known if name in usual), *usual]))


async def make_login(endpoint: SshEndpoint, secrets: SecretSource | None, stack: AsyncExitStack, edit: str) -> Login:
    """Resolve what the endpoint names. `stack` closes what is open until the login is over, `edit` is the
    command that changes what the endpoint names, up to its option.

    Raises HostUnreachable saying which secret is missing or unreadable.
    """
    password: str | None = None
    keys: list[asyncssh.SSHKey] | list[asyncssh.SSHKeyPair] | None = None
    methods = "publickey"
    if endpoint.login is SshLogin.PASSWORD:
        password = _value(endpoint.credential, secrets, "password", f"{edit}credential NAME")
        methods, described = "password,keyboard-interactive", f"the password {_name(endpoint.credential)}"
    elif endpoint.login is SshLogin.AGENT:
        pairs = await _agent_keys(stack)
        keys, described = pairs, f"the {len(pairs)} keys of the SSH agent" if len(pairs) != 1 else "the agent's key"
    else:
        key = await _private_key(endpoint, secrets, edit)
        keys, described = [key], f"the key {_name(endpoint.credential)} ({key.get_fingerprint()})"
    client = LoginClient(endpoint.host_keys, password)
    settings: dict[str, object] = {
        "client_factory": lambda: client,
        "username": endpoint.user,
        "client_keys": keys,
        "preferred_auth": methods,
        "server_host_key_algs": key_algorithms(endpoint.host_keys),
        # judged by the client above, so that a refused key can be named
        "known_hosts": ([], [], []),
        "config": None,
        "agent_path": None,
        "agent_forwarding": False,
        "x509_trusted_certs": None,
        "x509_trusted_cert_paths": [],
        "host_based_auth": False,
        "gss_host": None,
        "client_username": endpoint.user,
        "compression_algs": None,
        "utf8_decode_errors": "replace",
    }
    return Login(client=client, settings=settings, described=described)


def _name(reference: SecretRef | None) -> str:
    return reference.name if reference else ""


def _value(reference: SecretRef | None, secrets: SecretSource | None, what: str, command: str) -> str:
    if reference is None:
        raise HostUnreachable(f"Found no {what} named for this login.", next_step=f"Name it: {command}")
    if secrets is None:
        raise HostUnreachable(f"No secrets are configured here, and the login needs {reference.name}.")
    try:
        return secrets.resolve(reference)
    except (NotFound, Refused) as problem:
        raise HostUnreachable(problem.found, allowed=problem.allowed, next_step=problem.next_step) from problem


async def _private_key(endpoint: SshEndpoint, secrets: SecretSource | None, edit: str) -> asyncssh.SSHKey:
    command = f"{edit}passphrase NAME"
    text = _value(endpoint.credential, secrets, "private key", f"{edit}credential NAME")
    lock = None if endpoint.passphrase is None else _value(endpoint.passphrase, secrets, "passphrase", command)
    name = _name(endpoint.credential)
    try:
        # deriving the key from a passphrase takes long on purpose
        return await asyncio.to_thread(asyncssh.import_private_key, text if text.endswith("\n") else f"{text}\n", lock)
    except (asyncssh.KeyEncryptionError, asyncssh.KeyImportError) as problem:
        raise _unreadable(name, str(problem), lock, command) from problem


def _unreadable(name: str, problem: str, passphrase: str | None, command: str) -> HostUnreachable:
    """`problem` is asyncssh's own sentence; it never quotes the key."""
    words = problem.lower()
    if "bcrypt" in words:
        return HostUnreachable(
            f"The private key {name} is locked in OpenSSH's own format, which needs the Python package bcrypt.",
            next_step="Install bcrypt beside Runwright, or convert a copy: ssh-keygen -p -m PKCS8 -f KEYFILE",
        )
    if "passphrase must be specified" in words:
        return HostUnreachable(
            f"The private key {name} is locked with a passphrase, and none is named.",
            next_step=f"Name it: {command}",
        )
    if passphrase is not None and ("decrypt" in words or "passphrase" in words):
        return HostUnreachable(
            f"The passphrase does not unlock the private key {name}.",
            next_step="Try both by hand: ssh-keygen -y -f KEYFILE",
        )
    return HostUnreachable(
        f"The secret {name} is no private key that can be read: {problem}.",
        allowed="Allowed: the text of a private key in OpenSSH, PKCS#8 or PEM format.",
        next_step="Try it by hand: ssh-keygen -y -f KEYFILE",
    )


async def _agent_keys(stack: AsyncExitStack) -> list[asyncssh.SSHKeyPair]:
    path = os.environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise HostUnreachable(
            "The login asks an SSH agent, and SSH_AUTH_SOCK is not set where the worker runs.",
            next_step="Start an agent, load the key (ssh-add KEYFILE), and start Runwright in its environment.",
        )
    try:
        agent = await asyncssh.connect_agent(path)
        stack.callback(agent.close)
        keys = list(await agent.get_keys())
    except (OSError, ValueError) as problem:
        raise HostUnreachable(
            f"The SSH agent at {path} does not answer: {problem}.", next_step="Check it by hand: ssh-add -l"
        ) from problem
    if not keys:
        raise HostUnreachable(f"The SSH agent at {path} holds no keys.", next_step="Load one: ssh-add KEYFILE")
    return keys
