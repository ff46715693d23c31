"""The one table that turns steps and verdict into the status of an execution (docs/architecture.md)."""

from __future__ import annotations

from runwright.model.executions import ExecutionStatus
from runwright.model.verdicts import VerificationOutcome

EXECUTION_OUTCOMES: dict[tuple[bool, VerificationOutcome], ExecutionStatus] = {
    (True, VerificationOutcome.PASSED): ExecutionStatus.SUCCESS,
    (True, VerificationOutcome.FAILED): ExecutionStatus.FAILURE,
    (True, VerificationOutcome.UNVERIFIABLE): ExecutionStatus.PARTIAL,
    (False, VerificationOutcome.PASSED): ExecutionStatus.FAILURE,
    (False, VerificationOutcome.FAILED): ExecutionStatus.FAILURE,
    (False, VerificationOutcome.UNVERIFIABLE): ExecutionStatus.FAILURE,
}
"""(steps ended ok, combined verdict) -> status. Aborted steps are a failure whatever is seen after."""


def execution_outcome(steps_ok: bool, verdict: VerificationOutcome, *, timed_out: bool = False) -> ExecutionStatus:
    """The status of a run that came to its end by itself. `timed_out`: a step's timeout is what aborted it."""
    if timed_out and not steps_ok:
        return ExecutionStatus.TIMED_OUT
    return EXECUTION_OUTCOMES[steps_ok, verdict]


def needs_rollback(steps_ok: bool, verdict: VerificationOutcome) -> bool:
    """Rollback runs on failure only: a partial run goes to a person as it stands."""
    return execution_outcome(steps_ok, verdict) is ExecutionStatus.FAILURE
