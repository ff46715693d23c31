"""What a step costs: ours through a running server and as a whole process, bare `sh -c`, ansible and pyinfra.

All run the same twenty shell steps on this machine. Ours does, and the others do not: ask the approval gate before
every step, journal intent and outcome in a database with a sync to disk each, keep the output under a supervisor that
survives a lost connection, capture the state of the host before and after, and have the incident's verifier judge.
The hold time, in which a verdict must stay true, is set to 0 here: waiting is no work (it is 3 s unless set).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from over_ssh import STEPS as OVER_SSH
from over_ssh import over_ssh
from report import ROOT, in_turn, machine, ratio, say, table, write
from serving import Server

from runwright.adapters.clock import SystemClock
from runwright.adapters.hosts.local import LocalConnector
from runwright.execution.state_capture import capture
from runwright.model.hosts import Host, LocalConnection
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.hosts import HostSession
from runwright.model.severity import Severity

STEPS = 20
ROUNDS = 7
PEERS = Path(os.environ.get("RUNWRIGHT_PEERS") or ROOT / ".venv-peers") / "bin"
INCIDENT = "cert_expiry"
"""Its verifier looks at one file, so that what else goes on here does not change the verdict."""
MEGABYTE = 1_000_000


def step_text(number: int) -> str:
    """What one step does, in every tool."""
    return f"x=$(({number} + 1)); echo step $x"


def runbook(identifier: str, steps: dict[str, str]) -> str:
    """A runbook of shell steps, judged by the verifier of its incident type."""
    lines = [f"  - id: {name}\n    run: {text}\n" for name, text in steps.items()]
    return (
        f"schema: runwright/v1\nid: {identifier}\nname: For the benchmark\nplatform: linux\n"
        f"incident_types: [{INCIDENT}]\nseverity: low\nsteps:\n{''.join(lines)}"
    )


TWENTY = {f"step-{number}": step_text(number) for number in range(STEPS)}


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Subjects:
    """A certificate that is good for 90 days, and subjects about it that differ, so that no run is the fourth for the
    same incident."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "bench.pem"
        self._given = 0
        kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=bench.example"
        files = ("-keyout", str(folder / "bench.key"), "-out", str(self._file))
        subprocess.run(["openssl", "req", *kind.split(), *files], capture_output=True, check=True)

    def fresh(self) -> dict[str, object]:
        """One that was not given before."""
        self._given += 1
        return {"path": str(self._file), "ca_file": str(self._file), "min_days": self._given / 100}


def floor() -> float:
    """The same steps as bare `sh -c` processes, one after the other, with their output read."""

    def spawn() -> None:
        for text in TWENTY.values():
            subprocess.run(["/bin/sh", "-c", text], capture_output=True, check=True)

    return timed(spawn)


def quiet(*command: str, **environment: str) -> None:
    """Run a peer. Raises CalledProcessError with its output where it fails."""
    subprocess.run(command, capture_output=True, check=True, env={**os.environ, **environment}, cwd="/")


def playbook(folder: Path) -> Callable[[], float]:
    """ansible-playbook: `shell` tasks, local connection, facts not gathered, its own Python not searched for."""
    file = folder / "twenty.yml"
    tasks = "".join(f"    - shell:\n        cmd: {text}\n" for text in TWENTY.values())
    file.write_text(f"- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n{tasks}")
    command = (
        str(PEERS / "ansible-playbook"),
        "-i",
        "localhost,",
        "-e",
        f"ansible_python_interpreter={PEERS / 'python'}",
        str(file),
    )
    return lambda: timed(lambda: quiet(*command, ANSIBLE_LOCALHOST_WARNING="false"))


def deploy(folder: Path) -> Callable[[], float]:
    """pyinfra: `server.shell` operations on its own local connector."""
    file = folder / "twenty.py"
    lines = [f"server.shell(name='{name}', commands=[{text!r}])" for name, text in TWENTY.items()]
    file.write_text("from pyinfra.operations import server\n\n" + "\n".join(lines) + "\n")
    return lambda: timed(lambda: quiet(str(PEERS / "pyinfra"), "-y", "@local", str(file)))


def whole_process(server: Server, subject: dict[str, object]) -> float:
    """`runwright run`, which reports the incident and follows the run to its verdict."""
    given = [f"--set={name}={value}" for name, value in subject.items()]
    command = [sys.executable, "-m", "runwright", "run", INCIDENT, "--host", "here", *given, "--json"]
    return timed(lambda: subprocess.run(command, capture_output=True, check=True, env=server.environment))


def twenty_steps(server: Server, subjects: Subjects, folder: Path, rounds: int) -> dict[str, float]:
    """Ours against the floor and the peers, measured in turn."""
    version = server.approve(runbook("RB-BENCH-TWENTY-001", TWENTY))
    ended: list[str] = []
    measures: dict[str, Callable[[], float]] = {
        "floor": floor,
        "server": lambda: timed(lambda: ended.append(server.run("here", INCIDENT, subjects.fresh()))),
        "command": lambda: whole_process(server, subjects.fresh()),
    }
    if (PEERS / "ansible-playbook").exists():
        measures |= {"ansible": playbook(folder), "pyinfra": deploy(folder)}
    say(f"Twenty shell steps ({version}), each tool in turn:")
    in_turn(1, {name: measures[name] for name in ("server", "command")})  # warm caches, as the peers' files are
    found = in_turn(rounds, measures)
    results = [server.checked(one, STEPS) for one in ended]
    engine = median((ours - bare) / STEPS for ours, bare in zip(found["server"], found["floor"], strict=True))
    alone = median(_span(result) for result in results) / STEPS
    figures = {
        "floor_ms_per_step": round(median(found["floor"]) / STEPS * 1000, 2),
        "engine_ms_per_step": round(engine * 1000, 2),
    }
    rows = [(name, f"{median(times):.3f} s", "") for name, times in found.items()]
    rows += [
        ("floor per step", f"{figures['floor_ms_per_step']:.2f} ms", "fork, exec and wait of sh -c"),
        ("ours per step, over the floor", f"{figures['engine_ms_per_step']:.2f} ms", "whole run through the server"),
        ("first step to last step, per step", f"{alone * 1000:.2f} ms", "without captures, verdict and queue"),
    ]
    for peer in ("ansible", "pyinfra"):
        if peer in found:
            figures[f"{peer}_over_ours"] = ratio(found[peer], found["server"])
            figures[f"cli_{peer}_over_ours"] = ratio(found[peer], found["command"])
            rows.append((f"{peer} over ours", f"{figures[f'{peer}_over_ours']:.1f} x", "through a running server"))
            rows.append((f"{peer} over ours", f"{figures[f'cli_{peer}_over_ours']:.1f} x", "as a whole process"))
    table(rows)
    return figures


def _span(result: object) -> float:
    """Seconds from the start of the first step to the end of the last."""
    attempts = [attempt for step in result.steps for attempt in step.attempts]  # type: ignore[attr-defined]  # telemetry
    return float((attempts[-1].ended_at - attempts[0].started_at).total_seconds())


def help_time(rounds: int) -> dict[str, float]:
    """`runwright --help`, whole process."""
    command = [str(ROOT / ".venv" / "bin" / "runwright"), "--help"]
    seconds = median(timed(lambda: subprocess.run(command, capture_output=True, check=True)) for _ in range(rounds))
    table([("runwright --help", f"{seconds:.3f} s", "whole process")])
    return {"help_s": round(seconds, 3)}


async def with_local(work: Callable[[HostSession], object]) -> None:
    """Do something with a session on this machine."""
    host = Host(
        id="hst_bench", client_id="bench", hostname="here", connection=LocalConnection(), created_at=SystemClock().now()
    )
    with tempfile.TemporaryDirectory() as base:
        async with LocalConnector(base=base).open(host) as session:
            await work(session)  # type: ignore[misc]  # a coroutine function


def state_capture(subjects: Subjects, rounds: int) -> dict[str, float]:
    """One capture of everything about this machine and the incident's subject."""
    times: list[float] = []
    brief = IncidentBrief(incident_type=INCIDENT, severity=Severity.LOW, subject=subjects.fresh())

    async def measure(session: HostSession) -> None:
        for _ in range(rounds):
            begun = time.perf_counter()
            await capture(session, brief, SystemClock())
            times.append(time.perf_counter() - begun)

    asyncio.run(with_local(measure))
    figure = round(median(times) * 1000, 1)
    table([("state capture", f"{figure:.1f} ms", "this machine, one round trip")])
    return {"state_capture_ms": figure}


def four_megabytes(server: Server, subjects: Subjects, rounds: int) -> dict[str, float]:
    """From asking for a run whose one step prints 4 MB to its stored result, captures and verdict included."""
    big = "head -c 4000000 /dev/zero | tr '\\000' x"
    server.approve(runbook("RB-BENCH-TWENTY-001", {"print": big}))
    seconds = median(timed(lambda: server.run("here", INCIDENT, subjects.fresh())) for _ in range(rounds))
    table([("step output of 4 MB", f"{seconds:.3f} s", "the whole run, to its stored result")])
    return {"store_4mb_s": round(seconds, 3)}


def resident(pid: int) -> int:
    """Kilobytes of a process's greatest resident size so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


def one_gigabyte(server: Server, subjects: Subjects) -> None:
    """What the worker's memory and the supervisor's files grow to while a step prints 1 GB. For the table alone."""
    pid = server.worker()
    before = resident(pid)
    server.approve(runbook("RB-BENCH-TWENTY-001", {"print": "head -c 1000000000 /dev/zero | tr '\\000' x"}))
    seconds = timed(lambda: server.run("here", INCIDENT, subjects.fresh()))
    grown = resident(pid) - before
    table([("1 GB printed by a step", f"{seconds:.1f} s", f"the worker's memory grew by {grown / 1024:.0f} MB")])


def main() -> None:
    """Measure, print, write."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    say(f"Measured on {machine()}")
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="runwright-bench-") as made:
        folder = Path(made)
        with Server(folder, RUNWRIGHT_HOLD_SECONDS="0") as server:
            server.add_host("here")
            subjects = Subjects(folder)
            figures |= twenty_steps(server, subjects, folder, rounds)
            figures |= four_megabytes(server, subjects, 3)
            one_gigabyte(server, subjects)
        figures |= state_capture(subjects, rounds)
    figures |= help_time(rounds)
    ten = dict(list(TWENTY.items())[:OVER_SSH])
    figures |= over_ssh(PEERS, runbook("RB-BENCH-TEN-001", ten), list(ten.values()), INCIDENT)
    write("execution", figures)


if __name__ == "__main__":
    main()
