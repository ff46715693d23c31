"""Each record has an example that a newcomer can read, and what is written is what is read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from runwright.model.base import OpenRecord
from runwright.model.incidents import Subject
from support.model_records import ENUMS, EXAMPLES, RECORDS, example_text
from support.strategies import records_of

BY_NAME = pytest.mark.parametrize("name", RECORDS)


def test_every_record_has_an_example_and_every_example_a_record() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.json")} == set(RECORDS)
    assert len(RECORDS) > 90


@BY_NAME
def test_the_example_is_read_and_written_again(name: str) -> None:
    record = RECORDS[name].model_validate_json(example_text(name))
    written = record.model_dump_json(by_alias=True)
    assert RECORDS[name].model_validate_json(written) == record
    given = json.loads(example_text(name))
    assert shape(json.loads(record.model_dump_json(by_alias=True, exclude_unset=True))) == shape(given)


def shape(data: Any) -> Any:
    """The data with durations and moments, which have several spellings, as mere types of scalars."""
    if isinstance(data, dict):
        return {key: shape(value) for key, value in data.items()}
    if isinstance(data, list):
        return [shape(item) for item in data]
    return data if data is None or isinstance(data, bool) else "scalar"


@BY_NAME
def test_the_example_shows_every_field_there_is_room_for(name: str) -> None:
    """Fields that exclude each other cannot all be shown; the rest must be."""
    exclusive = {
        "HighCpu": {"service"},
        "MemoryLeak": {"process"},
        "CertExpiry": {"path"},
        "WaitFor": {"path", "service", "run"},
        "Step": {"service", "http", "wait_for", "call", "ask", "unless", "until"},
        "Verify": {"run", "service", "wait_for"},
        "StringParameter": {"allow_leading_dash", "enum", "default"},
        "IntegerParameter": {"required", "allow_leading_dash", "description"},
        "BooleanParameter": {"required", "allow_leading_dash", "description"},
        "SecretParameter": {"required", "allow_leading_dash", "description"},
    }
    fields = {field.alias or key for key, field in RECORDS[name].model_fields.items()} - {"extra"}
    assert fields - set(json.loads(example_text(name))) == exclusive.get(name, set())


@BY_NAME
def test_a_field_nobody_knows_is_kept_by_open_records_and_refused_by_others(name: str) -> None:
    kind = RECORDS[name]
    grown = json.dumps({**json.loads(example_text(name)), "of_another_tool": [1, {"deep": None}]})
    if issubclass(kind, OpenRecord):
        record = kind.model_validate_json(grown)
        assert record.extra == {"of_another_tool": [1, {"deep": None}]}
        written = json.loads(record.model_dump_json(by_alias=True))
        assert written["extra"] == record.extra
        assert "of_another_tool" not in written
        assert kind.model_validate_json(json.dumps(written)) == record
    elif issubclass(kind, Subject):
        with pytest.raises(ValidationError, match="nested value in of_another_tool"):
            kind.model_validate_json(grown)
    else:
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            kind.model_validate_json(grown)


@BY_NAME
def test_records_are_frozen(name: str) -> None:
    record = RECORDS[name].model_validate_json(example_text(name))
    for field in RECORDS[name].model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record, field, None)


@BY_NAME
def test_types_are_not_coerced(name: str) -> None:
    """A number is no text, a text no number, a bool neither: strict, in every field at the top of a record."""
    data = json.loads(example_text(name))
    for field, value in data.items():
        if isinstance(value, bool):
            wrong: Any = int(value)
        elif isinstance(value, int | float):
            wrong = "a word"
        elif isinstance(value, str):
            wrong = True
        else:
            continue
        if not free(RECORDS[name], field):
            with pytest.raises(ValidationError):
                RECORDS[name].model_validate_json(json.dumps({**data, field: wrong}))


def free(kind: type[BaseModel], field: str) -> bool:
    """Whether any value may stand there: `SetField.value`, and further fields of a subject."""
    known = {info.alias or key: info for key, info in kind.model_fields.items()}
    return field not in known or known[field].annotation is Any


@pytest.mark.parametrize("name", ENUMS)
def test_values_of_enums_are_lower_case_words(name: str) -> None:
    """They stand in files, URLs and databases of other people: never renamed, never quoted."""
    values = [str(item.value) for item in ENUMS[name]]
    assert values == [item.name.lower() for item in ENUMS[name]]
    assert len(set(values)) == len(values)


@settings(max_examples=5, deadline=None, database=None)
@given(st.data())
@pytest.mark.parametrize("name", ["ExecutionResult", "Diagnosis", "RiskReport", "TrialReport", "ReviewItem", "Event"])
def test_any_record_is_read_back_as_it_was(name: str, data: st.DataObject) -> None:
    record = data.draw(records_of(RECORDS[name]))
    assert RECORDS[name].model_validate_json(record.model_dump_json(by_alias=True)) == record
