"""What all records share: open forms, durations, subjects, and the places where text becomes data."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from runwright.model.base import Duration, Moment, OpenRecord, Record, Sha256, parse_duration
from runwright.model.documents import RunbookDocument, Step, StepKind, WaitFor
from runwright.model.executions import Event, EventKind
from runwright.model.incidents import IncidentKind, IncidentType, Subject, incident_kinds, parse_subject, register
from runwright.model.verdicts import VerificationOutcome, combine

SECONDS = TypeAdapter(Duration)


class Outer(OpenRecord):
    name: str
    inner: tuple[Inner, ...] = ()


class Inner(OpenRecord):
    number: int = 0


class TestOpenRecord:
    def test_unknown_fields_of_both_spellings_are_one(self) -> None:
        record = Outer.model_validate_json('{"name": "a", "x": 1, "extra": {"y": 2}}')
        assert record.extra == {"x": 1, "y": 2}
        assert record.model_dump() == {"extra": {"x": 1, "y": 2}, "name": "a", "inner": ()}

    def test_what_is_new_wins_over_what_was_kept(self) -> None:
        assert Outer.model_validate_json('{"name": "a", "x": 1, "extra": {"x": 2}}').extra == {"x": 1}

    def test_they_are_kept_at_every_depth(self) -> None:
        record = Outer.model_validate_json('{"name": "a", "inner": [{"number": 1, "x": {"y": []}}]}')
        assert record.inner[0].extra == {"x": {"y": []}}
        assert Outer.model_validate_json(record.model_dump_json()) == record

    def test_nothing_unknown_leaves_no_trace(self) -> None:
        assert Outer(name="a").model_dump_json() == '{"name":"a","inner":[]}'
        assert Outer.model_validate_json('{"name": "a"}').model_fields_set == {"name"}

    def test_extra_counts_as_set_when_it_came(self) -> None:
        record = Outer.model_validate_json('{"name": "a", "x": 1}')
        assert json.loads(record.model_dump_json(exclude_unset=True)) == {"name": "a", "extra": {"x": 1}}

    @given(st.dictionaries(st.text(min_size=1), st.none() | st.integers() | st.text() | st.lists(st.booleans())))
    def test_nothing_is_lost(self, unknown: dict[str, object]) -> None:
        given_ = {key: value for key, value in unknown.items() if key not in ("name", "inner", "extra")}
        record = Outer.model_validate_json(json.dumps({"name": "a", **given_}))
        assert record.extra == given_
        assert Outer.model_validate_json(record.model_dump_json()) == record


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0s", 0), ("500ms", 0.5), ("5s", 5), ("1.5m", 90), ("26h", 93_600), ("3d", 259_200), ("0.25s", 0.25)],
    )
    def test_texts(self, text: str, seconds: float) -> None:
        assert SECONDS.validate_python(text) == pytest.approx(seconds)
        assert SECONDS.validate_json(json.dumps(text)) == pytest.approx(seconds)

    def test_numbers_are_seconds(self) -> None:
        assert SECONDS.validate_python(7) == 7.0
        assert SECONDS.validate_python(0.5) == 0.5

    @pytest.mark.parametrize(
        "text",
        ["", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "5S", "1h30m", "5w", "1e3s", ".5s", "5.s", "\u0665s", "5s\n"],
    )
    def test_everything_else_is_refused_and_says_what_is_allowed(self, text: str) -> None:
        with pytest.raises(ValueError, match="allowed: a number and ms, s, m, h or d"):
            parse_duration(text)

    def test_never_negative(self) -> None:
        with pytest.raises(ValidationError, match="greater than or equal to 0"):
            SECONDS.validate_python(-1)

    @given(st.floats(0, 1e6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
    def test_any_number_with_any_unit(self, number: float, unit: tuple[str, float]) -> None:
        assert SECONDS.validate_python(f"{number:.3f}{unit[0]}") == pytest.approx(round(number, 3) * unit[1], abs=1e-9)


def test_moments_have_a_zone() -> None:
    moments = TypeAdapter(Moment)
    assert moments.validate_json('"2026-01-05T09:00:00Z"').tzinfo is not None
    with pytest.raises(ValidationError, match="timezone"):
        moments.validate_python(datetime(2026, 1, 5))  # noqa: DTZ001 - the fault


ZERO = "0" * 64


@pytest.mark.parametrize(
    "text", ["sha256:" + "A" * 64, "sha256:" + ZERO[1:], ZERO, f"sha512:{ZERO}", f"sha256:{ZERO}\n"]
)
def test_a_digest_has_one_spelling(text: str) -> None:
    digests = TypeAdapter(Sha256)
    assert digests.validate_python(f"sha256:{ZERO}")
    with pytest.raises(ValidationError):
        digests.validate_python(text)


class TestSubjects:
    def test_every_type_that_comes_along_is_registered_with_a_runbook(self) -> None:
        assert set(IncidentType) <= set(incident_kinds())
        for name in IncidentType:
            assert (incident_kinds()[name].standard_runbook or "").startswith("RB-LINUX-")

    def test_runbooks_of_types_differ(self) -> None:
        runbooks = [incident_kinds()[name].standard_runbook for name in IncidentType]
        assert len(set(runbooks)) == len(runbooks)

    def test_a_name_is_registered_once(self) -> None:
        with pytest.raises(ValueError, match="registered already"):
            register(IncidentKind(IncidentType.DISK_FULL, Subject, None))

    def test_an_unknown_type_names_those_that_are_known(self) -> None:
        with pytest.raises(ValueError, match=r"allowed: .*cert_expiry.*service_crash"):
            parse_subject("nonsense", {})

    @pytest.mark.parametrize(
        ("kind", "first"),
        [
            ("service_crash", {"service": "x"}),
            ("disk_full", {"mount": "/"}),
            ("high_cpu", {"process": "x"}),
            ("memory_leak", {"service": "x"}),
            ("cert_expiry", {"path": "/etc/x.pem"}),
            ("backup_failure", {"job": "x"}),
        ],
    )
    def test_the_first_field_is_required_and_enough(self, kind: str, first: dict[str, str]) -> None:
        assert parse_subject(kind, first).plain() == first
        with pytest.raises(ValidationError):
            parse_subject(kind, {})

    def test_defaults_are_seen_and_not_written(self) -> None:
        subject = parse_subject("disk_full", {"mount": "/"})
        assert subject.value("threshold_percent") == 90
        assert subject.value("nonsense") is None
        assert subject.plain() == {"mount": "/"}


class TestSteps:
    @pytest.mark.parametrize("kind", StepKind)
    def test_each_kind_is_a_field_of_its_own(self, kind: StepKind) -> None:
        step = Step.model_validate_json(json.dumps({"id": "x", kind.value: KINDS[kind]}))
        assert step.kind is kind

    def test_one_kind_and_no_more(self) -> None:
        with pytest.raises(ValidationError, match="found run and http; allowed: exactly one of"):
            Step.model_validate_json('{"id": "x", "run": "true", "http": {}}')
        with pytest.raises(ValidationError, match="found no kind"):
            Step.model_validate_json('{"id": "x"}')
        with pytest.raises(ValidationError, match="found port and path"):
            WaitFor.model_validate_json('{"port": 1, "path": "/x"}')

    @pytest.mark.parametrize(
        ("step", "idempotent"),
        [
            ({"run": "true"}, False),
            ({"service": {"name": "x", "state": "started"}}, True),
            ({"service": {"name": "x", "state": "stopped"}}, True),
            ({"service": {"name": "x", "state": "restarted"}}, False),
            ({"service": {"name": "x", "state": "reloaded"}}, False),
            ({"http": {}}, True),
            ({"http": {"method": "POST"}}, False),
            ({"wait_for": {"port": 1}}, True),
            ({"ask": {"question": "?", "parameter": "x"}}, True),
            ({"run": "true", "idempotent": True}, True),
            ({"http": {}, "idempotent": False}, False),
        ],
    )
    def test_which_are_idempotent_by_themselves(self, step: dict[str, object], idempotent: bool) -> None:
        assert Step.model_validate_json(json.dumps({"id": "x", **step})).is_idempotent is idempotent

    @pytest.mark.parametrize("name", ["RB-X-v1", "RB-X-V1", "rb-x", "RB_X", "-RB", "RB-", "", "RB X"])
    def test_ids_that_no_runbook_may_have(self, name: str) -> None:
        data = {"schema": "runwright/v1", "id": name, "name": "x", "incident_types": ["x"]}
        with pytest.raises(ValidationError):
            RunbookDocument.model_validate_json(json.dumps({**data, "steps": [{"id": "x", "run": "true"}]}))


KINDS: dict[StepKind, object] = {
    StepKind.RUN: "true",
    StepKind.SERVICE: {"name": "x", "state": "started"},
    StepKind.HTTP: {},
    StepKind.WAIT_FOR: {"port": 1},
    StepKind.CALL: {"runbook": "RB-X", "version": 1, "digest": "sha256:" + "0" * 64},
    StepKind.ASK: {"question": "?", "parameter": "x"},
}


@given(st.lists(st.sampled_from(VerificationOutcome), max_size=4))
def test_verdicts_combine_to_the_worst(outcomes: list[VerificationOutcome]) -> None:
    order = [VerificationOutcome.FAILED, VerificationOutcome.UNVERIFIABLE, VerificationOutcome.PASSED]
    expected = min(outcomes, key=order.index, default=VerificationOutcome.UNVERIFIABLE)
    assert combine(outcomes) is expected
    assert combine(reversed(outcomes)) is expected


def test_a_record_of_no_fields_is_closed_too() -> None:
    class Empty(Record):
        pass

    with pytest.raises(ValidationError):
        Empty.model_validate_json('{"x": 1}')


def test_a_held_run_has_not_ended() -> None:
    """`held` is told as a status of a run and is none of its statuses."""
    told = {
        "client_id": "acme",
        "subject_id": "exe_1",
        "kind": EventKind.EXECUTION_STATUS,
        "at": datetime(2026, 1, 5, tzinfo=UTC),
    }
    assert not Event(**told, data={"status": "held"}).ends_run
    assert not Event(**told, data={"status": "running"}).ends_run
    assert Event(**told, data={"status": "success"}).ends_run
