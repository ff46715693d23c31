"""Secrets in the environment of a running server: the worker's, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from support.server import Server, approve_runbook, finished, first_admin, report

CANARY = "canary-in-the-environment"
RUNBOOK = """\
schema: runwright/v1
id: RB-TEST-ENV-001
name: What a step sees
platform: linux
incident_types: [disk_full]
severity: high
parameters:
  given: {type: secret, from: secret.api-key}
steps:
  - id: look
    run: |
      env; tr '\\0' '\\n' </proc/self/environ
      echo "length ${#given}"
verify:
  - id: fine
    run: "true"
    hold: 0s
"""


def test_a_step_gets_the_secret_that_it_names_and_no_environment(tmp_path: Path) -> None:
    other = "another-canary"
    server = Server(tmp_path, RUNWRIGHT_SECRET_DEFAULT_API_2DKEY=CANARY, RUNWRIGHT_SECRET_DEFAULT_OTHER=other)
    server.start()
    try:
        admin = first_admin(server)
        (here,) = admin.hosts()
        check = admin.check_host(here.id)
        assert check.status.value == "pending"
        approve_runbook(admin, RUNBOOK)
        incident = report(admin, {"mount": "/", "threshold_percent": 100}, "disk_full")
        result = finished(admin, admin.executions(incident_id=incident.id)[0].id)
        looked = result.steps[0].attempts[0]
        assert f"length {len(CANARY)}" in looked.stdout, looked
        assert "RUNWRIGHT_SECRET" not in looked.stdout
        assert admin.host_check(here.id, check.id).ready, "a worker made the check meanwhile"
    finally:
        server.close()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 3
    for path in kept:
        content = path.read_bytes()
        assert CANARY.encode() not in content, path
        assert other.encode() not in content, path
