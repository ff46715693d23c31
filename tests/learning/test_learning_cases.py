"""Cases are data: telemetry as real programs print it, and what must be read out of it."""

from __future__ import annotations

from typing import Any

import pytest

from runwright.learning.diagnosis import diagnose
from runwright.learning.evidence import Evidence
from runwright.learning.improve import improve
from runwright.learning.repairs import suggestions
from runwright.learning.repairs.case import Case
from runwright.model.diagnoses import CONSEQUENCES, DiagnosisMethod, FailureType
from runwright.runbooks.lint import lint
from runwright.runbooks.load import load_runbook
from support.telemetry import document_of, load_cases, result_of

ALL_CASES = load_cases()


def _holds(evidence: Evidence, wanted: dict[str, Any]) -> bool:
    for signal, voice in zip(evidence.signals, evidence.voices, strict=True):
        facts = wanted.get("facts", {})
        if (
            signal.kind.value == wanted["kind"]
            and ("voice" not in wanted or voice.value == wanted["voice"])
            and ("step" not in wanted or signal.place.step == wanted["step"])
            and ("line" not in wanted or signal.place.line == wanted["line"])
            and all(signal.facts.get(name) == str(value) for name, value in facts.items())
        ):
            return True
    return False


@pytest.mark.parametrize("case", [case for _, case in ALL_CASES], ids=[name for name, _ in ALL_CASES])
async def test_case(case: dict[str, Any]) -> None:
    expect = case["expect"]
    result = result_of(case)
    evidence = Evidence.of(result)
    listed = "\n".join(
        f"{s.kind.value} {v.value} {s.place} {s.facts}" for s, v in zip(evidence.signals, evidence.voices, strict=True)
    )
    for wanted in expect.get("signals", []):
        assert _holds(evidence, wanted), f"missing {wanted} in\n{listed}"
    kinds = {signal.kind.value for signal in evidence.signals}
    assert not kinds & set(expect.get("not_signals", [])), listed

    diagnosis = await diagnose(result, model=None, runbooks=case.get("runbooks", {}))
    assert diagnosis.failure_type.value == expect["failure_type"], f"{diagnosis.reasoning}\n{listed}"
    if "suggested_runbook" in expect:
        assert diagnosis.suggested_runbook == expect["suggested_runbook"]
    if "privilege" in expect:
        assert expect["privilege"] in (diagnosis.missing_privilege or "")
    if diagnosis.failure_type is not FailureType.UNDETERMINED:
        assert diagnosis.method is DiagnosisMethod.RULES
        assert diagnosis.signals, "an answer cites what it saw"
        assert set(map(str, diagnosis.signals)) <= set(map(str, evidence.signals))

    loaded = document_of(case)
    improvement = await improve(result, loaded.text, diagnosis)
    if not diagnosis.failure_type.improvable:
        assert improvement.runbook_yaml is None
        assert CONSEQUENCES[diagnosis.failure_type].value in (improvement.refused or "")
        return
    if "repairs" in expect:
        offered = [item.repair for item in suggestions(Case(evidence, loaded.document))]
        assert offered[: len(expect["repairs"])] == expect["repairs"]
        assert bool(improvement.edits) == bool(expect["repairs"])
    for text in expect.get("says", []):
        assert text in (improvement.runbook_yaml or "")
    if improvement.runbook_yaml is not None:
        candidate = load_runbook(improvement.runbook_yaml)
        assert candidate.digest != loaded.digest
        assert not [finding for finding in lint(candidate) if finding.severity == "error"]
        for edit in improvement.edits:
            assert edit.reason
            assert all(0 <= index < len(improvement.diagnosis.signals) for index in edit.signals)


def test_every_failure_type_has_cases() -> None:
    seen = {case["expect"]["failure_type"] for _, case in ALL_CASES}
    assert seen == {kind.value for kind in FailureType}
