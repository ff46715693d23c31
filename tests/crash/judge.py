"""What a host's own log and the journal say together about one run. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crash.houses import Book
from crash.life import Seen

ITS_OWN = 60.0
"""Seconds that the rest of a run may take once it is taken up; on a quiet machine it takes some three."""


@dataclass
class Faults:
    """What must all be zero."""

    lost_steps: int = 0
    doubled_steps: int = 0
    without_intent: int = 0
    stuck_executions: int = 0
    sentences: list[str] = field(default_factory=list)

    def add(self, other: Faults) -> None:
        self.lost_steps += other.lost_steps
        self.doubled_steps += other.doubled_steps
        self.without_intent += other.without_intent
        self.stuck_executions += other.stuck_executions
        self.sentences += other.sentences

    @property
    def any(self) -> bool:
        return bool(self.lost_steps or self.doubled_steps or self.without_intent or self.stuck_executions)


@dataclass(frozen=True)
class Line:
    """One line of the host's log."""

    attempt_id: str
    word: str

    @property
    def step(self) -> str:
        return self.attempt_id.split(".")[-2]

    @property
    def execution_id(self) -> str:
        return self.attempt_id.split(".")[0]


def lines_of(text: str) -> list[Line]:
    """The host's log, in the order in which the host wrote it."""
    return [Line(*line.rsplit(" ", 1)) for line in text.splitlines() if line.startswith("exe_")]


def judge(book: Book, seen: Seen, log: Sequence[Line], heartbeat: float) -> Faults:
    """Hold one run against its host's log: nothing lost, doubled, unintended, out of order, or left open."""
    case = _Case(book, seen, [line for line in log if line.execution_id == seen.execution_id])
    case.attempts()
    case.end(heartbeat)
    case.journal()
    return case.faults


class _Case:
    def __init__(self, book: Book, seen: Seen, own: list[Line]) -> None:
        self.faults = Faults()
        self._book, self._seen, self._own = book, seen, own
        self._intents = {entry["intent"]["attempt_id"]: entry for entry in seen.journal}
        self._begun = Counter(line.attempt_id for line in own if line.word == "begin")
        self._ended = Counter(line.attempt_id for line in own if line.word != "begin")
        self._done = [(line.step, line.word) for line in own if line.word != "begin"]
        self._final = seen.status not in ("pending", "running")

    def _fault(self, kind: str, sentence: str) -> None:
        setattr(self.faults, kind, getattr(self.faults, kind) + 1)
        self.faults.sentences.append(f"{kind}: {self._seen.execution_id} ({self._book.name}): {sentence}")

    def attempts(self) -> None:
        """Every attempt that the host saw was intended, and ran once, alone and to its end."""
        for attempt_id in {*self._begun, *self._ended} - set(self._intents):
            self._fault("without_intent", f"{attempt_id} ran and the journal has no intent of it")
        for attempt_id, times in (self._begun | self._ended).items():
            if times > 1:
                self._fault("doubled_steps", f"{attempt_id} ran {times} times")
        begins, ends = self._own[::2], self._own[1::2]
        orderly = [one.attempt_id for one in begins] == [one.attempt_id for one in ends]
        if not orderly or any(line.word != "begin" for line in begins) or any(line.word == "begin" for line in ends):
            said = [f"{line.step} {line.word}" for line in self._own]
            self._fault("doubled_steps", f"two attempts ran at once or one was cut off: {said}")

    def end(self, heartbeat: float) -> None:
        """It is over, soon, as it should be or honestly interrupted, and its steps were done in order."""
        seen, book = self._seen, self._book
        if not self._final or seen.incident in ("queued", "running"):
            self._fault("stuck_executions", f"still {seen.status}, its incident {seen.incident}")
        elif seen.taken_up is None or seen.taken_up > heartbeat or seen.seconds - seen.taken_up > ITS_OWN:
            self._fault("stuck_executions", f"taken up after {seen.taken_up} s, over after {seen.seconds:.1f} s")
        error = (seen.result or {}).get("error") or {}
        if not self._final:
            return
        if seen.status == "interrupted":
            self._interrupted(error)
        elif seen.status != book.status.value:
            self._fault("lost_steps", f"ended {seen.status}, not {book.status.value}: {error}")
        elif self._done != list(book.begins):
            more = Counter(self._done) - Counter(book.begins)
            kind = "doubled_steps" if more else "lost_steps"
            self._fault(kind, f"the host did {self._done}, not {list(book.begins)}")

    def _interrupted(self, error: dict[str, Any]) -> None:
        """Honest only if what was done is the beginning of the way and the step in doubt was not."""
        if self._done != list(self._book.begins)[: len(self._done)]:
            self._fault("lost_steps", f"interrupted, and the host did {self._done}")
        doubt = error.get("step")
        if error.get("code") != "interrupted" or doubt is None:
            self._fault("lost_steps", f"interrupted without saying where: {error}")
        elif not self._seen.journal or self._seen.journal[-1]["intent"]["step_id"] != doubt:
            self._fault("lost_steps", f"interrupted at {doubt}, which is not the last that was intended")

    def journal(self) -> None:
        """What the journal says was done was done, and what began on the host is in it."""
        for attempt_id, entry in self._intents.items():
            outcome = entry["outcome"]
            code = None if outcome is None else outcome["exit_code"]
            if code is not None and not self._ended[attempt_id]:
                self._fault("lost_steps", f"{attempt_id} is recorded with exit {code}, and the host did not do it")
            if outcome is None and entry["step_status"] is None and not entry["reason"] and self._final:
                self._fault("lost_steps", f"{attempt_id} was intended and nobody says what became of it")
            if outcome is None and self._begun[attempt_id]:
                self._fault("lost_steps", f"{attempt_id} began on the host, and its outcome is not recorded")
