"""Which scenarios a candidate is tried with, and trying it: the `TrialRunner` that learning and review call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runwright.lab.scenarios import load_files, scenario_files
from runwright.lab.trials import Watchers, demand_lab, run_trials
from runwright.model.documents import RunbookDocument
from runwright.model.executions import ExecutionResult
from runwright.model.lab import Expectation, Scenario, TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.machines import Machines

Called = Callable[[RunbookDocument], Awaitable[Mapping[str, RunbookDocument]]]
"""Finds what the `call` steps of a document name, by digest."""


@dataclass(frozen=True)
class _Candidate:
    document: RunbookDocument
    digest: str


class LabTrials:
    """Tries a candidate on fresh machines with the scenarios of some folders."""

    def __init__(
        self,
        machines: Machines,
        folders: Sequence[Path],
        clock: Clock,
        *,
        jobs: int = 2,
        limit: int = 4,
        watchers: Watchers | None = None,
        called: Called | None = None,
    ) -> None:
        """`jobs` machines at once, `limit` trials per candidate. Folders are read at each call."""
        self._machines = machines
        self._folders = tuple(folders)
        self._clock = clock
        self._jobs = jobs
        self._limit = limit
        self._watchers = watchers
        self._called = called

    async def try_candidate(
        self, document: RunbookDocument, version_id: str, digest: str, failed: ExecutionResult | None
    ) -> tuple[TrialReport, ...]:
        """One report per scenario that fits, the same fault first. Raises NoMachine, InvalidInput (a broken folder)."""
        files = tuple(dict.fromkeys(path for folder in self._folders for path in scenario_files(folder)))
        scenarios = fitting(tuple(scenario for _, scenario in load_files(files)), document, failed)[: self._limit]
        if not scenarios:
            return ()
        await demand_lab(self._machines)
        return await run_trials(
            self._machines,
            _Candidate(document, digest),
            scenarios,
            self._clock,
            version=version_id,
            jobs=self._jobs,
            watchers=self._watchers,
            called=await self._called(document) if self._called is not None else None,
        )


def fitting(
    scenarios: Sequence[Scenario], document: RunbookDocument, failed: ExecutionResult | None
) -> tuple[Scenario, ...]:
    """The scenarios that prove something about this candidate, the most telling first.

    A scenario fits if its runbook is the candidate's and its incident is of the failed run's type (without a
    failed run: of a type the candidate answers). Of these

    1. come the same faults: the same subject, and a cure that can live in this runbook;
    2. then regressions: what the parent heals already (`failure_type: null`), with any subject;
    3. then twins that the parent ends rightly (`failure_type: null` too): where leaving things alone is right.

    Faults of other subjects that the parent does not heal either are left out: failing there says nothing against
    a candidate that was not made for them. So are faults whose cure lives elsewhere. A candidate without a failed
    run, written by hand, is tried with every fault whose cure can live in it.
    """
    types = {failed.incident.incident_type} if failed is not None else set(document.incident_types)
    ranked: list[tuple[int, str, Scenario]] = []
    for scenario in scenarios:
        if scenario.runbook == document.id and scenario.incident.incident_type in types:
            rank = _rank(scenario, failed.incident.subject if failed is not None else None)
            if rank is not None:
                ranked.append((rank, scenario.id, scenario))
    return tuple(scenario for _, _, scenario in sorted(ranked, key=lambda item: item[:2]))


def _rank(scenario: Scenario, subject: Mapping[str, Any] | None) -> int | None:
    if scenario.failure_type is None:
        return 2 if scenario.expect is Expectation.HEALED else 3
    if scenario.expect is not Expectation.HEALED:
        return None
    same = subject is None or _plain(scenario.incident.subject) == _plain(subject)
    return 1 if same and scenario.failure_type.improvable else None


def _plain(subject: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in subject.items() if value is not None}
