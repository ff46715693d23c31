"""Results as another executor would report them."""

from __future__ import annotations

import json
from typing import Any

from runwright.model.executions import ExecutionResult
from runwright.model.ids import sha256

TEXT = """\
schema: runwright/v1
id: RB-TEST-SHOP-001
name: Open the shop
platform: linux
incident_types: [backup_failure]
severity: high
parameters:
  folder: {type: string, pattern: '/[A-Za-z0-9._/-]+', from: incident.subject.folder}
steps:
  - id: start
    run: |
      cd -- "$folder"
      touch open
verify:
  - id: is-open
    run: test -e "$folder/open"
    hold: 0s
"""
SAID = "shop: lock file /srv/shop/shop.lock exists: another instance is running, refusing to start"


def reported(**changes: Any) -> dict[str, Any]:
    """A failed run of the shop's runbook, as JSON data."""
    whole = {
        "schema": "runwright/execution-result/v1",
        "execution_id": "job-17",
        "origin": "external:cron",
        "client_id": "acme",
        "host": {"hostname": "shop-1", "platform": "linux"},
        "incident": {
            "id": "ticket-9",
            "incident_type": "backup_failure",
            "severity": "high",
            "subject": {"job": "shop.service", "folder": "/srv/shop"},
        },
        "runbook": {"id": "RB-TEST-SHOP-001", "digest": sha256(TEXT.encode()), "text": TEXT},
        "started_at": "2026-01-05T09:00:00Z",
        "completed_at": "2026-01-05T09:00:01Z",
        "duration_seconds": 1.0,
        "status": "failure",
        "steps": [
            {
                "id": "start",
                "kind": "run",
                "status": "failed",
                "attempts": [
                    {"attempt": 1, "exit_code": 1, "stderr": f"{SAID}\n", "started_at": "2026-01-05T09:00:00Z"},
                ],
            }
        ],
        "error": {"code": "step-failed", "message": "Step start ended with status 1.", "step": "start"},
    }
    return {**whole, **changes}


def external_result(**changes: Any) -> ExecutionResult:
    """The same as a record."""
    return ExecutionResult.model_validate_json(json.dumps(reported(**changes)))
