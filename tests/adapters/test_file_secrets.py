"""Secrets from files: found, missing, readable by others."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwright.adapters.secrets import FileSecrets
from runwright.model.errors import NotFound, Refused
from runwright.model.hosts import SecretRef

REFERENCE = SecretRef(client_id="acme", name="db.password")


def test_the_value_is_the_files_text(tmp_path: Path) -> None:
    path = tmp_path / "acme" / "db.password"
    path.parent.mkdir()
    path.write_text("s3cret\n with a second line\n")
    path.chmod(0o600)
    assert FileSecrets(tmp_path).resolve(REFERENCE) == "s3cret\n with a second line"


def test_a_missing_secret_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"acme/db\.password"):
        FileSecrets(tmp_path).resolve(REFERENCE)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acme" / "db.password"
    path.parent.mkdir()
    path.write_text("s3cret")
    path.chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        FileSecrets(tmp_path).resolve(REFERENCE)
