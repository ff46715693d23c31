"""What a model is told and how it must answer. Telemetry is hostile: redacted, cut, fenced, and called data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runwright.learning.evidence import Evidence
from runwright.learning.signals.telemetry import lines
from runwright.model.diagnoses import Diagnosis, FailureType
from runwright.model.ids import sha256
from runwright.model.redaction import redact, visible

TELEMETRY_CHARACTERS = 12_000
"""Of the fenced telemetry in a prompt."""

RUNBOOK_CHARACTERS = 30_000


class _Answer(BaseModel):
    """What a model may answer; read leniently, checked strictly afterwards."""

    model_config = ConfigDict(extra="ignore")


class Categorisation(_Answer):
    """Why the run failed."""

    failure_type: FailureType = Field(description="One of the failure types of the instructions.")
    confidence: float = Field(ge=0, le=1, description="0 to 1; below 0.6 means not sure.")
    reasoning: str = Field(min_length=1, max_length=4000, description="Two or three sentences for an engineer.")
    signals: list[int] = Field(description="Numbers of the signals that support the answer; at least one.")
    incident_type: str | None = Field(
        default=None, description="For wrong_runbook and wrong_diagnosis: the incident type that it really is."
    )
    missing_privilege: str | None = Field(
        default=None, max_length=500, description="For permission_denied: what a person would have to grant."
    )


class EditDraft(_Answer):
    """One edit of the runbook. Which fields count depends on `op`."""

    op: Literal[
        "add_step",
        "replace_step",
        "remove_step",
        "move_step",
        "set_field",
        "add_parameter",
        "add_verify",
        "add_rollback",
    ]
    step: str | None = Field(default=None, description="The id of the step that is replaced, removed, moved or set.")
    before: str | None = Field(default=None, description="add_step, move_step: the id of the step it goes before.")
    after: str | None = Field(default=None, description="add_step, move_step: the id of the step it goes after.")
    field: str | None = Field(default=None, description="set_field: the field's name.")
    value: Any = Field(default=None, description="set_field: the new value.")
    name: str | None = Field(default=None, description="add_parameter: the parameter's name.")
    content: dict[str, Any] | None = Field(
        default=None, description="The whole step, check or parameter as the runbook language writes it."
    )
    reason: str = Field(min_length=1, max_length=1000, description="Why this edit cures the failure.")
    signals: list[int] = Field(default_factory=list, description="Numbers of the signals that it answers.")


class Draft(_Answer):
    """The smallest set of edits that would have cured the failure."""

    edits: list[EditDraft] = Field(min_length=1, max_length=10)


@dataclass(frozen=True)
class Prompt:
    """What is sent. `digest` names the instructions file exactly."""

    instructions: str
    text: str
    digest: str


@cache
def instructions(name: str) -> str:
    """The text of a prompt file (`prompts/<name>.md`)."""
    return (resources.files("runwright.learning") / "prompts" / f"{name}.md").read_text(encoding="utf-8")


def fenced(label: str, text: str) -> str:
    """Text between fences that it cannot contain: they bear its own digest."""
    mark = sha256(text.encode("utf-8", "replace"))[-16:]
    return f"<<<{label} {mark}\n{text}\n{label} {mark}>>>"


def _telemetry(evidence: Evidence) -> str:
    kept: list[str] = []
    room = TELEMETRY_CHARACTERS
    for line in lines(evidence.result):
        text = f"[{line.place}] {line.text}"
        room -= len(text) + 1
        if room < 0:
            kept.append("[cut here]")
            break
        kept.append(text)
    return "\n".join(kept)


def _signals(evidence: Evidence) -> str:
    return "\n".join(
        f"{index}. {signal.kind.value} ({voice.value}) at {signal.place}: {signal.excerpt}"
        for index, (signal, voice) in enumerate(zip(evidence.signals, evidence.voices, strict=True))
    )


def _overview(evidence: Evidence) -> str:
    result = evidence.result
    steps = ", ".join(f"{step.id} ({step.kind}): {step.status.value}" for step in result.steps)
    verdict = result.verification.outcome.value if result.verification is not None else "not made"
    subject = ", ".join(f"{name}={value}" for name, value in sorted(result.incident.subject.items()))
    text = (
        f"incident type: {result.incident.incident_type}\nsubject: {subject}\nplatform: {result.host.platform}\n"
        f"status: {result.status.value}\nsteps: {steps}\nverification: {verdict}"
    )
    return visible(redact(text).text)[:4000]


def categorise_prompt(evidence: Evidence) -> Prompt:
    """Asks for a `Categorisation`."""
    told = instructions("categorise")
    text = "\n\n".join(
        (
            fenced("RUN", _overview(evidence)),
            fenced("SIGNALS", _signals(evidence) or "none"),
            fenced("TELEMETRY", _telemetry(evidence)),
        )
    )
    return Prompt(told, text, sha256(told.encode()))


def generate_prompt(
    evidence: Evidence, diagnosis: Diagnosis, runbook_text: str, feedback: Sequence[str] = ()
) -> Prompt:
    """Asks for a `Draft`. `feedback` says what was wrong with earlier drafts, oldest first."""
    told = instructions("generate")
    parts = [
        fenced("RUN", _overview(evidence)),
        fenced("DIAGNOSIS", visible(f"{diagnosis.failure_type.value}: {diagnosis.reasoning}")),
        fenced("SIGNALS", _signals(evidence) or "none"),
        fenced("TELEMETRY", _telemetry(evidence)),
        fenced("RUNBOOK", runbook_text[:RUNBOOK_CHARACTERS]),
    ]
    if feedback:
        listed = "\n".join(f"{number}. {visible(redact(text).text)[:3000]}" for number, text in enumerate(feedback, 1))
        parts.append("Your earlier drafts were refused:\n" + fenced("REFUSED", listed))
    return Prompt(told, "\n\n".join(parts), sha256(told.encode()))
