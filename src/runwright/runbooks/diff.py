"""What changed between two versions of a runbook: step by step, field by field, line by line.

A record, so that pages render it and the API returns it. All text is shown whole, hidden characters made visible.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from runwright.model.base import Record
from runwright.model.ids import digest
from runwright.runbooks.diff_lines import DiffLine, side_by_side
from runwright.runbooks.emit import emit, scalar_text
from runwright.runbooks.semantics import SECTIONS
from runwright.runbooks.strict_yaml import parse
from runwright.runbooks.visible import visible
from runwright.runbooks.yaml_nodes import YamlDocument


class DiffKind(StrEnum):
    """What happened to a step or field."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class FieldChange(Record):
    """One field that differs."""

    field: str
    kind: DiffKind
    old: str | None
    """The old value as text, None if the field was not there."""
    new: str | None
    lines: tuple[DiffLine, ...]
    """Both values line by line."""


class StepDiff(Record):
    """One step or check, aligned by its id."""

    section: str
    id: str
    kind: DiffKind
    moved: bool = False
    """Stands elsewhere among those that both versions have."""
    old_line: int | None = None
    """First line in the old text, from 1."""
    new_line: int | None = None
    old_text: str | None = None
    """As YAML in the house style."""
    new_text: str | None = None
    fields: tuple[FieldChange, ...] = ()


class RunbookDiff(Record):
    """The difference of two versions, or of nothing and the first."""

    same_content: bool
    """The parsed data is equal: at most comments and layout differ."""
    same_text: bool
    summary: str
    """One sentence for people."""
    fields: tuple[FieldChange, ...]
    """Top-level fields but parameters and the lists of steps."""
    parameters: tuple[FieldChange, ...]
    steps: tuple[StepDiff, ...]
    """All steps and checks, unchanged ones too, in the order of the new text; removed ones where they were."""
    lines: tuple[DiffLine, ...]
    """The whole texts side by side."""
    unified: str
    """A unified diff of the texts; empty if they are equal."""


def diff_runbooks(old_text: str | None, new_text: str) -> RunbookDiff:
    """Compare two versions; `old_text` None means that there was none.

    Raises InvalidInput if a text is not strict YAML. It need not satisfy the schema: a refused draft can be shown.
    """
    new = parse(new_text)
    old = parse(old_text) if old_text is not None else None
    before: dict[str, Any] = old.data if old is not None and isinstance(old.data, dict) else {}
    after: dict[str, Any] = new.data if isinstance(new.data, dict) else {}
    top = [key for key in dict.fromkeys((*before, *after)) if key not in (*SECTIONS, "parameters")]
    fields = _fields(before, after, top)
    declared, now = _mapping(before.get("parameters")), _mapping(after.get("parameters"))
    parameters = _fields(declared, now, list(dict.fromkeys((*declared, *now))))
    steps = tuple(step for section in SECTIONS for step in _section(section, old, new, before, after))
    old_lines = visible(old_text or "").split("\n") if old_text else []
    new_lines = visible(new_text).split("\n")
    unified = "\n".join(difflib.unified_diff(old_lines, new_lines, "before", "after", lineterm=""))
    return RunbookDiff(
        same_content=old is not None and digest(before) == digest(after),
        same_text=old_text == new_text,
        summary=_summary(old is None, fields, parameters, steps, old_text == new_text),
        fields=fields,
        parameters=parameters,
        steps=steps,
        lines=side_by_side(old_lines, new_lines),
        unified=unified,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fields(old: dict[str, Any], new: dict[str, Any], names: Sequence[str]) -> tuple[FieldChange, ...]:
    changes = []
    for name in names:
        if name in old and name in new and digest(old[name]) == digest(new[name]):
            continue
        kind = DiffKind.CHANGED if name in old and name in new else DiffKind.ADDED if name in new else DiffKind.REMOVED
        before = _text(old[name]) if name in old else None
        after = _text(new[name]) if name in new else None
        old_lines = before.split("\n") if before is not None else []
        new_lines = after.split("\n") if after is not None else []
        lines = side_by_side(old_lines, new_lines)
        changes.append(FieldChange(field=visible(name), kind=kind, old=before, new=after, lines=lines))
    return tuple(changes)


def _text(value: Any) -> str:
    """A value for people: text as it is, the rest as YAML."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict | list):
        return visible(emit(value).rstrip("\n"))
    return scalar_text(value) or ""


def _section(
    section: str, old: YamlDocument | None, new: YamlDocument, before: dict[str, Any], after: dict[str, Any]
) -> list[StepDiff]:
    olds, news = _by_id(before.get(section)), _by_id(after.get(section))
    stayed = _in_order([name for name in olds if name in news], [name for name in news if name in olds])
    found: list[StepDiff] = []
    for name, (index, step) in news.items():
        line = new.position((section, index))[0]
        if name not in olds:
            found.append(StepDiff(section=section, id=name, kind=DiffKind.ADDED, new_line=line, new_text=_text([step])))
            continue
        old_index, old_step = olds[name]
        changes = _fields(old_step, step, list(dict.fromkeys((*old_step, *step))))
        found.append(
            StepDiff(
                section=section,
                id=name,
                kind=DiffKind.CHANGED if changes else DiffKind.UNCHANGED,
                moved=name not in stayed,
                old_line=old.position((section, old_index))[0] if old else None,
                new_line=line,
                old_text=_text([old_step]),
                new_text=_text([step]),
                fields=changes,
            )
        )
    return _with_removed(section, found, olds, news, old)


def _with_removed(
    section: str,
    found: list[StepDiff],
    olds: dict[str, tuple[int, dict[str, Any]]],
    news: dict[str, tuple[int, dict[str, Any]]],
    old: YamlDocument | None,
) -> list[StepDiff]:
    """Removed steps behind the one that they followed."""
    previous: str | None = None
    for name, (index, step) in olds.items():
        if name not in news and old is not None:
            line = old.position((section, index))[0]
            gone = StepDiff(section=section, id=name, kind=DiffKind.REMOVED, old_line=line, old_text=_text([step]))
            at = next((place + 1 for place, each in enumerate(found) if each.id == previous), 0)
            found.insert(at, gone)
        previous = visible(name)
    return found


def _by_id(listed: Any) -> dict[str, tuple[int, dict[str, Any]]]:
    steps = [(index, step) for index, step in enumerate(listed if isinstance(listed, list) else ()) if _mapping(step)]
    return {visible(str(step.get("id", f"#{index + 1}"))): (index, step) for index, step in steps}


def _in_order(old: list[str], new: list[str]) -> set[str]:
    """Names that keep their order: the largest such set difflib finds; the others moved."""
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return {old[block.a + offset] for block in blocks for offset in range(block.size)}


def _summary(
    first: bool,
    fields: tuple[FieldChange, ...],
    parameters: tuple[FieldChange, ...],
    steps: tuple[StepDiff, ...],
    same_text: bool,
) -> str:
    if first:
        return f"A first version with {len(steps)} steps and checks."
    parts = []
    for kind in (DiffKind.ADDED, DiffKind.CHANGED, DiffKind.REMOVED):
        names = [f"{step.section}.{step.id}" for step in steps if step.kind is kind]
        if names:
            parts.append(f"{kind.value} {', '.join(names)}")
    moved = [f"{step.section}.{step.id}" for step in steps if step.moved]
    if moved:
        parts.append(f"moved {', '.join(moved)}")
    parts += [f"{change.kind.value} parameter {change.field}" for change in parameters]
    parts += [f"{change.kind.value} field {change.field}" for change in fields]
    if parts:
        text = "; ".join(parts)
        return text[0].upper() + text[1:] + "."
    return "Nothing changed." if same_text else "Only comments or layout changed."
