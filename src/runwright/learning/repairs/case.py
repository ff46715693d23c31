"""What a repair is given, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from runwright.learning.evidence import Evidence, Voice
from runwright.learning.repairs.quoting import quoted
from runwright.model.diagnoses import Signal, SignalKind
from runwright.model.documents import RunbookDocument, ServiceState, Step, StringParameter
from runwright.model.proposals import AddStep, Edit

SUBJECT_PREFIX = "incident.subject."


@dataclass(frozen=True)
class Suggestion:
    """What one repair would change. `success` ranks it: the expected share of such failures that it cures."""

    repair: str
    edits: tuple[Edit, ...]
    success: float
    enabling: bool = False
    """Cures little by itself, and without it another cure may not take: goes into every candidate."""


@dataclass(frozen=True)
class Case:
    """A failed run and the runbook that ran, as repairs read them. `cites` of edits count into `evidence.signals`."""

    evidence: Evidence
    document: RunbookDocument

    @cached_property
    def subject_parameters(self) -> dict[str, str]:
        """Text parameters filled from the incident's subject, with the values they had in this run."""
        found: dict[str, str] = {}
        subject = self.evidence.result.incident.subject
        for name, parameter in self.document.parameters.items():
            source = parameter.from_ or ""
            value = subject.get(source.removeprefix(SUBJECT_PREFIX)) if source.startswith(SUBJECT_PREFIX) else None
            if isinstance(parameter, StringParameter) and isinstance(value, str) and value:
                found[name] = value
        return found

    @cached_property
    def unit_parameter(self) -> str | None:
        """The name of the parameter that holds the subject's unit, if this runbook has one."""
        unit = self.evidence.subject.unit
        field = self.evidence.subject.unit_field
        for name, parameter in self.document.parameters.items():
            if unit is not None and parameter.from_ == f"{SUBJECT_PREFIX}{field}":
                return name
        return None

    @property
    def unit_word(self) -> str | None:
        """The subject's unit as a quoted sh word."""
        return f'"${self.unit_parameter}"' if self.unit_parameter is not None else None

    def path_word(self, path: str) -> str:
        """A safe path as a quoted sh word that also fits the next incident."""
        return quoted(path, self.subject_parameters)

    @cached_property
    def starter(self) -> Step | None:
        """The first step that brings the subject up."""
        for step in self.document.steps:
            if step.service is not None and step.service.state is not ServiceState.STOPPED:
                return step
            if step.run is not None and any(verb in step.run for verb in _STARTING):
                return step
        return None

    @cached_property
    def failed_step(self) -> Step | None:
        """The step that ended the run, as written."""
        return next((step for step in self.document.steps if step.id == self.evidence.stopped_at), None)

    @property
    def anchor(self) -> str | None:
        """The step that a cure goes before: the one that starts the subject, or an earlier one that failed."""
        order = [step.id for step in self.document.steps]
        spots = [order.index(step.id) for step in (self.starter, self.failed_step) if step is not None]
        return order[min(spots)] if spots else None

    def new_id(self, base: str) -> str:
        """A step id that is not taken yet."""
        taken = {step.id for section in (self.document.steps, self.document.rollback) for step in section}
        taken |= {check.id for check in self.document.verify}
        numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, 1000))
        return next(name for name in numbered if name not in taken)

    def find(
        self,
        *kinds: SignalKind,
        voices: Iterable[Voice] = (Voice.TOOL, Voice.SUBJECT),
        where: Callable[[Evidence, Signal], bool] | None = None,
    ) -> tuple[int, ...]:
        return self.evidence.find(kinds, voices, where)

    def signal(self, index: int) -> Signal:
        return self.evidence.signals[index]

    def mentions(self, text: str) -> bool:
        """Whether some step's shell text contains the text already."""
        return any(
            text in written
            for step in self.document.steps
            for written in (step.run, step.only_if)
            if written is not None
        )

    def before_start(self, content: dict[str, Any], reason: str, cites: tuple[int, ...]) -> AddStep:
        """A new step right before the subject is started; at the end where nothing starts it."""
        return AddStep(before=self.anchor, content=content, reason=reason, signals=cites)

    def at_end(self, content: dict[str, Any], reason: str, cites: tuple[int, ...]) -> AddStep:
        return AddStep(after=self.document.steps[-1].id, content=content, reason=reason, signals=cites)


_STARTING = ("systemctl restart", "systemctl start", "systemctl reload", "service restart", "rc-service")

Repair = Callable[[Case], Suggestion | None]
"""A pure function of a case. Knows no scenario, service or file by name."""


def step_content(step_id: str, name: str, *, only_if: str, run: str, timeout: str | None = None) -> dict[str, Any]:
    """A guarded, repeatable `run` step as the runbook language writes it."""
    content: dict[str, Any] = {"id": step_id, "name": name, "only_if": only_if, "run": run, "idempotent": True}
    if timeout is not None:
        content["timeout"] = timeout
    return content
