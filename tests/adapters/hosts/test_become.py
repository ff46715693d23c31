"""`become`: a plain user's session runs a step as root through sudo, with its values beside it all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from adapters.hosts.rigs import CANARY, Vault, processes_with, sh
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.adapters.hosts.nspawn import NspawnTransport
from runwright.adapters.hosts.session import ShellSession
from runwright.adapters.hosts.transport import Channel
from runwright.model.hosts import HostIdentity, SecretRef
from runwright.model.ports.hosts import AttemptState
from runwright.model.ports.machines import Machine, MachineRequest

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class AsUser:
    """A transport whose programs start as a plain user, as SSH would start them."""

    inner: NspawnTransport

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> Channel:
        become = ("/usr/bin/setpriv", "--reuid=2000", "--regid=2000", "--clear-groups")
        return await self.inner.spawn((*become, *argv), stdin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Machine]:
    async with NspawnMachines().boot(MachineRequest(packages=("sudo",))) as booted:
        text = "useradd -m -u 2000 deployer; echo 'deployer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deployer"
        made = await booted.script(f"set -e; {text}", 20)
        assert made.exit_code == 0, made.output
        yield booted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(machine: Machine) -> ShellSession:
    opened = ShellSession(
        HostIdentity(host_id="hst_1", kind="nspawn"), AsUser(NspawnTransport(machine.name)), secrets=Vault()
    )
    await opened.prepare()
    return opened


async def test_without_it_a_step_is_the_plain_user(session: ShellSession) -> None:
    done = await session.run_attempt("plain", sh("id -un; touch /etc/x"))
    assert done.stdout == "deployer\n"
    assert done.exit_code not in (0, None)


async def test_with_it_a_step_is_root_and_has_its_values(session: ShellSession) -> None:
    values = {"value": "a'b\n$(id)\\"}
    secret = {"TOKEN": SecretRef(client_id="acme", name="canary")}
    command = sh(
        'id -un; printf "%s|" "$value"; printf "%s" "$TOKEN" | wc -c; echo "$TOKEN"; cat; exit 6',
        parameters=values,
        secrets=secret,
        become=True,
    )
    done = await session.run_attempt("root", command)
    assert done.exit_code == 6
    assert done.stdout == f"root\n{values['value']}|{len(CANARY)}\n[secret canary]\n"
    probed = await session.probe(command)
    assert (probed.exit_code, probed.stdout) == (6, done.stdout)


async def test_its_values_are_in_no_process_list_while_it_runs(session: ShellSession) -> None:
    text = ": text-of-step; while [ ! -e /tmp/go ]; do sleep 0.05; done"
    command = sh(text, parameters={"p": "value-of-step"}, become=True)
    running = asyncio.ensure_future(session.run_attempt("listed", command))
    while not processes_with(b"sudo\0-n"):
        await asyncio.sleep(0)
    assert not processes_with(b"value-of-step")
    assert not processes_with(b"text-of-step")
    await session.probe(sh(": >/tmp/go"))
    assert (await running).exit_code == 0


async def test_a_timeout_ends_what_runs_as_root(session: ShellSession) -> None:
    done = await session.run_attempt("ended", sh("setsid sleep 910911 & sleep 910911", timeout=0.7, become=True))
    assert (done.timed_out, done.stderr.count("could not be ended")) == (True, 0)
    assert not processes_with(b"sleep\x00910911")
    assert (await session.attempt_status("ended")).state is AttemptState.FINISHED


async def test_where_sudo_wants_a_password_the_step_fails(machine: Machine, session: ShellSession) -> None:
    assert (await machine.script("mv /etc/sudoers.d/deployer /root/kept", 5)).exit_code == 0
    try:
        done = await session.run_attempt("asked", sh("id -un", become=True))
    finally:
        assert (await machine.script("mv /root/kept /etc/sudoers.d/deployer", 5)).exit_code == 0
    assert done.exit_code == 1
    assert "password is required" in done.stderr
