"""Two texts as rows of a table: equal, changed, added, removed; long equal stretches folded."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

CONTEXT = 3

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_ALIKE = 0.5
"""From this likeness on, a changed line shows which of its words changed."""

Part = tuple[str, bool]
"""A piece of a line, and whether it is what differs."""


@dataclass(frozen=True)
class Row:
    kind: str
    """`equal`, `changed`, `added`, `removed`, or `skip` for a fold."""
    left: str
    right: str
    left_number: int | None = None
    right_number: int | None = None
    left_parts: tuple[Part, ...] = ()
    right_parts: tuple[Part, ...] = ()


def rows(old: str, new: str) -> list[Row]:
    """Line-aligned rows. Nothing that differs is ever folded."""
    before, after = old.splitlines(), new.splitlines()
    made: list[Row] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            last = i2 == len(before) and j2 == len(after)
            same = [_row("equal", before, i1 + n, after, j1 + n) for n in range(i2 - i1)]
            made += _fold(same, first=not made, last=last)
            continue
        for number in range(max(i2 - i1, j2 - j1)):
            i, j = i1 + number, j1 + number
            kind = "added" if i >= i2 else "removed" if j >= j2 else "changed"
            made.append(_row(kind, before, i, after, j))
    return made


def counts(made: list[Row]) -> tuple[int, int]:
    """Lines added and lines removed; a changed line is one of each."""
    added = sum(row.kind in ("added", "changed") for row in made)
    return added, sum(row.kind in ("removed", "changed") for row in made)


def _row(kind: str, before: list[str], i: int, after: list[str], j: int) -> Row:
    left = before[i] if kind != "added" else ""
    right = after[j] if kind != "removed" else ""
    left_parts, right_parts = _parts(left, right) if kind == "changed" else (((left, False),), ((right, False),))
    return Row(
        kind,
        left,
        right,
        left_number=i + 1 if kind != "added" else None,
        right_number=j + 1 if kind != "removed" else None,
        left_parts=left_parts,
        right_parts=right_parts,
    )


def _parts(left: str, right: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Two versions of a line in pieces; in one piece where they have little in common."""
    one, two = _WORD.findall(left), _WORD.findall(right)
    matcher = difflib.SequenceMatcher(None, one, two, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return ((left, False),), ((right, False),)
    codes = matcher.get_opcodes()
    return tuple(_pieces(one, [(tag, a, b) for tag, a, b, _, _ in codes])), tuple(
        _pieces(two, [(tag, a, b) for tag, _, _, a, b in codes])
    )


def _pieces(words: list[str], codes: list[tuple[str, int, int]]) -> Iterator[Part]:
    for tag, start, end in codes:
        if end > start:
            yield "".join(words[start:end]), tag != "equal"


def _fold(equal: list[Row], *, first: bool, last: bool) -> list[Row]:
    head = 0 if first else CONTEXT
    tail = 0 if last else CONTEXT
    hidden = len(equal) - head - tail
    if hidden <= 1:
        return equal
    mark = f"{hidden} equal lines"
    return [*equal[:head], Row("skip", mark, mark), *equal[len(equal) - tail :]]
