"""`become`: a plain user's session runs a step as root through sudo, with its values beside it all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.hosts.rigs import CANARY, Vault, processes_with, sh
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.adapters.hosts.nspawn import NspawnTransport
from runwright.adapters.hosts.session import ShellSession
from runwright.adapters.hosts.transport import Channel
from runwright.model.errors import Refused
from runwright.model.hosts import HostIdentity, SecretRef
from runwright.model.ports.hosts import AttemptState
from runwright.model.ports.machines import Machine, MachineRequest

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]


PASSWORD = "a pass-word's $(text)"
USERS = {"deployer": 2000, "typist": 2001}
"""The first is root without a password, the second with one."""


class Passwords(Vault):
    """Also those of sudo."""

    def resolve(self, reference: SecretRef) -> str:
        known = {"typist-password": f"{PASSWORD}\n", "wrong-password": "not-the-one"}
        return known.get(reference.name) or super().resolve(reference)


@dataclass
class AsUser:
    """A transport whose programs start as a plain user, as SSH would start them."""

    inner: NspawnTransport
    uid: int

    async def spawn(self, argv: Sequence[str], stdin: bytes) -> Channel:
        become = ("/usr/bin/setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups")
        return await self.inner.spawn((*become, *argv), stdin)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Machine]:
    async with NspawnMachines().boot(MachineRequest(packages=("sudo",))) as booted:
        text = (
            "useradd -m -u 2000 deployer; echo 'deployer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deployer\n"
            "useradd -m -u 2001 typist; echo 'typist ALL=(ALL) ALL' >/etc/sudoers.d/typist\n"
            f"chpasswd <<'X'\ntypist:{PASSWORD}\nX\n"
        )
        made = await booted.script(f"set -e; {text}", 20)
        assert made.exit_code == 0, made.output
        yield booted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(machine: Machine) -> ShellSession:
    return await opened(machine, "deployer")


async def opened(machine: Machine, user: str, password: str | None = None) -> ShellSession:
    """A session as a user, with the secret that holds its password."""
    made = ShellSession(
        HostIdentity(host_id="hst_1", kind="nspawn"),
        AsUser(NspawnTransport(machine.name), USERS[user]),
        secrets=Passwords(),
        become_password=None if password is None else SecretRef(client_id="acme", name=password),
    )
    await made.prepare()
    return made


def environments_with(text: bytes) -> list[str]:
    """Every process on this machine whose environment holds a text."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text in file.read_bytes():
                found.append(file.parent.name)
        except OSError:
            continue
    return found


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


async def test_where_sudo_wants_a_password_and_none_is_set_nothing_starts(machine: Machine) -> None:
    session = await opened(machine, "typist")
    with pytest.raises(Refused, match=r"asks for a password, and no password is set") as refused:
        await session.run_attempt("asked", sh("touch /tmp/asked", become=True))
    assert "become_password" in str(refused.value)
    assert (await session.attempt_status("asked")).state is AttemptState.UNKNOWN
    probed = await session.probe(sh("true", become=True))
    assert probed.exit_code == 126
    assert "asks for a password" in probed.stderr


async def test_with_a_password_a_step_is_root_and_nothing_shows_it(machine: Machine) -> None:
    session = await opened(machine, "typist", "typist-password")
    values = {"value": "a'b\n$(id)\\"}
    text = 'id -un; printf "%s|" "$value"; cat; while [ ! -e /tmp/typed ]; do sleep 0.05; done; env; exit 6'
    running = asyncio.ensure_future(session.run_attempt("typed", sh(text, parameters=values, become=True)))
    while not processes_with(b"sudo\0-S"):
        await asyncio.sleep(0)
    assert not processes_with(PASSWORD.encode())
    assert not environments_with(PASSWORD.encode())
    assert not processes_with(b"a'b")
    kept = await session.probe(sh("cat /tmp/runwright-2001/* | grep -c pass-word", become=True))
    assert kept.stdout == "0\n"
    await session.probe(sh(": >/tmp/typed", become=True))
    done = await running
    assert done.exit_code == 6
    assert done.stdout.startswith(f"root\n{values['value']}|")
    assert done.stderr == ""
    told = await session.probe(sh('echo "it is $shown"', parameters={"shown": PASSWORD}))
    assert told.stdout.strip() == "it is [secret typist-password]"


async def test_a_password_that_sudo_does_not_ask_for_is_no_program(machine: Machine) -> None:
    """With NOPASSWD it stays on the way; nothing runs it."""
    session = await opened(machine, "deployer", "typist-password")
    done = await session.run_attempt("unasked", sh("id -un; cat", become=True))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "root\n", "")
    assert (await session.probe(sh("id -un; cat", become=True))).stdout == "root\n"


async def test_a_wrong_password_is_told_at_once(machine: Machine) -> None:
    session = await opened(machine, "typist", "wrong-password")
    async with asyncio.timeout(10):
        with pytest.raises(Refused, match="refused the password in secret wrong-password") as refused:
            await session.run_attempt("mistyped", sh("touch /tmp/x", become=True))
    assert "not-the-one" not in str(refused.value)
    assert (await session.attempt_status("mistyped")).state is AttemptState.UNKNOWN


async def test_a_timeout_ends_what_a_password_made_root(machine: Machine) -> None:
    session = await opened(machine, "typist", "typist-password")
    done = await session.run_attempt("slow", sh("setsid sleep 910912 & sleep 910912", timeout=1.5, become=True))
    assert (done.timed_out, done.stderr.count("could not be ended")) == (True, 0)
    assert not processes_with(b"sleep\x00910912")
    assert await session.forget_attempts(["slow"]) == ()
    assert (await session.attempt_status("slow")).state is AttemptState.UNKNOWN


async def test_without_sudo_the_sentence_names_it(machine: Machine) -> None:
    session = await opened(machine, "typist")
    assert (await machine.script("mv /usr/bin/sudo /usr/bin/sudo-kept", 5)).exit_code == 0
    try:
        with pytest.raises(Refused, match="Found no sudo on hst_1"):
            await session.run_attempt("missing", sh("true", become=True))
    finally:
        assert (await machine.script("mv /usr/bin/sudo-kept /usr/bin/sudo", 5)).exit_code == 0


async def test_a_sudo_that_wants_a_terminal_is_named(machine: Machine) -> None:
    session = await opened(machine, "typist", "typist-password")
    assert (await machine.script("echo 'Defaults requiretty' >/etc/sudoers.d/tty", 5)).exit_code == 0
    try:
        with pytest.raises(Refused, match="requiretty"):
            await session.run_attempt("terminal", sh("true", become=True))
    finally:
        assert (await machine.script("rm /etc/sudoers.d/tty", 5)).exit_code == 0


async def test_root_needs_no_sudo(machine: Machine) -> None:
    session = ShellSession(HostIdentity(host_id="hst_1", kind="nspawn"), NspawnTransport(machine.name))
    await session.prepare()
    assert (await session.run_attempt("rooted", sh("id -un", become=True))).stdout == "root\n"
