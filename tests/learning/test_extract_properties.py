"""Whatever telemetry holds, extraction ends, says the same twice, and points at places that exist."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.learning.diagnosis import by_rules
from runwright.learning.evidence import Evidence
from runwright.learning.signals import MAX_SIGNALS, extract, fingerprint
from runwright.learning.signals.patterns import patterns
from runwright.model.diagnoses import Signal, Stream
from runwright.model.executions import ExecutionResult
from support.telemetry import load_cases, result_of

LINES = [example["line"] for pattern in patterns() for example in pattern.examples]
line = st.one_of(st.sampled_from(LINES), st.text(max_size=80))
stream = st.lists(line, max_size=6).map("\n".join)
attempt = st.fixed_dictionaries(
    {
        "exit_code": st.one_of(st.none(), st.integers(0, 255)),
        "stdout": stream,
        "stderr": stream,
        "timed_out": st.booleans(),
    }
)
step = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["look", "restart", "clean"]),
        "kind": st.sampled_from(["run", "service", "wait_for"]),
        "status": st.sampled_from(["ok", "failed", "skipped"]),
        "attempts": st.lists(attempt, max_size=2),
    }
)
state = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "journal": st.lists(line, max_size=5),
            "failed_units": st.lists(st.sampled_from(["shopd.service", "db.service"]), max_size=2),
        }
    ),
)
case = st.fixed_dictionaries(
    {
        "incident": st.just({"incident_type": "service_crash", "subject": {"service": "shopd", "port": 8080}}),
        "steps": st.lists(step, max_size=3, unique_by=lambda item: item["id"]),
        "state_before": state,
        "state_after": state,
        "checks": st.lists(st.fixed_dictionaries({"evidence": stream}), max_size=1),
    }
)


def _exists(signal: Signal, result: ExecutionResult) -> bool:
    place = signal.place
    if place.stream is Stream.JOURNAL:
        name = (place.path or "").removesuffix(".journal")
        recorded = getattr(result, name)
        return place.line is not None and 1 <= place.line <= len(recorded.journal)
    if place.step is not None and place.path is None:
        attempts = next(item for item in result.steps if item.id == place.step).attempts
        tried = next(item for item in attempts if item.attempt == place.attempt)
        if place.stream is None:
            return True
        text: str = getattr(tried, place.stream.value)
        return place.line is not None and 1 <= place.line <= text.count("\n") + 1
    return place.path is not None


@given(case)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_telemetry(given_case: dict[str, Any]) -> None:
    result = result_of(given_case)
    signals = extract(result)
    assert signals == extract(result)
    assert len(signals) <= MAX_SIGNALS
    for signal in signals:
        assert _exists(signal, result), signal
        assert len(signal.excerpt) <= 400
    by_rules(Evidence(result, signals), {})


def test_the_same_failure_has_the_same_fingerprint() -> None:
    for name, given_case in load_cases():
        first = result_of({**given_case, "execution_id": "exe_1"})
        second = result_of({**given_case, "execution_id": "exe_2"})
        assert fingerprint(first, extract(first)) == fingerprint(second, extract(second)), name


def test_process_ids_and_times_do_not_change_a_fingerprint() -> None:
    def crash(pid: int, time: str) -> ExecutionResult:
        text = f"Jan 05 {time} web-1 shopd[{pid}]: lock file /run/shopd.lock exists"
        incident = {"incident_type": "service_crash", "subject": {"service": "shopd"}}
        return result_of({"incident": incident, "state_after": {"journal": [text]}})

    first, second = crash(71, "09:00:00"), crash(99, "10:11:12")
    assert fingerprint(first, extract(first)) == fingerprint(second, extract(second))


def test_another_lock_is_another_failure() -> None:
    def crash(path: str) -> ExecutionResult:
        incident = {"incident_type": "service_crash", "subject": {"service": "shopd"}}
        return result_of({"incident": incident, "state_after": {"journal": [f"lock file {path} exists"]}})

    first, second = crash("/run/a.lock"), crash("/run/b.lock")
    assert fingerprint(first, extract(first)) != fingerprint(second, extract(second))


def test_secrets_and_hidden_characters_are_in_no_signal() -> None:
    hostile = "lock file /run/shopd.lock exists DB_PASSWORD=hunter2 \u202e"
    incident = {"incident_type": "service_crash", "subject": {"service": "shopd"}}
    signals = extract(result_of({"incident": incident, "state_after": {"journal": [hostile]}}))
    text = "".join(signal.model_dump_json() for signal in signals)
    assert "/run/shopd.lock" in text
    assert "hunter2" not in text
    assert "\u202e" not in text
