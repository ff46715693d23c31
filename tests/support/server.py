"""A real `runwright serve` in its own process, with a person who is logged in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from runwright.model.executions import ExecutionResult
from runwright.model.hosts import LocalConnection, NewHost
from runwright.model.incidents import Incident, NewIncident
from runwright.surfaces.client import RunwrightClient

PASSWORD = "correct horse battery staple"
CLIENT = "default"
HOST = "here"


class Server:
    """Starts, kills and starts again; always on the same data."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RUNWRIGHT_")},
            "RUNWRIGHT_DATA_DIR": str(folder / "data"),
            "RUNWRIGHT_SESSION_FILE": str(folder / "sessions.json"),
            "RUNWRIGHT_LAB": "false",
            **settings,
        }
        self.environment.pop("OPENAI_API_KEY", None)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._clients: list[RunwrightClient] = []

    def start(self) -> None:
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runwright", "serve", "--port", "0", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=self.environment,
            start_new_session=True,
        )
        log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "server.log").read_text()
        self.url = json.loads(line)["url"]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the server process alone, and wait for it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def client(self, secret: str | None = None) -> RunwrightClient:
        """A client that is closed with the server."""
        made = RunwrightClient(self.url, secret)
        self._clients.append(made)
        return made

    def person(self) -> RunwrightClient:
        """The first admin, logged in."""
        made = self.client()
        made.login("ada", PASSWORD)
        return made

    def close(self) -> None:
        for made in self._clients:
            made.close()
        self.end()

    def run(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A `runwright` command as this server's user."""
        return subprocess.run(
            [sys.executable, "-m", "runwright", *arguments],
            input=given,
            capture_output=True,
            text=True,
            env={**self.environment, "RUNWRIGHT_URL": self.url},
            timeout=120,
            check=False,
        )

    def workers(self) -> list[int]:
        """Process ids of workers on this server's data."""
        mark = f"RUNWRIGHT_DATA_DIR={self.folder / 'data'}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                if b"worker" in command and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


def first_admin(server: Server) -> RunwrightClient:
    """Make the first admin and log in; a host `here` is registered."""
    made = server.run("user", "add", "ada", "--admin", "--password-stdin", given=PASSWORD + "\n")
    assert made.returncode == 0, made.stderr
    client = server.person()
    client.add_host(NewHost(client_id=CLIENT, hostname=HOST, connection=LocalConnection()))
    return client


def approve_runbook(admin: RunwrightClient, text: str) -> str:
    """Store a runbook as a machine's, approve it and its routing rule; its version id."""
    token = admin.create_token("library", [{"role": "author", "client_id": CLIENT}], 1)
    with RunwrightClient(admin.base_url, token.secret) as library:
        added = library.add_runbook(text, f"client:{CLIENT}")
    for item in added.items:
        admin.approve(item.id, item.subject.digest)
    return added.version.id


def report(client: RunwrightClient, subject: dict[str, Any], incident_type: str = "service_crash") -> Incident:
    return client.report_incident(
        NewIncident(client_id=CLIENT, host=HOST, incident_type=incident_type, subject=subject, source="test")
    )


def finished(client: RunwrightClient, execution_id: str) -> ExecutionResult:
    """Follow the run's events to its end."""
    after = 0
    while not client.execution(execution_id).status.final:
        for event in client.events(execution_id, after):
            after = event.sequence
    return client.result(execution_id)
