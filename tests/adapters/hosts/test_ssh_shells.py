"""Login shells as they are: noisy, not POSIX, closed, or BusyBox. Steps run as on any other host."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from adapters.hosts.rigs import BUSYBOX, CANARY, processes_with, sh
from runwright.adapters.hosts.ssh import SshConnector
from runwright.model.errors import HostUnreachable
from runwright.model.ports.hosts import AttemptState
from support.ssh_machine import PLAIN, LabSecrets, SshMachine, secret, ssh_machine

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]

BANNER = "Property of ACME. Go away."
NOISE = r"""
echo "welcome to the jungle"
printf 'motd without end of line' >&2
head -c 300000 /dev/zero | tr '\0' n
export GREETING=shown PATH=/opt/odd:/usr/bin:/bin CDPATH=/ ENV=/etc/profile
trap 'echo leaving' EXIT
"""
USERS = {
    # a login shell that is not POSIX sh, and one for those who like to change things
    "csher": "/bin/csh",
    "busy": "/usr/local/bin/busy-sh",
    "closed": "/usr/sbin/nologin",
    "jailed": "/bin/rbash",
    "broken": "/usr/local/bin/broken",
}
MADE = """
set -e
install -m 644 /dev/null /etc/issue.net; echo '{banner}' >/etc/issue.net
echo '{banner}' >/etc/motd
printf '#!/bin/sh\\nexec /usr/bin/busybox sh "$@"\\n' >/usr/local/bin/busy-sh
printf '#!/bin/sh\\necho no shell today >&2\\nexit 7\\n' >/usr/local/bin/broken
chmod 755 /usr/local/bin/*
printf '%s\\n' /bin/csh /usr/local/bin/busy-sh /bin/rbash >>/etc/shells
"""
ADD = """
useradd -m -s {shell} {user}
install -d -m 700 -o {user} -g {user} /home/{user}/.ssh
cp /root/.ssh/authorized_keys /home/{user}/.ssh/
chown {user}: /home/{user}/.ssh/authorized_keys
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[SshMachine]:
    async with ssh_machine(packages=("csh", "busybox"), sshd="Banner /etc/issue.net") as machine:
        text = MADE.format(banner=BANNER)
        await machine.run(text + "".join(ADD.format(user=user, shell=shell) for user, shell in USERS.items()))
        yield machine


@pytest_asyncio.fixture(loop_scope="module")
async def ssh() -> AsyncIterator[SshConnector]:
    connector = SshConnector(secrets=LabSecrets(canary=CANARY))
    yield connector
    await connector.close()


async def everything(ssh: SshConnector, lab: SshMachine, user: str) -> None:
    """Attempts, questions and round trips, with parameters and secrets, and nothing of the shell's own in them."""
    values = {"value": "a'b\n$(id)\\ !x `y`"}
    async with ssh.open(lab.host(user)) as session:
        command = sh(
            'printf "%s|" "$value"; echo "$TOKEN"; pwd; echo err >&2; exit 3',
            parameters=values,
            secrets={"TOKEN": secret("canary")},
        )
        for turn in range(2):
            done = await session.run_attempt(f"all-{user}-{turn}", command)
            wanted = f"{values['value']}|[secret canary]\n/\n"
            assert (done.exit_code, done.stdout, done.stderr) == (3, wanted, "err\n")
        probed = await session.probe(command)
        assert (probed.exit_code, probed.stdout, probed.stderr) == (3, wanted, "err\n")
        status = await session.attempt_status(f"all-{user}-0")
        assert status.state is AttemptState.FINISHED
        assert status.outcome is not None
        assert status.outcome.stdout == wanted
        late = await session.run_attempt(f"late-{user}", sh("sleep 808 & sleep 808", timeout=0.4))
        assert late.timed_out
        assert not processes_with(b"sleep\x00808")
        await session.forget_attempt(f"all-{user}-0")


@pytest.mark.parametrize("user", ["csher", "busy"])
async def test_any_login_shell_will_do(ssh: SshConnector, lab: SshMachine, user: str) -> None:
    await everything(ssh, lab, user)


async def test_noise_of_start_up_files_is_no_answer(ssh: SshConnector, lab: SshMachine) -> None:
    """bash reads ~/.bashrc for what sshd starts: words on both streams, an odd environment, a trap."""
    await lab.run(f"chsh -s /bin/bash {PLAIN}; cat >/home/{PLAIN}/.bashrc <<'X'\n{NOISE}\nX")
    try:
        await everything(ssh, lab, PLAIN)
        async with ssh.open(lab.host(PLAIN)) as session:
            seen = await session.run_attempt("noise", sh('echo "$GREETING"; command -v ls; id -u', become=True))
            assert seen.stdout.split("\n")[-2] == "0"
            plain = await session.probe(sh('echo "$GREETING"; echo "$PATH"'))
    finally:
        await lab.run(f"rm /home/{PLAIN}/.bashrc")
    greeting, path = plain.stdout.splitlines()
    assert greeting == "shown"
    assert path.startswith("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    assert path.endswith(":/opt/odd:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("user", "words"),
    [("closed", "not available"), ("jailed", "restricted"), ("broken", "no shell today")],
)
async def test_a_shell_that_will_not_is_quoted(ssh: SshConnector, lab: SshMachine, user: str, words: str) -> None:
    with pytest.raises(HostUnreachable, match=words):
        async with ssh.open(lab.host(user)):
            pass


async def test_busybox_alone_is_enough() -> None:
    async with ssh_machine(packages=("csh", "busybox")) as lab:
        await lab.run(BUSYBOX)
        assert "busybox" in await lab.run("readlink -f /bin/sh; which tee grep")
        ssh = SshConnector(secrets=LabSecrets(canary=CANARY))
        for user in ("root", PLAIN):
            await everything(ssh, lab, user)
        await ssh.close()


async def test_the_process_list_shows_a_constant(ssh: SshConnector, lab: SshMachine) -> None:
    async with ssh.open(lab.host("csher")) as session:
        text = "echo secret-of-text; ps -eo args | grep -c '[s]ecret-of-text'; ps -eo user,args | grep '^csher'"
        done = await session.probe(sh(text, parameters={"p": "value-of-it"}))
    first, count, *lines = done.stdout.splitlines()
    assert (first, count) == ("secret-of-text", "0")
    assert any("/bin/sh" in line for line in lines)
    assert not [line for line in lines if "value-of-it" in line]
