"""Two texts side by side, with the spans that differ inside a line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import zip_longest

from runwright.model.base import Record

MAX_SPAN_LINE = 2_000
"""Longer lines are marked as a whole: finding spans in them would take too long."""

_WORDS = re.compile(r"\w+|\s+|.", re.DOTALL)


class LineKind(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


class DiffLine(Record):
    """One row of a side-by-side view. Line numbers count from 1."""

    kind: LineKind
    old_number: int | None = None
    old: str | None = None
    new_number: int | None = None
    new: str | None = None
    old_spans: tuple[tuple[int, int], ...] = ()
    """Start and end, in characters, of what is not in the new line."""
    new_spans: tuple[tuple[int, int], ...] = ()


def side_by_side(old: Sequence[str], new: Sequence[str]) -> tuple[DiffLine, ...]:
    """Rows for two lists of lines; changed lines stand beside each other."""
    return tuple(_rows(old, new))


def _rows(old: Sequence[str], new: Sequence[str]) -> Iterator[DiffLine]:
    matcher = difflib.SequenceMatcher(None, list(old), list(new), autojunk=len(old) + len(new) > 4_000)
    for _, start, end, new_start, new_end in matcher.get_opcodes():
        for left, right in zip_longest(range(start, end), range(new_start, new_end)):
            yield _row(old, new, left, right)


def _row(old: Sequence[str], new: Sequence[str], left: int | None, right: int | None) -> DiffLine:
    if left is None and right is not None:
        return DiffLine(kind=LineKind.ADDED, new_number=right + 1, new=new[right])
    if right is None and left is not None:
        return DiffLine(kind=LineKind.REMOVED, old_number=left + 1, old=old[left])
    before, after = old[left or 0], new[right or 0]
    old_spans, new_spans = _spans(before, after)
    return DiffLine(
        kind=LineKind.SAME if before == after else LineKind.CHANGED,
        old_number=(left or 0) + 1,
        old=before,
        new_number=(right or 0) + 1,
        new=after,
        old_spans=old_spans,
        new_spans=new_spans,
    )


def _spans(old: str, new: str) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    if old == new:
        return (), ()
    if len(old) + len(new) > MAX_SPAN_LINE:
        return ((0, len(old)),), ((0, len(new)),)
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    starts, new_starts = _offsets(before), _offsets(after)
    olds: list[tuple[int, int]] = []
    news: list[tuple[int, int]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if b > a:
            olds.append((starts[a], starts[b]))
        if d > c:
            news.append((new_starts[c], new_starts[d]))
    return tuple(olds), tuple(news)


def _offsets(words: Sequence[str]) -> list[int]:
    offsets = [0]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets
