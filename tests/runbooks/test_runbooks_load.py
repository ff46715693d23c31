"""Loading runbooks: each broken file gives exactly its faults; digests follow meaning."""

from __future__ import annotations

import copy
import json
import random
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.model.errors import Fault, InvalidInput, Tampered
from runwright.model.ids import sha256
from runwright.runbooks.emit import emit
from runwright.runbooks.library import starter_runbooks
from runwright.runbooks.load import load_runbook
from runwright.runbooks.schema import json_schema
from runwright.runbooks.stored import check_stored

_EXPECT = re.compile(r"^# expect (\d+):(\d+) (.*)$", re.MULTILINE)


def test_a_broken_runbook_gives_exactly_its_faults(invalid_file: Path) -> None:
    raw = invalid_file.read_bytes()
    expected = [(int(line), int(column), text) for line, column, text in _EXPECT.findall(raw.decode())]
    assert expected, "a case says what it expects"
    with pytest.raises(InvalidInput) as caught:
        load_runbook(raw, invalid_file.name)
    found = [(fault.line, fault.column, fault.message) for fault in caught.value.faults]
    assert found == expected
    assert {fault.file for fault in caught.value.faults} == {invalid_file.name}
    assert caught.value.exit_status == 3


def test_a_runbook_loads_as_written(example: str) -> None:
    loaded = load_runbook(example, "example.yaml")
    assert loaded.text == example
    assert loaded.raw_digest == sha256(example.encode())
    assert loaded.data["steps"][2]["retry"] == {"attempts": 3, "delay": "2s"}
    assert loaded.document.steps[2].retry is not None
    assert loaded.document.steps[2].retry.delay == 2.0
    assert loaded.document.steps[0].timeout == 60.0
    assert "timeout" not in loaded.data["steps"][0]


def test_comments_and_layout_change_only_the_raw_digest(example: str) -> None:
    first = load_runbook(example)
    second = load_runbook(example.replace("# why we look first", "# because") + "\n\n# more\n")
    assert first.digest == second.digest
    assert first.raw_digest != second.raw_digest


def _shuffled(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {key: _shuffled(value[key], source) for key in keys}
    return [_shuffled(each, source) for each in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.sampled_from(range(6)))
def test_the_digest_does_not_depend_on_key_order_or_layout(source: random.Random, which: int) -> None:
    loaded = starter_runbooks()[which]
    text = emit(_shuffled(loaded.data, source))
    lines = [line + ("  # note" if line.endswith(":") else "") for line in text.split("\n")]
    again = load_runbook("# head\n\n" + "\n".join(lines) + "\n# tail\n")
    assert again.digest == loaded.digest
    assert again.raw_digest != loaded.raw_digest


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, below in value.items() for leaf in _leaves(below, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, below in enumerate(value) for leaf in _leaves(below, (*path, index))]
    return [path]


@pytest.mark.parametrize("which", range(6))
def test_the_digest_changes_with_every_value(which: int) -> None:
    from runwright.model.ids import digest

    loaded = starter_runbooks()[which]
    seen = {loaded.digest}
    for path in _leaves(loaded.data):
        changed = copy.deepcopy(loaded.data)
        here = changed
        for part in path[:-1]:
            here = here[part]
        old = here[path[-1]]
        here[path[-1]] = f"{old} " if isinstance(old, str) else (not old if isinstance(old, bool) else old + 1)
        seen.add(digest(changed))
        del here[path[-1]]
        seen.add(digest(changed))
    assert len(seen) > len(_leaves(loaded.data))
    assert digest(loaded.data) == loaded.digest


def test_a_duration_counts_as_written_and_a_default_is_not_filled_in(example: str) -> None:
    first = load_runbook(example)
    assert load_runbook(example.replace("delay: 2s", "delay: 2000ms")).digest != first.digest
    written = example.replace("    hold: 5s\n", "    hold: 5s\n    timeout: 20s\n")
    assert load_runbook(written).document.verify[0].timeout == first.document.verify[0].timeout
    assert load_runbook(written).digest != first.digest


def _refusal(text: str) -> tuple[Fault, ...]:
    """The faults of a text; none if it loads. Any other exception is a defect, and so is a refusal without faults."""
    try:
        load_runbook(text, "damaged.yaml")
    except InvalidInput as error:
        return error.faults or (Fault(message=""),)
    return ()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_damage_to_a_runbook_breaks_the_loader(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([loaded.text for loaded in starter_runbooks()]))
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    piece = data.draw(
        st.one_of(st.text(max_size=5), st.sampled_from(["\n", ": ", "- ", "{", "[]", "&a ", "'", "~", "1"]))
    )
    damaged = text[:at] + piece + text[at + length :]
    assert all(fault.line and fault.column and fault.message for fault in _refusal(damaged))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_value_in_any_place_breaks_the_loader(data: st.DataObject) -> None:
    content = copy.deepcopy(data.draw(st.sampled_from([loaded.data for loaded in starter_runbooks()])))
    path = data.draw(st.sampled_from(_leaves(content)))
    cut = data.draw(st.integers(1, len(path)))
    here = content
    for part in path[: cut - 1]:
        here = here[part]
    values = st.sampled_from(
        [None, True, 0, -1, 1.5, "", "$x", "x", [], {}, ["a"], {"a": 1}, {"type": "string"}, [[]], [{}]]
    )
    here[path[cut - 1]] = data.draw(values)
    assert all(fault.line and fault.message for fault in _refusal(emit(content)))


def test_stored_text_is_checked_by_both_digests(example: str) -> None:
    loaded = load_runbook(example)
    assert check_stored(example, loaded.digest, loaded.raw_digest).document == loaded.document
    with pytest.raises(Tampered):
        check_stored(example + "# x\n", loaded.digest, loaded.raw_digest)
    with pytest.raises(Tampered):
        check_stored(example, "sha256:" + "0" * 64, loaded.raw_digest)
    with pytest.raises(Tampered, match="does not load"):
        check_stored("a: &x b", loaded.digest, sha256(b"a: &x b"))


def test_the_json_schema_takes_the_starters_and_refuses_what_it_can() -> None:
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    for loaded in starter_runbooks():
        assert not list(validator.iter_errors(loaded.data))
    broken = json.loads(json.dumps(starter_runbooks()[0].data))
    broken["steps"][0]["tiemout"] = 1
    broken["severity"] = "urgent"
    assert len(list(validator.iter_errors(broken))) == 2
    assert "from" in json.dumps(schema)
    assert "from_" not in json.dumps(schema)
