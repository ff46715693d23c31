"""Two texts as rows of a table: equal, changed, added, removed; long equal stretches folded."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

CONTEXT = 3


@dataclass(frozen=True)
class Row:
    kind: str
    """`equal`, `changed`, `added`, `removed`, or `skip` for a fold."""
    left: str
    right: str


def rows(old: str, new: str) -> list[Row]:
    """Line-aligned rows. Nothing that differs is ever folded."""
    before, after = old.splitlines(), new.splitlines()
    made: list[Row] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            last = i2 == len(before) and j2 == len(after)
            made += _fold([Row("equal", line, line) for line in before[i1:i2]], first=not made, last=last)
            continue
        left, right = before[i1:i2], after[j1:j2]
        for number in range(max(len(left), len(right))):
            one = left[number] if number < len(left) else None
            two = right[number] if number < len(right) else None
            kind = "added" if one is None else "removed" if two is None else "changed"
            made.append(Row(kind, one or "", two or ""))
    return made


def _fold(equal: list[Row], *, first: bool, last: bool) -> list[Row]:
    head = 0 if first else CONTEXT
    tail = 0 if last else CONTEXT
    hidden = len(equal) - head - tail
    if hidden <= 1:
        return equal
    mark = f"{hidden} equal lines"
    return [*equal[:head], Row("skip", mark, mark), *equal[len(equal) - tail :]]
