"""The facts of a host in one read-only round trip of POSIX sh.

A partial host gives partial facts: what could not be read is named in `missing`, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runwright.execution.facts import disks, ports, processes, services, system
from runwright.execution.facts.fact import Fact, Unreadable, read
from runwright.execution.facts.subject import subject_facts
from runwright.model.base import Record
from runwright.model.incidents import IncidentBrief
from runwright.model.ports.clock import Clock
from runwright.model.ports.hosts import HostSession
from runwright.model.states import HostState, MissingFact
from runwright.verification.findings import NoEvidence
from runwright.verification.registry import verifier_for
from runwright.verification.sections import Question, Section, Sections, ask
from runwright.verification.units import subject_units
from runwright.verification.verifier import SUBJECT

TIMEOUT = 20.0
"""Seconds; a healthy host answers in some tens of milliseconds."""

_SUBJECT_PART = "subject-"


async def capture(session: HostSession, brief: IncidentBrief, clock: Clock, *, become: bool = False) -> HostState:
    """What the host says of itself and of the incident's subject, now.

    The subject's own facts, which the verifier compares with after the run, are in `extra["subject"]`.
    Raises HostUnreachable.
    """
    plan = Plan.of(brief)
    captured_at = clock.now().isoformat()
    answer = await ask(session, plan.question(), clock, become=become)
    return process(plan, answer.sections, answer.problem, captured_at)


@dataclass(frozen=True)
class Plan:
    """What is asked for one incident."""

    brief: IncidentBrief
    units: tuple[str, ...]
    facts: tuple[Fact, ...]
    subject: Question
    subject_problem: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, brief: IncidentBrief) -> Plan:
        units = subject_units(brief)
        facts = (
            processes.FIRST,
            system.OS,
            system.KERNEL,
            system.UPTIME,
            system.INIT,
            system.LOAD,
            system.MEMORY,
            disks.DISKS,
            disks.INODES,
            services.services(units),
            services.FAILED_UNITS,
            ports.PORTS,
            *((services.journal(units),) if units else ()),
        )
        subject, problem = Question(parts=()), None
        try:
            subject = verifier_for(brief.incident_type).question(brief.typed_subject, baseline=True)
        except NoEvidence as reason:
            problem = str(reason)
        parameters = {f"unit_{number}": unit for number, unit in enumerate(units)}
        return cls(brief, units, facts, subject, problem, parameters)

    def question(self) -> Question:
        """Everything in one round trip; the second sample of the processor comes last."""
        parts = [(fact.name, fact.script) for fact in self.facts]
        parts += [(_SUBJECT_PART + name, text) for name, text in self.subject.parts]
        parts.append((processes.LAST.name, processes.LAST.script))
        return Question(parts, {**self.parameters, **self.subject.parameters}, TIMEOUT)


def process(plan: Plan, sections: Sections, problem: str | None, captured_at: str) -> HostState:
    """Pure: the state that an answer tells of."""
    fields: dict[str, Any] = {}
    missing: list[MissingFact] = []
    for fact in (*plan.facts, processes.LAST):
        try:
            fields |= read(fact, sections.get(fact.name), problem)
        except Unreadable as reason:
            missing.append(MissingFact(fact=fact.name, reason=str(reason)))
    _sampled(fields, missing)
    inodes = fields.pop("inodes", {})
    fields["disks"] = tuple(
        disk.model_copy(update={"inodes_used_percent": _percent(inodes.get(disk.mount))})
        for disk in fields.get("disks", ())
    )
    own = _subject(plan, sections, problem, missing)
    if own is not None:
        found, lacking = subject_facts(plan.brief, own)
        fields |= found
        missing += lacking
    extra = {SUBJECT: own.model_dump(mode="json")} if own is not None else {}
    return HostState(captured_at=captured_at, missing=tuple(missing), extra=extra, **fields)


def _sampled(fields: dict[str, Any], missing: list[MissingFact]) -> None:
    """Replace the two samples by what they say together."""
    first, last = fields.pop("first", None), fields.pop("last", None)
    shell, page_kb = fields.pop("shell", 0), fields.pop("page_kb", 4)
    if last is None:
        return
    fields |= processes.compare(first or last, last, shell=shell, page_kb=page_kb)
    if "cpu_percent" not in fields and not any(one.fact == "cpu" for one in missing):
        missing.append(MissingFact(fact="cpu", reason="the time between the two samples was too short to tell"))


def _percent(value: int | None) -> float | None:
    return None if value is None else float(value)


def _subject(plan: Plan, sections: Sections, problem: str | None, missing: list[MissingFact]) -> Record | None:
    """The verifier's own facts; why there are none is put into `missing`."""
    if plan.subject_problem is not None:
        missing.append(MissingFact(fact=SUBJECT, reason=plan.subject_problem))
        return None
    if not plan.subject.parts:
        return None
    own: dict[str, Section] = {
        name.removeprefix(_SUBJECT_PART): section
        for name, section in sections.items()
        if name.startswith(_SUBJECT_PART)
    }
    try:
        facts: Record = verifier_for(plan.brief.incident_type).read(plan.brief.typed_subject, own)
    except NoEvidence as reason:
        missing.append(MissingFact(fact=SUBJECT, reason=f"{reason}{f' ({problem})' if problem else ''}"))
        return None
    return facts
