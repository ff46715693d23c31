"""What is taken from other executors: all faults are said at once, no claim counts, no secret stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.execution.external import OUTPUT_LIMIT, differing, receive
from runwright.model.errors import InvalidInput
from runwright.model.executions import ExecutionResult
from runwright.model.ids import external_execution_id, is_external, make_id, sha256
from runwright.model.verdicts import VerificationOutcome
from runwright.runbooks.load import load_runbook
from support.external import TEXT, external_result, reported

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
CHECK = {"id": "open", "kind": "verifier:backup_failure", "outcome": "passed", "reason": "The shop is open."}
PASSED = {"outcome": "passed", "method": "verifier", "confidence": 1.0, "explanation": "Sure.", "checks": [CHECK]}


def test_a_result_is_taken_with_an_id_of_ours_and_the_canonical_digest() -> None:
    received = receive(external_result(), now=NOW)
    result = received.result
    assert result.execution_id == external_execution_id("acme", "cron", "job-17")
    assert is_external(result.execution_id)
    assert result.origin == "external:cron"
    assert (received.source, received.external_id, result.extra["external_id"]) == ("cron", "job-17", "job-17")
    assert result.runbook.digest == load_runbook(TEXT).digest
    assert result.runbook.text == TEXT
    assert received.masked == 0
    again = receive(external_result(), now=NOW)
    assert (again.content_digest, again.result) == (received.content_digest, received.result)


def test_no_id_of_another_client_source_or_of_ours_can_be_named() -> None:
    ours = make_id("exe", NOW, bytes(8))
    ids = {
        receive(external_result(execution_id=key, origin=origin, client_id=client), now=NOW).result.execution_id
        for key in (ours, "job-17", "ext_1")
        for origin in ("external:cron", "external:ansible")
        for client in ("acme", "other")
    }
    assert len(ids) == 12
    assert all(is_external(key) and key != ours for key in ids)
    assert not is_external(ours)


def test_whatever_is_claimed_is_reported_and_never_passed() -> None:
    received = receive(
        external_result(status="success", verification=PASSED, verification_after_rollback=PASSED, error=None), now=NOW
    )
    for verdict in (received.result.verification, received.result.verification_after_rollback):
        assert verdict is not None
        assert (verdict.outcome, verdict.method) == (VerificationOutcome.UNVERIFIABLE, "reported")
        assert verdict.confidence == 0
        assert verdict.extra["claimed"] == "passed"
        assert [check.outcome for check in verdict.checks] == [VerificationOutcome.UNVERIFIABLE]
        assert verdict.checks[0].extra["claimed"] == "passed"
    assert '"outcome":"passed"' not in received.result.model_dump_json()


def test_a_claimed_failure_stays_one() -> None:
    received = receive(external_result(verification={**PASSED, "outcome": "failed"}), now=NOW)
    assert received.result.verification is not None
    assert received.result.verification.outcome is VerificationOutcome.FAILED


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "our own origin": ({"origin": "runwright"}, "origin"),
    "no source": ({"origin": "external:"}, "origin"),
    "shouting source": ({"origin": "external:CRON"}, "origin"),
    "no id": ({"execution_id": ""}, "execution_id"),
    "an id with a line end": ({"execution_id": "a\nb"}, "execution_id"),
    "another form": ({"schema": "runwright/execution-result/v2"}, "schema"),
    "still running": ({"status": "running"}, "status"),
    "our bundle": ({"evidence_bundle_id": "evb_1"}, "evidence_bundle_id"),
    "the future": ({"started_at": "2026-01-05T11:00:00Z", "completed_at": None}, "started_at"),
    "ends before it starts": ({"completed_at": "2026-01-05T08:00:00Z"}, "completed_at"),
    "endless": ({"duration_seconds": -1.0}, "duration_seconds"),
    "no subject": (
        {"incident": {"id": "i", "incident_type": "backup_failure", "subject": {}}},
        "incident.subject.job",
    ),
    "no word": ({"incident": {"id": "i", "incident_type": "A B", "subject": {}}}, "incident.incident_type"),
    "no host": ({"host": {"hostname": " ", "platform": "linux"}}, "host.hostname"),
    "another text": ({"runbook": {**reported()["runbook"], "text": TEXT + "# more\n"}}, "runbook.digest"),
    "another id": (
        {"runbook": {"id": "RB-OTHER", "digest": sha256(TEXT.encode()), "text": TEXT}},
        "runbook.id",
    ),
    "no runbook": ({"runbook": {"id": "RB-X", "digest": sha256(b"id: ["), "text": "id: ["}}, "runbook.text"),
    "no digest": ({"runbook": {"id": "RB-X", "digest": "md5:1"}}, "runbook.digest"),
    "a foreign text with another digest": (
        {"runbook": {"id": "play", "digest": sha256(b"a"), "text": "b", "language": "ansible"}},
        "runbook.digest",
    ),
    "a step twice": ({"steps": [*reported()["steps"], *reported()["steps"]]}, "steps.1.id"),
    "an error at no step": ({"error": {"code": "x", "message": "y", "step": "gone"}}, "error.step"),
    "too many steps": (
        {"steps": [{"id": f"s{n}", "kind": "run", "status": "ok"} for n in range(501)], "error": None},
        "steps",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_its_place(name: str) -> None:
    changes, path = WRONG[name]
    with pytest.raises(InvalidInput) as raised:
        receive(external_result(**changes), now=NOW)
    assert path in {fault.path for fault in raised.value.faults}


def test_every_fault_is_said_at_once() -> None:
    changes: dict[str, Any] = {}
    for part in ("our own origin", "no id", "still running", "our bundle", "no host", "no digest"):
        changes |= WRONG[part][0]
    with pytest.raises(InvalidInput) as raised:
        receive(external_result(**changes), now=NOW)
    paths = {fault.path for fault in raised.value.faults}
    assert {"origin", "execution_id", "status", "evidence_bundle_id", "host.hostname", "runbook.digest"} <= paths


def test_a_secret_in_the_runbook_is_refused_with_its_line() -> None:
    text = TEXT.replace("touch open", "curl -H 'Authorization: Bearer abcdefghijklmnopqrstuvwxyz' http://x")
    with pytest.raises(InvalidInput) as raised:
        receive(
            external_result(runbook={"id": "RB-TEST-SHOP-001", "digest": sha256(text.encode()), "text": text}), now=NOW
        )
    assert any("line 13" in fault.message and fault.path == "runbook.text" for fault in raised.value.faults)
    assert "abcdefghijklmnopqrstuvwxyz" not in str(raised.value.faults)


def test_secrets_are_masked_wherever_they_stand() -> None:
    key = "AKIAIOSFODNN7EXAMPLE"
    steps = reported()["steps"]
    steps[0]["attempts"][0]["stdout"] = f"using {key}"
    steps[0]["note"] = {"deep": [f"password={key}x"]}
    received = receive(
        external_result(
            steps=steps,
            tags={"login": f"token: {key}"},
            of_theirs={"password": "hunter2", "list": [key]},
            incident={**reported()["incident"], "subject": {"job": "x", "api_key": "swordfish77"}},
            state_after={"captured_at": "x", "journal": [f"shop: key {key}"]},
        ),
        now=NOW,
    )
    stored = received.result.model_dump_json()
    for secret in (key, "hunter2", "swordfish77"):
        assert secret not in stored
    assert received.masked >= 6


def test_long_output_is_cut_head_and_tail() -> None:
    steps = reported()["steps"]
    steps[0]["attempts"][0]["stdout"] = "begin" + "x" * 300_000 + "end"
    received = receive(external_result(steps=steps), now=NOW)
    stdout = received.result.steps[0].attempts[0].stdout
    assert stdout.startswith("begin")
    assert stdout.endswith("end")
    assert len(stdout) < OUTPUT_LIMIT + 100
    assert "characters left out here" in stdout


def test_the_digest_is_of_what_was_sent_however_it_was_written() -> None:
    plain = receive(external_result(), now=NOW).content_digest
    assert receive(external_result(tags={}, started_at="2026-01-05T10:00:00+01:00"), now=NOW).content_digest != ""
    written = json.dumps(dict(reversed(reported().items())))
    assert receive(ExecutionResult.model_validate_json(written), now=NOW).content_digest == plain
    assert receive(external_result(completed_at="2026-01-05T09:00:02Z"), now=NOW).content_digest != plain


def test_a_conflict_names_each_place() -> None:
    stored = receive(external_result(), now=NOW).result
    steps = reported()["steps"]
    steps[0]["attempts"][0]["exit_code"] = 2
    given = receive(external_result(steps=steps, tags={"x": "y"}), now=NOW).result
    places = {fault.path for fault in differing(stored, given).faults}
    assert places == {"steps.0.attempts.0.exit_code", "tags"}


def test_another_language_is_taken_by_its_digest() -> None:
    text = "- hosts: all\n  vars: {password: hunter2hunter2}\n"
    runbook = {"id": "site", "digest": sha256(text.encode()), "text": text, "language": "ansible"}
    received = receive(external_result(runbook=runbook), now=NOW)
    assert received.runbook is None
    assert "hunter2" not in (received.result.runbook.text or "")
    assert received.result.runbook.digest == runbook["digest"]


PLACES = ("execution_id", "origin", "client_id", "schema", "error", "tags", "of_theirs")


@settings(max_examples=80, deadline=None, database=None, derandomize=True)
@given(
    place=st.sampled_from(PLACES),
    text=st.text(max_size=40),
    number=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_any_text_and_number_is_taken_or_refused_with_faults(place: str, text: str, number: float) -> None:
    value: Any = text
    if place == "tags":
        value = {text: text}
    elif place == "error":
        value = {"code": text, "message": text, "step": None}
    elif place == "of_theirs":
        value = [{text: number}, text]
    received = _taken(external_result(**{place: value}))
    assert received is None or is_external(received.execution_id)


def _taken(result: ExecutionResult) -> ExecutionResult | None:
    try:
        return receive(result, now=NOW).result
    except InvalidInput as error:
        if not error.faults:
            raise
        return None
