"""State read from what real hosts printed: one YAML file per host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runwright.execution.state_capture import Plan, process
from runwright.model.incidents import IncidentBrief
from runwright.model.states import HostState
from runwright.verification.sections import Section

CASES = Path(__file__).parent.parent / "cases" / "state"


def state_of(case: dict[str, Any]) -> HostState:
    sections = {name: Section(text, 0) for name, text in case["sections"].items()}
    plan = Plan.of(IncidentBrief(**case["incident"]))
    return process(plan, sections, case.get("problem"), "2026-01-05T09:00:00+00:00")


@pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_host_as_it_answered(path: Path) -> None:
    case = YAML(typ="safe").load(path.read_text())
    state = state_of(case)
    said = json.loads(state.model_dump_json())
    assert {name: said[name] for name in case["expect"]} == case["expect"]
    subject = said.get("extra", {}).get("subject", {})
    assert {name: subject.get(name) for name in case.get("subject", {})} == case.get("subject", {})
    assert HostState.model_validate_json(state.model_dump_json()) == state


def test_nothing_at_all_is_a_state_with_every_fact_missing() -> None:
    case = {"incident": {"incident_type": "service_crash", "subject": {"service": "x"}}, "sections": {}}
    state = state_of(case)
    assert {fact.reason for fact in state.missing[:-1]} == {"the host's answer was cut short"}
    assert {fact.fact for fact in state.missing} >= {"os", "disks", "inodes", "services", "ports", "journal", "subject"}
