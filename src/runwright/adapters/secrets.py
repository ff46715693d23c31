"""Secret values, from three places of the worker's machine: files, its environment, systemd credentials.

Read at each use and never kept. A value is in no record, no log and no process list; where none is found the error
names every place that was looked into.

    file         <data directory>/secrets/<client>/<name>, mode 600
    environment  RUNWRIGHT_SECRET_<CLIENT>_<NAME>; see `variable_of`
    credential   $CREDENTIALS_DIRECTORY/<client>.<name>, as `LoadCredential=` of a systemd unit puts it there
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from runwright.model.errors import NotFound, Refused
from runwright.model.hosts import SecretRef

PREFIX = "RUNWRIGHT_SECRET_"
"""How the environment variables of secrets begin."""

_OTHERS = 0o077
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def variable_of(reference: SecretRef) -> str:
    """The environment variable of a secret: no two secrets have the same.

    Small letters become capitals, digits stay, every other character is `_` and its two hex digits: after the prefix,
    secret `ssh-key` of client `corner-shop` is `CORNER_2DSHOP_SSH_2DKEY`. What is written with hex digits begins with
    2 to 5 and a name never begins with a digit, so the `_` between client and name is the only one that is followed
    by a letter or another `_`.
    """
    return f"{PREFIX}{_encoded(reference.client_id)}_{_encoded(reference.name)}"


def _encoded(text: str) -> str:
    return "".join(each.upper() if each in _PLAIN else f"_{ord(each):02X}" for each in text)


class Place(Protocol):
    """One kind of place that values are kept in."""

    def find(self, reference: SecretRef) -> str | None:
        """The value, or None where this place has none. Raises Refused for one that is not kept well."""
        ...

    def where(self, reference: SecretRef) -> str:
        """Where that is, for a sentence."""
        ...


class SecretChain:
    """Implements the `SecretSource` port: the first place that has a value gives it."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = tuple(places)

    def resolve(self, reference: SecretRef) -> str:
        """The value. Raises NotFound naming every place, Refused for one that others may read."""
        for place in self._places:
            value = place.find(reference)
            if value is not None:
                return value
        looked = " or ".join(place.where(reference) for place in self._places)
        raise NotFound(
            f"Found no secret {reference.name!r} of client {reference.client_id!r}.",
            next_step=f"Write its value into {looked}.",
        )


class FileSecrets:
    """Files of the server: `<directory>/<client>/<name>`, mode 600. A `SecretSource` by itself too."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, reference: SecretRef) -> Path:
        """The file of a secret."""
        return self._directory / reference.client_id / reference.name

    def find(self, reference: SecretRef) -> str | None:
        path = self.path(reference)
        try:
            if path.stat().st_mode & _OTHERS:
                raise Refused(f"Found secret {path} readable by others.", next_step=f"chmod 600 {path}")
            return _read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def where(self, reference: SecretRef) -> str:
        return f"{self.path(reference)}, mode 600,"

    def resolve(self, reference: SecretRef) -> str:
        """The file's text without its last line end. Raises NotFound naming the file, Refused."""
        return SecretChain([self]).resolve(reference)


class EnvironmentSecrets:
    """Variables of the worker's environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def find(self, reference: SecretRef) -> str | None:
        value = self._environment.get(variable_of(reference))
        return None if value is None else value.removesuffix("\n")

    def where(self, reference: SecretRef) -> str:
        return f"the worker's environment as {variable_of(reference)}"


class CredentialSecrets:
    """Credentials that systemd hands to the worker's unit. Its directory is closed to others already."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        directory = environment.get("CREDENTIALS_DIRECTORY")
        self._directory = Path(directory) if directory else None

    def find(self, reference: SecretRef) -> str | None:
        if self._directory is None:
            return None
        try:
            return _read(self._directory / credential_of(reference))
        except FileNotFoundError:
            return None

    def where(self, reference: SecretRef) -> str:
        return f"the systemd credential {credential_of(reference)} of the worker's unit"


def credential_of(reference: SecretRef) -> str:
    """The name of a secret's systemd credential. A client id has no dot, so the first one parts the two."""
    return f"{reference.client_id}.{reference.name}"


def secret_chain(directory: Path, environment: Mapping[str, str]) -> SecretChain:
    """All three places, files first."""
    return SecretChain([FileSecrets(directory), EnvironmentSecrets(environment), CredentialSecrets(environment)])


def _read(path: Path) -> str:
    """A file's text without its last line end. Raises Refused where it cannot be one."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except (PermissionError, IsADirectoryError) as error:
        raise Refused(
            f"Found secret {path}, which cannot be read ({error.strerror}).",
            next_step="Let the worker's user own it, mode 600.",
        ) from error
    except UnicodeDecodeError:
        # Without its cause: that would carry the bytes.
        raise Refused(f"Found secret {path}, which is not text.", allowed="Allowed: UTF-8.") from None
