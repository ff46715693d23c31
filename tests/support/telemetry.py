"""Execution results out of short excerpts, as `tests/cases/learning` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from runwright.model.executions import ExecutionResult
from runwright.runbooks.library import starter_runbooks
from runwright.runbooks.load import LoadedRunbook, load_runbook

CASES = Path(__file__).parents[1] / "cases" / "learning"
VERDICT = {"outcome": "failed", "method": "checks", "confidence": 0.9}
AT = "2026-01-05T09:00:00Z"


def starter(runbook_id: str) -> LoadedRunbook:
    return next(item for item in starter_runbooks() if item.document.id == runbook_id)


def _attempt(number: int, given: dict[str, Any]) -> dict[str, Any]:
    base = {"attempt": number, "exit_code": 0, "started_at": AT, "ended_at": "2026-01-05T09:00:01Z"}
    return {**base, **given}


def _step(given: dict[str, Any]) -> dict[str, Any]:
    attempts = [_attempt(number, item) for number, item in enumerate(given.get("attempts", []), 1)]
    return {"kind": "run", "status": "ok", **given, "attempts": attempts}


def _state(given: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else {"captured_at": AT, **given}


def result_of(case: dict[str, Any]) -> ExecutionResult:
    """A whole result; what the case leaves out is the plainest thing."""
    runbook = case.get("runbook", "RB-LINUX-SERVICE-001")
    checks = [
        {"id": "active", "kind": "service", "outcome": "failed", "reason": "It is not active.", **check}
        for check in case.get("checks", [{}])
    ]
    data = {
        "execution_id": case.get("execution_id", "exe_1"),
        "client_id": "acme",
        "host": {"hostname": "web-1", "platform": "linux"},
        "incident": {"id": "inc_1", "severity": "high", **case["incident"]},
        "runbook": {"id": runbook, "version": 1, "digest": case.get("digest") or starter(runbook).digest},
        "started_at": AT,
        "completed_at": "2026-01-05T09:00:09Z",
        "duration_seconds": 9.0,
        "status": case.get("status", "failure"),
        "steps": [_step(step) for step in case.get("steps", [])],
        "state_before": _state(case.get("state_before")),
        "state_after": _state(case.get("state_after")),
        "verification": {"outcome": "failed", "method": "checks", "confidence": 0.9, "checks": checks}
        if checks
        else None,
        "error": case.get("error"),
    }
    return ExecutionResult.model_validate_json(json.dumps(data))


def document_of(case: dict[str, Any]) -> LoadedRunbook:
    """The runbook that ran: the case's own text, or a starter."""
    if "runbook_yaml" in case:
        return load_runbook(case["runbook_yaml"])
    return starter(case.get("runbook", "RB-LINUX-SERVICE-001"))


def load_cases() -> list[tuple[str, dict[str, Any]]]:
    """Every case of every file, named `<file>:<case>`."""
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        for case in YAML(typ="safe").load(path.read_text(encoding="utf-8"))["cases"]:
            found.append((f"{path.stem}:{case['name']}", case))
    return found
