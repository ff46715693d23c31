"""The table of wordings proves itself: every entry has real lines, and reads them as it says."""

from __future__ import annotations

import time

import pytest

from runwright.learning.signals.patterns import Pattern, patterns, read
from runwright.learning.signals.telemetry import LINE_CHARACTERS, Line
from runwright.model.diagnoses import Place, SignalKind

EXAMPLES = [(pattern, example) for pattern in patterns() for example in pattern.examples]


@pytest.mark.parametrize(("pattern", "example"), EXAMPLES, ids=[example["line"][:60] for _, example in EXAMPLES])
def test_example(pattern: Pattern, example: dict[str, str]) -> None:
    source = min(pattern.sources) if pattern.sources else "stderr"
    found = {reading.kind: reading.facts for reading in read(Line(example["line"], Place(), source))}
    wanted = {name.removesuffix("_fact"): value for name, value in example.items() if name != "line"}
    assert pattern.kind in found
    assert {name: found[pattern.kind].get(name) for name in wanted} == wanted


def test_every_entry_has_an_example() -> None:
    assert [pattern.match.pattern for pattern in patterns() if not pattern.examples] == []


NOT_FROM_LINES = {
    SignalKind.EXIT_CODE,
    SignalKind.STATE_UNCHANGED,
    SignalKind.STATE_REVERTED,
    SignalKind.OTHER_SYMPTOM,
    SignalKind.SUBJECT_HEALTHY,
    SignalKind.SUBJECT_ABSENT,
    SignalKind.CHECK_FAILED,
    SignalKind.CHECK_UNVERIFIABLE,
}


def test_every_kind_of_line_has_a_wording() -> None:
    assert {pattern.kind for pattern in patterns()} == set(SignalKind) - NOT_FROM_LINES


@pytest.mark.parametrize(
    "line",
    [
        "Jan 05 09:00:00 web-1 shopd[7]: ready, listening on 0.0.0.0:8080",
        "Started shopd.service - The shop.",
        '127.0.0.1 - - [05/Jan/2026 09:00:00] "GET / HTTP/1.1" 200 -',
        "Failed to reset failed state of unit shopd.service: Unit shopd.service not loaded.",
        "blocked 3 requests from 10.0.0.4",
        "clock synchronised",
        "removed '/var/log/a.1'",
        "lock acquired",
    ],
)
def test_ordinary_lines_mean_nothing(line: str) -> None:
    assert list(read(Line(line, Place(), "journal"))) == []


def test_no_line_takes_long() -> None:
    """Each pattern over lines made of its own words, as long as lines get."""
    for pattern in patterns():
        for seed in (*pattern.needles, *(example["line"] for example in pattern.examples)):
            for filler in ("", " ", "/", "a", ": ", "'"):
                text = ((seed + filler) * LINE_CHARACTERS)[:LINE_CHARACTERS]
                began = time.perf_counter()
                pattern.match.search(text)
                assert time.perf_counter() - began < 0.5, pattern.match.pattern
