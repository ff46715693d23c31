"""The rules of docs/reference/scenario-format.md, one file per rule in tests/cases/lab/judge."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runwright.lab.judge import Seen, judge
from runwright.model.executions import ExecutionResult, ExecutionStatus, HostBrief, IncidentRef, RunbookRef
from runwright.model.lab import Change, Expectation, FileChange, ScriptResult
from runwright.model.states import HostState, ServiceFact
from runwright.model.verdicts import Verification, VerificationOutcome

CASES = sorted((Path(__file__).parent.parent / "cases" / "lab" / "judge").glob("*.yaml"))
KNOWN = {
    *("expect", "status", "verdict", "healthy", "held", "keeps", "effects", "restless"),
    *("overran", "error", "before", "after", "wants"),
}


def script(value: object) -> ScriptResult | None:
    if value is None:
        return None
    return ScriptResult(exit_code=None) if value == "timeout" else ScriptResult(exit_code=int(str(value)))


def state(services: list[dict[str, Any]]) -> HostState:
    return HostState(captured_at="2026-01-05T09:00:00Z", services=tuple(ServiceFact(**fact) for fact in services))


def execution(case: dict[str, Any]) -> ExecutionResult:
    verdict = VerificationOutcome(case["verdict"]) if "verdict" in case else None
    return ExecutionResult(
        execution_id="tri_1",
        client_id="lab",
        host=HostBrief(hostname="m", platform="linux"),
        incident=IncidentRef(id="inc_1", incident_type="service_crash", subject={"service": "app"}),
        runbook=RunbookRef(id="RB-X", version=1, digest="sha256:" + "0" * 64),
        started_at=datetime(2026, 1, 5, 9, tzinfo=UTC),
        status=ExecutionStatus(case["status"]),
        state_before=state(case.get("before", [])),
        state_after=state(case.get("after", [])),
        verification=Verification(outcome=verdict, method="test", confidence=1.0) if verdict else None,
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_judgement(path: Path) -> None:
    case = YAML(typ="safe").load(path.read_text())
    assert set(case) <= KNOWN, "a case with a field that nothing reads proves nothing"
    effects = tuple(
        FileChange(path=effect["path"], change=Change(effect["change"])) for effect in case.get("effects", ())
    )
    found = judge(
        Seen(
            expect=Expectation(case["expect"]),
            execution=execution(case),
            effects=effects,
            restless=frozenset(case.get("restless", ())),
            overran=case.get("overran", False),
            error=case.get("error", ""),
            healthy=script(case.get("healthy")),
            held=script(case.get("held")),
            keeps=script(case.get("keeps")),
            keeps_given="keeps" in case,
        )
    )
    wants = case["wants"]
    assert (found.outcome.value, found.right, found.wrong_healed) == (
        wants["outcome"],
        wants["right"],
        wants["wrong_healed"],
    )
    assert wants.get("reason", "") in found.reason
