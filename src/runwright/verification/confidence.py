"""How sure a verdict is, by one rule that is told with it."""

from __future__ import annotations

from collections.abc import Sequence

from runwright.model.verdicts import VerificationOutcome
from runwright.verification.findings import FAILED, PASSED, Evidence, Finding

_BY_KINDS = {0: 0.5, 1: 0.7, 2: 0.85}
_MANY = 0.95
_NOT_HELD = 0.2
_NOTHING_BEFORE = 0.05


def explain(
    outcome: VerificationOutcome, found: Sequence[tuple[Finding, float | None]], had_before: bool
) -> tuple[float, str]:
    """Confidence from 0 to 1 and the sentence that says why.

    Passed: by how many independent kinds of evidence agree, less where something was seen only once
    or nothing from before the run could be compared. Failed: a fault that was seen is nearly certain.
    Unverifiable: 0, for there is no verdict to be sure of.

    Args:
        found: each check's finding and the seconds that it held, None where it was seen once.
    """
    if outcome is FAILED:
        faults = [finding.reason for finding, _ in found if finding.outcome is FAILED]
        return 0.95, f"Failed: {len(faults)} of {len(found)} checks saw a fault on the host. {faults[0]}"
    if outcome is not PASSED:
        gaps = [finding.reason for finding, _ in found if finding.outcome is not PASSED]
        return (
            0.0,
            f"Unverifiable: {len(gaps)} of {len(found)} checks gave no evidence. {gaps[0] if gaps else ''}".strip(),
        )
    kinds = sorted({kind for finding, _ in found for kind in finding.kinds} - {Evidence.BEFORE})
    shortest = min((0.0 if seconds is None else seconds) for _, seconds in found)
    confidence = _BY_KINDS.get(len(kinds), _MANY)
    words = f"{len(kinds)} kind{'' if len(kinds) == 1 else 's'} of evidence ({', '.join(kinds)})"
    held = f"held {shortest:.1f} s"
    if shortest <= 0:
        confidence -= _NOT_HELD
        held = "not all of it seen twice"
    compared = "compared with the state before"
    if not had_before:
        confidence -= _NOTHING_BEFORE
        compared = "without a state before to compare with"
    return round(confidence, 2), f"Passed: {words}, {held}, {compared}."
