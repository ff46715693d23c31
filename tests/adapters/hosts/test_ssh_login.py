"""Getting in over SSH: only what the endpoint names is tried, only accepted keys count, every refusal says why."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.hosts.rigs import sh
from runwright.adapters.hosts.ssh import SshConnector
from runwright.model.errors import HostKeyRefused, HostUnreachable
from runwright.model.hosts import Host, SshLogin, fingerprint
from support.ssh_machine import (
    ASKED,
    PASSPHRASE,
    PASSWORD,
    PLAIN,
    LabSecrets,
    SshMachine,
    secret,
    ssh_machine,
    user_keys,
)

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]

# the user `keeper` may give a password by keyboard-interactive alone, as PAM asks for it
SSHD = f"""
Match User {ASKED}
  PasswordAuthentication no
"""
WRONG = "wrong-guess"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[SshMachine]:
    async with ssh_machine(sshd=SSHD) as machine:
        yield machine


@pytest_asyncio.fixture(loop_scope="module")
async def ssh() -> AsyncIterator[SshConnector]:
    connector = SshConnector(secrets=LabSecrets(wrong=WRONG, garbage="-----BEGIN nothing-----"))
    yield connector
    await connector.close()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent in this process's environment, with nothing in it yet."""
    path = tmp_path / "agent"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    while not path.exists():
        assert running.poll() is None
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    running.terminate()
    running.wait()


def load_agent(key: str, tmp_path: Path) -> None:
    file = tmp_path / f"{key}.key"
    user_keys()[key].write_private_key(str(file))
    file.chmod(0o600)
    subprocess.run(["ssh-add", "-q", str(file)], check=True)


async def who(ssh: SshConnector, host: Host) -> str:
    async with ssh.open(host) as session:
        assert session.identity.kind == "ssh"
        return (await session.probe(sh("id -un"))).stdout.strip()


async def refused(ssh: SshConnector, host: Host) -> HostUnreachable:
    with pytest.raises(HostUnreachable) as caught:
        async with ssh.open(host):
            pass
    text = str(caught.value)
    assert caught.value.next_step or caught.value.allowed, text
    for value in (PASSWORD, PASSPHRASE, WRONG, "PRIVATE KEY-----"):
        assert value not in text
    return caught.value


@pytest.mark.parametrize("user", ["root", PLAIN, ASKED])
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="key"),
        pytest.param({"credential": secret("locked-key"), "passphrase": secret("passphrase")}, id="locked-key"),
        pytest.param({"login": SshLogin.PASSWORD, "credential": secret("password")}, id="password"),
    ],
)
async def test_each_login_gets_in(ssh: SshConnector, lab: SshMachine, user: str, changes: dict[str, object]) -> None:
    assert await who(ssh, lab.host(user, **changes)) == user


async def test_the_agent_gets_in(ssh: SshConnector, lab: SshMachine, agent: Path, tmp_path: Path) -> None:
    host = lab.host(login=SshLogin.AGENT, credential=None)
    assert "holds no keys" in (await refused(ssh, host)).found
    load_agent("other", tmp_path)
    assert "refused user root with the agent's key" in (await refused(ssh, host)).found
    load_agent("plain", tmp_path)
    assert await who(ssh, host) == "root"


@pytest.mark.parametrize(("path", "words"), [("", "SSH_AUTH_SOCK is not set"), ("/nonexistent", "does not answer")])
async def test_an_agent_that_is_not_there_is_said(
    ssh: SshConnector, lab: SshMachine, monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    assert words in (await refused(ssh, lab.host(login=SshLogin.AGENT, credential=None))).found


async def test_nothing_else_of_this_user_is_tried(
    ssh: SshConnector, lab: SshMachine, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent, a default key, a configuration and a list of known hosts that would all get in."""
    load_agent("plain", tmp_path)
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    user_keys()["plain"].write_private_key(str(home / ".ssh" / "id_ed25519"))
    known = "".join(f"{lab.address} {key}\n" for key in lab.host_keys)
    (home / ".ssh" / "known_hosts").write_text(known)
    (home / ".ssh" / "config").write_text("Host *\n  StrictHostKeyChecking no\n  User deployer\n  ForwardAgent yes\n")
    monkeypatch.setenv("HOME", str(home))
    stranger = await refused(ssh, lab.host(credential=secret("stranger-key")))
    assert "refused user root with the key stranger-key (SHA256:" in stranger.found
    assert isinstance(await refused(ssh, lab.host(host_keys=())), HostKeyRefused)
    async with ssh.open(lab.host()) as session:
        seen = (await session.probe(sh('id -un; echo "agent=$SSH_AUTH_SOCK display=$DISPLAY"'))).stdout
    assert seen == "root\nagent= display=\n"


async def test_a_wrong_password_is_tried_once(ssh: SshConnector, lab: SshMachine) -> None:
    count = "journalctl -u ssh -o cat | grep -c 'authentication failure' || :"
    before = int(await lab.run(count))
    users = (PLAIN, ASKED)
    problems = await asyncio.gather(
        *(refused(ssh, lab.host(user, login=SshLogin.PASSWORD, credential=secret("wrong"))) for user in users)
    )
    for user, problem in zip(users, problems, strict=True):
        assert f"refused user {user} with the password wrong" in problem.found
    assert int(await lab.run(count)) - before == 2


async def test_an_unknown_key_is_shown_and_nothing_connects(ssh: SshConnector, lab: SshMachine) -> None:
    problem = await refused(ssh, lab.host(host_keys=()))
    assert isinstance(problem, HostKeyRefused)
    assert problem.offered in lab.host_keys
    assert problem.fingerprint == fingerprint(problem.offered)
    assert problem.fingerprint in problem.found
    assert (problem.changed, problem.jump) == (False, False)
    assert problem.next_step.endswith(f"runwright host trust {lab.machine.name}")
    async with ssh.open(lab.host(host_keys=(problem.offered,))) as session:
        assert (await session.probe(sh("echo in"))).stdout == "in\n"


async def test_a_changed_key_is_refused(ssh: SshConnector, lab: SshMachine) -> None:
    async with ssh_machine() as other:
        problem = await refused(ssh, lab.host(host_keys=other.host_keys))
    assert isinstance(problem, HostKeyRefused)
    assert problem.changed
    assert problem.offered in lab.host_keys
    assert "another host key than the accepted" in problem.found


@pytest.mark.parametrize("which", [0, 1])
async def test_a_server_with_several_keys_shows_the_accepted_one(
    ssh: SshConnector, lab: SshMachine, which: int
) -> None:
    assert await who(ssh, lab.host(host_keys=(lab.host_keys[which],))) == "root"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"credential": secret("nowhere")}, "no secret 'nowhere'", id="missing"),
        pytest.param({"credential": None}, "no private key named", id="unnamed"),
        pytest.param({"credential": secret("garbage")}, "garbage is no private key", id="garbage"),
        pytest.param({"credential": secret("locked-key")}, "locked with a passphrase, and none", id="locked"),
        pytest.param(
            {"credential": secret("locked-key"), "passphrase": secret("wrong")},
            "does not unlock",
            id="wrong-passphrase",
        ),
        pytest.param({"login": SshLogin.PASSWORD, "credential": None}, "no password named", id="no-password"),
        pytest.param({"port": 9}, "nothing listens on this port", id="closed-port"),
        pytest.param({"address": "no-such-name.invalid"}, "could not be resolved", id="no-name"),
    ],
)
async def test_what_is_in_the_way_is_said(
    ssh: SshConnector, lab: SshMachine, changes: dict[str, object], words: str
) -> None:
    begun = asyncio.get_running_loop().time()
    assert words in (await refused(ssh, lab.host(**changes))).found
    assert asyncio.get_running_loop().time() - begun < 8  # no time limit was waited for


async def test_a_key_locked_by_ssh_keygen_gets_in_with_its_passphrase_alone(lab: SshMachine, tmp_path: Path) -> None:
    """OpenSSH's own locked format, which is what ssh-keygen writes unless told otherwise."""
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(user_keys()["plain"].export_private_key().decode())
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", str(file)], check=True)
    ssh = SshConnector(secrets=LabSecrets(locked=file.read_text(), wrong=WRONG))
    right = {"credential": secret("locked"), "passphrase": secret("passphrase")}
    assert await who(ssh, lab.host(**right)) == "root"
    wrong = await refused(ssh, lab.host(**right | {"passphrase": secret("wrong")}))
    assert "does not unlock the private key locked" in wrong.found
    unnamed = await refused(ssh, lab.host(credential=secret("locked")))
    assert "locked with a passphrase, and none" in unnamed.found
    await ssh.close()


async def test_a_silent_server_is_given_up(lab: SshMachine) -> None:
    ssh = SshConnector(secrets=LabSecrets(), connect=0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        problem = await refused(ssh, lab.host(address="127.0.0.1", port=silent.getsockname()[1]))
    assert "did not answer within 0.3 s" in problem.found
    await ssh.close()


async def test_what_is_no_ssh_server_is_said(ssh: SshConnector, lab: SshMachine) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n" * 3)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        problem = await refused(ssh, lab.host(address="127.0.0.1", port=server.sockets[0].getsockname()[1]))
    assert "ended the connection before the login" in problem.found


async def test_a_login_ended_by_the_host_quotes_its_banner(ssh: SshConnector, lab: SshMachine) -> None:
    await lab.run("echo 'Closed for maintenance' >/run/nologin")
    try:
        problem = await refused(ssh, lab.host(PLAIN))
    finally:
        await lab.run("rm /run/nologin")
    assert f"during the login of {PLAIN}" in problem.found


async def test_through_a_jump_host(ssh: SshConnector, lab: SshMachine) -> None:
    """Each with a login and keys of its own; the inner one is reached from the jump host alone."""
    async with ssh_machine(behind=lab) as inner:
        jump = lab.endpoint(PLAIN, login=SshLogin.PASSWORD, credential=secret("password"))
        direct = SshConnector(secrets=LabSecrets(), connect=0.3)
        assert (await refused(direct, inner.host())).found
        await direct.close()
        async with ssh.open(inner.host(jump=jump)) as session:
            seen = await session.probe(sh('hostname; echo "${SSH_CONNECTION%% *}"'))
        assert seen.stdout.split("\n")[0] == inner.machine.name
        # both of its keys are judged apart, and messages say whose it is
        outer = await refused(ssh, inner.host(jump=jump.model_copy(update={"host_keys": inner.host_keys})))
        assert isinstance(outer, HostKeyRefused)
        assert (outer.jump, outer.changed) == (True, True)
        assert outer.found.startswith(f"The jump host {lab.address}:22 of {inner.machine.name}")
        within = await refused(ssh, inner.host(jump=jump, host_keys=()))
        assert isinstance(within, HostKeyRefused)
        assert (within.jump, within.changed) == (False, False)
        closed = await refused(ssh, inner.host(jump=jump, port=9))
        assert "The jump host could not reach" in closed.found
        stranger = await refused(ssh, inner.host(jump=lab.endpoint(credential=secret("stranger-key"))))
        assert stranger.found.startswith("The jump host")


async def test_loading_the_connector_loads_no_ssh_library() -> None:
    code = "import sys; from runwright.adapters.hosts.ssh import SshConnector; sys.exit('asyncssh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_a_servers_words_cannot_draw_on_a_terminal(ssh: SshConnector, lab: SshMachine) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        words = "gone\x1b[2J\u202ebad".encode()
        goodbye = b"\x01" + (11).to_bytes(4, "big") + len(words).to_bytes(4, "big") + words + bytes(4)
        padding = 8 - (5 + len(goodbye)) % 8 + 8
        packet = bytes([padding]) + goodbye + bytes(padding)
        writer.write(b"SSH-2.0-Rude\r\n" + len(packet).to_bytes(4, "big") + packet)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        problem = await refused(ssh, lab.host(address="127.0.0.1", port=server.sockets[0].getsockname()[1]))
    assert "gone [2J bad" in problem.found
