"""Signals in the light of the run: who said what, and what it says about the incident's subject."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from runwright.learning.signals import extract, failing_step
from runwright.learning.signals.subjects import SubjectView, stem_of, view
from runwright.model.diagnoses import Signal, SignalKind, Stream
from runwright.model.executions import ExecutionResult, StepStatus

_JOURNAL_LINE = re.compile(
    r"^(?:[A-Za-zäéûí]{2,5}\.? {1,2}\d{1,2} \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S{0,12}) "
    r"\S{1,80} [^\s:]{1,80}: "
)
_MANAGER_LINE = re.compile(
    r"^(?:Failed to |Job for |A dependency job|Warning: |System has not been booted|Unit |No service manager|sudo: |"
    r"rc-service: | \* rc-service|==== AUTHENTICATING)"
)


class Voice(StrEnum):
    """Who speaks in a signal."""

    TOOL = "tool"
    """The failing step's own commands: what stopped the run."""
    SUBJECT = "subject"
    """The incident's subject: its journal, or what a check of it answered."""
    STATE = "state"
    """A captured state, or the verdict of a check."""
    ASIDE = "aside"
    """A step that went well, or was allowed to fail."""


@dataclass(frozen=True)
class Evidence:
    """All signals of one result, and questions to them. Indexes count into `signals`."""

    result: ExecutionResult
    signals: tuple[Signal, ...]

    @classmethod
    def of(cls, result: ExecutionResult) -> Evidence:
        return cls(result, extract(result))

    @cached_property
    def subject(self) -> SubjectView:
        return view(self.result)

    @cached_property
    def stopped_at(self) -> str | None:
        """The step that ended the run."""
        return failing_step(self.result)

    @cached_property
    def voices(self) -> tuple[Voice, ...]:
        return tuple(self._voice(signal) for signal in self.signals)

    def _voice(self, signal: Signal) -> Voice:
        place = signal.place
        if place.stream is Stream.JOURNAL:
            return Voice.SUBJECT
        if place.step is not None and place.stream is not None:
            if _JOURNAL_LINE.match(signal.excerpt):
                return Voice.SUBJECT
            record = next((step for step in self.result.steps if step.id == place.step), None)
            kind = record.kind if record is not None else ""
            if kind in ("service", "wait_for", "http") and not _MANAGER_LINE.match(signal.excerpt):
                return Voice.SUBJECT
            if signal.excerpt.lstrip().startswith(("Loaded:", "Active:", "Process:", "Status:")):
                return Voice.SUBJECT
            return Voice.TOOL if place.step == self.stopped_at else Voice.ASIDE
        if place.step is not None:
            return Voice.TOOL if place.step == self.stopped_at else Voice.ASIDE
        if place.line is not None:
            return Voice.TOOL if place.path == "error.message" else Voice.SUBJECT
        return Voice.STATE

    def find(
        self,
        kinds: Iterable[SignalKind],
        voices: Iterable[Voice] = (Voice.TOOL, Voice.SUBJECT),
        where: Callable[[Evidence, Signal], bool] | None = None,
    ) -> tuple[int, ...]:
        """Indexes of the signals of these kinds and voices that fit."""
        wanted, heard = frozenset(kinds), frozenset(voices)
        return tuple(
            index
            for index, (signal, voice) in enumerate(zip(self.signals, self.voices, strict=True))
            if signal.kind in wanted and voice in heard and (where is None or where(self, signal))
        )

    @property
    def steps_went_well(self) -> bool:
        """Every step ended, or was allowed to fail."""
        return bool(self.result.steps) and self.stopped_at is None

    def is_own_port(self, port: str | None) -> bool:
        """Whether a port is the subject's own: what a check asks, not what the subject needs."""
        if port is None:
            return False
        if self.subject.port is not None and str(self.subject.port) == port:
            return True
        match = re.search(r":(\d{1,5})(?:/|$)", self.subject.url or "")
        return (match is not None and match[1] == port) or (
            match is None and self.subject.url is not None and port in ("80", "443")
        )

    def another_service_holds(self, port: str | None) -> str | None:
        """The name of another running unit whose process listens on the port, as the states saw it."""
        if port is None:
            return None
        for state in (self.result.state_after, self.result.state_before):
            if state is None:
                continue
            holders = {fact.process for fact in state.ports if str(fact.port) == port and fact.process}
            own = stem_of(self.subject.unit) if self.subject.unit else None
            for service in state.services:
                name = stem_of(service.name)
                if name != own and service.active == "active" and any(h and name.startswith(h[:15]) for h in holders):
                    return service.name
        return None

    def step_status(self, step: str | None) -> StepStatus | None:
        return next((record.status for record in self.result.steps if record.id == step), None)


def is_local(host: str | None) -> bool | None:
    """Whether a host text means this machine; None where no host was named."""
    if host is None:
        return None
    name = host.strip("[]").rstrip(".").lower()
    if name in ("localhost", "localhost.localdomain", "ip6-localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
