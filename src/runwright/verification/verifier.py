"""What a verifier is: questions to the host, pure reading of the answer, pure judgement of the looks."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from runwright.model.base import Record
from runwright.model.incidents import Subject
from runwright.model.states import HostState
from runwright.verification.findings import Finding, NoEvidence, unverifiable
from runwright.verification.sections import Question, Section, Sections

S = TypeVar("S", bound=Subject)
F = TypeVar("F", bound=Record)

SUBJECT = "subject"
"""Where state capture keeps a verifier's facts: `HostState.extra["subject"]`."""


class Verifier(ABC, Generic[S, F]):
    """Judges one type of incident on its own subject.

    `question` and `read` also serve state capture, so the facts before and after are made the same way.
    """

    incident_type: str
    facts: type[F]

    @abstractmethod
    def question(self, subject: S, *, baseline: bool = False) -> Question:
        """What to ask. `baseline`: only what is cheap and cannot hang, for the state before.

        Raises NoEvidence where the subject cannot be asked about.
        """

    def question_after(self, subject: S, before: F | None) -> Question:
        """What to ask after the run; may ask for more where the facts before say what to look for."""
        return self.question(subject)

    @abstractmethod
    def read(self, subject: S, sections: Sections) -> F:
        """Pure. Raises NoEvidence saying what the host did not tell."""

    @abstractmethod
    def judge(self, subject: S, before: F | None, looks: Sequence[F]) -> Finding:
        """Pure. One look: may it be over? Two: the second, after the hold time, decides.

        `before` are the facts before the run, None where there are none to compare with.
        """

    def hold(self, look: F, default: float, before: F | None = None) -> float:
        """Seconds between the looks; more than the default where a look, or what was before, asks for it."""
        return default

    def more(self, subject: S, before: F | None, looks: Sequence[F]) -> float | None:
        """Seconds until one look more is needed to decide; None where the looks suffice."""
        return None

    def before(self, state: HostState | None) -> F | None:
        """The facts that state capture kept, None where there are none or of another make."""
        kept = state.extra.get(SUBJECT) if state is not None else None
        if not isinstance(kept, dict):
            return None
        try:
            return self.facts.model_validate_json(json.dumps(kept))
        except ValidationError:
            return None


class NotYet(Verifier[Subject, Record]):
    """Stands for a verifier that does not exist: never a verdict."""

    facts = Record

    def __init__(self, incident_type: str) -> None:
        self.incident_type = incident_type

    def question(self, subject: Subject, *, baseline: bool = False) -> Question:
        return Question(parts=())

    def read(self, subject: Subject, sections: Sections) -> Record:
        return Record()

    def judge(self, subject: Subject, before: Record | None, looks: Sequence[Record]) -> Finding:
        return unverifiable(f"There is no verifier for {self.incident_type} yet.")


def need(sections: Sections, name: str, what: str) -> Section:
    """A section that came to its end. Raises NoEvidence."""
    section = sections.get(name)
    if section is None or not section.ended:
        raise NoEvidence(f"the host did not answer about {what} in time")
    return section


def properties(text: str) -> list[Mapping[str, str]]:
    """The blocks of `systemctl show`: one mapping per unit."""
    blocks: list[Mapping[str, str]] = []
    for block in text.strip("\n").split("\n\n"):
        pairs = (line.partition("=") for line in block.splitlines() if "=" in line)
        entry = {key: value for key, _, value in pairs}
        if entry:
            blocks.append(entry)
    return blocks


def integer(value: Any) -> int | None:
    """A non-negative decimal number, else None (systemd prints `[not set]` and the like)."""
    text = str(value) if value is not None else ""
    return int(text) if text.isdecimal() else None
