"""Edits on plain data: what a runbook must say afterwards."""

from __future__ import annotations

import copy
from typing import Any

from runwright.model.errors import InvalidInput
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
from runwright.runbooks.semantics import SECTIONS
from runwright.runbooks.visible import shown

Data = dict[str, Any]


def apply_to_data(data: Data, edit: Edit) -> Data:
    """The data after one edit; the given data is left as it is. Raises InvalidInput if the edit has no place in it."""
    after: Data = copy.deepcopy(data)
    if isinstance(edit, AddStep):
        steps = after.setdefault("steps", [])
        steps.insert(insertion_index(steps, edit, edit.before, edit.after), copy.deepcopy(edit.content))
    elif isinstance(edit, AddVerify):
        after["verify"] = [*(after.get("verify") or []), copy.deepcopy(edit.content)]
    elif isinstance(edit, AddRollback):
        after["rollback"] = [*(after.get("rollback") or []), copy.deepcopy(edit.content)]
    elif isinstance(edit, AddParameter):
        declared = after.get("parameters") or {}
        if edit.name in declared:
            raise edit_refused(edit, f"the parameter {shown(edit.name)} is declared already", "a new name")
        after["parameters"] = {**declared, edit.name: copy.deepcopy(edit.content)}
    else:
        _existing(after, edit)
    return after


def _existing(after: Data, edit: ReplaceStep | RemoveStep | MoveStep | SetField) -> None:
    section, index = locate(after, edit.step, edit)
    listed = after[section]
    if isinstance(edit, ReplaceStep):
        listed[index] = replacement(edit)
    elif isinstance(edit, RemoveStep):
        del listed[index]
        if not listed:
            del after[section]
    elif isinstance(edit, MoveStep):
        step = listed.pop(index)
        if edit.step in (edit.before, edit.after):
            raise edit_refused(edit, "the step is moved next to itself", "another step's id")
        listed.insert(insertion_index(listed, edit, edit.before, edit.after), step)
    elif edit.field == "id":
        raise edit_refused(edit, "the field id names the step", "any other field, or replace_step")
    elif edit.value is None:
        if edit.field not in listed[index]:
            raise edit_refused(
                edit, f"the step has no field {shown(edit.field)} to take away", ", ".join(listed[index])
            )
        del listed[index][edit.field]
    else:
        listed[index][edit.field] = copy.deepcopy(edit.value)


def replacement(edit: ReplaceStep) -> Data:
    """The new content; it keeps the step's id unless it names one."""
    return {"id": edit.step, **copy.deepcopy(edit.content)}


def locate(data: Data, name: str, edit: Edit) -> tuple[str, int]:
    """Section and index of a step or check by id. Raises InvalidInput if there is none."""
    for section in SECTIONS:
        for index, step in enumerate(data.get(section) or ()):
            if isinstance(step, dict) and step.get("id") == name:
                return section, index
    known = [str(step.get("id")) for section in SECTIONS for step in data.get(section) or () if isinstance(step, dict)]
    raise edit_refused(edit, f"no step is called {shown(name)}", ", ".join(known))


def insertion_index(listed: list[Any], edit: Edit, before: str | None, after: str | None) -> int:
    """Where a step goes among the others. Raises InvalidInput for an unknown neighbour or two of them."""
    if before is not None and after is not None:
        raise edit_refused(edit, "both before and after are given", "one of them, or neither for the end")
    anchor = before if before is not None else after
    if anchor is None:
        return len(listed)
    ids = [step.get("id") if isinstance(step, dict) else None for step in listed]
    if anchor not in ids:
        raise edit_refused(edit, f"no step of the section is called {shown(anchor)}", ", ".join(map(str, ids)))
    return ids.index(anchor) + (0 if before is not None else 1)


def edit_refused(edit: Edit, found: str, allowed: str) -> InvalidInput:
    """The error for an edit that cannot be applied."""
    return InvalidInput(
        f"found an edit {edit.op} that cannot be applied: {found}.",
        allowed=f"Allowed: {allowed}.",
        next_step="Correct the edit.",
    )
