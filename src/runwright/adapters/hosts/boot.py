"""Booting one machine, and what can be done with it while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

from runwright.adapters.hosts.cgroups import MachineGroups
from runwright.adapters.hosts.changes import Snapshot, compare, snapshot
from runwright.adapters.hosts.flags import FlagDesk
from runwright.adapters.hosts.kernel import MS_BIND, mount, within
from runwright.adapters.hosts.machine_state import MachineState, process_name
from runwright.adapters.hosts.mask import ROOT
from runwright.adapters.hosts.nspawn import ENVIRONMENT, NspawnTransport, entering
from runwright.adapters.hosts.output import HeadTail
from runwright.adapters.hosts.quoting import LOCALE, PATH, payload
from runwright.adapters.hosts.session import SHELL, ShellSession
from runwright.adapters.hosts.transport import ended, spawn_local, undisturbed
from runwright.model.errors import HostUnreachable, NoMachine
from runwright.model.hosts import HostIdentity
from runwright.model.lab import FileChange, ScriptResult
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.ports.secrets import SecretSource

OUTPUT_LIMIT = 1_000_000
DROPPED_CAPABILITIES = (
    *("CAP_SYS_MODULE", "CAP_SYS_TIME", "CAP_SYSLOG", "CAP_SYS_RAWIO", "CAP_MKNOD", "CAP_SYS_BOOT", "CAP_SYS_PACCT"),
    *("CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_WAKE_ALARM"),
    *("CAP_BLOCK_SUSPEND", "CAP_BPF", "CAP_PERFMON", "CAP_CHECKPOINT_RESTORE", "CAP_SYS_TTY_CONFIG"),
)
"""Beyond the user namespace, which alone makes most of them mean nothing here."""

START = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'


class BootedMachine:
    """The `Machine` port. Made by `boot_process`."""

    def __init__(
        self, state: MachineState, groups: MachineGroups, session: HostSession, clock: Clock, desk: FlagDesk
    ) -> None:
        self._state = state
        self._groups = groups
        self._session = session
        self._clock = clock
        self._desk = desk
        self._mark: Snapshot | None = None
        self._scripts = 0

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def session(self) -> HostSession:
        return self._session

    def closing(self) -> None:
        """Nothing of the machine is asked for any more."""
        self._desk.close()
        self._mark = None

    async def script(self, text: str, timeout: float) -> ScriptResult:
        """See the port. Raises HostUnreachable where the machine no longer runs."""
        self._scripts += 1
        number = self._scripts
        try:
            inner = self._groups.inner(f"script-{number}")
        except OSError as problem:
            raise HostUnreachable(f"Machine {self.name} is not running: {problem}.") from problem
        paths = {kind: str(path) for kind, path in inner.paths.items()}
        argv = entering(self._state, SHELL, paths)
        begun = self._clock.monotonic()
        file = self._state.directory / "scripts" / str(number)
        output = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        code: int | None = None
        try:
            pid, _, _ = spawn_local(argv, payload(text, {}, f"script-{number}"), ENVIRONMENT, output)
            waiting = asyncio.ensure_future(ended(pid))
            try:
                async with asyncio.timeout(timeout):
                    code = await asyncio.shield(waiting)
            except (TimeoutError, asyncio.CancelledError) as problem:
                # itself first: it may be on its way into the group still
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                await undisturbed(asyncio.to_thread(inner.narrowest.end))
                await waiting
                if isinstance(problem, asyncio.CancelledError):
                    raise
            if code is not None and code < 0:
                code = 128 - code
            kept = HeadTail(OUTPUT_LIMIT)
            os.lseek(output, 0, os.SEEK_SET)
            while data := os.read(output, 1 << 20):
                kept.feed(data)
        finally:
            os.close(output)
            file.unlink(missing_ok=True)
        return ScriptResult(exit_code=code, output=kept.text(), seconds=self._clock.monotonic() - begun)

    async def mark(self) -> None:
        self._mark = await asyncio.to_thread(self._snapshot)

    async def changes(self) -> tuple[FileChange, ...]:
        """Raises NoMachine if nothing was marked."""
        before = self._mark
        if before is None:
            raise NoMachine("Nothing was marked on this machine.", next_step="Call mark() first.")
        return await asyncio.to_thread(
            lambda: compare(self._state.directory / "plain" / ROOT, before, self._snapshot())
        )

    def _snapshot(self) -> Snapshot:
        leader = self._state.leader
        live = Path(f"/proc/{leader.pid}/root") if leader is not None else Path("/nonexistent")
        return snapshot(self._state.directory / "upper" / ROOT, live, self._mark)


async def boot_process(
    state: MachineState, groups: MachineGroups, patience: float, clock: Clock, secrets: SecretSource | None
) -> BootedMachine:
    """Start systemd in the machine's root and wait until it says that it is up. Raises NoMachine."""
    place = state.directory
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    log = os.open(place / "console", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        told.bind(str(place / "notify"))
        environment = {
            "PATH": PATH,
            "LC_ALL": LOCALE,
            "NOTIFY_SOCKET": str(place / "notify"),
            "SYSTEMD_NSPAWN_TMPFS_TMP": "0",  # /tmp on the overlay, where its changes are seen
        }
        nspawn = [
            *("systemd-nspawn", "--quiet", f"--directory={place / 'root'}", "--boot", f"--machine={state.name}"),
            *("--register=no", "--keep-unit", "--private-network", "--notify-ready=yes", "--link-journal=no"),
            *(f"--private-users={state.uid_base}:65536", "--private-users-ownership=off"),
            *("--resolv-conf=off", "--timezone=off", "--console=pipe"),
            f"--drop-capability={','.join(DROPPED_CAPABILITIES)}",
            *("--", "systemd.unit=basic.target", "systemd.show_status=no"),
        ]
        argv = ["/bin/sh", "-c", START, "runwright-machine", *groups.doors(), "--", *nspawn]
        pid, _, _ = spawn_local(argv, b"", environment, log)
        over = asyncio.ensure_future(ended(pid))
        try:
            async with asyncio.timeout(patience):
                leader = await _ready(told, over)
            if leader is None:
                raise NoMachine(f"Machine {state.name} ended while it booted: {_tail(log)}")
        except BaseException as problem:
            # what it started by now is in the machine's groups, and ended with them by the caller
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if isinstance(problem, TimeoutError):
                late = f"Machine {state.name} did not come up within {patience:g} s: {_tail(log)}"
                raise NoMachine(late) from problem
            raise
    finally:
        told.close()
        os.close(log)
    found = process_name(leader)
    capabilities = _bounding(leader)
    paths = {kind: str(path) for kind, path in groups.paths.items()}
    # the same record for the caller, who removes the machine by it, and for whoever connects to it
    running = state.model_copy(update={"leader": found, "capabilities": capabilities, "groups": paths})
    running.store()
    await undisturbed(asyncio.to_thread(_tidy, leader))
    desk = FlagDesk(leader, state.uid_base)
    await desk.open()
    session = ShellSession(
        HostIdentity(host_id=state.name, kind="nspawn", lab_machine=state.name),
        NspawnTransport(state.name),
        secrets=secrets,
        clock=clock,
    )
    await session.prepare()
    return BootedMachine(running, groups, session, clock, desk)


def _tidy(leader: int) -> None:
    """Cover the two paths of the host that systemd-nspawn mounts in a machine: df would show the host's disk.

    They are locked and cannot be unmounted; the machine's own file and an empty directory go over them.
    """

    def cover() -> None:
        for own, place in (("/usr/lib/os-release", "/run/host/os-release"), ("/boot", "/run/host/incoming")):
            if Path(place).exists():
                mount(own, Path(place), flags=MS_BIND)

    within(leader, "mnt", cover)


async def _ready(told: socket.socket, over: asyncio.Future[int]) -> int | None:
    """The pid of the machine's first process, once systemd in it is up; None if it ended first."""
    loop = asyncio.get_running_loop()
    leader: int | None = None
    while True:
        news = asyncio.ensure_future(loop.sock_recv(told, 4096))
        try:
            await asyncio.wait((news, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not news.done():
                news.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await news
        if news.cancelled() or not news.done():
            return None
        for line in news.result().decode("utf-8", "replace").splitlines():
            name, _, value = line.partition("=")
            if name == "X_NSPAWN_LEADER_PID":
                leader = int(value)
            elif (name, value) == ("READY", "1") and leader is not None:
                return leader


def _bounding(pid: int) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return line.split()[1]
    raise NoMachine(f"The capabilities of process {pid} cannot be read.")


def _tail(log: int) -> str:
    os.lseek(log, 0, os.SEEK_SET)
    return " ".join(os.read(log, 1 << 16).decode("utf-8", "replace").split())[-400:]
