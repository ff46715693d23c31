"""Tables for people and figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


def say(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def in_turn(rounds: int, measures: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Seconds of each measure, taken in turn, so that what slows this machine for a while slows them all."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
        say(f"  round {number + 1} of {rounds}: " + ", ".join(f"{name} {found[name][-1]:.3f} s" for name in measures))
    return found


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the pairs' ratios."""
    return round(median(one / other for one, other in zip(over, under, strict=True)), 2)


def table(rows: Sequence[tuple[str, str, str]]) -> None:
    """Three columns: what, how much, in other words."""
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for what, value, note in rows:
        say(f"  {what:<{widths[0]}}  {value:>{widths[1]}}  {note}")


def machine() -> str:
    """The machine that was measured on, in one line."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024 // 1024
    return (
        f"{os.cpu_count()} x {model or platform.machine()}, {memory} GB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    )


def write(name: str, figures: dict[str, float]) -> None:
    """`build/bench/<name>.json`."""
    file = ROOT / "build" / "bench" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    say(f"written: {file.relative_to(ROOT)}")
