"""Typed edits applied to a runbook's text. What no edit names keeps its exact text and comments.

Each edit is done twice: on the plain data, which says what must come out, and on the text. The two are compared,
so a patch that would say something else is refused rather than proposed.
"""

from __future__ import annotations

from collections.abc import Iterable

from runwright.model.errors import InvalidInput
from runwright.model.ids import digest
from runwright.model.proposals import Edit, MoveStep, RemoveStep, ReplaceStep, SetField
from runwright.runbooks.edit_data import apply_to_data, edit_refused
from runwright.runbooks.edit_text import apply_to_text
from runwright.runbooks.load import load_runbook
from runwright.runbooks.strict_yaml import parse


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """The runbook with the edits applied, in their order.

    A `set_field` with value None takes the field away. The comment lines right above a step belong to it.
    Raises InvalidInput if the text or an edit is faulty, if two edits work against each other, or if the result is no
    valid runbook.
    """
    listed = list(edits)
    _refuse_double(listed)
    load_runbook(text)
    data = parse(text).data
    for edit in listed:
        data = apply_to_data(data, edit)
        text = apply_to_text(text, edit, data)
        found = parse(text).data
        if digest(found) != digest(data):
            raise edit_refused(edit, "its place in the text could not be patched", "a step in block style")
    try:
        load_runbook(text)
    except InvalidInput as error:
        raise InvalidInput(
            f"the edits do not make a valid runbook: {error.found}", next_step="Correct the edits.", faults=error.faults
        ) from error
    return text


def _refuse_double(edits: list[Edit]) -> None:
    """Two edits that would undo or hide each other are a mistake of whoever made them."""
    seen: set[tuple[str, ...]] = set()
    ended: set[str] = set()
    for edit in edits:
        if not isinstance(edit, ReplaceStep | RemoveStep | MoveStep | SetField):
            continue
        if isinstance(edit, SetField):
            key: tuple[str, ...] = ("field", edit.step, edit.field)
        elif isinstance(edit, MoveStep):
            key = ("move", edit.step)
        else:
            key = ("whole", edit.step)
        if key in seen or edit.step in ended:
            raise edit_refused(edit, f"step {edit.step!r} is edited twice", "one edit for one thing")
        if isinstance(edit, ReplaceStep) and any(each[0] == "field" and each[1] == edit.step for each in seen):
            raise edit_refused(edit, f"step {edit.step!r} is edited twice", "one edit for one thing")
        if isinstance(edit, RemoveStep) and any(each[1] == edit.step for each in seen):
            raise edit_refused(edit, f"step {edit.step!r} is edited and removed", "one edit for one thing")
        if isinstance(edit, SetField) and ("whole", edit.step) in seen:
            raise edit_refused(edit, f"step {edit.step!r} is edited twice", "one edit for one thing")
        seen.add(key)
        if isinstance(edit, RemoveStep):
            ended.add(edit.step)
