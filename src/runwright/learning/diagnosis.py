"""Why a run failed. Rules first: they answer only when sure. Then the model, if there is one. Else undetermined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from runwright.learning.evidence import Evidence, Voice
from runwright.learning.prompting import Categorisation, categorise_prompt
from runwright.learning.rules import RULES, Rule
from runwright.model.diagnoses import Diagnosis, DiagnosisMethod, FailureType, Signal, SignalKind
from runwright.model.errors import ModelUnavailable
from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.incidents import incident_kinds
from runwright.model.ports.llm import LanguageModel, ModelAnswer, ModelTask

SURE = 0.6
"""Confidence below which an answer, of a rule or a model, counts as none."""

MAX_CITED = 6

_NOT_LEARNED_FROM = {
    ExecutionStatus.SUCCESS: "The run succeeded, so there is nothing to explain.",
    ExecutionStatus.PARTIAL: "Nothing could be verified, so whether the run failed is not known; a person must look.",
    ExecutionStatus.CANCELLED: "A person ended the run, which says nothing about the runbook.",
    ExecutionStatus.INTERRUPTED: "The run was interrupted and what it did is not known; a person must look.",
    ExecutionStatus.PENDING: "The run has not begun, or waits for a person.",
    ExecutionStatus.RUNNING: "The run has not ended.",
}


@dataclass(frozen=True)
class Asked:
    """A diagnosis, and what asking for it cost."""

    diagnosis: Diagnosis
    prompt_digest: str | None = None
    answer: ModelAnswer[Categorisation] | None = None


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return {"line": "?", "step": "the failing step", "excerpt": ""}.get(key, "")


def _filled(template: str, evidence: Evidence, signal: Signal) -> str:
    facts = _Facts(signal.facts)
    facts.setdefault("excerpt", signal.excerpt[:200])
    if signal.place.step is not None:
        facts.setdefault("step", signal.place.step)
    if evidence.subject.unit is not None:
        facts.setdefault("unit", evidence.subject.unit)
    text = template.format_map(facts)
    return " ".join(text.replace("()", "").replace(" ,", ",").split())


def _suggested(other_type: str | None, result: ExecutionResult, runbooks: Mapping[str, str]) -> str | None:
    """The runbook that answers another incident type here; never the one that just failed."""
    if other_type is None:
        return None
    kind = incident_kinds().get(other_type)
    found = runbooks.get(other_type) or (kind.standard_runbook if kind is not None else None)
    return None if found == result.runbook.id else found


def _supporting(evidence: Evidence, cited: tuple[int, ...]) -> tuple[int, ...]:
    """Beside the cause, the verdict that it explains."""
    checks = evidence.find((SignalKind.CHECK_FAILED,), (Voice.STATE,))
    return tuple(dict.fromkeys((*cited[: MAX_CITED - 1], *checks[:1])))


def by_rules(evidence: Evidence, runbooks: Mapping[str, str]) -> Diagnosis | None:
    """The answer of the first rule that fits and is sure, or None: abstain."""
    for rule in RULES:
        found = evidence.find(rule.kinds, rule.voices, rule.where)
        if found and rule.confidence >= SURE:
            return _answer(rule, evidence, found, runbooks)
    return None


def _answer(rule: Rule, evidence: Evidence, found: tuple[int, ...], runbooks: Mapping[str, str]) -> Diagnosis:
    first = evidence.signals[found[0]]
    other = rule.other_type.value if rule.other_type is not None else None
    if other is None and rule.failure_type is FailureType.WRONG_DIAGNOSIS:
        seen = evidence.find((SignalKind.OTHER_SYMPTOM,), (Voice.STATE,))
        other = evidence.signals[seen[0]].facts.get("incident_type") if seen else None
    return Diagnosis(
        failure_type=rule.failure_type,
        confidence=rule.confidence,
        reasoning=_filled(rule.reason, evidence, first),
        signals=tuple(evidence.signals[index] for index in _supporting(evidence, found)),
        method=DiagnosisMethod.RULES,
        suggested_runbook=_suggested(other, evidence.result, runbooks),
        missing_privilege=_filled(rule.privilege, evidence, first) if rule.privilege is not None else None,
        extra={"rule": rule.name},
    )


def undetermined(reasoning: str, signals: tuple[Signal, ...] = (), usd: float = 0.0) -> Diagnosis:
    """The honest answer where nobody is sure; it goes to a person."""
    return Diagnosis(
        failure_type=FailureType.UNDETERMINED,
        confidence=0.0,
        reasoning=reasoning,
        signals=signals[:MAX_CITED],
        method=DiagnosisMethod.NONE,
        usd=usd,
    )


def _nothing_was_wrong(evidence: Evidence) -> Diagnosis:
    """The run succeeded on a subject that was healthy before: the incident was a false alarm."""
    found = evidence.find((SignalKind.SUBJECT_HEALTHY,), (Voice.STATE,))
    return Diagnosis(
        failure_type=FailureType.WRONG_DIAGNOSIS,
        confidence=0.7,
        reasoning="Nothing was wrong with the subject before the run, so there was nothing to cure.",
        signals=tuple(evidence.signals[index] for index in found[:1]),
        method=DiagnosisMethod.RULES,
        extra={"rule": "false_alarm"},
    )


def _checked(
    answer: ModelAnswer[Categorisation], evidence: Evidence, runbooks: Mapping[str, str]
) -> tuple[Diagnosis | None, str]:
    """The model's answer as a diagnosis, or why it is refused."""
    value = answer.value
    if value.failure_type is FailureType.UNDETERMINED or value.confidence < SURE:
        return None, "The model was not sure either."
    cited = tuple(dict.fromkeys(value.signals))
    if not cited:
        return None, "The model cited no signal, so its answer was refused."
    if any(not 0 <= index < len(evidence.signals) for index in cited):
        return None, "The model cited signals that do not exist, so its answer was refused."
    other = value.incident_type if value.incident_type in incident_kinds() else None
    rerouted = value.failure_type in (FailureType.WRONG_RUNBOOK, FailureType.WRONG_DIAGNOSIS)
    denied = value.failure_type is FailureType.PERMISSION_DENIED
    diagnosis = Diagnosis(
        failure_type=value.failure_type,
        confidence=value.confidence,
        reasoning=value.reasoning[:2000],
        signals=tuple(evidence.signals[index] for index in cited[:MAX_CITED]),
        method=DiagnosisMethod.LLM,
        model=answer.model,
        usd=answer.usd,
        suggested_runbook=_suggested(other, evidence.result, runbooks) if rerouted else None,
        missing_privilege=value.missing_privilege if denied else None,
    )
    return diagnosis, ""


async def ask(result: ExecutionResult, *, model: LanguageModel | None, runbooks: Mapping[str, str]) -> Asked:
    """Diagnose a result, with what it cost. `runbooks` maps incident types to the runbooks that answer them.

    Never raises for a model that fails: without an answer the failure is undetermined, whatever it might have been.
    """
    evidence = Evidence.of(result)
    if result.status is ExecutionStatus.SUCCESS and evidence.find((SignalKind.SUBJECT_HEALTHY,), (Voice.STATE,)):
        return Asked(_nothing_was_wrong(evidence))
    if result.error is not None and result.error.code in ("asked", "asked-unanswered"):
        return Asked(
            undetermined(
                "The run asked a person and got no answer, which is not its runbook's fault.", evidence.signals
            )
        )
    if result.status in _NOT_LEARNED_FROM:
        return Asked(undetermined(_NOT_LEARNED_FROM[result.status], evidence.signals))
    found = by_rules(evidence, runbooks)
    if found is not None:
        return Asked(found)
    if model is None:
        return Asked(undetermined("The rules are not sure, and no model is configured.", evidence.signals))
    prompt = categorise_prompt(evidence)
    try:
        answer = await model.ask(
            ModelTask.CATEGORISE, instructions=prompt.instructions, prompt=prompt.text, answer=Categorisation
        )
    except ModelUnavailable as error:
        text = f"The rules are not sure, and the model gave no answer: {error.found}"
        return Asked(undetermined(text, evidence.signals), prompt.digest)
    diagnosis, why = _checked(answer, evidence, runbooks)
    if diagnosis is None:
        diagnosis = undetermined(f"The rules are not sure. {why}", evidence.signals, answer.usd)
    return Asked(diagnosis, prompt.digest, answer)


async def diagnose(result: ExecutionResult, *, model: LanguageModel | None, runbooks: Mapping[str, str]) -> Diagnosis:
    """Why a run failed: `ask` without its costs in detail."""
    return (await ask(result, model=model, runbooks=runbooks)).diagnosis
