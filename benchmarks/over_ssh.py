"""Ten shell steps on each of twenty lab machines over SSH, with a real OpenSSH server: ours, ansible and pyinfra.

Cold: no connection is open yet. Warm: right after another run; ours keeps its connections, ansible its ssh masters
(ControlPersist, its default), pyinfra opens new ones. ansible runs with pipelining and one fork a machine, faster than
its defaults, and its Python on the machines is named to it; facts are gathered by neither.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from report import ROOT, in_turn, ratio, say, table
from serving import CLIENT, Server

sys.path.insert(0, str(ROOT / "tests"))
from runwright.model.hosts import SecretRef
from support.ssh_machine import SshMachine, ssh_machines, user_keys

MACHINES = int(os.environ.get("RUNWRIGHT_BENCH_MACHINES", "20"))
STEPS = 10
ROUNDS = 3


class Peers:
    """What ansible and pyinfra need to know of the machines, as files."""

    def __init__(self, folder: Path, bin_: Path, machines: list[SshMachine], texts: list[str]) -> None:
        self._folder, self._bin = folder, bin_
        key = folder / "key"
        key.touch(0o600)
        key.write_bytes(user_keys()["plain"].export_private_key())
        known = folder / "known_hosts"
        known.write_text("".join(f"{one.address} {key}\n" for one in machines for key in one.host_keys))
        common = f"-o UserKnownHostsFile={known}"
        self._inventory = folder / "inventory"
        self._inventory.write_text(
            "".join(
                f"{one.address} ansible_user=root ansible_ssh_private_key_file={key} "
                f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{common}'\n"
                for one in machines
            )
        )
        tasks = "".join(f"    - shell:\n        cmd: {text}\n" for text in texts)
        self._playbook = folder / "ten.yml"
        self._playbook.write_text(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
        hosts = [
            (one.address, {"ssh_user": "root", "ssh_key": str(key), "ssh_known_hosts_file": str(known)})
            for one in machines
        ]
        self._hosts = folder / "hosts.py"
        self._hosts.write_text(f"machines = {hosts!r}\n")
        self._deploy = folder / "ten.py"
        lines = [f"server.shell(name={text!r}, commands=[{text!r}])" for text in texts]
        self._deploy.write_text("from pyinfra.operations import server\n\n" + "\n".join(lines) + "\n")

    def ansible(self, masters: str) -> float:
        """`masters`: the directory of the ssh masters; a new one is cold."""
        environment = {
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORKS": str(MACHINES),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._folder / masters),
        }
        return self._timed(
            str(self._bin / "ansible-playbook"), "-i", str(self._inventory), str(self._playbook), **environment
        )

    def pyinfra(self) -> float:
        return self._timed(str(self._bin / "pyinfra"), "-y", str(self._hosts), str(self._deploy))

    def _timed(self, *command: str, **environment: str) -> float:
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
        if done.returncode:
            raise SystemExit(f"{command[0]}: {(done.stdout + done.stderr)[-1500:]}")
        return time.perf_counter() - begun


def ours(server: Server, names: list[str], incident: str, fresh: Callable[[], dict[str, object]]) -> float:
    """One run on every machine, all asked for at once; until the last has its verdict."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(len(names)) as pool:
        runs = list(pool.map(lambda name: server.run(name, incident, fresh()), names))
    seconds = time.perf_counter() - begun
    for one in runs:
        server.checked(one, STEPS)
    return seconds


async def _measure(peers_bin: Path, runbook: str, texts: list[str], incident: str) -> dict[str, float]:
    async with ssh_machines(MACHINES) as machines:
        for one in machines:
            await one.run(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=bench.example "
                "-keyout /root/bench.key -out /root/bench.pem 2>&1"
            )
        return await asyncio.to_thread(_compare, machines, peers_bin, runbook, texts, incident)


def _compare(
    machines: list[SshMachine], peers_bin: Path, runbook: str, texts: list[str], incident: str
) -> dict[str, float]:
    days = iter(range(1, 100_000))

    def fresh() -> dict[str, object]:
        return {"path": "/root/bench.pem", "ca_file": "/root/bench.pem", "min_days": next(days) / 10_000}

    with tempfile.TemporaryDirectory(prefix="runwright-bench-") as made:
        folder = Path(made)
        place = folder / "data" / "secrets" / CLIENT
        place.mkdir(parents=True, mode=0o700)
        (place / "key").touch(0o600)
        (place / "key").write_bytes(user_keys()["plain"].export_private_key())
        with Server(folder, RUNWRIGHT_HOLD_SECONDS="0") as server:
            names = []
            for one in machines:
                reference = SecretRef(client_id=CLIENT, name="key")
                names.append(server.add_host(one.machine.name, one.connection(credential=reference)).hostname)
            server.approve(runbook)
            measures: dict[str, Callable[[], float]] = {"ours": lambda: ours(server, names, incident, fresh)}
            peers = None
            if (peers_bin / "ansible-playbook").exists():
                peers = Peers(folder, peers_bin, machines, texts)
                measures |= {"ansible": lambda: peers.ansible("masters"), "pyinfra": peers.pyinfra}
            say(f"{STEPS} steps on each of {len(machines)} machines over SSH, cold:")
            cold = in_turn(1, measures)
            say("Warm:")
            warm = in_turn(ROUNDS, measures)
    rows = []
    figures: dict[str, float] = {}
    for name in measures:
        rows.append((f"{name} over SSH", f"{cold[name][0]:.2f} s", f"warm {median(warm[name]):.2f} s"))
    for peer in [name for name in measures if name != "ours"]:
        figures[f"ssh_{peer}_over_ours"] = ratio(warm[peer], warm["ours"])
        note = f"warm; cold {cold[peer][0] / cold['ours'][0]:.1f} x"
        rows.append((f"{peer} over ours", f"{figures[f'ssh_{peer}_over_ours']:.1f} x", note))
    table(rows)
    return figures


def over_ssh(peers_bin: Path, runbook: str, texts: list[str], incident: str) -> dict[str, float]:
    """The figures; none where this machine cannot make lab machines."""
    if os.geteuid() != 0:
        say("Over SSH: not measured, lab machines need root.")
        return {}
    return asyncio.run(_measure(peers_bin, runbook, texts, incident))
