"""Secrets from files, the environment and systemd credentials: found, missing, badly kept, never mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from runwright.adapters.secrets import (
    CredentialSecrets,
    EnvironmentSecrets,
    FileSecrets,
    Place,
    SecretChain,
    secret_chain,
    variable_of,
)
from runwright.model.errors import NotFound, Refused
from runwright.model.hosts import SecretRef
from support.strategies import records_of

REFERENCE = SecretRef(client_id="acme", name="db.password")
VALUE = "s3cret\n with a second line"
VARIABLE = "RUNWRIGHT_SECRET_ACME_DB_2EPASSWORD"


def put_file(folder: Path, mode: int = 0o600) -> Path:
    path = folder / "acme" / "db.password"
    path.parent.mkdir(parents=True)
    path.write_text(VALUE + "\n")
    path.chmod(mode)
    return path


def put_credential(folder: Path) -> dict[str, str]:
    (folder / "acme.db.password").write_text(VALUE + "\n")
    return {"CREDENTIALS_DIRECTORY": str(folder)}


@pytest.fixture(params=["file", "environment", "credential"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every kind of place, with the value in it."""
    if request.param == "file":
        put_file(tmp_path)
        return FileSecrets(tmp_path)
    if request.param == "environment":
        return EnvironmentSecrets({VARIABLE: VALUE + "\n"})
    return CredentialSecrets(put_credential(tmp_path))


def test_each_place_gives_the_value_without_its_last_line_end(place: Place) -> None:
    assert SecretChain([place]).resolve(REFERENCE) == VALUE


@pytest.mark.parametrize(
    "other", [SecretRef(client_id="acme", name="db"), SecretRef(client_id="acm", name="e.db.password")]
)
def test_no_place_gives_another_secret(place: Place, other: SecretRef) -> None:
    with pytest.raises(NotFound, match=r"Found no secret"):
        SecretChain([place]).resolve(other)


def test_a_missing_secret_names_every_place_and_no_value(tmp_path: Path) -> None:
    other = {"RUNWRIGHT_SECRET_ACME_OTHER": "hidden", **put_credential(tmp_path)}
    with pytest.raises(NotFound) as raised:
        secret_chain(tmp_path, other).resolve(SecretRef(client_id="acme", name="ssh-key"))
    said = str(raised.value)
    assert str(tmp_path / "acme" / "ssh-key") in said
    assert "RUNWRIGHT_SECRET_ACME_SSH_2DKEY" in said
    assert "acme.ssh-key" in said
    assert "hidden" not in said
    assert VALUE not in said


def test_files_go_before_the_environment_and_that_before_credentials(tmp_path: Path) -> None:
    environment = {VARIABLE: "from the environment", **put_credential(tmp_path)}
    chain = secret_chain(tmp_path / "secrets", environment)
    assert chain.resolve(REFERENCE) == "from the environment"
    put_file(tmp_path / "secrets")
    assert chain.resolve(REFERENCE) == VALUE
    (tmp_path / "secrets" / "acme" / "db.password").unlink()
    del environment[VARIABLE]
    assert chain.resolve(REFERENCE) == VALUE


def test_a_file_that_others_may_read_is_refused_even_if_another_place_has_it(tmp_path: Path) -> None:
    put_file(tmp_path, 0o644)
    with pytest.raises(Refused, match="chmod 600"):
        secret_chain(tmp_path, {VARIABLE: VALUE}).resolve(REFERENCE)


def test_what_is_not_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    put_file(tmp_path).write_bytes(b"\xff\xfe")
    with pytest.raises(Refused, match="not text") as raised:
        FileSecrets(tmp_path).resolve(REFERENCE)
    assert raised.value.__cause__ is None


@given(one=records_of(SecretRef), other=records_of(SecretRef))
def test_no_two_secrets_have_the_same_variable(one: SecretRef, other: SecretRef) -> None:
    assert (variable_of(one) == variable_of(other)) == (one == other)
    assert variable_of(one).replace("_", "A").isalnum()


@pytest.mark.parametrize(
    ("client", "name", "variable"),
    [
        ("acme", "key", "ACME_KEY"),
        ("a-b", "c", "A_2DB_C"),
        ("a", "b-c", "A_B_2DC"),
        ("a", "Key", "A__4BEY"),
        ("a2d", "b_c", "A2D_B_5FC"),
    ],
)
def test_the_names_of_variables(client: str, name: str, variable: str) -> None:
    assert variable_of(SecretRef(client_id=client, name=name)) == f"RUNWRIGHT_SECRET_{variable}"
