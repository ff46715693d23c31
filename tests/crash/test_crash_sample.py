"""Fifty workers killed, and a judge who would notice. `make crash-test` kills more than a thousand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import missing_part
from crash.houses import BOOKS, Book
from crash.judge import Faults, judge, lines_of
from crash.life import Seen

TESTS = Path(__file__).parents[1]
HEALS = BOOKS["heals"]


@pytest.mark.skipif(os.geteuid() != 0, reason="looks for what is left of other processes on this machine")
def test_fifty_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    """In a process of its own: the sweep forks, which a process with threads must not."""
    figures = tmp_path / "crash.json"
    cells = "sqlite-local" if missing_part("postgres") else "sqlite-local,postgres-local"
    command = [sys.executable, "-m", "crash.sweep", "--cells", cells, "--lanes", "2", "--kills", "50"]
    done = subprocess.run(
        [*command, "--seconds", "240", "--json", str(figures)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    counted = json.loads(figures.read_text())
    assert counted.pop("kills") >= 50, done.stdout
    assert counted == {"lost_steps": 0, "doubled_steps": 0, "without_intent": 0, "stuck_executions": 0}


class Story:
    """A run as it should be, to be spoilt."""

    def __init__(self, book: Book = HEALS) -> None:
        self.lines: list[str] = []
        self.journal: list[dict[str, Any]] = []
        counts: dict[str, int] = {}
        for step, word in book.begins:
            counts[step] = counts.get(step, 0) + 1
            attempt = f"exe_1.steps.{step}.{counts[step]}"
            self.lines += [f"{attempt} begin", f"{attempt} {word}"]
            self.journal.append(
                {
                    "intent": {"attempt_id": attempt, "step_id": step},
                    "outcome": {"exit_code": 0},
                    "step_status": "ok",
                    "reason": "",
                }
            )
        self.seen = Seen("exe_1", "r1", "success", 3.0, "resolved", {"error": None}, self.journal, 0.2)

    def judged(self) -> Faults:
        return judge(HEALS, self.seen, lines_of("\n".join(self.lines)), heartbeat=10.0)

    def kinds(self) -> set[str]:
        faults = self.judged()
        return {name for name, value in vars(faults).items() if name != "sentences" and value}


def test_a_good_run_has_no_faults() -> None:
    assert Story().kinds() == set()


def test_a_step_that_is_missing_on_the_host_is_lost() -> None:
    story = Story()
    del story.lines[2:4]
    assert story.kinds() == {"lost_steps"}


def test_a_step_that_was_cut_off_is_seen() -> None:
    story = Story()
    del story.lines[3]
    assert "lost_steps" in story.kinds()


def test_an_attempt_that_ran_twice_is_doubled() -> None:
    story = Story()
    story.lines[2:2] = story.lines[:2]
    assert "doubled_steps" in story.kinds()


def test_a_step_that_was_done_again_by_another_attempt_is_doubled() -> None:
    story = Story()
    story.lines += [line.replace("once.1", "once.2") for line in story.lines[:2]]
    story.journal.append(
        {
            "intent": {"attempt_id": "exe_1.steps.once.2", "step_id": "once"},
            "outcome": {"exit_code": 0},
            "step_status": "ok",
        }
    )
    assert story.kinds() == {"doubled_steps"}


def test_steps_in_another_order_are_seen() -> None:
    story = Story()
    story.lines[:4] = [*story.lines[2:4], *story.lines[:2]]
    assert story.kinds() == {"lost_steps"}


def test_two_attempts_at_once_are_seen() -> None:
    story = Story()
    story.lines[1], story.lines[2] = story.lines[2], story.lines[1]
    assert "doubled_steps" in story.kinds()


def test_what_ran_without_an_intent_is_seen() -> None:
    story = Story()
    del story.journal[0]
    assert "without_intent" in story.kinds()


@pytest.mark.parametrize(
    "changes",
    [{"status": "running"}, {"incident": "running"}, {"taken_up": None}, {"taken_up": 11.0}, {"seconds": 600.0}],
)
def test_a_run_that_is_left_or_late_is_stuck(changes: dict[str, Any]) -> None:
    story = Story()
    vars(story.seen).update(changes)
    assert story.kinds() == {"stuck_executions"}


def test_interrupted_is_honest_only_where_the_doubt_is() -> None:
    story = Story()
    story.seen.status = "interrupted"
    story.seen.result = {"error": {"code": "interrupted", "step": "safe"}}
    del story.lines[2:]
    del story.journal[2:]
    story.journal[1].update(outcome=None, step_status="interrupted", reason="nobody knows")
    assert story.kinds() == set()
    story.seen.result = {"error": {"code": "interrupted", "step": "once"}}
    assert story.kinds() == {"lost_steps"}


def test_a_run_that_ended_otherwise_is_seen() -> None:
    story = Story()
    story.seen.status = "failure"
    assert story.kinds() == {"lost_steps"}
