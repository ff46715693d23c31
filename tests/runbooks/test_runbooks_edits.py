"""Edits on text: the result says what the edits say, and nothing else moved."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runwright.model.errors import InvalidInput
from runwright.model.ids import digest
from runwright.model.proposals import (
    AddParameter,
    AddRollback,
    AddStep,
    AddVerify,
    Edit,
    MoveStep,
    RemoveStep,
    ReplaceStep,
    SetField,
)
from runwright.runbooks.edit_data import apply_to_data
from runwright.runbooks.edits import apply_edits
from runwright.runbooks.library import starter_runbooks
from runwright.runbooks.load import load_runbook
from runwright.runbooks.patch import Lines
from runwright.runbooks.strict_yaml import parse

NEW = {"id": "new", "run": 'echo a: b # c\nrm -f -- "/run/$service.lock"\n', "idempotent": True}


def _step(text: str, name: str) -> str:
    """The exact lines of one step, with the comments that belong to it."""
    lines = Lines(parse(text))
    for section in ("steps", "verify", "rollback"):
        for item in lines.items(section) or ():
            if item.node.value["id"] == name:
                return "\n".join(lines.lines[item.lead : item.end])
    raise AssertionError(name)


def test_a_step_is_added_where_it_belongs(example: str) -> None:
    out = apply_edits(example, [AddStep(content=NEW, before="restart", reason="r")])
    assert [step.id for step in load_runbook(out).document.steps] == ["look", "write", "new", "restart"]
    assert load_runbook(out).data["steps"][2] == NEW
    added = '  - id: new\n    run: |\n      echo a: b # c\n      rm -f -- "/run/$service.lock"\n    idempotent: true\n'
    assert added in out
    assert out.replace(added, "") == example


def test_a_block_that_keeps_blank_lines_is_left_as_it_is() -> None:
    text = (
        "schema: runwright/v1\nid: RB-T\nname: x\nincident_types: [service_crash]\nsteps:\n"
        "  - id: a\n    run: |+\n      echo a\n\n\n  - id: b\n    run: x\n\n  - id: c\n    run: x\n"
    )
    for edit in (
        AddStep(content=NEW, after="a", reason="r"),
        MoveStep(step="a", reason="r"),
        MoveStep(step="c", after="a", reason="r"),
        RemoveStep(step="b", reason="r"),
    ):
        steps = {step.id: step.run for step in load_runbook(apply_edits(text, [edit])).document.steps}
        assert steps["a"] == "echo a\n\n\n"


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ({"before": "look"}, ["new", "look", "write", "restart"]),
        ({"after": "look"}, ["look", "new", "write", "restart"]),
        ({"after": "write"}, ["look", "write", "new", "restart"]),
        ({}, ["look", "write", "restart", "new"]),
    ],
)
def test_places_of_an_added_step(example: str, where: dict[str, str], order: list[str]) -> None:
    out = apply_edits(example, [AddStep(content=NEW, reason="r", **where)])
    assert [step.id for step in load_runbook(out).document.steps] == order
    for name in ("look", "write", "restart", "answers"):
        assert _step(out, name) == _step(example, name)


def test_a_replaced_step_keeps_the_comment_above_it(example: str) -> None:
    out = apply_edits(example, [ReplaceStep(step="write", content={"run": "echo three"}, reason="r")])
    assert "  # two lines\n  # of comment\n  - id: write\n    run: echo three\n  - id: restart\n" in out
    assert _step(out, "look") == _step(example, "look")


def test_a_removed_step_takes_its_comment_along(example: str) -> None:
    out = apply_edits(example, [RemoveStep(step="look", reason="r")])
    assert "why we look first" not in out
    assert "steps:\n  # two lines\n" in out
    assert _step(out, "write") == _step(example, "write")


def test_a_section_left_empty_goes(example: str) -> None:
    out = apply_edits(example, [RemoveStep(step="answers", reason="r")])
    assert "verify" not in load_runbook(out).data
    assert out.endswith("retry: {attempts: 3, delay: 2s}\n# the end\n")


def test_a_moved_step_keeps_its_text(example: str) -> None:
    out = apply_edits(example, [MoveStep(step="write", before="look", reason="r")])
    assert [step.id for step in load_runbook(out).document.steps] == ["write", "look", "restart"]
    for name in ("look", "write", "restart"):
        assert _step(out, name) == _step(example, name)
    back = apply_edits(out, [MoveStep(step="write", after="look", reason="r")])
    assert load_runbook(back).digest == load_runbook(example).digest


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (SetField(step="look", field="idempotent", value=False, reason="r"), "    idempotent: false\n"),
        (SetField(step="look", field="run", value="echo x", reason="r"), "    run: echo x  # never fails\n"),
        (SetField(step="look", field="timeout", value="5m", reason="r"), "    idempotent: true\n    timeout: 5m\n"),
        (
            SetField(step="restart", field="retry", value={"attempts": 5}, reason="r"),
            "    retry: {attempts: 5}\nverify",
        ),
        (SetField(step="write", field="run", value="a\nb", reason="r"), "    run: |-\n      a\n      b\n    unless:"),
        (SetField(step="write", field="run", value="a", reason="r"), "  - id: write\n    run: a\n    unless:"),
        (SetField(step="write", field="unless", value=None, reason="r"), "      echo two\n  - id: restart\n"),
        (SetField(step="answers", field="hold", value="9s", reason="r"), "    hold: 9s\n# the end\n"),
        (SetField(step="look", field="name", value="yes", reason="r"), "    name: 'yes'\n"),
        (
            SetField(step="look", field="success_exit_codes", value=[0, 3], reason="r"),
            "    success_exit_codes: [0, 3]\n",
        ),
    ],
)
def test_a_field_is_set_in_its_place(example: str, edit: SetField, expected: str) -> None:
    out = apply_edits(example, [edit])
    assert expected in out
    for name in {"look", "write", "restart", "answers"} - {edit.step}:
        assert _step(out, name) == _step(example, name)


def test_parameters_checks_and_rollback_are_added(example: str) -> None:
    out = apply_edits(
        example,
        [
            AddParameter(name="mode", content={"type": "string", "default": "on"}, reason="r"),
            AddVerify(content={"id": "up", "service": {"name": "$service", "state": "started"}}, reason="r"),
            AddRollback(content={"id": "back", "run": "true"}, reason="r"),
            AddRollback(content={"id": "again", "run": "a\n\nb\n"}, reason="r"),
        ],
    )
    loaded = load_runbook(out)
    assert list(loaded.document.parameters) == ["service", "port", "mode"]
    assert [check.id for check in loaded.document.verify] == ["answers", "up"]
    assert [step.id for step in loaded.document.rollback] == ["back", "again"]
    assert "    default: 80\n  mode: {type: string, default: 'on'}\nsteps:\n" in out
    for name in ("look", "write", "restart", "answers"):
        assert _step(out, name) == _step(example, name)


def test_sections_that_were_not_there_are_made() -> None:
    head = "schema: runwright/v1\nid: RB-T\nname: x\nincident_types: [service_crash]\n"
    text = f"{head}# about the steps\nsteps:\n- id: a\n  run: x # y\n"
    out = apply_edits(
        text,
        [
            AddParameter(name="p", content={"type": "string", "required": False}, reason="r"),
            AddRollback(content={"id": "r", "run": "x"}, reason="r"),
            AddVerify(content={"id": "v", "run": "x"}, reason="r"),
            AddStep(content={"id": "b", "run": "z"}, reason="r"),
        ],
    )
    assert out == (
        "schema: runwright/v1\nid: RB-T\nname: x\nincident_types: [service_crash]\n"
        "parameters:\n  p: {type: string, required: false}\n# about the steps\nsteps:\n- id: a\n  run: x # y\n"
        "- id: b\n  run: z\nverify:\n  - id: v\n    run: x\nrollback:\n  - id: r\n    run: x\n"
    )


def test_a_document_in_braces_is_written_anew() -> None:
    head = '"schema": "runwright/v1", "id": "RB-T", "name": "x", "incident_types": ["disk_full"]'
    text = "{" + head + ', "steps": [{"id": "a", "run": "x"}]}'
    out = apply_edits(text, [AddStep(content={"id": "b", "run": "y"}, before="a", reason="r")])
    assert [step.id for step in load_runbook(out).document.steps] == ["b", "a"]


def test_windows_line_ends_stay(example: str) -> None:
    text = example.replace("\n", "\r\n")
    out = apply_edits(text, [AddStep(content=NEW, before="restart", reason="r"), MoveStep(step="look", reason="r")])
    assert out.count("\n") == out.count("\r\n")
    assert load_runbook(out).data["steps"][1] == NEW


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ([RemoveStep(step="nope", reason="r")], "no step is called 'nope'"),
        ([ReplaceStep(step="nope", content={"run": "x"}, reason="r")], "no step is called"),
        ([SetField(step="nope", field="run", value="x", reason="r")], "no step is called"),
        ([MoveStep(step="look", before="answers", reason="r")], "no step of the section"),
        ([MoveStep(step="look", before="look", reason="r")], "next to itself"),
        ([MoveStep(step="look", before="write", after="write", reason="r")], "both before and after"),
        ([AddStep(content=NEW, before="nope", reason="r")], "no step of the section"),
        ([AddStep(content=NEW, before="look", after="look", reason="r")], "both before and after"),
        ([AddParameter(name="port", content={"type": "string"}, reason="r")], "declared already"),
        ([SetField(step="look", field="id", value="x", reason="r")], "names the step"),
        ([SetField(step="look", field="until", value=None, reason="r")], "no field 'until'"),
        ([RemoveStep(step="look", reason="r"), RemoveStep(step="look", reason="r")], "edited twice"),
        ([SetField(step="look", field="run", value=v, reason="r") for v in ("a", "b")], "edited twice"),
        ([MoveStep(step="look", reason="r"), RemoveStep(step="look", reason="r")], "edited and removed"),
        (
            [
                ReplaceStep(step="look", content={"run": "x"}, reason="r"),
                SetField(step="look", field="run", value="y", reason="r"),
            ],
            "edited twice",
        ),
        ([AddStep(content={"id": "look", "run": "x"}, reason="r")], "again"),
        ([AddStep(content={"id": "x"}, reason="r")], "no kind"),
        ([AddStep(content={"id": "x", "rum": "x"}, reason="r")], "rum"),
        ([AddStep(content={"id": "x", "run": "a\u202eb"}, reason="r")], "RIGHT-TO-LEFT"),
        ([SetField(step="look", field="nope", value=1, reason="r")], "unknown field"),
        ([RemoveStep(step=name, reason="r") for name in ("look", "write", "restart")], "steps"),
        ([AddStep(content={"id": "x", "run": object()}, reason="r")], "object"),
    ],
)
def test_edits_that_cannot_be_are_refused(example: str, edits: list[Edit], says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("$", r"\$")):
        apply_edits(example, edits)


def test_faults_of_the_result_are_listed(example: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        apply_edits(example, [SetField(step="look", field="on_failure", value="never", reason="r")])
    assert "never" in caught.value.faults[0].message


_TEXTS = st.one_of(
    st.sampled_from(
        ["echo a\n", "a\n\n", "a\nb", "yes", "1", "a: b", "x #y", "'q'", '"d"', "$x", "- a", "| x", "{a}", "a\n\n\nb\n"]
    ),
    st.text(alphabet="ab \n:#-'\"$|>&*!{}[],\\\t", min_size=1, max_size=20),
)
_CONTENT = st.fixed_dictionaries(
    {"id": st.sampled_from([f"n-{number}" for number in range(40)]), "run": _TEXTS},
    optional={
        "name": _TEXTS,
        "timeout": st.sampled_from(["5s", "1m", 7]),
        "retry": st.just({"attempts": 2}),
        "only_if": _TEXTS,
    },
)


def _edits(data: st.DataObject, content: dict[str, Any]) -> Edit:
    names = [step["id"] for step in content["steps"]]
    some = st.sampled_from(names)
    kind = data.draw(st.sampled_from(["add", "replace", "remove", "move", "set", "verify", "rollback", "parameter"]))
    side = data.draw(st.sampled_from(["before", "after"]))
    where = {side: data.draw(st.one_of(st.none(), some))}
    if kind == "add":
        return AddStep(content=data.draw(_CONTENT), reason="r", **where)
    if kind == "replace":
        return ReplaceStep(step=data.draw(some), content={"run": data.draw(_TEXTS)}, reason="r")
    if kind == "remove":
        return RemoveStep(step=data.draw(some), reason="r")
    if kind == "move":
        return MoveStep(step=data.draw(some), reason="r", **where)
    if kind == "set":
        field = data.draw(st.sampled_from(["run", "name", "timeout", "until"]))
        value = "9s" if field == "timeout" else data.draw(st.one_of(st.none(), _TEXTS))
        return SetField(step=data.draw(some), field=field, value=value, reason="r")
    if kind == "parameter":
        return AddParameter(
            name=data.draw(st.sampled_from(["pa", "pb"])), content={"type": "string", "required": False}, reason="r"
        )
    if kind == "verify":
        return AddVerify(content={"id": data.draw(st.sampled_from(["va", "vb"])), "run": data.draw(_TEXTS)}, reason="r")
    return AddRollback(content={"id": data.draw(st.sampled_from(["ra", "rb"])), "run": data.draw(_TEXTS)}, reason="r")


def _applied(text: str, edits: list[Edit]) -> tuple[str, str]:
    """The edited text, or why it was refused."""
    try:
        return apply_edits(text, edits), ""
    except InvalidInput as error:
        return "", str(error)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_edited_text_says_what_the_edits_say_and_leaves_the_rest_alone(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([loaded.text for loaded in starter_runbooks()]))
    before = parse(text)
    edits: list[Edit] = []
    expected = before.data
    for _ in range(data.draw(st.integers(1, 4))):
        edit = _edits(data, expected)
        try:
            expected = apply_to_data(expected, edit)
        except InvalidInput:
            continue
        edits.append(edit)
        if not expected.get("steps"):
            return
    out, refusal = _applied(text, edits)
    assert "could not be patched" not in refusal, edits
    if refusal:
        return
    assert digest(parse(out).data) == digest(expected)
    touched = {edit.step for edit in edits if isinstance(edit, ReplaceStep | RemoveStep | SetField)}
    for section in ("steps", "verify"):
        for step in before.data.get(section, ()):
            if step["id"] not in touched:
                assert _step(out, step["id"]) == _step(text, step["id"])
