"""From a failed run to a better version on a real server: by rules, and with a model on the wire, good or broken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runwright.model.diagnoses import Analysis
from runwright.model.errors import NotFound
from runwright.model.executions import ExecutionResult, ExecutionStatus
from runwright.model.reviews import ReviewItem
from runwright.surfaces.client import RunwrightClient
from support.scripted_model import Entry, Reply, ScriptedModel, answer, cut, status, text
from support.server import Server, approve_runbook, finished, first_admin, report

RUNBOOK = """\
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
      if test -e shop.lock; then
        echo "shop: lock file $folder/shop.lock exists: another instance is running, refusing to start" >&2
        exit 1
      fi
      touch open
verify:
  - id: is-open
    run: test -e "$folder/open"
    hold: 0s
"""


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    server = Server(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.close()


def fail_once(admin: RunwrightClient, folder: Path) -> tuple[ExecutionResult, Analysis]:
    """A stale lock, an incident, a run that fails, and what was learned from it."""
    folder.mkdir()
    (folder / "shop.lock").write_text("999999\n")
    incident = report(admin, {"job": "shop.service", "folder": str(folder)}, "backup_failure")
    result = finished(admin, admin.executions(incident_id=incident.id)[0].id)
    assert result.status is ExecutionStatus.FAILURE
    deadline = time.monotonic() + 60
    while True:
        try:
            return result, admin.analysis(result.execution_id)
        except NotFound:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def queued(admin: RunwrightClient, analysis: Analysis) -> list[ReviewItem]:
    return [item for item in admin.pending() if item.proposal_id and item.proposal_id == analysis.proposal_id]


def test_rules_alone_lead_to_a_version_that_opens_the_shop(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        admin = first_admin(server)
        approve_runbook(admin, RUNBOOK)
        folder = tmp_path / "shop"
        _, analysis = fail_once(admin, folder)
        assert analysis.diagnosis.failure_type.value == "runbook_insufficient"
        assert analysis.diagnosis.method.value == "rules"
        (item,) = queued(admin, analysis)
        assert item.evidence[0].passed is None
        assert item.evidence[0].note.startswith("not tried")

        admin.approve(item.id, item.subject.digest)
        incident = report(admin, {"job": "shop.service", "folder": str(folder)}, "backup_failure")
        (run,) = admin.executions(incident_id=incident.id)
        assert run.version_id == item.id == "RB-TEST-SHOP-001-v2"
        steps = finished(admin, run.id).steps
        assert [step.status.value for step in steps] == ["ok", "ok"]
        assert (folder / "open").exists()
        assert not (folder / "shop.lock").exists()


def draft(_: dict[str, Any]) -> Any:
    step = {"id": "clear-lock", "run": 'rm -f -- "$folder/shop.lock"', "idempotent": True}
    edit = {"op": "add_step", "before": "start", "content": step, "reason": "The lock is stale.", "signals": [0]}
    return answer({"edits": [edit]})


def test_a_model_writes_the_version_when_one_is_configured(tmp_path: Path) -> None:
    with ScriptedModel(draft) as model, serving(tmp_path, RUNWRIGHT_LLM_BASE_URL=model.base_url) as server:
        admin = first_admin(server)
        assert admin.health()["learning"]["engine"] == "llm"
        approve_runbook(admin, RUNBOOK)
        _, analysis = fail_once(admin, tmp_path / "shop")
        (item,) = queued(admin, analysis)
        comparison = admin.comparison(item.id)
        assert "clear-lock" in comparison["candidate_text"]
        assert analysis.tokens_in > 0
        assert model.requests


FAILURES: dict[str, Entry] = {
    "nonsense": text("I am a teapot."),
    "nothing": text(None),
    "server error": status(500),
    "cut": cut(),
    "wrong schema": answer({"edits": [{"op": "sing"}]}),
}


def test_a_model_that_fails_loses_nothing(tmp_path: Path) -> None:
    saying: list[Entry] = []

    def speak(request: dict[str, Any]) -> Reply:
        entry = saying[-1]
        return entry if isinstance(entry, Reply) else entry(request)

    settings = {"RUNWRIGHT_LLM_TIMEOUT": "5"}
    with ScriptedModel(speak) as model, serving(tmp_path, RUNWRIGHT_LLM_BASE_URL=model.base_url, **settings) as server:
        admin = first_admin(server)
        approve_runbook(admin, RUNBOOK)
        for name, entry in FAILURES.items():
            saying.append(entry)
            asked = len(model.requests)
            _, analysis = fail_once(admin, tmp_path / name.replace(" ", "-"))
            assert analysis.diagnosis.failure_type.value == "runbook_insufficient", name
            assert analysis.proposal_id is not None, name
            assert len(model.requests) > asked, name
        assert len([item for item in admin.pending() if item.proposal_id]) == 1
