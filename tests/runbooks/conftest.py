"""Cases of the runbooks room as data, and a runbook to start from.

A test that takes `must_error_case`, `risk_case`, `lint_case` or `invalid_file` runs once for each case of that name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runwright.runbooks.strict_yaml import parse

CASES = Path(__file__).parents[1] / "cases" / "runbooks"
LISTS = ("must_error", "risk", "lint")

EXAMPLE = """\
schema: runwright/v1
id: RB-TEST-001  # the line
name: A runbook for tests
incident_types: [service_crash]
parameters:
  service: {type: string, pattern: '[a-z@.-]+', from: incident.subject.service}
  port:
    type: integer
    min: 1
    max: 65535
    default: 80
steps:
  # why we look first
  - id: look
    run: systemctl status -- "$service" || true  # never fails
    idempotent: true

  # two lines
  # of comment
  - id: write
    run: |
      echo one
      # a comment of the shell

      echo two
    unless: test -e /x
  - id: restart
    service: {name: $service, state: restarted}
    retry: {attempts: 3, delay: 2s}
verify:
  - id: answers
    http: {port: $port}
    hold: 5s
# the end
"""


@pytest.fixture
def example() -> str:
    return EXAMPLE


@pytest.fixture
def all_risk_cases() -> list[dict[str, Any]]:
    return list(parse((CASES / "risk.yaml").read_bytes(), "risk.yaml").data["cases"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in LISTS:
        if f"{name}_case" in metafunc.fixturenames:
            listed = parse((CASES / f"{name}.yaml").read_bytes(), f"{name}.yaml").data["cases"]
            ids = [str(case.get("name") or case.get("command")) for case in listed]
            metafunc.parametrize(f"{name}_case", listed, ids=ids)
    if "invalid_file" in metafunc.fixturenames:
        files = sorted((CASES / "invalid").glob("*.yaml"))
        metafunc.parametrize("invalid_file", files, ids=[file.stem for file in files])
