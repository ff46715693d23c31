"""Hosts to test against: this machine as root and as a plain user, a systemd-nspawn machine, and one with BusyBox."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from adapters.hosts.rigs import BUSYBOX, CANARY, NOBODY, Rig, Vault, host, plain_session
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.adapters.hosts.nspawn import NspawnConnector
from runwright.adapters.hosts.ssh import SshConnector
from runwright.model.hosts import LocalConnection, NspawnConnection
from runwright.model.ports.machines import MachineRequest
from support.ssh_machine import LabSecrets, ssh_machine


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        "local",
        pytest.param("plain-user", marks=pytest.mark.lab),
        pytest.param("nspawn", marks=pytest.mark.lab),
        pytest.param("busybox", marks=pytest.mark.lab),
        pytest.param("ssh", marks=pytest.mark.lab),
    ],
)
async def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    kind = request.param
    if kind == "local":
        base = tmp_path_factory.mktemp("attempts")
        connector = LocalConnector(secrets=Vault(), base=str(base))
        async with connector.open(host(LocalConnection())) as session:
            yield Rig(kind, session, lambda: connector.open(host(LocalConnection())), os.geteuid() == 0)
            await session.forget_attempts(sorted({file.name.rsplit(".", 1)[0] for file in base.iterdir()}))
    elif kind == "plain-user":
        async with plain_session() as session:
            yield Rig(kind, session, plain_session, False)
        shutil.rmtree(f"/tmp/runwright-{NOBODY}", ignore_errors=True)
    elif kind == "ssh":
        async with ssh_machine() as lab:
            ssh = SshConnector(secrets=LabSecrets(canary=CANARY))
            async with ssh.open(lab.host()) as session:
                yield Rig(kind, session, lambda: ssh.open(lab.host()), True)
            await ssh.close()
    else:
        packages = ("busybox",) if kind == "busybox" else ()
        async with NspawnMachines().boot(MachineRequest(packages=packages)) as machine:
            if packages:
                done = await machine.script(BUSYBOX, 20)
                assert done.exit_code == 0, done.output
                assert "busybox" in (await machine.script("readlink -f /bin/sh; which tee grep", 5)).output
            reach = NspawnConnector(secrets=Vault())
            managed = host(NspawnConnection(machine=machine.name))
            async with reach.open(managed) as session:
                yield Rig(kind, session, lambda: reach.open(managed), True)


@pytest.fixture
def free_id(request: pytest.FixtureRequest) -> str:
    """An attempt id that no other test uses."""
    return (
        "att_"
        + "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:100]
        + os.urandom(3).hex()
    )
