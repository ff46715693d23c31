"""Disposable machines: systemd-nspawn over a masked overlay of this host's own root.

Isolation, from the outside in: an own user namespace, so that the machine's root is nobody here (no
modules, clock, kernel log, disks or kernel settings); no network but its loopback; fewer
capabilities within that; control groups with limits on processes and memory; and a root in which
only an allow list of the host's directories shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.boot import BootedMachine, boot_process
from runwright.adapters.hosts.layers import default_cache, layer
from runwright.adapters.hosts.machine_state import DIRECTORY, MachineState, load_state, process_name
from runwright.adapters.hosts.root import lay_out, missing, remove_machine
from runwright.adapters.hosts.transport import undisturbed
from runwright.model.errors import NoMachine
from runwright.model.ports.clock import Clock
from runwright.model.ports.machines import Machine, MachineRequest
from runwright.model.ports.secrets import SecretSource

T = TypeVar("T")

UID_RANGE = 65536
UID_SLOTS = range(0x1000, 0x6FF0)
"""Ranges of host user ids that a machine's own may be shifted to; the numbers systemd-nspawn itself uses."""


async def in_thread(work: Callable[[], T]) -> T:
    """Blocking work in a thread, waited for to its end."""
    return await undisturbed(asyncio.to_thread(work))


class NspawnMachines:
    """The `Machines` port.

    `private` names further host paths that no machine may see. `cache` keeps archives of package
    layers, `layers` the layers themselves, on another file system than `/`; both are chosen if None.
    """

    def __init__(
        self,
        *,
        cache: Path | None = None,
        layers: Path | None = None,
        private: Sequence[Path] = (),
        secrets_source: SecretSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._cache = cache or default_cache()
        self._layers = layers
        self._private = (*private, self._cache)
        self._secrets = secrets_source
        self._clock: Clock = clock or SystemClock()

    async def unavailable(self) -> str | None:
        return await in_thread(missing)

    @asynccontextmanager
    async def boot(self, request: MachineRequest) -> AsyncIterator[Machine]:
        if reason := await self.unavailable():
            raise NoMachine(reason)
        layers = await in_thread(lambda: layer(request.packages, self._cache, self._layers, self._private))
        state = await in_thread(lambda: _claim(request.name))
        machine: BootedMachine | None = None
        try:
            groups = await in_thread(
                lambda: lay_out(state, [layers] if layers else [], self._private, request.memory_mb, request.tasks)
            )
            machine = await boot_process(state, groups, request.boot_timeout, self._clock, self._secrets)
            yield machine
        finally:
            if machine is not None:
                machine.closing()
            await in_thread(lambda: remove_machine(load_state(state.name) or state))

    async def sweep(self) -> int:
        return await in_thread(_sweep)


def _claim(name: str | None) -> MachineState:
    """A name and a range of user ids that no other machine has. Raises NoMachine."""
    if name is not None and not (name and len(name) <= 63 and name[0].isalnum() and set(name) <= _LETTERS):
        raise NoMachine(
            f"Found machine name {name!r}.", allowed="Allowed: lower-case letters, digits and '-', up to 63."
        )
    slots = DIRECTORY.parent / "uids"
    slots.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        slot = UID_SLOTS.start + secrets.randbelow(len(UID_SLOTS))
        with contextlib.suppress(FileExistsError):
            (slots / str(slot)).touch(exist_ok=False)
            break
    chosen = name or f"rw-{secrets.token_hex(4)}"
    state = MachineState(name=chosen, owner=process_name(os.getpid()), uid_base=slot * UID_RANGE)
    try:
        state.claim()
    except NoMachine:
        (slots / str(slot)).unlink()
        raise
    return state


_LETTERS = set("abcdefghijklmnopqrstuvwxyz0123456789-")


def _sweep() -> int:
    """Remove machines whose owner is gone, and directories that no machine's file names."""
    if not DIRECTORY.is_dir():
        return 0
    removed = 0
    for file in sorted(DIRECTORY.glob("*.json")):
        state = load_state(file.stem)
        if state is None:
            # not whole: its writer died in the act of claiming, before the first mount
            if _stale(file):
                file.unlink(missing_ok=True)
        elif not state.owner.alive:
            remove_machine(state)
            removed += 1
    return removed


def _stale(file: Path) -> bool:
    """Whether nobody has the file open any more."""
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if descriptor.readlink() == file:
                return False
    return True
