"""A look at a host: what it says of the host, of its key, and of everything that may be in the way."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

import runwright.execution
import runwright.verification
from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.connectors import Connectors
from runwright.adapters.hosts.local import LocalConnector
from runwright.adapters.hosts.nspawn import NspawnConnector
from runwright.adapters.hosts.ssh import SshConnector
from runwright.execution.host_check import STATE_TOOLS, SUPERVISOR_TOOLS, check_host, skew
from runwright.model.errors import HostKeyRefused, HostUnreachable
from runwright.model.hosts import (
    CheckStatus,
    Host,
    HostCheck,
    KeyStanding,
    LocalConnection,
    NspawnConnection,
    SshConnection,
    fingerprint,
)
from runwright.model.ports.hosts import HostSession
from support.ssh_machine import ASKED, PLAIN, LabSecrets, SshMachine, secret, ssh_machine

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILH4tZw7ZG8s5/S0y1/eiEjWGOm5pE2T3r20l1LQjIrN"
FINGERPRINT = "SHA256:QdfTcJJV5nJWQPu49YJw883R0cV2A177IwV3oIsghx4"
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def asked(host: Host) -> HostCheck:
    clock = SystemClock()
    return HostCheck(
        id=clock.new_id("chk"), client_id="acme", host_id=host.id, requested_by="usr_1", created_at=clock.now()
    )


def managed(connection: LocalConnection | NspawnConnection | SshConnection, **fields: object) -> Host:
    given = {"id": "hst_1", "client_id": "acme", "hostname": "web-1", "connection": connection, "created_at": NOW}
    return Host.model_validate({**given, **fields})


class Refusing:
    """A connector that never opens."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[HostSession]:
        raise self._error
        yield


async def test_this_machine_is_ready_and_says_what_it_is(tmp_path: Path) -> None:
    host = managed(LocalConnection())
    check = asked(host)
    done = await check_host(check, host, LocalConnector(base=str(tmp_path)), SystemClock())
    assert (done.status, done.reachable, done.ready, done.problem) == (CheckStatus.DONE, True, True, "")
    facts = done.facts
    assert facts is not None
    assert facts.uid == os.geteuid()
    assert facts.os
    assert facts.init
    assert facts.supervisor_directory == str(tmp_path)
    assert facts.control_groups is not None
    assert facts.clock_skew_seconds == 0.0
    assert 0 < (facts.round_trip_ms or 0) < 5000
    assert list(tmp_path.iterdir()) == [], "the attempt's files are removed"


async def test_tools_that_the_host_lacks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = managed(LocalConnection())
    monkeypatch.setattr("runwright.execution.host_check.STATE_TOOLS", ("cat", "no-such-tool"))
    monkeypatch.setattr("runwright.execution.host_check.SUPERVISOR_TOOLS", ("id", "no-such-shell-tool"))
    done = await check_host(asked(host), host, LocalConnector(base=str(tmp_path)), SystemClock())
    assert done.facts is not None
    assert done.facts.missing_tools == ("no-such-shell-tool", "no-such-tool")
    assert (done.reachable, done.ready) == (True, False)
    assert any("No step can run without no-such-shell-tool" in hint for hint in done.hints)


def test_every_tool_that_is_asked_for_is_used() -> None:
    supervisor = "".join(path.read_text() for path in files("runwright.adapters.hosts").joinpath("sh").iterdir()
                         if path.name.endswith(".sh"))  # fmt: skip
    rooms = [Path(str(room.__file__)).parent for room in (runwright.execution, runwright.verification)]
    state = "".join(path.read_text() for room in rooms for path in room.rglob("*.py") if path.stem != "host_check")
    assert [name for name in SUPERVISOR_TOOLS if not re.search(rf"\b{name}\b", supervisor)] == []
    assert [name for name in STATE_TOOLS if not re.search(rf"\b{name}\b", state)] == []


@pytest.mark.parametrize(("changed", "standing"), [(False, KeyStanding.UNKNOWN), (True, KeyStanding.CHANGED)])
async def test_a_refused_key_is_shown_beside_the_accepted_ones(changed: bool, standing: KeyStanding) -> None:
    accepted = (HOST_KEY,) if changed else ()
    host = managed(SshConnection(address="192.0.2.1", credential=secret("key"), host_keys=accepted))
    refused = HostKeyRefused(
        "Found another key.",
        offered="ssh-rsa AAAAother",
        fingerprint="SHA256:other",
        changed=changed,
        next_step="Look.",
    )
    done = await check_host(asked(host), host, Refusing(refused), SystemClock())
    assert (done.reachable, done.ready, done.code) == (False, False, "host-key-refused")
    assert (done.problem, done.next_step) == ("Found another key.", "Look.")
    assert done.keys[-1].standing is standing
    assert done.keys[-1].fingerprint == "SHA256:other"
    assert [key.fingerprint for key in done.keys[:-1]] == ([FINGERPRINT] if changed else [])


async def test_what_a_server_says_is_shown_as_text_and_without_secrets() -> None:
    hostile = "Found \x1b[31mred\u202e\u200b and ghp_abcdefghijklmnopqrstuvwxyz0123456789 " + "x" * 5000
    host = managed(LocalConnection())
    done = await check_host(asked(host), host, Refusing(HostUnreachable(hostile)), SystemClock())
    assert not re.search("[\x1b\u202e\u200b]", done.problem)
    assert "ghp_abcdef" not in done.problem
    assert len(done.problem) <= 500


async def test_the_end_of_the_worker_is_no_answer_of_the_host() -> None:
    host = managed(LocalConnection())
    with pytest.raises(ZeroDivisionError):
        await check_host(asked(host), host, Refusing(ZeroDivisionError()), SystemClock())


@pytest.mark.parametrize(
    ("offset", "exact", "wanted"),
    [
        (0.05, True, 0.0),
        (120.0, True, 119.9),
        (-120.0, True, -120.0),
        (0.05, False, 0.0),
        (-0.95, False, 0.0),
        (90.5, False, 89.9),
    ],
)
def test_a_clock_is_wrong_only_where_it_must_be(offset: float, exact: bool, wanted: float) -> None:
    """Read at an unknown moment within a tenth of a second; BusyBox tells whole seconds only."""
    told = (NOW + timedelta(seconds=offset)).timestamp()
    text = f"{told:.9f}\n" if exact else f"{int(told)}.%N\n"
    assert skew(text, NOW, NOW + timedelta(seconds=0.1)) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("text", ["", "no date\n", "date: not found", "9" * 40])
def test_a_host_without_a_clock_tells_nothing(text: str) -> None:
    assert skew(text, NOW, NOW) is None


Look = Callable[[Host], Awaitable[HostCheck]]


async def _as_it_is(lab: SshMachine, look: Look) -> None:
    """From outside, as root, as a plain user, with a sudo that asks."""
    outside = await look(managed(NspawnConnection(machine=lab.machine.name)))
    assert (outside.ready, outside.facts and outside.facts.init) == (True, "systemd")
    root = await look(lab.host())
    assert root.ready, root.problem
    assert root.facts is not None
    assert (root.facts.user, root.facts.become, root.facts.control_groups) == ("root", None, True)
    assert [key.standing for key in root.keys] == [KeyStanding.ACCEPTED] * 2
    plain = await look(lab.host(PLAIN))
    assert plain.ready, plain.problem
    assert plain.facts is not None
    assert (plain.facts.user, plain.facts.become) == (PLAIN, True)
    # sudo that asks for a password which nobody named
    wanting = lab.host(ASKED).model_copy(update={"become": True})
    without = await look(wanting)
    assert (without.reachable, without.ready) == (True, False)
    assert any("sudo does not work" in hint for hint in without.hints), without.hints
    with_password = lab.connection(ASKED, become_password=secret("password"))
    assert (await look(wanting.model_copy(update={"connection": with_password}))).ready


async def _its_keys(lab: SshMachine, look: Look) -> None:
    """Keys that nobody accepted, of the machine and of the one before it, and logins that it refuses."""
    cases = [
        (lab.host(host_keys=()), KeyStanding.UNKNOWN, False),
        (lab.host(host_keys=(HOST_KEY,)), KeyStanding.CHANGED, False),
        (lab.host(jump=lab.endpoint(host_keys=())), KeyStanding.UNKNOWN, True),
    ]
    for host, standing, jump in cases:
        done = await look(host)
        assert (done.reachable, done.code) == (False, "host-key-refused"), done.problem
        assert (done.keys[-1].standing, done.keys[-1].jump) == (standing, jump)
        assert done.keys[-1].key in lab.host_keys
        assert done.keys[-1].fingerprint == fingerprint(done.keys[-1].key)
    stranger = lab.host(credential=secret("stranger-key"))
    done = await look(stranger)
    assert (done.reachable, done.code) == (False, "host-unreachable")
    missing = lab.host(credential=secret("nowhere"))
    assert "nowhere" in (await look(missing)).problem


@pytest.mark.lab
async def test_a_machine_with_sshd() -> None:
    ssh = SshConnector(secrets=LabSecrets())
    reach = Connectors({"nspawn": NspawnConnector(), "ssh": ssh}, closing=(ssh.close,))

    async def look(host: Host) -> HostCheck:
        return await check_host(asked(host), host, reach, SystemClock())

    async with ssh_machine() as lab:
        await _as_it_is(lab, look)
        await _its_keys(lab, look)
        await reach.close()
