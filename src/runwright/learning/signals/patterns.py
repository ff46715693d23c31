"""The table of wordings: which line means which signal. The table is data (`patterns/*.toml`), this reads it.

An entry has `kind`, `needles` (one of them must be in the lower-cased line; this makes the search cheap), `match`
(a regular expression, ignoring case; its named groups become facts, `path_2` counting as `path`), optional `facts`
(constants), `hides` (kinds that the same line would also seem to be), `sources` (where to look; everywhere if left
out) and `examples` (real lines; the tests check each).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from runwright.learning.signals.telemetry import Line
from runwright.model.diagnoses import SignalKind


@dataclass(frozen=True)
class Pattern:
    """One wording of one kind."""

    kind: SignalKind
    needles: tuple[str, ...]
    match: re.Pattern[str]
    facts: dict[str, str]
    hides: frozenset[SignalKind]
    sources: frozenset[str]
    examples: tuple[dict[str, str], ...] = field(compare=False)


@cache
def patterns() -> tuple[Pattern, ...]:
    """Every entry of every table file, in file order."""
    folder = resources.files("runwright.learning.signals") / "patterns"
    entries: list[Pattern] = []
    for file in sorted(folder.iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".toml"):
            continue
        for raw in tomllib.loads(file.read_text(encoding="utf-8"))["pattern"]:
            entries.append(
                Pattern(
                    kind=SignalKind(raw["kind"]),
                    needles=tuple(needle.lower() for needle in raw["needles"]),
                    match=re.compile(raw["match"], re.IGNORECASE),
                    facts=dict(raw.get("facts", {})),
                    hides=frozenset(SignalKind(kind) for kind in raw.get("hides", ())),
                    sources=frozenset(raw.get("sources", ())),
                    examples=tuple(raw.get("examples", ())),
                )
            )
    return tuple(entries)


@dataclass(frozen=True)
class Reading:
    """What a line was read as."""

    kind: SignalKind
    facts: dict[str, str]


def _facts(match: re.Match[str]) -> dict[str, str]:
    """Named groups that took part; `path_2` is another place in the wording where `path` may stand."""
    given = ((name.rstrip("_23456789"), value.strip()) for name, value in match.groupdict().items() if value)
    return {name: value for name, value in given if value}


def read(line: Line) -> Iterator[Reading]:
    """What the line means, at most once per kind; the first entry that matches a kind decides its facts."""
    lowered = line.text.lower()
    found: dict[SignalKind, dict[str, str]] = {}
    hidden: set[SignalKind] = set()
    for pattern in patterns():
        if pattern.sources and line.source not in pattern.sources:
            continue
        if pattern.kind in found or not any(needle in lowered for needle in pattern.needles):
            continue
        match = pattern.match.search(line.text)
        if match is None:
            continue
        found[pattern.kind] = {**pattern.facts, **_facts(match)}
        hidden |= pattern.hides
    for kind, facts in found.items():
        if kind not in hidden:
            yield Reading(kind, facts)
