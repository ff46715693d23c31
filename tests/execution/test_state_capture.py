"""State of this machine itself, in one round trip, with whichever shell and tools there are."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from runwright.adapters.clock import SystemClock
from runwright.execution.state_capture import Plan, capture, process
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import Command, HostSession
from runwright.verification.sections import parse_sections, script

SERVICE = IncidentBrief(incident_type="service_crash", subject={"service": "no-such-service"})
SHELLS = [
    pytest.param("dash", marks=pytest.mark.skipif(not shutil.which("dash"), reason="no dash")),
    pytest.param("busybox sh", marks=pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox")),
    pytest.param("bash --posix", marks=pytest.mark.skipif(not shutil.which("bash"), reason="no bash")),
]


def full_path(shell: str) -> str:
    """A session has a search path of its own."""
    name, _, rest = shell.partition(" ")
    return f"{shutil.which(name)} {rest}".strip()


class Counting:
    """Counts the round trips of a real session."""

    def __init__(self, session: HostSession) -> None:
        self._session, self.commands = session, list[Command]()

    async def probe(self, command: Command) -> Any:
        self.commands.append(command)
        return await self._session.probe(command)


async def test_this_machine_in_one_round_trip(session: HostSession, clock: Clock) -> None:
    counting = Counting(session)
    state = await capture(counting, SERVICE, clock)  # type: ignore[arg-type]  # probe is all that is called
    assert len(counting.commands) == 1
    assert state.captured_at == clock.now().isoformat()
    assert state.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    assert state.memory is not None
    assert state.memory.total_kb > 1000
    root = shutil.disk_usage("/")
    (disk,) = [disk for disk in state.disks if disk.mount == "/"]
    assert disk.size_kb == root.total // 1024
    assert abs(disk.used_kb - root.used // 1024) < 500_000
    assert state.processes
    named = {fact.fact for fact in state.missing}
    assert named <= {"services", "failed_units", "journal", "cpu", "subject"}


async def test_a_listening_port_is_seen_with_and_without_ss(session: HostSession, clock: Clock) -> None:
    plan = Plan.of(SERVICE)
    for hide in (False, True):
        parts = [
            (name, text.replace("have ss &&", "false &&") if hide else text) for name, text in plan.question().parts
        ]
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            command = Command(
                text=script(parts), parameters={**plan.question().parameters, "rw_token": "rw_0001"}, timeout=20
            )
            result = await session.probe(command)
        state = process(plan, parse_sections(result.stdout, "rw_0001"), None, "")
        found = [fact for fact in state.ports if fact.port == port]
        assert [(fact.protocol, fact.address) for fact in found] == [("tcp", "127.0.0.1")], hide
        assert found[0].process, hide


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_shell_gives_the_same_facts(shell: str, session: HostSession, clock: Clock) -> None:
    plan = Plan.of(IncidentBrief(incident_type="disk_full", subject={"mount": "/", "protect": ["/etc/passwd", "/etc"]}))
    question = plan.question()
    command = Command(
        text=f'{full_path(shell)} -c "$inner"',
        parameters={**question.parameters, "rw_token": "rw_0001", "inner": script(question.parts)},
        timeout=20,
    )
    result = await session.probe(command)
    assert (result.exit_code, result.stderr) == (0, "")
    state = process(plan, parse_sections(result.stdout, "rw_0001"), None, "")
    plain = await capture(session, plan.brief, clock)
    assert (state.os, state.kernel, state.init) == (plain.os, plain.kernel, plain.init)
    assert "/" in {disk.mount for disk in state.disks}
    assert state.extra["subject"]["device"] == plain.extra["subject"]["device"]
    assert state.extra["subject"]["protected"][0] == plain.extra["subject"]["protected"][0]


async def test_a_host_that_does_not_answer_in_time_names_every_fact(
    session: HostSession, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwright.execution.state_capture.TIMEOUT", 0.2)

    class Late:
        async def probe(self, command: Command) -> Any:
            return await session.probe(command.model_copy(update={"text": "sleep 30; " + command.text}))

    state = await capture(Late(), SERVICE, clock)  # type: ignore[arg-type]  # probe is all that is called
    assert {fact.reason for fact in state.missing if fact.fact != "subject"} == {"the host did not answer within 0.2 s"}


async def test_it_is_quick(session: HostSession) -> None:
    """The aim is 60 ms; the bound here only catches a capture that began to wait for something."""
    clock = SystemClock()
    best = 10.0
    for _ in range(3):
        started = clock.monotonic()
        await capture(session, SERVICE, clock)
        best = min(best, clock.monotonic() - started)
    assert best < 0.5
