"""What OpenSSH options in an inventory mean for a connection: the way through, and what cannot be taken over."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from runwright.surfaces.host_ways import Server, server_of

_TAKEN_ANYWAY = frozenset(
    {"controlmaster", "controlpath", "controlpersist", "serveraliveinterval", "serveralivecountmax", "batchmode"}
    | {"connecttimeout", "connectionattempts", "compression", "loglevel", "forwardagent", "passwordauthentication"}
    | {"preferredauthentications", "tcpkeepalive", "pubkeyauthentication", "identitiesonly", "requesttty"}
)
"""How connections are kept and told of is ours to say; nothing is lost."""

_TRUSTING = frozenset({"stricthostkeychecking", "userknownhostsfile", "globalknownhostsfile", "checkhostip"})


@dataclass
class SshOptions:
    """What the options name."""

    jump: Server | None = None
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    jump_identity: str | None = None
    ignored: list[str] = field(default_factory=list)
    """Options that are not taken over, by name."""
    trusting: bool = False
    """Whether they switch off or move the check of host keys, which stays on here."""


def read_options(text: str) -> SshOptions:
    """Read a line of ssh options. Raises ValueError saying what was found and what is allowed."""
    found = SshOptions()
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"found ssh options with {error}; allowed: balanced quotes") from error
    while words:
        word = words.pop(0)
        name, value = word[:2], word[2:]
        if name in ("-o", "-J", "-p", "-l", "-i", "-F") and not value:
            if not words:
                raise ValueError(f"found ssh option {word} at the end; allowed: its value after it")
            value = words.pop(0)
        _option(name, value, word, found)
    return found


def _option(name: str, value: str, word: str, found: SshOptions) -> None:
    if name == "-o":
        key, _, rest = value.partition("=") if "=" in value else value.partition(" ")
        _setting(key.strip(), rest.strip(), found)
    elif name == "-J":
        _setting("ProxyJump", value, found)
    elif name == "-p":
        _setting("Port", value, found)
    elif name == "-l":
        found.user = value
    elif name == "-i":
        found.identity = value
    elif word not in ("-C", "-q", "-4", "-6", "-T", "-a", "-A"):
        found.ignored.append(word)


def _setting(key: str, value: str, found: SshOptions) -> None:
    match key.lower():
        case "proxyjump":
            if value.lower() != "none":
                found.jump = _jump(value)
        case "proxycommand":
            if value.lower() != "none":
                _through(value, found)
        case "port":
            if not (value.isdecimal() and len(value) < 6):
                raise ValueError(f"found ssh port {value[:40]!r}; allowed: 1 to 65535")
            found.port = int(value)
        case "user":
            found.user = value
        case "identityfile":
            found.identity = value
        case name if name in _TRUSTING:
            found.trusting = True
        case name if name not in _TAKEN_ANYWAY:
            found.ignored.append(key)


def _jump(text: str) -> Server:
    if "," in text:
        raise ValueError(f"found a way through several servers ({text[:80]}); allowed: one")
    if "%" in text:
        raise ValueError(f"found {text[:80]!r} as the server to go through; allowed: [user@]address[:port]")
    return server_of(text)


def _through(command: str, found: SshOptions) -> None:
    """`ssh [options] -W %h:%p [user@]server`, the older form of ProxyJump. Raises ValueError on any other command."""
    allowed = "allowed: ProxyJump, or `ssh [-q] [-p PORT] [-l USER] [-i FILE] -W %h:%p [user@]server`"
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"found a ProxyCommand with {error}; {allowed}") from error
    server: Server | None = None
    user: str | None = None
    port: int | None = None
    relays = False
    if not words or words.pop(0).rpartition("/")[2] != "ssh":
        raise ValueError(f"found ProxyCommand {command[:80]!r}; {allowed}")
    while words:
        word = words.pop(0)
        if word in ("-q", "-C", "-T", "-a", "-A"):
            continue
        if word[:2] in ("-W", "-p", "-l", "-i", "-o"):
            value = word[2:] or (words.pop(0) if words else "")
            relays = relays or (word[:2] == "-W" and value == "%h:%p")
            user = value if word[:2] == "-l" else user
            found.jump_identity = value if word[:2] == "-i" else found.jump_identity
            if word[:2] == "-p":
                if not (value.isdecimal() and len(value) < 6):
                    raise ValueError(f"found ssh port {value[:40]!r}; allowed: 1 to 65535")
                port = int(value)
        elif word.startswith("-") or server is not None:
            raise ValueError(f"found ProxyCommand {command[:80]!r}; {allowed}")
        else:
            server = _jump(word)
    if server is None or not relays:
        raise ValueError(f"found ProxyCommand {command[:80]!r}; {allowed}")
    found.jump = Server(server.address, server.user or user, server.port or port)
