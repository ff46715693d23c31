"""From a failed run to a stored proposal: trials, rounds, reuse, and what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from runwright.adapters.storage import open_store
from runwright.learning.service import CANDIDATES, Failure, Learned, LearningService, persist
from runwright.model.diagnoses import FailureType
from runwright.model.documents import RunbookDocument
from runwright.model.errors import ModelUnavailable, NoMachine
from runwright.model.executions import ExecutionResult
from runwright.model.ids import version_id
from runwright.model.lab import TrialOutcome, TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.llm import ModelTask
from runwright.model.ports.store import EVERY_CLIENT, Store
from runwright.model.versions import Author, RunbookVersion
from support import records
from support.telemetry import result_of, starter

LOADED = starter("RB-LINUX-SERVICE-001")
PARENT = RunbookVersion(
    id=version_id(LOADED.document.id, 1),
    runbook_id=LOADED.document.id,
    number=1,
    scope="all",
    text=LOADED.text,
    digest=LOADED.digest,
    raw_digest=LOADED.raw_digest,
    author=Author(id="usr_1", kind="person", name="Ada"),
    created_at=records.START,
)
INCIDENT = {"incident_type": "service_crash", "subject": {"service": "shopd"}}
LOCK = "Jan 05 09:00:00 web-1 shopd[7]: lock file /run/shopd.lock exists"
DIRECTORY = "Jan 05 09:00:00 web-1 shopd[7]: open /var/lib/shopd/spool/q.dat: no such file or directory"


def crash(*said: str, **more: Any) -> ExecutionResult:
    return result_of({"incident": INCIDENT, "state_after": {"journal": list(said)}, **more})


def report(outcome: TrialOutcome, execution: ExecutionResult | None = None) -> TrialReport:
    right = outcome is TrialOutcome.HEALED
    return TrialReport(scenario="service-crash/x", outcome=outcome, right=right, execution=execution, reason="Seen.")


class ScriptedTrials:
    """Trials that end as told; remembers what was tried."""

    def __init__(self, judge: Callable[[RunbookDocument], TrialReport | None]) -> None:
        self._judge = judge
        self.tried: list[RunbookDocument] = []

    async def try_candidate(
        self, document: RunbookDocument, version_id: str, digest: str, failed: ExecutionResult
    ) -> tuple[TrialReport, ...]:
        self.tried.append(document)
        found = self._judge(document)
        return (found,) if found is not None else ()


class NoLab:
    async def try_candidate(self, *_: object) -> tuple[TrialReport, ...]:
        raise NoMachine("Found no systemd-nspawn.", next_step="Install systemd-container.")


class NoModel:
    """Counts questions, answers none."""

    def __init__(self) -> None:
        self.asked: list[ModelTask] = []

    async def ask(self, task: ModelTask, **_: object) -> Any:
        self.asked.append(task)
        raise ModelUnavailable("Found the endpoint answering 500.")


def healed_by(*steps: str) -> Callable[[RunbookDocument], TrialReport]:
    def judge(document: RunbookDocument) -> TrialReport:
        there = {step.id for step in document.steps}
        return report(TrialOutcome.HEALED if set(steps) <= there else TrialOutcome.FAILED)

    return judge


async def learn(clock: Clock, result: ExecutionResult, trials: Any = None, model: Any = None, **more: Any) -> Learned:
    return await LearningService(clock, model, trials).learn(Failure(result=result, version=PARENT, **more))


async def test_a_candidate_that_heals_is_proposed_with_its_trial(clock: Clock) -> None:
    learned = await learn(clock, crash(LOCK), ScriptedTrials(healed_by("drop-stale-lock")))
    assert learned.refused is None
    assert learned.version is not None
    assert learned.proposal is not None
    assert (learned.version.scope, learned.version.parent, learned.version.number) == ("client:acme", PARENT.id, 2)
    assert learned.version.author.kind == "engine"
    assert learned.version.origin_execution == "exe_1"
    assert learned.proposal.method == "rules"
    assert learned.analysis.proposal_id == learned.proposal.id == learned.version.proposal_id
    assert [item.passed for item in learned.evidence] == [True]
    assert learned.trials[0].digest == learned.version.digest
    assert learned.title == "add step drop-stale-lock"
    assert all(0 <= n < len(learned.proposal.signals) for edit in learned.proposal.edits for n in edit.signals)


@pytest.mark.parametrize(
    ("trials", "note"),
    [
        (None, "no lab is configured"),
        (NoLab(), "no systemd-nspawn"),
        (ScriptedTrials(lambda _: None), "no known scenario"),
        (ScriptedTrials(lambda _: report(TrialOutcome.INVALID)), "invalid"),
    ],
    ids=["no lab", "no machine", "no scenario", "invalid"],
)
async def test_what_could_not_be_tried_is_proposed_as_not_tried(clock: Clock, trials: Any, note: str) -> None:
    learned = await learn(clock, crash(LOCK), trials)
    assert learned.version is not None
    (evidence,) = learned.evidence
    assert (evidence.source, evidence.passed) == ("none", None)
    assert evidence.note.startswith("not tried: ")
    assert note in evidence.note


async def test_a_trial_that_shows_the_next_fault_leads_to_the_next_repair(clock: Clock) -> None:
    def judge(document: RunbookDocument) -> TrialReport:
        there = {step.id for step in document.steps}
        if "make-directory" in there:
            return report(TrialOutcome.HEALED)
        return report(TrialOutcome.FAILED, crash(DIRECTORY))

    trials = ScriptedTrials(judge)
    learned = await learn(clock, crash(LOCK), trials)
    assert learned.version is not None
    assert learned.proposal is not None
    steps = [step.id for step in trials.tried[-1].steps]
    assert steps.index("drop-stale-lock") < steps.index("restart")
    assert steps.index("make-directory") < steps.index("restart")
    assert len(learned.proposal.edits) == len(trials.tried) == 2


async def test_the_next_candidate_is_another_one(clock: Clock) -> None:
    trials = ScriptedTrials(healed_by("make-directory"))
    learned = await learn(clock, crash(LOCK, DIRECTORY), trials)
    assert learned.version is not None
    assert len({tuple(step.id for step in document.steps) for document in trials.tried}) == len(trials.tried) == 2


async def test_what_never_heals_is_not_proposed(clock: Clock) -> None:
    trials = ScriptedTrials(lambda _: report(TrialOutcome.FAILED))
    learned = await learn(clock, crash(LOCK, DIRECTORY), trials)
    assert (learned.version, learned.proposal, learned.trials) == (None, None, ())
    assert 1 < len(trials.tried) <= CANDIDATES
    assert "did not heal" in (learned.refused or "")
    assert learned.analysis.refused == learned.refused


async def test_a_type_that_editing_does_not_cure_names_its_consequence(clock: Clock) -> None:
    learned = await learn(clock, crash("curl: (6) Could not resolve host: api.example.org"))
    assert learned.version is None
    assert "retry" in (learned.refused or "")
    assert learned.analysis.diagnosis.failure_type is FailureType.EXTERNAL_DEPENDENCY


async def test_a_rejected_digest_is_not_proposed_again(clock: Clock) -> None:
    first = await learn(clock, crash(LOCK))
    assert first.version is not None
    again = await learn(clock, crash(LOCK), rejected_digests=frozenset({first.version.digest}))
    assert again.version is None or again.version.digest != first.version.digest


async def test_the_same_failure_buys_no_second_model_call(clock: Clock) -> None:
    first = await learn(clock, crash(LOCK))
    model = NoModel()
    again = await learn(clock, crash(LOCK, execution_id="exe_2"), model=model, earlier=(first.analysis,))
    assert model.asked == []
    assert again.analysis.occurrences == 2
    assert again.analysis.proposal_id == first.analysis.proposal_id
    assert again.analysis.diagnosis.failure_type is first.analysis.diagnosis.failure_type
    assert again.version is None


async def test_a_failure_that_no_model_answered_is_asked_about_again(clock: Clock) -> None:
    first = await learn(clock, crash("the stars are wrong"), model=NoModel())
    assert first.analysis.diagnosis.failure_type is FailureType.UNDETERMINED
    model = NoModel()
    await learn(clock, crash("the stars are wrong"), model=model, earlier=(first.analysis,))
    assert model.asked == [ModelTask.CATEGORISE]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(f"sqlite:///{tmp_path}/runwright.db")
    yield opened
    await opened.close()


async def test_what_was_learned_is_stored_under_its_real_number(clock: Clock, store: Store) -> None:
    learned = await learn(clock, crash(LOCK), ScriptedTrials(healed_by("drop-stale-lock")))
    async with store.transaction() as tx:
        await tx.versions.add(PARENT)
        other = PARENT.model_copy(update={"id": f"{PARENT.runbook_id}-v2", "number": 2, "scope": "client:other"})
        await tx.versions.add(other)
        stored = await persist(tx, learned, clock)
    assert stored.version is not None
    assert stored.proposal is not None
    assert stored.version.id == stored.proposal.candidate == f"{PARENT.runbook_id}-v3"
    async with store.reading() as tx:
        assert await tx.versions.get(stored.version.id, client="acme") == stored.version
        assert await tx.versions.find(stored.version.id, client="other") is None
        assert await tx.proposals.get(stored.proposal.id, client="acme") == stored.proposal
        assert await tx.analyses.get(stored.analysis.id, client="acme") == stored.analysis
        assert (await tx.trials.page(client=EVERY_CLIENT)).items == stored.trials


async def test_the_same_candidate_is_not_stored_twice(clock: Clock, store: Store) -> None:
    async with store.transaction() as tx:
        await tx.versions.add(PARENT)
        first = await persist(tx, await learn(clock, crash(LOCK)), clock)
        second = await persist(tx, await learn(clock, crash(LOCK, execution_id="exe_2")), clock)
    assert first.version is not None
    assert second.version is None
    assert first.version.id in (second.refused or "")
    assert second.analysis.proposal_id == first.analysis.proposal_id
    async with store.reading() as tx:
        assert await tx.analyses.count(client="acme") == 2
        assert await tx.proposals.count(client="acme") == 1


async def test_a_refusal_is_stored_too(clock: Clock, store: Store) -> None:
    learned = await learn(clock, crash("the stars are wrong"))
    async with store.transaction() as tx:
        assert await persist(tx, learned, clock) == learned
    async with store.reading() as tx:
        assert (await tx.analyses.get(learned.analysis.id, client="acme")).refused
