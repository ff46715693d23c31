"""Key files: modes, atomic creation, and what is refused."""

from __future__ import annotations

import base64
import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from runwright.adapters.keys import CheckpointFile, EnvironmentSigner, FileKeyring, FileSigner, fingerprint
from runwright.model.errors import Refused, Unavailable

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "approval.key"
    os.umask(0)
    try:
        first = FileSigner.load_or_create(path)
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["approval.key"]
    again = FileSigner.load_or_create(path)
    assert again.key_id == first.key_id == fingerprint(first.public_key)
    Ed25519PublicKey.from_public_bytes(first.public_key).verify(again.sign(b"text"), b"text")


def test_many_creators_get_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "approval.key"
    start = threading.Barrier(8)
    made: list[str] = []

    def create() -> None:
        start.wait()
        made.append(FileSigner.load_or_create(path).key_id)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert set(made) == {FileSigner.load(path).key_id}
    assert [file.name for file in tmp_path.glob("*approval*")] == ["approval.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644, 0o601])
def test_a_key_that_others_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "approval.key"
    FileSigner.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(Refused, match="open to others") as caught:
        FileSigner.load_or_create(path)
    assert "chmod 600" in caught.value.next_step


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "approval.key"
    other = generate_private_key(SECP256R1()).private_bytes(PEM, PKCS8, PLAIN)
    for content in (b"", b"nothing", other):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(Unavailable):
            FileSigner.load(path)
    with pytest.raises(Unavailable, match="no approval key"):
        FileSigner.load(tmp_path / "absent.key")
    (tmp_path / "link.key").symlink_to(path)
    with pytest.raises(Unavailable):
        FileSigner.load(tmp_path / "link.key")
    (tmp_path / "flat").write_text("")
    with pytest.raises(Unavailable):
        FileSigner.load_or_create(tmp_path / "flat" / "approval.key")


def test_the_environment_holds_a_key_as_pem_or_base64() -> None:
    key = Ed25519PrivateKey.generate()
    raw = base64.b64encode(key.private_bytes_raw()).decode()
    pem = key.private_bytes(PEM, PKCS8, PLAIN).decode()
    made = [EnvironmentSigner.from_environment({"RUNWRIGHT_APPROVAL_KEY": text}) for text in (raw, pem, f" {raw}\n")]
    assert {signer.key_id for signer in made} == {fingerprint(key.public_key().public_bytes_raw())}
    assert raw not in repr(made[0])
    for text in ("", "x", raw[:-4], "-----BEGIN nothing"):
        with pytest.raises(Unavailable, match="RUNWRIGHT_APPROVAL_KEY"):
            EnvironmentSigner.from_environment({"RUNWRIGHT_APPROVAL_KEY": text})
    with pytest.raises(Unavailable):
        EnvironmentSigner.from_environment({})


def test_a_keyring_keeps_old_keys_and_sees_new_ones(tmp_path: Path) -> None:
    ring = FileKeyring(tmp_path / "public")
    with pytest.raises(Unavailable):
        ring.public_keys()
    signers = [FileSigner.load_or_create(tmp_path / f"{n}.key") for n in range(2)]
    path = ring.publish(signers[0].public_key)
    assert ring.public_keys() == {signers[0].key_id: signers[0].public_key}
    ring.publish(signers[1].public_key)
    ring.publish(signers[1].public_key)
    assert set(ring.public_keys()) == {signer.key_id for signer in signers}
    assert b"PRIVATE" not in path.read_bytes()
    path.rename(path.with_name("any-name.pub"))
    assert set(ring.public_keys()) == {signer.key_id for signer in signers}
    path.with_name("any-name.pub").unlink()
    assert set(ring.public_keys()) == {signers[1].key_id}


def test_a_keyring_that_others_can_write_is_refused(tmp_path: Path) -> None:
    ring = FileKeyring(tmp_path / "public")
    path = ring.publish(FileSigner.load_or_create(tmp_path / "a.key").public_key)
    ring.public_keys()
    (tmp_path / "public").chmod(0o777)
    with pytest.raises(Refused, match="a key of their own"):
        ring.public_keys()
    (tmp_path / "public").chmod(0o755)
    FileKeyring(tmp_path / "public").public_keys()
    path.chmod(0o666)
    with pytest.raises(Refused):
        FileKeyring(tmp_path / "public").public_keys()
    path.chmod(0o644)
    path.write_text("nothing")
    with pytest.raises(Unavailable, match="no public key"):
        ring.public_keys()
    path.write_bytes(
        generate_private_key(SECP256R1())
        .public_key()
        .public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(Unavailable, match="another kind"):
        FileKeyring(tmp_path / "public").public_keys()


def test_checkpoints_are_appended(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "audit" / "checkpoints.jsonl")
    assert file.lines() == ()
    file.append("one")
    file.append("two\n")
    assert file.lines() == ("one", "two")
    assert stat.S_IMODE((tmp_path / "audit" / "checkpoints.jsonl").stat().st_mode) == 0o600
    with pytest.raises(Unavailable):
        CheckpointFile(tmp_path / "audit").append("x")
