"""Every verifier's judgement, on what real hosts printed: one YAML document per case.

A case names a `base` (the sections of a healthy host) and what differs: in `before`, and in each of
`looks`. A section that is a mapping replaces `KEY=` lines of the base's text; a text replaces it whole;
null takes it away; `{status: N, text: ...}` gives another exit status.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from runwright.model.incidents import IncidentBrief
from runwright.verification.findings import Finding, NoEvidence, unverifiable
from runwright.verification.registry import verifier_for
from runwright.verification.sections import Section

CASES = Path(__file__).parent.parent / "cases" / "verification"


def load(path: Path) -> list[Any]:
    documents = list(YAML(typ="safe").load_all(path.read_text()))
    head, cases = documents[0], documents[1:]
    return [pytest.param(head, case, id=f"{path.stem}: {case['name']}") for case in cases]


ALL = [case for path in sorted(CASES.glob("*.yaml")) for case in load(path)]


def sections(base: dict[str, str], changes: dict[str, Any]) -> dict[str, Section]:
    found = {name: Section(text, 0) for name, text in base.items()}
    for name, change in changes.items():
        if change is None:
            found.pop(name, None)
        elif isinstance(change, str):
            found[name] = Section(change, 0)
        elif "status" in change:
            found[name] = Section(change.get("text", ""), change["status"])
        else:
            lines = [line for line in base[name].splitlines() if line.partition("=")[0] not in change]
            found[name] = Section("\n".join([*lines, *(f"{key}={value}" for key, value in change.items())]), 0)
    return found


def judged(head: dict[str, Any], case: dict[str, Any]) -> Finding:
    brief = IncidentBrief(incident_type=head["incident_type"], subject={**head["subject"], **case.get("subject", {})})
    verifier, subject = verifier_for(brief.incident_type), brief.typed_subject
    try:
        before = None
        if case.get("before", {}) is not None:
            before = verifier.read(subject, sections(head["base"], case.get("before", {})))
            before = type(before).model_validate_json(before.model_dump_json())
        looks = [verifier.read(subject, sections(head["base"], look)) for look in case["looks"]]
    except NoEvidence as reason:
        return unverifiable(str(reason))
    return verifier.judge(subject, before, looks)


@pytest.mark.parametrize(("head", "case"), ALL)
def test_case(head: dict[str, Any], case: dict[str, Any]) -> None:
    finding = judged(head, case)
    assert (finding.outcome.value, case["reason"] in finding.reason) == (case["expect"], True), finding
    if "settling" in case:
        assert finding.settling is case["settling"]


def test_every_verifier_has_cases_of_every_outcome() -> None:
    seen: dict[str, set[str]] = {}
    for param in ALL:
        head, case = param.values
        seen.setdefault(head["incident_type"], set()).add(case["expect"])
    assert seen == {
        kind: {"passed", "failed", "unverifiable"}
        for kind in ("service_crash", "disk_full", "high_cpu", "memory_leak", "cert_expiry", "backup_failure")
    }
