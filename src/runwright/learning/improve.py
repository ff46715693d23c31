"""From a diagnosis to a better runbook: typed edits, merged and accepted, or the reason why there are none.

With a model configured the model drafts the edits and the catalogue of repairs is the fallback; without one the
catalogue works alone. Both go through the same acceptance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runwright.learning.acceptance import judge
from runwright.learning.candidates import candidates
from runwright.learning.evidence import Evidence
from runwright.learning.prompting import Draft, EditDraft, generate_prompt
from runwright.learning.repairs import suggestions
from runwright.learning.repairs.case import Case
from runwright.model.diagnoses import Consequence, Diagnosis, Signal
from runwright.model.errors import InvalidInput, ModelUnavailable
from runwright.model.executions import ExecutionResult
from runwright.model.ports.llm import LanguageModel, ModelTask
from runwright.model.proposals import Edit, Improvement
from runwright.model.risk import RiskReport
from runwright.runbooks.edits import apply_edits
from runwright.runbooks.load import LoadedRunbook, load_runbook

ROUNDS = 3
"""Drafts asked of a model at most: more than about three add little."""

_EDIT: TypeAdapter[Edit] = TypeAdapter(Edit)


@dataclass
class _Spent:
    """What the model cost over all rounds."""

    usd: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    retries: int = 0
    prompt_digest: str | None = None
    problems: list[str] = field(default_factory=list)
    unavailable: str | None = None

    def extra(self) -> dict[str, Any]:
        if self.prompt_digest is None:
            return {}
        return {
            "prompt_digest": self.prompt_digest,
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "retries": self.retries,
            "model_unavailable": self.unavailable,
        }


def consequence_of(diagnosis: Diagnosis) -> str:
    """Where a failure leads that editing this runbook would not cure, as a sentence."""
    suggested = diagnosis.suggested_runbook
    texts = {
        Consequence.REROUTE: f"reroute: {suggested} may have the cure"
        if suggested
        else "reroute: the cause is another one, and a person must say which runbook answers it",
        Consequence.RETRY: "retry: the cause lies outside this host; run the same version again later",
        Consequence.GRANT: f"grant: a person must grant {diagnosis.missing_privilege or 'the missing right'}",
        Consequence.PERSON: "person: nobody is sure why it failed",
        Consequence.EDIT: "edit",
    }
    return texts[diagnosis.consequence]


def _cite(diagnosis: Diagnosis, edits: Iterable[Edit], signals: Sequence[Signal]) -> tuple[Diagnosis, tuple[Edit, ...]]:
    """Edits whose signals count into the diagnosis' own list, which grows by what they cite."""
    listed = list(diagnosis.signals)
    moved: list[Edit] = []
    for edit in edits:
        indexes: list[int] = []
        for index in edit.signals:
            if 0 <= index < len(signals):
                if signals[index] not in listed:
                    listed.append(signals[index])
                indexes.append(listed.index(signals[index]))
        moved.append(edit.model_copy(update={"signals": tuple(dict.fromkeys(indexes))}))
    return diagnosis.model_copy(update={"signals": tuple(listed)}), tuple(moved)


def _improvement(
    diagnosis: Diagnosis, edits: tuple[Edit, ...], signals: Sequence[Signal], text: str, risk: RiskReport, **more: Any
) -> Improvement:
    cited, moved = _cite(diagnosis, edits, signals)
    usd = more.pop("usd", 0.0)
    return Improvement(diagnosis=cited, edits=moved, runbook_yaml=text, risk=risk, usd=usd, extra=more)


def by_catalogue(
    evidence: Evidence, parent: LoadedRunbook, diagnosis: Diagnosis, rejected: frozenset[str]
) -> Improvement | None:
    """The first accepted candidate of the catalogue whose digest is not among `rejected`, or None."""
    case = Case(evidence, parent.document)
    for candidate in candidates(parent.text, suggestions(case)):
        _, risk, problems = judge(parent, candidate.text, rejected)
        if not problems:
            return _improvement(
                diagnosis, candidate.edits, evidence.signals, candidate.text, risk,
                method="rules", repairs=list(candidate.repairs),
            )  # fmt: skip
    return None


def _typed(draft: EditDraft) -> Edit:
    """A draft as an edit. Raises ValidationError where fields do not fit its `op`."""
    wanted = {
        "add_step": ("content", "before", "after"),
        "replace_step": ("step", "content"),
        "remove_step": ("step",),
        "move_step": ("step", "before", "after"),
        "set_field": ("step", "field", "value"),
        "add_parameter": ("name", "content"),
        "add_verify": ("content",),
        "add_rollback": ("content",),
    }[draft.op]
    data = {name: getattr(draft, name) for name in wanted}
    data |= {"op": draft.op, "reason": draft.reason, "signals": tuple(draft.signals)}
    if draft.op == "add_step" and data["before"] is not None:
        data["after"] = None
    return _EDIT.validate_python(data)


def _merged(parent: LoadedRunbook, draft: Draft) -> tuple[tuple[Edit, ...], str, list[str]]:
    """The draft's edits and the text that they make, or what is wrong with them."""
    edits: list[Edit] = []
    problems: list[str] = []
    for number, item in enumerate(draft.edits, 1):
        try:
            edits.append(_typed(item))
        except ValidationError as error:
            where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
            problems.append(f"edit {number} ({item.op}): {where}")
    if problems:
        return (), "", problems
    try:
        return tuple(edits), apply_edits(parent.text, edits), []
    except InvalidInput as error:
        return (), "", [str(fault) for fault in error.faults] or [str(error)]


async def by_model(
    evidence: Evidence,
    parent: LoadedRunbook,
    diagnosis: Diagnosis,
    model: LanguageModel,
    rejected: frozenset[str],
    feedback: Sequence[str],
    rounds: int = ROUNDS,
) -> tuple[Improvement | None, _Spent]:
    """The first draft of the model that is accepted. What was wrong with a draft is told in the next round."""
    spent = _Spent(problems=list(feedback))
    for _ in range(rounds):
        prompt = generate_prompt(evidence, diagnosis, parent.text, spent.problems)
        spent.prompt_digest = prompt.digest
        try:
            answer = await model.ask(
                ModelTask.GENERATE, instructions=prompt.instructions, prompt=prompt.text, answer=Draft
            )
        except ModelUnavailable as error:
            spent.unavailable = error.found
            return None, spent
        spent.usd += answer.usd
        spent.tokens_in += answer.tokens_in
        spent.tokens_out += answer.tokens_out
        spent.retries += answer.retries
        edits, text, problems = _merged(parent, answer.value)
        risk = RiskReport()
        if not problems:
            _, risk, problems = judge(parent, text, rejected, drafted_from=evidence.result)
        if not problems:
            more = {"usd": spent.usd, "method": f"llm:{answer.model}", **spent.extra()}
            return _improvement(diagnosis, edits, evidence.signals, text, risk, **more), spent
        spent.problems.append("; ".join(problems)[:2000])
    return None, spent


async def improve(
    result: ExecutionResult,
    runbook_text: str,
    diagnosis: Diagnosis,
    *,
    model: LanguageModel | None = None,
    rejected: frozenset[str] = frozenset(),
    feedback: Sequence[str] = (),
    rounds: int = ROUNDS,
) -> Improvement:
    """Edits that would have cured the failure, and the runbook with them; or `refused` with the reason.

    Arguments: `rejected`, digests that must not come out again; `feedback`, what was wrong with earlier candidates;
    `rounds`, how many drafts the model may make. Raises InvalidInput if `runbook_text` is no valid runbook. A model
    that fails is no error: the catalogue answers instead.
    """
    if not diagnosis.failure_type.improvable:
        return Improvement(diagnosis=diagnosis, refused=f"Editing is not the cure. {consequence_of(diagnosis)}.")
    parent = load_runbook(runbook_text)
    evidence = Evidence.of(result)
    spent = _Spent()
    if model is not None and rounds > 0:
        found, spent = await by_model(evidence, parent, diagnosis, model, rejected, feedback, rounds)
        if found is not None:
            return found
    found = by_catalogue(evidence, parent, diagnosis, rejected)
    if found is not None:
        return found.model_copy(update={"usd": spent.usd, "extra": {**found.extra, **spent.extra()}})
    why = "No repair of the catalogue fits what was seen"
    if spent.unavailable is not None:
        why += f", and the model gave no answer: {spent.unavailable}"
    elif spent.prompt_digest is not None:
        why += f", and no draft of the model was accepted: {spent.problems[-1] if spent.problems else 'none came'}"
    return Improvement(diagnosis=diagnosis, usd=spent.usd, refused=f"{why}.", extra=spent.extra())
