"""Hosts that are broken in the ways hosts are broken, over a real SSH server: nothing is lost, nothing is guessed."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from adapters.hosts.rigs import CANARY, processes_with, sh
from runwright.adapters.hosts.ssh import SshConnector
from runwright.model.errors import HostUnreachable, Refused
from runwright.model.ports.hosts import AttemptState
from support.ssh_machine import ASKED, PASSWORD, PLAIN, LabSecrets, SshMachine, ip, secret, ssh_machine, tc

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]

CUT = "kill -KILL $(pgrep -f '^sshd: [a-z]+(@notty| \\[priv\\])'); "
"""Kill every session's server process, but not the one that listens."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[SshMachine]:
    async with ssh_machine() as machine:
        yield machine


@asynccontextmanager
async def connector(**seconds: float) -> AsyncIterator[SshConnector]:
    ssh = SshConnector(secrets=LabSecrets(canary=CANARY), **seconds)
    try:
        yield ssh
    finally:
        await ssh.close()


def gated(name: str) -> str:
    """A step that waits for a file."""
    return f"echo early; while [ ! -e /tmp/{name} ]; do sleep 0.05; done; echo late; exit 9"


@pytest.mark.parametrize("user", ["root", PLAIN])
async def test_a_cut_connection_loses_nothing(lab: SshMachine, user: str) -> None:
    """The server's process for the connection is killed mid-step: the step goes on, and its outcome is adopted."""
    name = f"cut-{user}"
    async with connector() as ssh, ssh.open(lab.host(user)) as session:
        running = asyncio.ensure_future(session.run_attempt(name, sh(gated(name))))
        while (await session.attempt_status(name)).state is not AttemptState.RUNNING:
            pass
        await lab.run(CUT)
        async with connector() as other, other.open(lab.host(user)) as later:
            assert (await later.attempt_status(name)).state is AttemptState.RUNNING
            await lab.run(f": >/tmp/{name}")
            adopted = await later.wait_attempt(name, 20)
        assert (adopted.exit_code, adopted.stdout) == (9, "early\nlate\n")
        done = await running
    assert (done.exit_code, done.stdout) == (9, "early\nlate\n")


async def test_a_plain_users_outcome_is_there_after_the_last_logout(lab: SshMachine) -> None:
    """systemd removes a user's runtime directory with the last login: attempts are not kept in it."""
    async with connector() as ssh, ssh.open(lab.host(PLAIN)) as session:
        done = await session.run_attempt("logout", sh("echo kept; id -u"))
    uid = done.stdout.split()[1]
    await lab.run(f"systemctl stop user@{uid} user-runtime-dir@{uid}; ! test -e /run/user/{uid}")
    async with connector() as ssh, ssh.open(lab.host(PLAIN)) as session:
        outcome = (await session.attempt_status("logout")).outcome
    assert outcome is not None
    assert outcome.stdout == done.stdout


async def test_a_server_that_is_gone_is_said_at_once_and_found_again(lab: SshMachine) -> None:
    """Nothing listens while a step runs: the session says so; a later one adopts the outcome."""
    async with connector() as ssh, ssh.open(lab.host()) as session:
        running = asyncio.ensure_future(session.run_attempt("gone", sh(gated("gone"))))
        while (await session.attempt_status("gone")).state is not AttemptState.RUNNING:
            pass
        await lab.run("systemctl stop ssh; " + CUT)
        try:
            with pytest.raises(HostUnreachable, match="nothing listens"):
                await running
            begun = time.monotonic()
            with pytest.raises(HostUnreachable, match="nothing listens"):
                async with ssh.open(lab.host()):
                    pass
            assert time.monotonic() - begun < 5  # far from any time limit
        finally:
            await lab.run("systemctl start ssh")
        await lab.run(": >/tmp/gone")
        # the same session finds its way again, with a new connection
        assert (await session.wait_attempt("gone", 20)).exit_code == 9


async def test_a_dead_peer_is_noticed_within_its_limit(lab: SshMachine) -> None:
    """Packets are dropped and nobody is told: four unanswered keepalives, then the next try to connect gives up."""
    async with connector(keepalive=0.3, connect=1.5) as ssh, ssh.open(lab.host()) as session:
        running = asyncio.ensure_future(session.run_attempt("mute", sh(gated("mute"))))
        while (await session.attempt_status("mute")).state is not AttemptState.RUNNING:
            pass
        await lab.unplug()
        try:
            begun = time.monotonic()
            with pytest.raises(HostUnreachable):
                await running
            assert time.monotonic() - begun < 10  # with the usual limits it would be 50
        finally:
            await lab.plug()
        await lab.run(": >/tmp/mute")
        assert (await session.wait_attempt("mute", 20)).exit_code == 9


async def test_a_slow_line(lab: SshMachine) -> None:
    """256 kbit/s: everything works as ever, only slower; no time limit of ours is hit."""
    await tc(lab.interface, "add", "tbf", "rate", "256kbit", "burst", "4kb", "latency", "2s")
    try:
        async with connector() as ssh, ssh.open(lab.host()) as session:
            begun = time.monotonic()
            done = await session.run_attempt("slow", sh('printf %s "$big" | wc -c', parameters={"big": "x" * 30_000}))
            assert done.stdout == "30000\n"
            assert time.monotonic() - begun > 0.5
    finally:
        await tc(lab.interface, "del")


async def test_a_full_disk_starts_nothing_and_says_so(lab: SshMachine) -> None:
    await lab.run("mkdir -p /full && mount -t tmpfs -o size=64k tmpfs /full && mkdir -m 700 /full/a")
    ssh = SshConnector(secrets=LabSecrets(), base="/full/a")
    try:
        async with ssh.open(lab.host()) as session:
            await lab.run("head -c 1000000 /dev/zero >/full/filler 2>/dev/null || :")
            with pytest.raises(HostUnreachable, match="could not start it"):
                await session.run_attempt("full", sh("echo ran >/root/ran-on-full-disk"))
            assert (await session.probe(sh("test -e /root/ran-on-full-disk"))).exit_code == 1
            await lab.run("rm /full/filler")
            assert (await session.run_attempt("full-2", sh("echo now"))).stdout == "now\n"
    finally:
        await ssh.close()
        await lab.run("umount /full")


async def test_no_tmp_and_a_root_that_is_read_only() -> None:
    async with ssh_machine() as lab:
        # started while it can still start: without /tmp, systemd's own login service would not
        await lab.run("systemctl start systemd-logind; rm -rf /tmp; mount -o remount,ro /")
        async with connector() as ssh:
            for user in ("root", PLAIN):
                async with ssh.open(lab.host(user)) as session:
                    done = await session.run_attempt(f"ro-{user}", sh("touch /etc/x; echo $?; test -e /tmp"))
                    assert (done.stdout, done.exit_code) == ("1\n", 1)


async def test_endless_output_keeps_memory_flat_and_its_tree_ends(lab: SshMachine) -> None:
    seconds = str(100000 + int.from_bytes(os.urandom(3), "big"))
    seen = 0

    async def sink(stream: str, data: bytes) -> None:
        nonlocal seen
        seen += len(data)

    async with connector() as ssh, ssh.open(lab.host()) as session:
        await session.run_attempt("endless-0", sh("head -c 20000000 /dev/zero", output_limit=10_000), sink)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        text = f"sleep {seconds} & yes {'x' * 200}"
        done = await session.run_attempt("endless", sh(text, timeout=1.5, output_limit=10_000), sink)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (done.timed_out, done.exit_code) == (True, None)
    assert "could not be ended" not in done.stderr
    assert seen > 30_000_000
    assert grown < 8 * 1024  # kB
    assert not processes_with(f"sleep\0{seconds}".encode())
    assert not processes_with(b"yes\0xxxx")


async def test_a_reader_that_is_slow_makes_the_host_wait(lab: SshMachine) -> None:
    """What nobody takes is not piled up here: the program on the host is held back."""
    go = asyncio.Event()

    async def sink(stream: str, data: bytes) -> None:
        await go.wait()

    async with connector() as ssh, ssh.open(lab.host()) as session:
        text = "head -c 40000000 /dev/zero; echo >/root/all-written"
        running = asyncio.ensure_future(session.run_attempt("held", sh(text, output_limit=10_000), sink))
        while (await session.attempt_status("held")).state is not AttemptState.RUNNING:
            pass
        probes = [await session.probe(sh("sleep 0.1; test -e /root/all-written")) for _ in range(4)]
        assert [probe.exit_code for probe in probes] == [1] * 4
        go.set()
        done = await running
    assert done.exit_code == 0
    assert "39990000 bytes left out" in done.stdout


@pytest.mark.parametrize("user", [PLAIN, "root"])
async def test_a_timeout_through_sudo_leaves_no_survivor(lab: SshMachine, user: str) -> None:
    seconds = str(300000 + int.from_bytes(os.urandom(3), "big"))
    text = f"setsid sleep {seconds} & (trap '' TERM; sleep {seconds}) & sleep {seconds}"
    async with connector() as ssh, ssh.open(lab.host(user)) as session:
        done = await session.run_attempt(f"sudo-{user}", sh(text, timeout=0.7, become=True))
    assert done.timed_out
    assert "could not be ended" not in done.stderr
    assert not processes_with(f"sleep\0{seconds}".encode())


async def test_a_server_with_few_sessions_is_queued_for() -> None:
    """MaxSessions 2: more at once than that wait for a place, or for a second connection; none fails."""
    async with ssh_machine(sshd="MaxSessions 2") as lab:
        async with connector(queue=0.2) as ssh, ssh.open(lab.host()) as session:
            done = await asyncio.gather(*(session.probe(sh(f"echo {number}; sleep 0.1")) for number in range(6)))
            assert [probe.stdout for probe in done] == [f"{number}\n" for number in range(6)]
        async with connector(queue=0.2) as ssh, ssh.open(lab.host()) as session:
            # every place is taken by a step that must be ended: there is a way to do that
            seconds = str(400000 + int.from_bytes(os.urandom(3), "big"))
            steps = [session.run_attempt(f"many-{n}", sh(f"sleep {seconds}", timeout=0.5)) for n in range(4)]
            assert all(attempt.timed_out for attempt in await asyncio.gather(*steps))
            assert not processes_with(f"sleep\0{seconds}".encode())


async def test_sessions_share_one_connection_and_let_it_go(lab: SshMachine) -> None:
    count = "pgrep -fc '^sshd: root@notty' || :"
    async with connector(idle=0.2) as ssh:
        async with ssh.open(lab.host()) as one, ssh.open(lab.host()) as two:
            await asyncio.gather(*(session.probe(sh("sleep 0.1")) for session in (one, two) for _ in range(3)))
            assert int(await lab.run(count)) == 1
        async with ssh.open(lab.host()) as again:
            assert (await again.probe(sh("echo $PPID"))).exit_code == 0
            assert int(await lab.run(count)) == 1
        end = time.monotonic() + 5
        while int(await lab.run(count)) and time.monotonic() < end:
            pass
        assert int(await lab.run(count)) == 0
        async with ssh.open(lab.host()) as fresh:
            assert (await fresh.probe(sh("echo back"))).stdout == "back\n"


async def test_a_cancelled_opening_takes_no_place_for_good(lab: SshMachine) -> None:
    async with connector() as ssh, ssh.open(lab.host()) as session:
        for turn in range(40):
            asking = asyncio.ensure_future(session.attempt_status("none"))
            for _ in range(turn % 8):
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        done = await asyncio.gather(*(session.probe(sh("echo x")) for _ in range(8)))
        assert [probe.stdout for probe in done] == ["x\n"] * 8
        assert int(await lab.run("pgrep -fc '^sshd: root@notty' || :")) == 1


async def test_sudo_that_asks_is_given_its_password(lab: SshMachine) -> None:
    """By standard input, and shown nowhere; a step that runs out of time is ended although it runs as root."""
    seconds = str(500000 + int.from_bytes(os.urandom(3), "big"))
    async with connector() as ssh, ssh.open(lab.host(ASKED, become_password=secret("password"))) as session:
        text = f'id -un; echo "$value"; setsid sleep {seconds} & sleep {seconds}'
        running = session.run_attempt("asks", sh(text, timeout=1.5, become=True, parameters={"value": PASSWORD}))
        task = asyncio.ensure_future(running)
        while not processes_with(f"sleep\0{seconds}".encode()):
            assert not task.done()
            await asyncio.sleep(0)
        assert not processes_with(PASSWORD.encode())
        done = await task
        probed = await session.probe(sh("id -un; cat", become=True))
    assert (done.timed_out, done.stdout) == (True, "root\n[secret password]\n")
    assert "could not be ended" not in done.stderr
    assert not processes_with(f"sleep\0{seconds}".encode())
    assert (probed.exit_code, probed.stdout) == (0, "root\n")


async def test_a_user_whose_sudo_asks_is_told_so(lab: SshMachine) -> None:
    async with connector() as ssh, ssh.open(lab.host(ASKED)) as session:
        with pytest.raises(Refused, match="asks for a password"):
            await session.run_attempt("asked", sh("id -un", become=True))


async def test_links_are_removed_with_the_machine() -> None:
    async with ssh_machine() as lab:
        name = lab.interface
        assert name in await ip("-br", "link")
    assert name not in await ip("-br", "link")
