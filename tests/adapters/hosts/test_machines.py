"""Disposable machines: what they can do, what they cannot see, and that nothing stays of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from adapters.hosts.rigs import host, sh
from runwright.adapters.hosts import root
from runwright.adapters.hosts.cgroups import hierarchies
from runwright.adapters.hosts.kernel import mounts_below
from runwright.adapters.hosts.machine_state import DIRECTORY, load_state
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.adapters.hosts.nspawn import NspawnConnector, bounding_set
from runwright.model.errors import HostUnreachable, NoMachine
from runwright.model.hosts import NspawnConnection
from runwright.model.lab import Change
from runwright.model.ports.machines import Machine, MachineRequest

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine() -> AsyncIterator[Machine]:
    async with NspawnMachines().boot(MachineRequest()) as booted:
        yield booted


def traces(name: str) -> list[str]:
    """Everything on this host that a machine of this name has, or has left."""
    found = [str(path) for path in (DIRECTORY / f"{name}.json", DIRECTORY / f"{name}.d") if path.exists()]
    found += mounts_below(DIRECTORY / f"{name}.d")
    found += [
        str(point / "runwright" / name) for point in hierarchies().values() if (point / "runwright" / name).exists()
    ]
    found += [str(path) for path in Path("/run/systemd/nspawn").glob(f"*/{name}")]
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"--machine={name}\0".encode() in file.read_bytes():
                found.append(f"process {file.parent.name}")
    return found


async def output(machine: Machine, text: str) -> str:
    return (await machine.script(text, 20)).output


# --- what it is -------------------------------------------------------------------------------------------------


async def test_systemd_runs_in_it_and_starts_units(machine: Machine) -> None:
    unit = "[Service]\\nExecStart=/bin/sleep 1000\\n"
    text = f"printf '{unit}' >/etc/systemd/system/nap.service; systemctl start nap; systemctl is-active nap"
    done = await machine.script(f"{text}; systemctl is-system-running", 20)
    assert (done.exit_code, done.output) == (0, "active\nrunning\n")


async def test_scripts_run_as_root_in_the_root_with_stdin_closed(machine: Machine) -> None:
    done = await machine.script("id -u; pwd; cat; echo $LC_ALL; echo problem >&2; exit 3", 10)
    assert (done.exit_code, done.output) == (3, "0\n/\nC.UTF-8\nproblem\n")
    assert 0 < done.seconds < 10


async def test_a_script_that_takes_too_long_is_ended_with_its_tree_alone(machine: Machine) -> None:
    keep = await machine.script("setsid sleep 7001 & sleep 7001 & exit 0", 5)
    assert keep.exit_code == 0
    assert keep.seconds < 3
    done = await machine.script("echo on; env -i setsid sleep 7002 & sleep 7002", 0.5)
    assert (done.exit_code, done.output) == (None, "on\n")
    assert done.no_evidence
    assert (
        await output(machine, "pgrep -cx -f 'sleep 7001'; pgrep -x -f 'sleep 7002'; pkill -f 'sleep 7001'")
    ) == "2\n"


async def test_a_killed_script_says_128_and_the_signal(machine: Machine) -> None:
    assert (await machine.script("kill -KILL $$", 5)).exit_code == 137


async def test_sessions_know_that_it_is_a_lab_machine_and_connectors_do_not(machine: Machine) -> None:
    assert machine.session.identity.lab_machine == machine.name
    async with NspawnConnector().open(host(NspawnConnection(machine=machine.name))) as session:
        assert (session.identity.lab_machine, session.identity.host_id) == (None, "hst_1")
        assert (await session.probe(sh("hostname"))).stdout == f"{machine.name}\n"


async def test_a_step_enters_with_the_rights_of_the_machine_alone(machine: Machine) -> None:
    state = load_state(machine.name)
    assert state is not None
    assert state.leader is not None
    own = f"CapBnd:\t{state.capabilities}"
    for text in ("cat /proc/self/status", "grep -h . /proc/1/status"):
        assert own in (await machine.session.probe(sh(text))).stdout
        assert own in await output(machine, text)
    inside = (await machine.session.probe(sh("readlink /proc/self/ns/user /proc/1/ns/user /proc/self/ns/net"))).stdout
    first, second, network = inside.split()
    assert first == second != str(Path("/proc/self/ns/user").readlink())
    assert network != str(Path("/proc/self/ns/net").readlink())


async def test_a_bounding_set_is_spelled_out() -> None:
    assert bounding_set("0000000000000005") == "-all,+cap_0,+cap_2"


async def test_an_unknown_or_ended_machine_is_unreachable() -> None:
    with pytest.raises(HostUnreachable, match="no machine named"):
        async with NspawnConnector().open(host(NspawnConnection(machine="nowhere"))):
            pass
    async with NspawnMachines().boot(MachineRequest()) as short:
        name = short.name
        state = load_state(name)
        assert state is not None
        assert state.leader is not None
        os.kill(state.leader.pid, signal.SIGKILL)
        while state.leader.alive:
            await asyncio.sleep(0)
        with pytest.raises(HostUnreachable):
            await short.session.probe(sh("true"))
        # a process that has the machine's old pid is not the machine
        recycled = state.model_copy(update={"leader": state.leader.model_copy(update={"pid": os.getpid()})})
        recycled.store()
        with pytest.raises(HostUnreachable, match="not running"):
            async with NspawnConnector().open(host(NspawnConnection(machine=name))):
                pass
        state.store()
    assert traces(name) == []


# --- what it cannot see or do -----------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[str]:
    """A secret in many places of this host where secrets are found."""
    canary = f"canary-{secrets.token_hex(16)}"
    name = f"runwright-test-{secrets.token_hex(4)}"
    places = [
        Path("/root/.ssh") / name,
        Path("/home") / name / "notes",
        Path("/srv") / name,
        Path("/opt") / name / "settings",
        Path("/mnt") / name,
        Path("/tmp") / name,
        Path("/var/tmp") / name,
        Path("/var/lib") / name / "data",
        Path("/var/lib/postgresql") / name,
        Path("/var/log") / name,
        Path("/var/backups") / name,
        Path("/var/spool") / name,
        Path("/var/www") / name / "dump.sql",
        Path("/etc/ssl/private") / name,
        Path("/etc/ssh") / f"{name}_key",
        Path("/etc") / f"{name}.pem",
        Path("/etc/systemd/system") / f"{name}.d" / "environment",
        Path("/run") / name,
        Path("/usr/local/src") / name,
        Path("/usr/src") / name,
        Path(__file__).parents[3] / f".{name}",
        Path(sys.prefix) / name,
        Path(os.environ["RUNWRIGHT_DATA_DIR"]) / "keys" / name,
        Path("/") / name / "backup",
        Path("/usr/local/lib") / name / "private",
        tmp_path / name,
    ]
    made: list[Path] = []
    try:
        for path in places:
            for parent in reversed(path.parents):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            pem = path.suffix == ".pem"
            text = f"-----BEGIN PRIVATE KEY-----\n{canary}\n-----END PRIVATE KEY-----\n" if pem else f"{canary}\n"
            path.write_text(text)
            made.append(path)
            if path.parent in (Path("/etc/ssh"), Path("/etc/systemd/system") / f"{name}.d"):
                path.chmod(0o600)
        yield f"{name} {canary}"
    finally:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()


async def test_no_secret_of_the_host_can_be_read(planted: str) -> None:
    name, canary = planted.split()
    request = MachineRequest(memory_mb=1024)
    async with NspawnMachines(private=[Path("/usr/local/lib") / name]).boot(request) as machine:
        text = f"""
        for top in $(ls -A / | grep -vx -e proc -e sys -e dev -e usr); do grep -rlI {canary} /$top 2>/dev/null; done
        grep -rlI {canary} /usr/local /usr/src 2>/dev/null
        find / -xdev -name '*{name}*' 2>/dev/null
        cat /proc/[0-9]*/environ /proc/[0-9]*/root/root/.ssh/* 2>/dev/null | grep -c {canary}
        """
        for seen in (await output(machine, text), (await machine.session.probe(sh(text))).stdout):
            lines = [line for line in seen.splitlines() if line != "0" and not line.startswith("/tmp/")]
            # the place of a hidden directory may show; nothing in it does
            assert set(lines) <= {f"/usr/local/lib/{name}", f"/etc/systemd/system/{name}.d"}
        assert await output(machine, f"ls -A /usr/local/lib/{name}") == ""


async def test_password_hashes_of_the_host_are_not_there(machine: Machine) -> None:
    hashes = {line.split(":")[1] for line in Path("/etc/shadow").read_text().splitlines()} - {"*", "!", "!!", "!*", ""}
    shown = await output(
        machine, "cat /etc/shadow /etc/shadow- /etc/gshadow; find /etc/ssl/private /etc/ssh -name '*key*'"
    )
    assert not any(found in shown for found in hashes)
    assert "root:*:" in shown
    assert "ssh_host" not in shown


async def test_only_listed_directories_of_the_root_show(machine: Machine) -> None:
    listed = set((await output(machine, "ls -A /")).split())
    system = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var", "proc", "sys", "dev", "run"}
    assert listed <= system | {"tmp", "root", "home", "srv", "mnt", "opt", "media", "boot"}
    found = await output(machine, "find /root /home /srv /mnt /opt /media /boot /var/log /var/spool -type f")
    assert set(found.split()) <= {"/var/log/wtmp", "/var/log/btmp", "/var/log/lastlog"}


FORBIDDEN = {
    "load a module": "modprobe dummy || insmod /tmp/x.ko",
    "set the clock": "date -s 2030-01-01",
    "read the kernel log": "dmesg",
    "make a disk node": "mknod /tmp/disk b 254 0",
    "make a memory node": "mknod /tmp/mem c 1 1",
    "mount device nodes": "mount -t devtmpfs none /mnt",
    "mount a host disk": "mount /dev/vda /mnt || mount /dev/sda1 /mnt",
    "trigger sysrq": "echo h >/proc/sysrq-trigger",
    "write kernel settings": "echo x >/proc/sys/kernel/core_pattern",
    "write kernel settings by a fresh proc": "mount -t proc p /mnt && echo x >/mnt/sys/kernel/core_pattern",
    "remount kernel settings": "mount -o remount,rw,bind /proc/sys && echo x >/proc/sys/kernel/core_pattern",
    "raise a release agent": "mkdir -p /tmp/c; mount -t cgroup -o none,name=evil e /tmp/c",
    "raise its own limits": "echo 100000 >/sys/fs/cgroup/pids/pids.max || echo 100000 >/sys/fs/cgroup/pids.max",
    "reboot the host by sysrq": "mount -t proc p /mnt && echo h >/mnt/sysrq-trigger",
    "see host processes": "test -d /proc/1/root/work || pgrep -f systemd-nspawn",
    "reach the network": "curl -s -m 2 http://1.1.1.1/ || getent hosts example.com",
    "have an interface": "ip -o link | grep -v ' lo:'",
    "reach a service of the host": "curl -s -m 2 http://127.0.0.1:{port}/",
    "reach docker": "ls /run/docker.sock /var/run/docker.sock",
    "become another user namespace": "nsenter -t 1 -U true && grep -q ' 0 *0 *4294967295' /proc/self/uid_map",
    "use port i/o": "head -c 1 /dev/port || head -c 1 /dev/mem || head -c 1 /dev/kmsg",
    "load bpf": "test -w /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf && bpftool prog",
}


@pytest.mark.parametrize("deed", FORBIDDEN)
async def test_it_cannot(machine: Machine, deed: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    text = FORBIDDEN[deed].replace("{port}", str(port))
    try:
        by_script = await machine.script(text, 20)
        by_step = await machine.session.probe(sh(text))
    finally:
        server.close()
        await server.wait_closed()
    assert by_script.exit_code not in (0, None), by_script.output
    assert by_step.exit_code not in (0, None), by_step.stdout
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    assert datetime.now(UTC).year != 2030 or deed != "set the clock"


async def test_processes_are_limited() -> None:
    async with NspawnMachines().boot(MachineRequest(tasks=120)) as machine:
        done = await machine.script("i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done; wait", 10)
        assert done.exit_code != 0
        assert "ork" in done.output


async def test_memory_is_limited() -> None:
    async with NspawnMachines().boot(MachineRequest(memory_mb=128)) as machine:
        text = """
        head -c 900000000 /dev/zero | tail -c 800000000 | wc -c
        mount -t tmpfs t /mnt; head -c 900000000 /dev/zero >/mnt/x; ls -l /mnt/x
        """
        done = await machine.script(text, 30)
        assert "800000000\n" not in done.output
        assert "900000000" not in done.output


async def test_its_disk_is_its_own_and_bounded(machine: Machine) -> None:
    done = await machine.script(
        "head -c 700000000 /dev/zero >/var/fill; echo $?; rm /var/fill; df -m / | tail -n 1", 30
    )
    assert "No space left" in done.output
    assert " 512 " in done.output


# --- what changed ------------------------------------------------------------------------------------------------


async def test_changes_are_exact() -> None:
    async with NspawnMachines().boot(MachineRequest()) as machine:
        with pytest.raises(NoMachine, match="mark"):
            await machine.changes()
        before = """
        mkdir -p /srv/d/sub /srv/gone; echo 1 >/srv/d/kept; echo 1 >/srv/d/edited; echo 1 >/srv/d/removed
        echo 1 >/srv/gone/inside; ln -s a /srv/link; echo lock >/run/shopd.lock; rm /etc/issue; echo x >/etc/issue.net
        """
        assert (await machine.script(before, 10)).exit_code == 0
        await machine.mark()
        assert await machine.changes() == ()
        after = """
        echo 2 >/srv/d/edited; rm /srv/d/removed; rm -r /srv/gone; ln -sfn b /srv/link; rm /run/shopd.lock
        touch /etc/passwd; chmod 640 /etc/hostname; cat /etc/hosts >/tmp/h; cat /tmp/h >/etc/hosts; rm /tmp/h
        echo back >/etc/issue; rm -r /etc/apt; rm -r /etc/cron.d; mkdir /etc/cron.d; echo new >/etc/cron.d/new
        mkdir -p /opt/app; echo x >/opt/app/x; mkfifo /opt/app/pipe; echo 2 >/run/other; echo x >/dev/shm/segment
        mv /srv/d/sub /srv/moved; echo tmp >/srv/d/t; rm /srv/d/t
        """
        assert (await machine.script(after, 10)).exit_code == 0
        seen = {(change.path, change.change, change.kind) for change in await machine.changes()}
        expected = {
            ("/srv/d/edited", Change.CHANGED, "file"),
            ("/srv/d/removed", Change.DELETED, "file"),
            ("/srv/gone", Change.DELETED, "directory"),
            ("/srv/gone/inside", Change.DELETED, "file"),
            ("/srv/link", Change.CHANGED, "link"),
            ("/run/shopd.lock", Change.DELETED, "file"),
            ("/run/other", Change.CREATED, "file"),
            ("/dev/shm/segment", Change.CREATED, "file"),
            ("/etc/hostname", Change.CHANGED, "file"),
            ("/etc/issue", Change.CREATED, "file"),
            ("/etc/cron.d/new", Change.CREATED, "file"),
            ("/opt/app", Change.CREATED, "directory"),
            ("/opt/app/x", Change.CREATED, "file"),
            ("/opt/app/pipe", Change.CREATED, "other"),
            ("/srv/d/sub", Change.DELETED, "directory"),
            ("/srv/moved", Change.CREATED, "directory"),
        }
        for top in ("/etc/apt", "/etc/cron.d"):
            for path in (Path(top), *Path(top).rglob("*")):
                kind = "link" if path.is_symlink() else "directory" if path.is_dir() else "file"
                if str(path) != "/etc/cron.d" and path.name != "auth.conf":
                    expected.add((str(path), Change.DELETED, kind))
        assert seen == expected
        listed = [change.path for change in await machine.changes()]
        assert listed == sorted(listed)
        await machine.mark()
        assert await machine.changes() == ()


async def test_an_idle_machine_changes_nothing(machine: Machine) -> None:
    await machine.mark()
    await machine.session.run_attempt(
        f"att_{secrets.token_hex(4)}", sh("cat /etc/passwd >/dev/null; systemctl list-units >/dev/null")
    )
    assert await machine.changes() == ()


# --- packages ----------------------------------------------------------------------------------------------------


@pytest.fixture
def ready() -> Iterator[Path]:
    """A place for unpacked layers, in memory."""
    place = Path("/dev/shm") / f"runwright-test-{secrets.token_hex(4)}"
    yield place
    shutil.rmtree(place, ignore_errors=True)


async def test_packages_come_in_a_cached_layer_and_never_onto_the_host(tmp_path: Path, ready: Path) -> None:
    status = Path("/var/lib/dpkg/status").read_bytes()
    machines = NspawnMachines(cache=tmp_path / "cache", layers=ready)
    async with machines.boot(MachineRequest(packages=("nginx-light", "cron"))) as machine:
        page = await output(
            machine, "systemctl start nginx cron; systemctl is-active nginx cron; curl -s http://127.0.0.1/"
        )
        assert page.startswith("active\nactive\n")
        assert "Welcome to nginx" in page
    built = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert [name for name in built if name.endswith(".tar")]
    assert not [name for name in built if "tmp" in name]
    begun = time.monotonic()
    async with machines.boot(MachineRequest(packages=("cron", "nginx-light"))) as again:
        assert time.monotonic() - begun < 4
        assert "nginx" in await output(again, "dpkg-query -W nginx-light; cat /etc/shadow")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == built
    assert Path("/var/lib/dpkg/status").read_bytes() == status
    assert not Path("/usr/sbin/nginx").exists()


async def test_a_package_that_does_not_exist_is_said_in_the_words_of_apt(tmp_path: Path, ready: Path) -> None:
    with pytest.raises(NoMachine, match="no-such-package-here"):
        async with NspawnMachines(cache=tmp_path, layers=ready).boot(
            MachineRequest(packages=("no-such-package-here",))
        ):
            pass
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


async def test_packages_of_the_host_need_no_layer(tmp_path: Path) -> None:
    async with NspawnMachines(cache=tmp_path / "cache").boot(MachineRequest(packages=("coreutils",))):
        assert not (tmp_path / "cache").exists()


# --- nothing left behind ------------------------------------------------------------------------------------------


async def test_nothing_is_left_after_use_or_an_exception() -> None:
    name = f"rw-left-{secrets.token_hex(3)}"

    async def fail() -> None:
        async with NspawnMachines().boot(MachineRequest(name=name)) as machine:
            await machine.script("setsid sleep 1000 & mount -t tmpfs t /mnt", 5)
            assert len(traces(name)) > 5
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        await fail()
    assert traces(name) == []


@pytest.mark.parametrize("moment", [0.0, 0.01, 0.03, 0.1, 0.2, 0.4])
async def test_nothing_is_left_when_cancelled_at_any_moment(moment: float) -> None:
    name = f"rw-cancel-{secrets.token_hex(3)}"

    async def hold() -> None:
        async with NspawnMachines().boot(MachineRequest(name=name)) as machine:
            await machine.script("sleep 1000", 100)

    task = asyncio.ensure_future(hold())
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), moment)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert traces(name) == []


HOLDER = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
from runwright.adapters.hosts.machines import NspawnMachines
from runwright.model.ports.machines import MachineRequest

async def main():
    async with NspawnMachines().boot(MachineRequest(name=sys.argv[1])) as machine:
        print("up", flush=True)
        await machine.script("setsid sleep 1000 & sleep 1000", 1000)

asyncio.run(main())
"""


def holder(name: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLDER, name], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("early", [False, True], ids=["running", "booting"])
async def test_sweep_removes_what_a_killed_process_left(early: bool) -> None:
    name = f"rw-killed-{secrets.token_hex(3)}"
    with holder(name) as process:
        assert process.stdout is not None
        if early:
            while not mounts_below(DIRECTORY / f"{name}.d"):
                pass
        else:
            assert process.stdout.readline() == "up\n"
        assert traces(name)
        await NspawnMachines().sweep()
        assert traces(name), "a machine whose owner lives is not swept"
        process.kill()
        process.wait()
    assert traces(name)
    assert await NspawnMachines().sweep() >= 1
    assert traces(name) == []


async def test_an_interrupt_leaves_nothing() -> None:
    name = f"rw-ctrlc-{secrets.token_hex(3)}"
    with holder(name) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert traces(name) == []


async def test_a_name_is_taken_once() -> None:
    name = f"rw-twin-{secrets.token_hex(3)}"
    async with NspawnMachines().boot(MachineRequest(name=name)) as machine:
        with pytest.raises(NoMachine, match="exists already"):
            async with NspawnMachines().boot(MachineRequest(name=name)):
                pass
        assert await output(machine, "echo still here") == "still here\n"
    with pytest.raises(NoMachine, match="Allowed"):
        async with NspawnMachines().boot(MachineRequest(name="../x")):
            pass


async def test_a_machine_that_does_not_come_up_is_said_and_removed() -> None:
    name = f"rw-slow-{secrets.token_hex(3)}"
    with pytest.raises(NoMachine, match="did not come up within"):
        async with NspawnMachines().boot(MachineRequest(name=name, boot_timeout=0.05)):
            pass
    assert traces(name) == []


async def test_several_at_once_do_not_see_each_other() -> None:
    async def one(number: int) -> str:
        async with NspawnMachines().boot(MachineRequest(memory_mb=128)) as machine:
            await machine.script(f"echo {number} >/srv/mine", 5)
            return await output(machine, "cat /srv/mine; ls /srv")

    assert await asyncio.gather(*(one(number) for number in range(5))) == [f"{number}\nmine\n" for number in range(5)]


async def test_what_is_missing_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await NspawnMachines().unavailable() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert root.missing() == "Disposable machines need root."
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "/nonexistent")
    reason = await NspawnMachines().unavailable()
    assert reason is not None
    assert "systemd-container" in reason
    with pytest.raises(NoMachine, match="systemd-container"):
        async with NspawnMachines().boot(MachineRequest()):
            pass


async def test_state_files_are_private(machine: Machine) -> None:
    file = DIRECTORY / f"{machine.name}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert DIRECTORY.stat().st_mode & 0o777 == 0o700
    assert json.loads(file.read_text())["name"] == machine.name
