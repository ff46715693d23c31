"""`runwright host` against a real server of this process; a connector of the test's own stands for what answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runwright.execution.host_check import HostChecker
from runwright.model.errors import HostKeyRefused, HostUnreachable
from runwright.model.hosts import CheckStatus, Host, SshConnection, fingerprint
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.store import EVERY_CLIENT
from runwright.model.principals import Role
from runwright.surfaces.cli import hosts as commands
from support.house import House, grant, served
from surfaces.cli.conftest import Cli, Said

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILH4tZw7ZG8s5/S0y1/eiEjWGOm5pE2T3r20l1LQjIrN"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHTHUrE6E3lj8p1Ak0R3v4hPAANRHbERfqXUBoKUP2Q2"
SSH = ("--connection", "ssh://deploy@192.0.2.7:2222", "--credential", "web-key")

Run = Callable[..., Awaitable[Said]]


@dataclass
class Answering:
    """In the place of the machines: offers these host keys, and lets nobody in."""

    key: str = KEY
    jump_key: str = OTHER_KEY
    looked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        self.looked.append(host.hostname)
        assert isinstance(host.connection, SshConnection)
        if host.connection.jump is not None:
            self._check(host.connection.jump.host_keys, self.jump_key, jump=True)
        self._check(host.connection.host_keys, self.key, jump=False)
        raise HostUnreachable("It lets nobody in.", next_step="Look at its log.")
        yield

    def _check(self, accepted: tuple[str, ...], offered: str, *, jump: bool) -> None:
        if offered not in accepted:
            shown = fingerprint(offered)
            raise HostKeyRefused(
                "Found another key.", offered=offered, fingerprint=shown, changed=bool(accepted), jump=jump
            )


@pytest.fixture
def answering() -> Answering:
    return Answering()


@pytest.fixture
async def run(
    house: House, answering: Answering, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Run]:
    """The command line as an admin of everything, with a worker that does nothing but check hosts."""
    checker = HostChecker(house.services.store, answering, house.services.clock)

    async def work() -> None:
        while True:
            async with house.services.store.reading() as tx:
                page = await tx.host_checks.page(client=EVERY_CLIENT)
            for item in page.items:
                if item.status is CheckStatus.PENDING:
                    await checker.check(item.id)
            await asyncio.sleep(0.01)

    async with served(house) as url:
        monkeypatch.setenv("RUNWRIGHT_URL", url)
        monkeypatch.setenv("RUNWRIGHT_TOKEN", await house.person("ada", grant(Role.ADMIN)))
        monkeypatch.setattr(commands, "EVERY", 0.02)
        working = asyncio.ensure_future(work())

        async def call(*words: str | Path, given: str = "") -> Said:
            return await asyncio.to_thread(lambda: cli(*words, given=given))

        yield call
        working.cancel()


async def stored(house: House, name: str = "web-1") -> Host:
    async with house.services.store.reading() as tx:
        page = await tx.hosts.page(client=EVERY_CLIENT, where={"hostname": name})
    return page.items[0]


async def test_a_host_from_its_registration_to_its_end(house: House, run: Run) -> None:
    added = await run("host", "add", "web-1", *SSH, "--jump", "ssh://ops@192.0.2.8", "--become", "--label", "env=prod")
    assert added.status == 0, added.err
    assert "runwright host trust web-1" in added.out
    host = await stored(house)
    assert isinstance(host.connection, SshConnection)
    assert host.connection.jump is not None
    assert (host.connection.user, host.connection.port, host.connection.jump.user) == ("deploy", 2222, "ops")
    assert host.connection.credential == host.connection.jump.credential
    assert (host.become, host.labels) == (True, {"env": "prod"})
    edit = ("--no-jump", "--no-become", "--label", "tier=1", "--remove-label", "env", "--policy", "ask")
    assert (await run("host", "edit", "web-1", *edit, "--login", "password", "--credential", "pw")).status == 0
    host = await stored(house)
    assert isinstance(host.connection, SshConnection)
    assert (host.connection.jump, host.connection.login.value, host.connection.port) == (None, "password", 2222)
    assert host.connection.credential is not None
    assert (host.connection.credential.name, host.become, host.labels) == ("pw", False, {"tier": "1"})
    shown = await run("host", "show", "web-1")
    assert "ssh://deploy@192.0.2.7:2222" in shown.out
    assert "no host key yet" in shown.out
    assert [item["hostname"] for item in (await run("host", "list", "--json")).data] == ["web-1"]
    assert (await run("host", "remove", host.id, "--json")).data["removed"]
    assert (await run("host", "remove", "web-1")).status == 1


async def test_keys_are_accepted_by_fingerprint_and_a_changed_one_never_by_yes(
    house: House, run: Run, answering: Answering
) -> None:
    await run("host", "add", "web-1", *SSH, "--jump", "ssh://ops@192.0.2.8")
    checked = await run("host", "check", "web-1", "--json")
    assert checked.status == 1
    assert (checked.data["code"], checked.data["keys"][0]["jump"]) == ("host-key-refused", True)
    asked = await run("host", "trust", "web-1")
    assert (asked.status, "--fingerprint" in asked.err) == (2, True)
    wrong = await run("host", "trust", "web-1", "--fingerprint", "SHA256:x")
    assert (wrong.status, "Nothing was accepted" in wrong.err) == (1, True)
    assert (await stored(house)).connection.jump.host_keys == ()  # type: ignore[union-attr]  # an SSH host
    both = [word for key in (KEY, OTHER_KEY) for word in ("--fingerprint", fingerprint(key))]
    trusted = await run("host", "trust", "web-1", *both)
    assert trusted.status == 0, trusted.err
    assert trusted.out.count("accepted SHA256:") == 2
    connection = (await stored(house)).connection
    assert isinstance(connection, SshConnection)
    assert connection.jump is not None
    assert (connection.host_keys, connection.jump.host_keys) == ((KEY,), (OTHER_KEY,))
    answering.key = OTHER_KEY
    changed = await run("host", "trust", "web-1", "--yes")
    assert (changed.status, "WARNING" in changed.err) == (1, True)
    assert fingerprint(KEY) in changed.err, "the accepted key is shown beside it"
    assert (await stored(house)).connection == connection
    given = await run("host", "trust", "web-1", "--fingerprint", fingerprint(OTHER_KEY), "--json")
    assert given.status == 0, given.err
    assert [key["standing"] for key in given.data["accepted"]] == ["changed"]
    assert (await stored(house)).connection.host_keys == (OTHER_KEY,)  # type: ignore[union-attr]  # an SSH host
    nothing_new = await run("host", "trust", "web-1", "--yes")
    assert (nothing_new.status, "lets nobody in" in nothing_new.out) == (1, True)


async def test_files_are_imported_whole_or_not_at_all(house: House, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "hosts.ini"
    file.write_text("[web]\nweb-[1:2] ansible_password=canary-value\n")
    (tmp_path / "group_vars").mkdir()
    planned = await run("host", "import", file, "--check", "--json")
    assert (planned.data["new"], planned.data["applied"]) == (["web-1", "web-2"], False)
    assert "group_vars" in planned.data["notes"][0]
    done = await run("host", "import", file, "--label-var", "ansible_host", "--label", "site=a")
    assert done.status == 0, done.err
    assert "2 new" in done.out
    assert "/secrets/default/ssh-password" in done.out
    assert "RUNWRIGHT_SECRET_DEFAULT_SSH_2DPASSWORD" in done.out
    assert (await stored(house)).labels == {"group.web": "true", "site": "a"}
    again = await run("host", "import", file, "--label", "site=b")
    assert "--update" in again.out
    updated = await run("host", "import", file, "--label", "site=b", "--update", "--json")
    assert [item["fields"] for item in updated.data["changed"]] == [["labels"]] * 2
    file.write_text("[many]\nm[1:1500]\n[few]\nf\n")
    assert len((await run("host", "import", file, "--dry-run", "--json")).data["new"]) == 1501
    long = " ".join(f"--label l{number}={'x' * 240}" for number in range(4)).split()
    too_many = await run("host", "import", file, "--dry-run", *long)
    assert (too_many.status, "--limit" in too_many.err) == (3, True)
    assert (await run("host", "import", file, "--limit", "few", *long, "--json")).data["new"] == ["f"]
    file.write_text("web-9\n[nonsense\n")
    refused = await run("host", "import", file, "--format", "ansible", "--json")
    assert refused.status == 3
    assert [fault["line"] for fault in refused.problem["faults"]] == [2]
    everything = json.dumps([said.out + said.err for said in (planned, done, again, updated, refused)])
    assert "canary-value" not in everything


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("add", "x", "--connection", "ssh://root@a"), "--credential"),
        (("add", "x", "--connection", "teleport"), "nspawn:MACHINE"),
        (("add", "x", "--credential", "k"), "--connection ssh://"),
        (("add", "x", "--connection", "ssh://a:b:c@d", "--credential", "k"), "address"),
        (("add", "x", *SSH, "--login", "magic"), "agent"),
        (("add", "x", *SSH, "--login", "agent"), "agent has the keys"),
        (("add", "x", *SSH, "--jump-credential", "k"), "--jump"),
        (("add", "x", *SSH[:2], "--credential", "not a name: hidden-canary"), "never the value"),
        (("add", "-rf", *SSH), "No such option"),
        (("add", "x", *SSH, "--host-key", "nonsense"), "host_keys"),
        (("add", "x", "--label", "nonsense"), "NAME=VALUE"),
        (("add", "x", "--label", "a=\x1b"), "labels"),
        (("import", "x.ini", "--format", "xml"), "csv"),
        (("import", "x.ini", "--login", "magic"), "agent"),
        (("import", "x.ini", "--label-var", "ansible_password"), "secret"),
        (("import", "x.ini", "--credential", "-----BEGIN"), "does not fit"),
        (("trust", "x", "--json"), "--fingerprint"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_sent(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setenv("RUNWRIGHT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("RUNWRIGHT_TOKEN", "none")
    said = cli("host", *words)
    assert said.status == 2, said.err
    assert says in said.err
    assert "hidden-canary" not in said.err
