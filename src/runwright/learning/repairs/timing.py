"""Runs that were right and too impatient."""

from __future__ import annotations

from runwright.learning.evidence import Voice
from runwright.learning.repairs.case import Case, Suggestion
from runwright.model.diagnoses import SignalKind
from runwright.model.proposals import AddStep, SetField

LONGEST = 3600.0
"""Seconds beyond which no repair stretches a step."""


def _written(seconds: float) -> str:
    return f"{int(seconds // 60)}m" if seconds % 60 == 0 and seconds >= 120 else f"{int(seconds)}s"


def longer_timeout(case: Case) -> Suggestion | None:
    """Three times the time for a step that was ended while it was still working."""
    step = case.failed_step
    found = case.find(SignalKind.TIMED_OUT, where=lambda _, signal: signal.facts.get("progress") == "yes")
    if step is None or not found or case.signal(found[0]).place.step != step.id or step.timeout * 3 > LONGEST:
        return None
    seconds = max(step.timeout * 3, 30.0)
    reason = f"The step was ended after {_written(step.timeout)} while it was still working."
    edit = SetField(step=step.id, field="timeout", value=_written(seconds), reason=reason, signals=found[:1])
    return Suggestion("longer_timeout", (edit,), 0.7)


def wait_until_up(case: Case) -> Suggestion | None:
    """Wait for a subject that was still coming up when it was looked at."""
    slow = case.find(
        SignalKind.TIMED_OUT, voices=(Voice.STATE,), where=lambda _, signal: signal.facts.get("by") == "verification"
    )
    starter = case.starter
    if not slow or starter is None or case.unit_parameter is None:
        return None
    if any(step.wait_for is not None and step.wait_for.service is not None for step in case.document.steps):
        return None
    content = {
        "id": case.new_id("wait-until-up"),
        "name": "Wait until the unit is up",
        "wait_for": {"service": f"${case.unit_parameter}", "for": "2m"},
        "timeout": "130s",
    }
    reason = "The unit was still starting when it was checked."
    return Suggestion(
        "wait_until_up", (AddStep(after=starter.id, content=content, reason=reason, signals=slow[:1]),), 0.7
    )
