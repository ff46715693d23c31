"""From a failed run to what a reviewer sees: analysis, candidate version, proposal, trials. Storing is apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from runwright.learning.diagnosis import Asked, ask
from runwright.learning.evidence import Evidence
from runwright.learning.improve import by_catalogue, improve
from runwright.learning.signals import extract, fingerprint
from runwright.model.clients import client_scope
from runwright.model.diagnoses import Analysis, Diagnosis, DiagnosisMethod
from runwright.model.errors import NoMachine
from runwright.model.executions import OWN_ORIGIN, ExecutionResult
from runwright.model.ids import digest, version_id
from runwright.model.lab import Trial, TrialOutcome, TrialReport
from runwright.model.ports.clock import Clock
from runwright.model.ports.llm import LanguageModel
from runwright.model.ports.store import Transaction
from runwright.model.ports.trials import TrialRunner
from runwright.model.principals import ENGINE
from runwright.model.proposals import Edit, Improvement, Proposal
from runwright.model.reviews import TestEvidence
from runwright.model.risk import RiskReport
from runwright.model.versions import Author, RunbookVersion
from runwright.runbooks.load import LoadedRunbook, load_runbook

CANDIDATES = 3
"""Candidates tried for one failure at most."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A failed run and what explaining it needs to know around it."""

    result: ExecutionResult
    runbooks: Mapping[str, str] = field(default_factory=dict)
    """Incident type -> the runbook that answers it for this client."""
    earlier: Sequence[Analysis] = ()
    """Earlier analyses of the same failure (`failure_mark`), newest first."""


@dataclass(frozen=True, kw_only=True)
class Failure(Case):
    """A failed run whose runbook is known, so that it can be made better."""

    version: RunbookVersion
    """The version that ran."""
    rejected_digests: frozenset[str] = frozenset()


def failure_mark(result: ExecutionResult) -> str:
    """The fingerprint by which the same failure is known again.

    What other executors report is kept apart by its origin: a claim never answers for a run of ours, nor the reverse.
    """
    mark = fingerprint(result, extract(result))
    return mark if result.origin == OWN_ORIGIN else digest([result.origin, mark])


@dataclass(frozen=True)
class Learned:
    """What came of a failure. Version, proposal and trials bear a placeholder number until `persist`."""

    analysis: Analysis
    version: RunbookVersion | None = None
    proposal: Proposal | None = None
    trials: tuple[Trial, ...] = ()
    evidence: tuple[TestEvidence, ...] = ()
    refused: str | None = None
    improvement: Improvement | None = None
    title: str = ""


def _never_answered(analysis: Analysis) -> bool:
    """Undetermined only because no model answered then: asking now buys no second answer."""
    return analysis.diagnosis.method is DiagnosisMethod.NONE and analysis.tokens_in == 0


@dataclass
class _Round:
    """A candidate and what came of trying it."""

    improvement: Improvement
    loaded: LoadedRunbook
    reports: tuple[TrialReport, ...] = ()
    not_tried: str | None = None

    @property
    def valid(self) -> tuple[TrialReport, ...]:
        return tuple(report for report in self.reports if report.outcome is not TrialOutcome.INVALID)

    @property
    def failed(self) -> tuple[TrialReport, ...]:
        return tuple(report for report in self.valid if not report.right)


@dataclass(frozen=True)
class _Found:
    """What the search came to: a round to propose, or why there is none."""

    improvement: Improvement
    made: _Round | None = None
    refused: str | None = None


def _title(edits: Sequence[Edit]) -> str:
    """What changes, in a few words."""
    parts = []
    for edit in edits:
        what = getattr(edit, "step", None) or getattr(edit, "name", None)
        content = getattr(edit, "content", None) or {}
        parts.append(f"{edit.op.replace('_', ' ')} {content.get('id') or what or ''}".strip())
    return "; ".join(parts)


class LearningService:
    """Learns from failures. Holds no state and writes nothing."""

    def __init__(self, clock: Clock, model: LanguageModel | None = None, trials: TrialRunner | None = None) -> None:
        self._clock = clock
        self._model = model
        self._trials = trials

    async def learn(self, failure: Failure) -> Learned:
        """Diagnose, improve, try. A model or lab that fails is no error: what is returned says so."""
        started = self._clock.monotonic()
        analysis, asked, earlier = await self._explained(failure)
        if earlier is not None and earlier.proposal_id is not None and not failure.rejected_digests:
            refused = f"The same failure was seen before and led to the proposal {earlier.proposal_id}."
            return Learned(
                self._closed(analysis, started, refused=refused, proposal=earlier.proposal_id), refused=refused
            )
        model = self._model if earlier is None else None
        found = await self._search(failure, asked.diagnosis, model)
        analysis = self._charged(analysis, found.improvement)
        if found.made is not None:
            return self._proposed(failure, analysis, found.made, started)
        if found.improvement.usd:
            usd = analysis.diagnosis.usd + found.improvement.usd
            analysis = analysis.model_copy(update={"diagnosis": analysis.diagnosis.model_copy(update={"usd": usd})})
        analysis = self._closed(analysis, started, refused=found.refused)
        return Learned(analysis, refused=found.refused, improvement=found.improvement)

    async def explain(self, case: Case, *, refused: str) -> Learned:
        """Diagnose a run whose runbook cannot be made better here; `refused` says why not."""
        started = self._clock.monotonic()
        analysis, _, _ = await self._explained(case)
        return Learned(self._closed(analysis, started, refused=refused), refused=refused)

    async def _explained(self, case: Case) -> tuple[Analysis, Asked, Analysis | None]:
        """The analysis with its diagnosis, and the earlier one that answered if this failure was seen before."""
        mark = failure_mark(case.result)
        earlier = next((item for item in case.earlier if item.failure_fingerprint == mark), None)
        if earlier is not None and self._model is not None and _never_answered(earlier):
            earlier = None
        asked = Asked(earlier.diagnosis) if earlier is not None else await self._ask(case)
        return self._analysis(case, mark, asked, earlier), asked, earlier

    async def _ask(self, case: Case) -> Asked:
        return await ask(case.result, model=self._model, runbooks=case.runbooks)

    async def _search(self, failure: Failure, diagnosis: Diagnosis, model: LanguageModel | None) -> _Found:
        """The candidate to propose, or why there is none. One that does not heal tells the next what it missed."""
        avoid = set(failure.rejected_digests)
        feedback: list[str] = []
        last: _Round | None = None
        tried: list[str] = []
        spent = 0.0
        improvement: Improvement | None = None
        for number in range(CANDIDATES):
            improvement = self._on_top(failure, last) if last is not None else None
            if improvement is None or load_runbook(improvement.runbook_yaml or "").digest in avoid:
                improvement = await improve(
                    failure.result,
                    failure.version.text,
                    diagnosis,
                    model=model if number < CANDIDATES - 1 else None,
                    rejected=frozenset(avoid),
                    feedback=feedback,
                    rounds=CANDIDATES - number,
                )
                spent += improvement.usd
            improvement = improvement.model_copy(update={"usd": spent})
            if improvement.runbook_yaml is None:
                reason = improvement.refused or "Nothing was proposed."
                if tried:
                    reason = f"{'; '.join(tried)}. Then: {reason}"
                return _Found(improvement, refused=reason)
            last = await self._try(failure, improvement)
            if not last.failed:
                return _Found(improvement, last)
            avoid.add(last.loaded.digest)
            tried.append(f"candidate {number + 1} ({_title(improvement.edits)}) did not heal {last.failed[0].scenario}")
            feedback.append(f"{_title(improvement.edits)}: {self._what_happened(last.failed[0])}")
        reason = f"{'; '.join(tried)}. No more than {CANDIDATES} candidates are tried."
        return _Found(last.improvement if last is not None else Improvement(diagnosis=diagnosis), refused=reason)

    def _on_top(self, failure: Failure, last: _Round) -> Improvement | None:
        """A further repair for what the failed trial shows, on top of its candidate; None if it shows nothing new."""
        execution = next((report.execution for report in last.failed if report.execution is not None), None)
        if execution is None or len(last.improvement.edits) >= 3:
            return None
        more = by_catalogue(Evidence.of(execution), last.loaded, last.improvement.diagnosis, failure.rejected_digests)
        if more is None:
            return None
        later = tuple(
            edit.model_copy(update={"reason": f"{edit.reason} (Seen in the trial of the edits before.)", "signals": ()})
            for edit in more.edits
        )
        return last.improvement.model_copy(
            update={
                "edits": (*last.improvement.edits, *later),
                "runbook_yaml": more.runbook_yaml,
                "risk": _joined(last.improvement.risk, more.risk),
            }
        )

    async def _try(self, failure: Failure, improvement: Improvement) -> _Round:
        loaded = load_runbook(improvement.runbook_yaml or "")
        made = _Round(improvement, loaded)
        if self._trials is None:
            made.not_tried = "no lab is configured"
            return made
        name = version_id(failure.version.runbook_id, failure.version.number + 1)
        try:
            made.reports = await self._trials.try_candidate(loaded.document, name, loaded.digest, failure.result)
        except NoMachine as error:
            made.not_tried = str(error)
            return made
        if not made.reports:
            made.not_tried = "no known scenario fits this failure"
        elif not made.valid:
            first = made.reports[0]
            made.not_tried = f"the trial of {first.scenario} was invalid: {first.reason}"
        return made

    @staticmethod
    def _what_happened(report: TrialReport) -> str:
        checks = report.execution.verification.checks if report.execution and report.execution.verification else ()
        said = "; ".join(check.reason for check in checks if check.outcome.value != "passed")
        return f"in a trial it ended {report.outcome.value}. {report.reason} {said}".strip()

    def _analysis(self, case: Case, mark: str, asked: Asked, earlier: Analysis | None) -> Analysis:
        answer = asked.answer
        return Analysis(
            id=self._clock.new_id("ana"),
            client_id=case.result.client_id,
            execution_id=case.result.execution_id,
            failure_fingerprint=mark,
            diagnosis=asked.diagnosis if earlier is None else asked.diagnosis.model_copy(update={"usd": 0.0}),
            prompt_digest=asked.prompt_digest,
            tokens_in=answer.tokens_in if answer is not None else 0,
            tokens_out=answer.tokens_out if answer is not None else 0,
            retries=answer.retries if answer is not None else 0,
            occurrences=earlier.occurrences + 1 if earlier is not None else 1,
            created_at=self._clock.now(),
        )

    @staticmethod
    def _charged(analysis: Analysis, improvement: Improvement) -> Analysis:
        """The analysis with what generating cost on top, and every signal that the edits cite."""
        extra = improvement.extra
        return analysis.model_copy(
            update={
                "tokens_in": analysis.tokens_in + int(extra.get("tokens_in", 0)),
                "tokens_out": analysis.tokens_out + int(extra.get("tokens_out", 0)),
                "retries": analysis.retries + int(extra.get("retries", 0)),
                "prompt_digest": extra.get("prompt_digest") or analysis.prompt_digest,
                "diagnosis": analysis.diagnosis.model_copy(update={"signals": improvement.diagnosis.signals}),
            }
        )

    def _closed(
        self, analysis: Analysis, started: float, *, refused: str | None = None, proposal: str | None = None
    ) -> Analysis:
        seconds = self._clock.monotonic() - started
        return analysis.model_copy(update={"seconds": seconds, "refused": refused, "proposal_id": proposal})

    def _proposed(self, failure: Failure, analysis: Analysis, last: _Round, started: float) -> Learned:
        now = self._clock.now()
        parent, improvement = failure.version, last.improvement
        number = parent.number + 1
        name = version_id(parent.runbook_id, number)
        proposal = Proposal(
            id=self._clock.new_id("pro"),
            client_id=failure.result.client_id,
            execution_id=failure.result.execution_id,
            analysis_id=analysis.id,
            parent=parent.id,
            candidate=name,
            edits=improvement.edits,
            signals=improvement.diagnosis.signals,
            added_risk=improvement.risk or RiskReport(),
            method=str(improvement.extra.get("method", "rules")),
            usd=improvement.usd,
            created_at=now,
        )
        version = RunbookVersion(
            id=name,
            runbook_id=parent.runbook_id,
            number=number,
            scope=client_scope(failure.result.client_id),
            text=last.loaded.text,
            digest=last.loaded.digest,
            raw_digest=last.loaded.raw_digest,
            parent=parent.id,
            author=Author.of(ENGINE),
            origin_execution=failure.result.execution_id,
            proposal_id=proposal.id,
            created_at=now,
        )
        trials = tuple(
            Trial(id=self._clock.new_id("tri"), version_id=name, digest=version.digest, report=report, created_at=now)
            for report in last.reports
        )
        return Learned(
            analysis=self._closed(analysis, started, proposal=proposal.id),
            version=version,
            proposal=proposal,
            trials=trials,
            evidence=self._evidence(trials, last.not_tried),
            improvement=improvement,
            title=_title(improvement.edits),
        )

    def _evidence(self, trials: Sequence[Trial], not_tried: str | None) -> tuple[TestEvidence, ...]:
        now = self._clock.now()
        found = [
            TestEvidence(
                id=self._clock.new_id("evi"),
                source="trial",
                passed=trial.report.right,
                note=_note(trial.report),
                trial_id=trial.id,
                at=now,
            )
            for trial in trials
            if trial.report.outcome is not TrialOutcome.INVALID
        ]
        if not found:
            note = f"not tried: {not_tried or 'no trial was made'}"
            found.append(TestEvidence(id=self._clock.new_id("evi"), source="none", passed=None, note=note, at=now))
        return tuple(found)


def _note(report: TrialReport) -> str:
    return f"{report.scenario}: {report.outcome.value}, {len(report.effects)} paths changed"


def _joined(first: RiskReport | None, second: RiskReport | None) -> RiskReport:
    """Two reports as one, the stricter verdict counts."""
    if first is None or second is None:
        return first or second or RiskReport()
    order = ("ok", "warn", "refuse")
    verdict = max((first.verdict, second.verdict), key=lambda item: order.index(item.value))
    texts = dict.fromkeys(text for text in (first.explanation, second.explanation) if text)
    return RiskReport(
        verdict=verdict,
        classes=tuple(dict.fromkeys((*first.classes, *second.classes))),
        commands=tuple(dict.fromkeys((*first.commands, *second.commands))),
        explanation=" ".join(texts),
        findings=(*first.findings, *second.findings),
    )


async def persist(tx: Transaction, learned: Learned, clock: Clock) -> Learned:
    """Store what was learned, with the version's real number, in the caller's transaction.

    A candidate that is stored already for this scope is not stored twice: what comes back has no version then, and
    says why. Submitting to the review queue is the caller's.
    """
    version, proposal = learned.version, learned.proposal
    if version is None or proposal is None:
        await tx.analyses.add(learned.analysis)
        return learned
    client = learned.analysis.client_id
    same = await tx.versions.page(client=client, where={"digest": version.digest, "scope": version.scope}, limit=1)
    if same.items:
        text = f"The same change was proposed before, as {same.items[0].id}."
        analysis = learned.analysis.model_copy(update={"refused": text, "proposal_id": same.items[0].proposal_id})
        await tx.analyses.add(analysis)
        return replace(learned, analysis=analysis, version=None, proposal=None, trials=(), evidence=(), refused=text)
    number = await tx.versions.next_number(version.runbook_id)
    name = version_id(version.runbook_id, number)
    version = version.model_copy(update={"id": name, "number": number, "created_at": clock.now()})
    proposal = proposal.model_copy(update={"candidate": name})
    trials = tuple(trial.model_copy(update={"version_id": name}) for trial in learned.trials)
    await tx.analyses.add(learned.analysis)
    await tx.versions.add(version)
    await tx.proposals.add(proposal)
    for trial in trials:
        await tx.trials.add(trial)
    return replace(learned, version=version, proposal=proposal, trials=trials)
