"""A real `runwright serve` on a throwaway data directory, with a person, a host and an approved runbook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runwright.model.executions import ExecutionResult
from runwright.model.hosts import Connection, Host, LocalConnection, NewHost
from runwright.model.incidents import NewIncident
from runwright.surfaces.client import RunwrightClient

PASSWORD = "only for this benchmark"  # noqa: S105 - of a server that lives for a minute
CLIENT = "default"


class Server:
    """Runs while in its `with` block. `admin` is a person who is logged in."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RUNWRIGHT_")},
            "RUNWRIGHT_DATA_DIR": str(folder / "data"),
            "RUNWRIGHT_SESSION_FILE": str(folder / "sessions.json"),
            "RUNWRIGHT_LAB": "false",
            "RUNWRIGHT_STARTER_LIBRARY": "false",
            **settings,
        }
        self.environment.pop("OPENAI_API_KEY", None)

    def __enter__(self) -> Self:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runwright", "serve", "--port", "0", "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self.environment,
            )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise SystemExit((self.folder / "server.log").read_text())
        self.url = json.loads(line)["url"]
        self.environment["RUNWRIGHT_URL"] = self.url
        self.command("user", "add", "bench", "--admin", "--password-stdin", given=PASSWORD + "\n")
        self.command("user", "login", "bench", "--password-stdin", given=PASSWORD + "\n")
        self.admin = RunwrightClient(self.url)
        self.admin.login("bench", PASSWORD)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.admin.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def worker(self) -> int:
        """The process id of the server's worker."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def command(self, *words: str, given: str = "") -> str:
        """A `runwright` command of this server's user. Raises SystemExit with what it said where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "runwright", *words],
            input=given,
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"runwright {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def add_host(self, hostname: str, connection: Connection | None = None) -> Host:
        """Register a host; this machine itself where no connection is named."""
        return self.admin.add_host(
            NewHost(client_id=CLIENT, hostname=hostname, connection=connection or LocalConnection())
        )

    def approve(self, text: str) -> str:
        """Store a runbook as a machine's, approve it and its routing; its version id."""
        token = self.admin.create_token("library", [{"role": "author", "client_id": CLIENT}], 1)
        with RunwrightClient(self.url, token.secret) as library:
            added = library.add_runbook(text, f"client:{CLIENT}")
        for item in added.items:
            self.admin.approve(item.id, item.subject.digest)
        return added.version.id

    def run(self, host: str, incident_type: str, subject: dict[str, Any]) -> str:
        """Report an incident, which starts the run, and follow its events to the end; its id."""
        execution_id = self.report(host, incident_type, subject)
        self.follow(execution_id)
        return execution_id

    def report(self, host: str, incident_type: str, subject: dict[str, Any]) -> str:
        """Report an incident; the id of the run that answers it."""
        new = NewIncident(client_id=CLIENT, host=host, incident_type=incident_type, subject=subject, source="bench")
        incident = self.admin.report_incident(new)
        runs = self.admin.executions(incident_id=incident.id)
        if not runs:
            raise SystemExit(f"nothing answers {incident}")
        return runs[0].id

    def follow(self, execution_id: str) -> None:
        """Wait for the event that ends the run."""
        for event in self.admin.events(execution_id):
            if event.ends_run:
                return

    def checked(self, execution_id: str, steps: int) -> ExecutionResult:
        """The telemetry of a run. Raises SystemExit unless it succeeded, verified, with all its steps."""
        result = self.admin.result(execution_id)
        good = result.status.value == "success" and len(result.steps) == steps
        if not good or any(step.status.value != "ok" for step in result.steps):
            verdict = result.verification.explanation if result.verification else "no verdict"
            raise SystemExit(f"a run ended {result.status.value}: {result.error}; {verdict}")
        return result
