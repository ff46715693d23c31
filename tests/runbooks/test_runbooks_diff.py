"""The difference of two versions, and lineage."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runwright.model.errors import InvalidInput, NotFound
from runwright.model.proposals import AddParameter, AddStep, MoveStep, RemoveStep, SetField
from runwright.model.versions import Author, RunbookVersion
from runwright.runbooks.diff import DiffKind, RunbookDiff, diff_runbooks
from runwright.runbooks.diff_lines import LineKind, side_by_side
from runwright.runbooks.edits import apply_edits
from runwright.runbooks.lineage import chain, children, next_number


def _changed(example: str) -> str:
    return apply_edits(
        example,
        [
            AddStep(content={"id": "new", "run": "echo new"}, after="look", reason="r"),
            SetField(step="restart", field="retry", value={"attempts": 5, "delay": "2s"}, reason="r"),
            SetField(step="look", field="timeout", value="5s", reason="r"),
            RemoveStep(step="write", reason="r"),
            MoveStep(step="restart", before="look", reason="r"),
            AddParameter(name="extra", content={"type": "string", "required": False}, reason="r"),
        ],
    )


def test_steps_are_aligned_by_their_ids(example: str) -> None:
    found = diff_runbooks(example, _changed(example))
    steps = {step.id: step for step in found.steps}
    assert steps["new"].kind is DiffKind.ADDED
    assert steps["new"].new_text == "- id: new\n  run: echo new"
    assert steps["write"].kind is DiffKind.REMOVED
    assert steps["write"].new_line is None
    assert steps["answers"].kind is DiffKind.UNCHANGED
    assert [(change.field, change.old, change.new) for change in steps["look"].fields] == [("timeout", None, "5s")]
    assert [change.field for change in steps["restart"].fields] == ["retry"]
    assert {step.id for step in found.steps if step.moved} in ({"restart"}, {"look"})
    assert [change.field for change in found.parameters] == ["extra"]
    assert found.summary.startswith("Added steps.new; changed ")
    assert not found.same_content


def test_line_numbers_point_into_the_texts(example: str) -> None:
    new = _changed(example)
    for step in diff_runbooks(example, new).steps:
        if step.old_line:
            assert f"id: {step.id}" in example.split("\n")[step.old_line - 1]
        if step.new_line:
            assert f"id: {step.id}" in new.split("\n")[step.new_line - 1]


def test_side_by_side_rows_rebuild_both_texts(example: str) -> None:
    new = _changed(example)
    rows = diff_runbooks(example, new).lines
    assert "\n".join(row.old for row in rows if row.old is not None) == example
    assert "\n".join(row.new for row in rows if row.new is not None) == new


def test_spans_mark_the_words_that_differ() -> None:
    (row,) = side_by_side(["retry: {attempts: 3, delay: 2s}"], ["retry: {attempts: 15, delay: 2s}"])
    assert row.kind is LineKind.CHANGED
    assert [row.old[a:b] for a, b in row.old_spans if row.old] == ["3"]
    assert [row.new[a:b] for a, b in row.new_spans if row.new] == ["15"]


def test_a_first_version_and_an_equal_one(example: str) -> None:
    first = diff_runbooks(None, example)
    assert all(step.kind is DiffKind.ADDED for step in first.steps)
    assert first.summary == "A first version with 4 steps and checks."
    same = diff_runbooks(example, example)
    assert same.same_text
    assert same.unified == ""
    assert same.summary == "Nothing changed."


def test_comments_are_a_difference_of_their_own(example: str) -> None:
    found = diff_runbooks(example, example.replace("why we look", "why one looks"))
    assert found.same_content
    assert not found.same_text
    assert found.summary == "Only comments or layout changed."
    assert "+  # why one looks first" in found.unified


def test_hidden_characters_are_shown_wherever_they_stand(example: str) -> None:
    new = example.replace("why we look", "why \u202ewe\u200b look").replace(
        "name: A", 'description: "a\\u2066b"\nname: A'
    )
    found = diff_runbooks(example, new)
    text = found.model_dump_json()
    assert "\u202e" not in text
    assert "\u200b" not in text
    assert "\u2066" not in text
    assert "<U+202E>" in found.unified
    assert [change.new for change in found.fields] == ["a<U+2066>b"]


def test_the_diff_survives_json(example: str) -> None:
    found = diff_runbooks(example, _changed(example))
    assert RunbookDiff.model_validate_json(found.model_dump_json()) == found


def test_a_text_that_is_no_yaml_is_refused(example: str) -> None:
    with pytest.raises(InvalidInput):
        diff_runbooks(example, "a: &x b")
    assert diff_runbooks("steps: nonsense\n", example).steps  # it need not be a valid runbook


def _version(number: int, parent: int | None) -> RunbookVersion:
    return RunbookVersion(
        id=f"RB-T-v{number}",
        runbook_id="RB-T",
        number=number,
        scope="all",
        text="",
        digest="",
        raw_digest="",
        parent=f"RB-T-v{parent}" if parent else None,
        author=Author(id="x", kind="person", name="x"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_lineage_runs_from_the_eldest_to_the_version() -> None:
    versions = [_version(3, 2), _version(1, None), _version(2, 1), _version(4, 1)]
    assert [each.number for each in chain("RB-T-v3", versions)] == [1, 2, 3]
    assert [each.number for each in chain("RB-T-v4", versions)] == [1, 4]
    assert [each.number for each in children(versions)["RB-T-v1"]] == [2, 4]
    assert [each.number for each in children(versions)[""]] == [1]
    assert next_number("RB-T", versions) == 5
    assert next_number("RB-U", versions) == 1


def test_lineage_with_a_missing_or_circular_parent() -> None:
    assert [each.number for each in chain("RB-T-v3", [_version(3, 2)])] == [3]
    with pytest.raises(NotFound):
        chain("RB-T-v9", [_version(3, 2)])
    with pytest.raises(InvalidInput, match="own parents"):
        chain("RB-T-v2", [_version(2, 3), _version(3, 2)])
