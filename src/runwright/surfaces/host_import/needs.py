"""Hosts on their way out of a file: the defaults of whoever imports, and names for the secrets that a file holds."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from runwright.model.hosts import SecretRef, SshLogin
from runwright.surfaces.host_ways import Server

HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,126}")


@dataclass(frozen=True)
class Defaults:
    """What holds for hosts of which the file says nothing."""

    client: str
    user: str = "root"
    login: SshLogin = SshLogin.KEY
    credential: str = "ssh-key"
    """Name of the secret with the private key or the password."""
    jump: Server | None = None
    jump_login: SshLogin | None = None
    jump_credential: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    label_variables: Sequence[str] = ()
    """Ansible variables that become labels of their own names."""
    limit: Sequence[str] = ()
    """Groups and hosts to take; with `!` before it, not to take. Empty: all."""

    def secret(self, name: str) -> SecretRef:
        """The reference. Raises ValueError, without the text: it may be the secret itself."""
        if not _NAME.fullmatch(name):
            raise ValueError("found no name of a secret; allowed: a letter, then letters, digits, '.', '_' and '-'")
        return SecretRef(client_id=self.client, name=name)


@dataclass(frozen=True)
class SecretValues:
    """Names for values that stand in a file. Hosts with one value share one secret; the value itself goes nowhere."""

    names: Mapping[str, str]
    """Host -> name of its secret."""

    @classmethod
    def of(cls, values: Mapping[str, object], noun: str) -> SecretValues:
        """`values` by host. One value for all is the secret `<noun>`, else each is `<first host>.<noun>`."""
        first: dict[str, str] = {}
        names: dict[str, str] = {}
        for host, value in values.items():
            names[host] = first.setdefault(repr(value), host)
        if len(first) == 1:
            return cls(dict.fromkeys(names, noun))
        return cls({host: secret_name(f"{owner}.{noun}") for host, owner in names.items()})


def secret_name(text: str) -> str:
    """A name like the text that a secret may have."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", text)
    if not name[:1].isalpha() or not name.isascii():
        name = f"s-{name.lstrip('-._')}"
    return name if len(name) <= 127 else f"{name[:110]}-{_short(text)}"


def key_names(paths: Sequence[str]) -> dict[str, str]:
    """Names for private key files: the last part of the path, with a digest where two paths end alike."""
    ends: dict[str, set[str]] = {}
    for path in paths:
        ends.setdefault(secret_name(path.rstrip("/").rpartition("/")[2] or "key"), set()).add(path)
    return {
        path: name if len(same) == 1 else secret_name(f"{name[:110]}-{_short(path)}")
        for name, same in ends.items()
        for path in same
    }


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
