"""Files beside the database: the approval key, the keyring of public keys, signed checkpoints."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runwright.model.errors import Refused, Unavailable
from runwright.model.ids import sha256

KEY_VARIABLE = "RUNWRIGHT_APPROVAL_KEY"

_RAW = serialization.Encoding.Raw


def fingerprint(public_key: bytes) -> str:
    """The id of a key: sha-256 over its 32 raw public bytes, as `sha256:<hex>`."""
    return sha256(public_key)


class _KeySigner:
    """A signer over a private key in memory. Says nothing of the key in its repr."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes(_RAW, serialization.PublicFormat.Raw)
        """The 32 raw bytes, to be published to the keyring."""

    @property
    def key_id(self) -> str:
        return fingerprint(self.public_key)

    def sign(self, message: bytes) -> bytes:
        """An ed25519 signature (RFC 8032), 64 bytes."""
        return self._key.sign(message)


class FileSigner(_KeySigner):
    """The approval key in a file that only its owner may read."""

    @classmethod
    def load_or_create(cls, path: Path) -> FileSigner:
        """The key of the file; a fresh one if there is none, written whole with mode 0600 or not at all.

        Raises Refused for a file that others can read, and Unavailable for one that holds no ed25519 key.
        """
        if not path.exists():
            _create_private(path)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> FileSigner:
        """The key of an existing file. Raises Refused and Unavailable as `load_or_create`."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(
                f"Found no approval key to read at {path}: {error.strerror}.",
                next_step="Only the server needs it; start that as the user who owns the key.",
            ) from error
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(file.fileno())
            if facts.st_mode & 0o077 or not stat.S_ISREG(facts.st_mode):
                raise Refused(
                    f"Found the approval key {path} with mode {stat.S_IMODE(facts.st_mode):04o}, open to others.",
                    allowed="Allowed: a file that only its owner may read (0600).",
                    next_step=f"If no one else can have read it: chmod 600 {path}. Else make a new key.",
                )
            return cls(_private_key(file.read(), str(path)))


class EnvironmentSigner(_KeySigner):
    """The approval key from the environment, for servers whose secrets come that way."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EnvironmentSigner:
        """From RUNWRIGHT_APPROVAL_KEY: PEM (PKCS 8), or the 32 bytes of the key in base64. Raises Unavailable."""
        text = environment.get(KEY_VARIABLE, "").strip()
        if text.startswith("-----BEGIN"):
            return cls(_private_key(text.encode(), KEY_VARIABLE))
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True)))
        except (ValueError, binascii.Error) as error:
            raise Unavailable(
                f"Found no ed25519 key in {KEY_VARIABLE}.",
                allowed="Allowed: a PEM private key, or 32 bytes in base64.",
            ) from error


class FileKeyring:
    """Public keys, one PEM file each, in a directory that only its owner may write. All that a worker needs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._keys: dict[str, bytes] = {}

    def public_keys(self) -> Mapping[str, bytes]:
        """Raw public keys by id; files that came or went since the last call are noticed.

        A key's id is computed from the key, so a file's name means nothing. Raises Refused for a directory or a
        file that others may write, Unavailable for one that cannot be read or holds no key.
        """
        try:
            _refuse_if_others_write(self._directory)
            files = sorted(self._directory.glob("*.pub"))
            seen = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files)
            if seen != self._seen:
                self._keys = dict(map(_read_public, files))
                self._seen = seen
        except OSError as error:
            raise Unavailable(f"Found no keyring to read at {self._directory}: {error.strerror}.") from error
        return self._keys

    def publish(self, public_key: bytes) -> Path:
        """Add a public key; its file. Old keys stay, so that what they signed stays verifiable."""
        path = self._directory / f"{fingerprint(public_key).removeprefix('sha256:')}.pub"
        pem = Ed25519PublicKey.from_public_bytes(public_key).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if not path.exists():
            _write_whole(path, pem, 0o644)
        return path


class CheckpointFile:
    """Signed checkpoints, one a line, oldest first, in a file that is only appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: str) -> None:
        """Add a checkpoint and have it on the disk before returning. Raises Unavailable."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line.strip().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"Found the checkpoint file {self._path} not writable: {error.strerror}.") from error

    def lines(self) -> tuple[str, ...]:
        """All checkpoints; none if there is no file yet."""
        if not self._path.exists():
            return ()
        return tuple(line for line in self._path.read_text().splitlines() if line)


def _private_key(data: bytes, where: str) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:
        raise Unavailable(f"Found no private key in {where}.", allowed="Allowed: ed25519 in PEM (PKCS 8).") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(f"Found another kind of key in {where}.", allowed="Allowed: ed25519 in PEM (PKCS 8).")
    return key


def _create_private(path: Path) -> None:
    """Two processes that create at once end up with the same key: the first link wins."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write_whole(path, pem, 0o600)


def _write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write beside and link into place; an existing file is left as it is. Only who may read it may list its folder."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700 if mode == 0o600 else 0o755, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(draft, path)
            except FileExistsError:
                return
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"Found {path} not writable: {error.strerror}.") from error


def _refuse_if_others_write(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & 0o022:
        raise Refused(
            f"Found {path} with mode {stat.S_IMODE(mode):04o}: others could add a key of their own.",
            allowed="Allowed: writable by its owner alone.",
            next_step=f"Look through its keys, then: chmod go-w {path}",
        )


def _read_public(path: Path) -> tuple[str, bytes]:
    _refuse_if_others_write(path)
    return read_public_key(path)


def read_public_key(path: Path) -> tuple[str, bytes]:
    """Fingerprint and 32 raw bytes of an ed25519 public key in PEM. Raises Unavailable where there is none."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, OSError) as error:
        raise Unavailable(f"Found no public key in {path}.", allowed="Allowed: ed25519 in PEM.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unavailable(f"Found another kind of key in {path}.", allowed="Allowed: ed25519 in PEM.")
    raw = key.public_bytes(_RAW, serialization.PublicFormat.Raw)
    return fingerprint(raw), raw
