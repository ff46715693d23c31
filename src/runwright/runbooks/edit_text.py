"""Edits on text: only the lines that an edit names change."""

from __future__ import annotations

from typing import Any

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
from runwright.runbooks.edit_data import Data, insertion_index, locate, replacement
from runwright.runbooks.emit import emit, emit_entry, emit_item, scalar_text
from runwright.runbooks.patch import Item, Lines
from runwright.runbooks.strict_yaml import parse


def apply_to_text(text: str, edit: Edit, after: Data) -> str:
    """The text after one edit; `after` is the data it must hold. A document in {...} is written anew."""
    lines = Lines(parse(text))
    if not lines.patchable:
        return emit(after)
    if isinstance(edit, AddParameter):
        return _add_parameter(lines, edit, after)
    if isinstance(edit, AddStep):
        return _add(lines, "steps", edit.content, edit, after)
    if isinstance(edit, AddVerify):
        return _add(lines, "verify", edit.content, edit, after)
    if isinstance(edit, AddRollback):
        return _add(lines, "rollback", edit.content, edit, after)
    section, index = locate(lines.document.data, edit.step, edit)
    items = lines.items(section)
    if items is None:
        return _whole_section(lines, section, after)
    item = items[index]
    if isinstance(edit, ReplaceStep):
        return lines.replaced(item.dash, item.end, emit_item(replacement(edit), _column(lines, section)))
    if isinstance(edit, RemoveStep):
        return _remove(lines, section, items, index)
    if isinstance(edit, MoveStep):
        return _move(lines, section, items, index, edit)
    return _set_field(lines, section, index, item, edit, after)


def _column(lines: Lines, section: str) -> int:
    found = lines.section(section)
    return found[1].start.column if found else 2


def _whole_section(lines: Lines, section: str, after: Data) -> str:
    """Write a section anew: it is absent or stands in brackets."""
    found = lines.section(section)
    text = emit_entry(section, after[section], 0) if section in after else ""
    if found is not None:
        return lines.replaced(found[0].start.line, lines.end(found[1]), text)
    if section == "parameters":
        steps = lines.section("steps")
        at = lines.lead_of(steps[0]) if steps else lines.end(lines.root)
    else:
        before = lines.section("steps") if section == "verify" else None
        at = lines.end(before[1]) if before else lines.end(lines.root)
    return lines.replaced(at, at, text)


def _add(lines: Lines, section: str, content: Data, edit: Edit, after: Data) -> str:
    items = lines.items(section)
    if items is None:
        return _whole_section(lines, section, after)
    before, behind = (edit.before, edit.after) if isinstance(edit, AddStep) else (None, None)
    index = insertion_index(lines.document.data[section], edit, before, behind)
    return _insert(lines, items, index, emit_item(content, _column(lines, section)))


def _insert(lines: Lines, items: list[Item], index: int, text: str) -> str:
    """Put an entry before the one that has the index now; set apart as its brothers are."""
    return _placed(lines, items, index, text, "\n" if lines.spaced(items) else "")


def _placed(lines: Lines, items: list[Item], index: int, text: str, gap: str) -> str:
    if index == 0:
        return lines.replaced(items[0].lead, items[0].lead, text + gap)
    previous = items[index - 1]
    if lines.keeps_blank_lines(previous.node):
        gap = ""
    return lines.replaced(previous.end, previous.end, gap + text)


def _remove(lines: Lines, section: str, items: list[Item], index: int) -> str:
    if len(items) == 1:
        found = lines.section(section)
        start = lines.lead_of(found[0]) if found else items[0].lead
        return lines.replaced(start, items[0].end, "")
    if index + 1 < len(items):
        return lines.replaced(items[index].lead, items[index + 1].lead, "")
    start = items[index].lead
    while start > items[index - 1].end and not lines.lines[start - 1].strip():
        start -= 1
    return lines.replaced(start, items[index].end, "")


def _move(lines: Lines, section: str, items: list[Item], index: int, edit: MoveStep) -> str:
    if len(items) == 1:
        return lines.document.text
    item = items[index]
    moved = "".join(line.removesuffix("\r") + "\n" for line in lines.lines[item.lead : item.end])
    rest = Lines(parse(_remove(lines, section, items, index)))
    left = rest.items(section)
    if left is None:
        return lines.document.text  # cannot be: a block list keeps its style; the comparison would tell
    at = insertion_index(rest.document.data[section], edit, edit.before, edit.after)
    gap = "\n" if lines.spaced(items) and not lines.keeps_blank_lines(item.node) else ""
    return _placed(rest, left, at, moved, gap)


def _set_field(lines: Lines, section: str, index: int, item: Item, edit: SetField, after: Data) -> str:
    node = item.node
    old = node.child(edit.field)
    key = node.key(edit.field)
    first_on_dash = key is not None and key.start.line == item.dash
    if node.flow or node.kind != "mapping" or (edit.value is None and first_on_dash):
        content: Any = after[section][index]
        return lines.replaced(item.dash, item.end, emit_item(content, _column(lines, section)))
    if edit.value is None and key is not None and old is not None:
        return lines.replaced(key.start.line, lines.end(old), "")
    if old is None or key is None:
        return lines.replaced(item.end, item.end, emit_entry(edit.field, edit.value, node.start.column))
    one_line = None if isinstance(edit.value, dict | list) else scalar_text(edit.value)
    if one_line is not None and old.kind == "scalar" and old.style not in ("|", ">") and _has_place(old.start, old.end):
        text = lines.document.text
        return text[: old.start.index] + one_line + text[old.end.index :]
    fresh = emit_entry(edit.field, edit.value, node.start.column)
    if first_on_dash:
        fresh = lines.lines[item.dash][: key.start.column] + fresh[key.start.column :]
    return lines.replaced(key.start.line, lines.end(old), fresh)


def _has_place(start: Any, end: Any) -> bool:
    """Whether a scalar stands on one line and is not empty (an empty one has no place behind its colon)."""
    return bool(start.line == end.line and end.index > start.index)


def _add_parameter(lines: Lines, edit: AddParameter, after: Data) -> str:
    found = lines.section("parameters")
    if found is None or found[1].kind != "mapping" or found[1].flow or not found[1].entries:
        return _whole_section(lines, "parameters", after)
    at = lines.end(found[1])
    return lines.replaced(at, at, emit_entry(edit.name, edit.content, found[1].start.column))
