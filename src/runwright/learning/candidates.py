"""From suggestions to candidates: which repairs are tried together, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runwright.learning.repairs.case import Suggestion
from runwright.model.errors import InvalidInput
from runwright.model.proposals import Edit, MoveStep, RemoveStep, ReplaceStep, SetField
from runwright.runbooks.edits import apply_edits

MOST_TOGETHER = 3
"""Repairs in one candidate: beyond three a reviewer cannot tell what cured it."""

LIKELY = 0.6
"""Expected success from which a repair is worth a candidate of its own; less likely ones go together first."""


@dataclass(frozen=True)
class Candidate:
    """Edits, the text they make, and the repairs they come from."""

    edits: tuple[Edit, ...]
    text: str
    repairs: tuple[str, ...]


def _touches(edit: Edit) -> tuple[str, str] | None:
    if isinstance(edit, SetField):
        return edit.step, edit.field
    return (edit.step, "") if isinstance(edit, ReplaceStep | RemoveStep | MoveStep) else None


def _fit(chosen: tuple[Suggestion, ...], other: Suggestion) -> bool:
    """Two edits of one thing would hide each other."""
    taken = {_touches(edit) for suggestion in chosen for edit in suggestion.edits} - {None}
    return not any(_touches(edit) in taken for edit in other.edits)


def _together(suggestions: tuple[Suggestion, ...], most: int) -> tuple[Suggestion, ...]:
    chosen: tuple[Suggestion, ...] = ()
    for suggestion in suggestions:
        if len(chosen) < most and _fit(chosen, suggestion):
            chosen = (*chosen, suggestion)
    return chosen


def _sets(suggestions: tuple[Suggestion, ...]) -> Iterator[tuple[Suggestion, ...]]:
    enabling = tuple(item for item in suggestions if item.enabling)[:2]
    curing = tuple(item for item in suggestions if not item.enabling)
    room = MOST_TOGETHER - len(enabling)
    if not curing:
        yield enabling
        return
    for item in curing:
        if item.success >= LIKELY:
            yield _together((*enabling, item), MOST_TOGETHER)
    for size in range(2, room + 1) if curing[0].success >= LIKELY else range(room, 1, -1):
        yield _together((*enabling, *_together(curing, size)), MOST_TOGETHER)
    for item in curing:
        if item.success < LIKELY:
            yield _together((*enabling, item), MOST_TOGETHER)


def candidates(text: str, suggestions: tuple[Suggestion, ...]) -> Iterator[Candidate]:
    """What to try, best first, each set of repairs once; sets whose edits do not merge are left out."""
    seen: set[tuple[str, ...]] = set()
    for chosen in _sets(suggestions):
        names = tuple(item.repair for item in chosen)
        if not names or names in seen:
            continue
        seen.add(names)
        edits: tuple[Edit, ...] = tuple(edit for item in chosen for edit in item.edits)
        try:
            yield Candidate(edits, apply_edits(text, edits), names)
        except InvalidInput:
            continue  # these repairs do not fit this text; the next set may
