"""A host is handed to the connector of its kind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from adapters.hosts.rigs import host, sh
from runwright.adapters.hosts.connectors import Connectors
from runwright.adapters.hosts.local import LocalConnector
from runwright.model.errors import HostUnreachable, NotFound
from runwright.model.hosts import LocalConnection, NspawnConnection, SecretRef


async def test_each_kind_has_its_connector(tmp_path: Path) -> None:
    connectors = Connectors({"local": LocalConnector(base=str(tmp_path / "attempts"))})
    async with connectors.open(host(LocalConnection())) as session:
        assert (session.identity.kind, session.identity.host_id) == ("local", "hst_1")
        assert session.identity.lab_machine is None
        assert (await session.probe(sh("echo here"))).stdout == "here\n"


def test_a_kind_without_connector_is_said() -> None:
    with pytest.raises(HostUnreachable, match=r"reached by nspawn.*Allowed: local"):
        Connectors({"local": LocalConnector()}).open(host(NspawnConnection(machine="m")))


async def test_without_a_vault_a_step_with_secrets_is_refused(tmp_path: Path) -> None:
    async with LocalConnector(base=str(tmp_path / "attempts")).open(host(LocalConnection())) as session:
        with pytest.raises(NotFound, match="canary"):
            await session.probe(sh("true", secrets={"T": SecretRef(client_id="acme", name="canary")}))


@pytest.mark.parametrize("trap", ["link", "file"])
async def test_a_base_directory_that_is_not_ours_is_refused(tmp_path: Path, trap: str) -> None:
    base = tmp_path / "attempts"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir()
        base.symlink_to(tmp_path / "elsewhere")
    else:
        base.write_text("")
    with pytest.raises(HostUnreachable, match="attempts"):
        async with LocalConnector(base=str(base)).open(host(LocalConnection())):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="a plain user's directory is looked at every time")
async def test_the_place_of_a_host_is_asked_for_once_and_made_again_where_it_is_gone(tmp_path: Path) -> None:
    base = tmp_path / "attempts"
    connector = LocalConnector(base=str(base))
    async with connector.open(host(LocalConnection())) as first:
        assert (await first.run_attempt("one", sh("echo 1"))).stdout == "1\n"
    shutil.rmtree(base)
    async with connector.open(host(LocalConnection())) as second:
        assert not base.exists()
        assert (await second.run_attempt("two", sh("echo 2"))).stdout == "2\n"
        assert await second.forget_attempts(["one", "two"]) == ()
    assert list(base.iterdir()) == []
