"""The story, act by act. Everything in it happens: a real server, a real service, a real fault."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from runwright.model.diagnoses import Analysis
from runwright.model.errors import NotFound, Unavailable
from runwright.model.executions import EventKind, ExecutionResult, ExecutionStatus
from runwright.model.hosts import NewHost
from runwright.model.incidents import NewIncident, Severity
from runwright.surfaces.cli.demo import show
from runwright.surfaces.cli.demo.folder import fresh_folder
from runwright.surfaces.cli.demo.server import demo_server
from runwright.surfaces.cli.demo.stage import Stage, open_stage, prove, prove_settled
from runwright.surfaces.cli.execution import event_line
from runwright.surfaces.cli.interrupt import run_until_done
from runwright.surfaces.cli.output import NEGATIVE, POSITIVE
from runwright.surfaces.client import RunwrightClient
from runwright.surfaces.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

CLIENT = "corner-shop"
PERSON = "demo"
LEARNING_SECONDS = 180.0


def run_demo(*, yes: bool, lab: bool) -> int:
    """Play the story; the exit status. Interrupted, it leaves no process, mount or directory behind."""
    folder = fresh_folder()
    try:
        return run_until_done(_Story(folder, yes=yes or not sys.stdin.isatty(), asked=yes).play(lab=lab))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def _call(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """A blocking call of the client beside the event loop, so that Ctrl-C is heard."""
    return await asyncio.to_thread(work, *args, **kwargs)


@dataclass
class _Story:
    folder: Path
    yes: bool
    """Approve without asking."""
    asked: bool
    """Because --yes was given, not because there is no terminal."""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    async def play(self, *, lab: bool) -> int:
        started = time.monotonic()
        await self._person()
        async with open_stage(lab=lab) as (stage, no_lab), demo_server(self.folder, lab=stage.lab) as url:
            with RunwrightClient(url) as person:
                await _call(person.login, PERSON, self.password)
                await self._first(stage, no_lab, person)
                await self._break(stage, 2, "The service breaks")
                with RunwrightClient(url, await self._token(person, "monitoring", "operator")) as monitoring:
                    before = await self._incident(monitoring, stage, 3, "An incident arrives, v1 runs")
                    if before.status is ExecutionStatus.SUCCESS:
                        raise Unavailable("Found v1 healing the demo's fault, so there is nothing to learn from it.")
                    analysis = await self._learning(person, before)
                    candidate = await self._review(person, analysis)
                    if candidate is None:
                        self._end("Rejected: nothing of it will ever run.")
                        return NEGATIVE
                    await self._again(stage)
                    after = await self._incident(
                        monitoring, stage, 7, "Fixed by hand meanwhile; now the same fault again: v2 is chosen"
                    )
                    await self._figures(stage, before, after)
        self._end(f"The whole story took {time.monotonic() - started:.0f} s.")
        return POSITIVE if after.status is ExecutionStatus.SUCCESS else NEGATIVE

    async def _person(self) -> None:
        """A labelled demo person with a password of this run, in the demo's own data."""
        from runwright.surfaces.wiring import with_access

        settings = Settings(data_dir=self.folder)
        await with_access(
            lambda access: access.bootstrap_admin(PERSON, self.password, display_name="Demo person", demo=True),
            settings,
        )

    async def _first(self, stage: Stage, no_lab: str | None, person: RunwrightClient) -> None:
        """Act 1: what stands, and what a person approved."""
        show.act(1, "A service, a server, an approved runbook")
        if no_lab is not None:
            show.line(f"No machines here: {no_lab.rstrip('.')}. The story plays on a real process instead.", "yellow")
        show.good(f"up: {stage.title}")
        await prove_settled("health", stage.healthy)
        show.good("the service answers")
        health = await _call(person.health)
        learning = health["learning"]
        model = f"by model {learning['generate']}" if learning["engine"] == "llm" else "offline, by rules"
        show.good(f"Runwright serves at {person.base_url}; it learns {model}")
        await _call(person.add_client, CLIENT, "The corner shop")
        host = NewHost(client_id=CLIENT, hostname=stage.hostname, connection=stage.connection)
        await _call(person.add_host, host)
        if stage.runbook_text is not None:
            # Written by a machine, so that the one person of the demo may approve it: nobody approves their own text.
            with RunwrightClient(person.base_url, await self._token(person, "library", "author")) as library:
                await _call(library.add_runbook, stage.runbook_text, f"client:{CLIENT}")
        for item in await _call(person.pending):
            wanted = item.id.startswith(stage.runbook_id) or (
                item.subject.kind == "routing"
                and item.subject.runbook_id == stage.runbook_id
                and item.subject.incident_type == stage.incident_type
            )
            if wanted:
                await _call(person.approve, item.id, item.subject.digest, "approved by the demo person")
                show.good(f"approved: {item.title}")

    async def _token(self, person: RunwrightClient, name: str, role: str) -> str:
        """A machine's secret for this client. What reports incidents is a machine: it cannot approve."""
        grants: list[dict[str, Any]] = [{"role": role, "client_id": CLIENT}]
        return (await _call(person.create_token, name, grants, 1)).secret

    async def _break(self, stage: Stage, number: int, title: str) -> None:
        show.act(number, title)
        await stage.break_it()
        await prove("health after the fault", await stage.healthy(), wanted=False)
        await prove("the symptom", await stage.symptom(), wanted=True)
        show.bad("killed; its lock file stays, and it refuses to start over it")

    async def _incident(self, monitoring: RunwrightClient, stage: Stage, number: int, title: str) -> ExecutionResult:
        """Report, and follow the run to its verdict."""
        show.act(number, title)
        incident = await _call(
            monitoring.report_incident,
            NewIncident(
                client_id=CLIENT,
                host=stage.hostname,
                incident_type=stage.incident_type,
                severity=Severity.HIGH,
                subject=stage.subject,
                source="monitoring",
            ),
        )
        show.line(f"POST /api/incidents -> {incident.id}, {incident.status.value}")
        runs = await _call(monitoring.executions, incident_id=incident.id)
        if not runs:
            notes = [item.note for item in await _call(monitoring.escalations, incident.id)]
            raise Unavailable("Found no run for the incident. " + " ".join(notes))
        show.line(f"chosen: {runs[0].version_id}")
        await _call(self._follow, monitoring, runs[0].id)
        result = await _call(monitoring.result, runs[0].id)
        for step in result.steps:
            for attempt in step.attempts[-1:]:
                for text in attempt.stderr.splitlines()[-4:]:
                    show.quote(text)
        verification = result.verification
        said = verification.outcome.value if verification else "nothing verified"
        (show.good if result.status is ExecutionStatus.SUCCESS else show.bad)(
            f"{result.status.value}: {said}, checked on the host itself"
        )
        for check in verification.checks if verification else ():
            show.line(f"  {check.id}: {check.outcome.value} - {check.reason}", "dim")
        return result

    def _follow(self, server: RunwrightClient, execution_id: str) -> None:
        """Print events until the run's final status."""
        for event in server.events(execution_id):
            text = event_line(event)
            if text and event.kind is not EventKind.STEP_OUTPUT:
                show.line("  " + text, "dim")
            if event.ends_run:
                return

    async def _learning(self, person: RunwrightClient, failed: ExecutionResult) -> Analysis:
        """Act 4 and 5: why, what would be better, and trying that on a fresh machine."""
        show.act(4, "Why it failed, and what would be better")
        deadline = time.monotonic() + LEARNING_SECONDS
        with show.console.status("signals, diagnosis, edits, trials on fresh machines with the same fault"):
            while True:
                try:
                    analysis = await _call(person.analysis, failed.execution_id)
                    break
                except NotFound:
                    if time.monotonic() > deadline:
                        raise Unavailable(f"Found no analysis within {LEARNING_SECONDS:.0f} s.") from None
                    await asyncio.sleep(0.2)
        diagnosis = analysis.diagnosis
        by = f"model {diagnosis.model}" if diagnosis.model else "rules, offline"
        show.line(f"{diagnosis.failure_type.value}, {diagnosis.confidence:.0%} sure, by {by}", "bold")
        show.line(diagnosis.reasoning)
        for signal in diagnosis.signals[:5]:
            show.quote(f"{signal.kind.value} ({signal.place}): {signal.excerpt}")
        return analysis

    async def _review(self, person: RunwrightClient, analysis: Analysis) -> str | None:
        """Act 5 and 6: the evidence, the change, the decision."""
        if analysis.refused is not None or analysis.proposal_id is None:
            raise Unavailable(f"Found no proposal: {analysis.refused}")
        waiting = [item for item in await _call(person.pending) if item.proposal_id == analysis.proposal_id]
        if not waiting:
            raise Unavailable("Found the proposal nowhere in the queue.")
        item = waiting[0]
        comparison = await _call(person.comparison, item.id)
        show.act(5, f"{item.id} was tried")
        self._trials(comparison)
        show.act(6, "A person decides")
        show.review(comparison)
        if not await self._decide(person, item.id, item.subject.digest):
            return None
        return item.id

    def _trials(self, comparison: dict[str, Any]) -> None:
        trials = comparison.get("trials") or []
        for entry in comparison["item"]["evidence"]:
            if entry["source"] == "none":
                show.line(f"- {entry['note']}", "yellow")
        for trial in trials:
            report = trial.get("report", trial)
            verdict = show.good if report["right"] else show.bad
            verdict(f"{report['scenario']}: {report['outcome']} on a fresh machine, {report['seconds']:.1f} s")
            paths = [f"{item['change']} {item['path']}" for item in report["effects"]]
            show.line(f"  files it changed: {len(paths)}", "dim")
            for path in paths[:6]:
                show.quote(path)

    async def _decide(self, person: RunwrightClient, subject: str, digest: str) -> bool:
        if self.yes:
            why = "--yes was given" if self.asked else "there is no terminal"
            await _call(person.approve, subject, digest, f"approved by the demo without asking: {why}")
            show.good(f"approved without asking ({why}), and recorded as such")
            return True
        answer = ""
        while answer not in ("a", "r"):
            answer = (await _call(input, "  [a]pprove or [r]eject? ")).strip().lower()[:1]
        if answer == "r":
            reason = ""
            while not reason:
                reason = (await _call(input, "  Why? ")).strip()
            await _call(person.reject, subject, digest, reason)
            show.bad("rejected, with your reason")
            return False
        await _call(person.approve, subject, digest, "approved at the demo's prompt")
        show.good("approved, signed, live for this client")
        return True

    async def _again(self, stage: Stage) -> None:
        """The person on call fixed the first incident by hand; now the same fault comes back."""
        await stage.fix_by_hand()
        await prove_settled("health after the fix by hand", stage.healthy)
        await stage.break_it()
        await prove("health after the second fault", await stage.healthy(), wanted=False)
        await prove("the symptom", await stage.symptom(), wanted=True)

    async def _figures(self, stage: Stage, before: ExecutionResult, after: ExecutionResult) -> None:
        show.act(8, "Before and after")
        await prove("health after v2", await stage.healthy(), wanted=after.status is ExecutionStatus.SUCCESS)
        names = ("outcome", "verified on the host", "seconds, with the hold time", "handed to a person")
        show.figures(list(zip(names, _cells(before), _cells(after), strict=True)))
        if after.status is ExecutionStatus.SUCCESS:
            show.good("asked once more: the service still answers")
        else:
            show.bad("v2 did not end it either: that is not how this demo should go")

    def _end(self, text: str) -> None:
        show.console.print()
        show.line(text)
        show.line("Look at it in the browser:  .venv/bin/runwright serve --demo", "bold")
        show.line(f"log in as {PERSON} with the password {self.password}")


def _cells(run: ExecutionResult) -> tuple[str, str, str, str]:
    """A run's column of the closing table."""
    return (
        run.status.value,
        run.verification.outcome.value if run.verification else "no",
        f"{run.duration_seconds or 0:.1f}",
        "no" if run.status is ExecutionStatus.SUCCESS else "yes",
    )
