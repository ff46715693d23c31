"""Tables of edges: which status may follow which. Store, API, pages and tests read these."""

from __future__ import annotations

from typing import TypeVar

from runwright.model.errors import Conflict
from runwright.model.executions import ExecutionStatus
from runwright.model.incidents import IncidentStatus
from runwright.model.reviews import ActivationState, ReviewAction, ReviewStatus

_R = ReviewStatus
_A = ReviewAction

REVIEW_EDGES: dict[tuple[ReviewStatus, ReviewAction], ReviewStatus] = {
    (_R.DRAFT, _A.SUBMIT): _R.PENDING_REVIEW,
    (_R.PENDING_REVIEW, _A.CLAIM): _R.IN_REVIEW,
    (_R.IN_REVIEW, _A.RELEASE): _R.PENDING_REVIEW,
    (_R.IN_REVIEW, _A.APPROVE): _R.APPROVED,
    (_R.IN_REVIEW, _A.REJECT): _R.REJECTED,
    (_R.IN_REVIEW, _A.REQUEST_CHANGES): _R.NEEDS_CHANGES,
    (_R.DRAFT, _A.WITHDRAW): _R.WITHDRAWN,
    (_R.PENDING_REVIEW, _A.WITHDRAW): _R.WITHDRAWN,
    (_R.IN_REVIEW, _A.WITHDRAW): _R.WITHDRAWN,
    (_R.NEEDS_CHANGES, _A.WITHDRAW): _R.WITHDRAWN,
}
"""Approve, reject and request_changes need the lease of `claim`; deciding on a pending item claims it first."""

DECIDED = frozenset({_R.APPROVED, _R.REJECTED, _R.WITHDRAWN})

_E = ExecutionStatus
EXECUTION_EDGES: dict[ExecutionStatus, frozenset[ExecutionStatus]] = {
    _E.PENDING: frozenset({_E.RUNNING, _E.CANCELLED, _E.FAILURE, _E.INTERRUPTED}),
    _E.RUNNING: frozenset(
        {
            *(_E.RUNNING, _E.PENDING),
            *(_E.SUCCESS, _E.PARTIAL, _E.FAILURE, _E.TIMED_OUT, _E.CANCELLED, _E.INTERRUPTED),
        }
    ),
    _E.SUCCESS: frozenset(),
    _E.PARTIAL: frozenset(),
    _E.FAILURE: frozenset(),
    _E.TIMED_OUT: frozenset(),
    _E.CANCELLED: frozenset(),
    _E.INTERRUPTED: frozenset(),
}
"""running -> running is a new worker taking over (its epoch grows); running -> pending a run that waits for a person
(`waiting_for`)."""

_I = IncidentStatus
INCIDENT_EDGES: dict[IncidentStatus, frozenset[IncidentStatus]] = {
    _I.OPEN: frozenset({_I.QUEUED, _I.ESCALATED, _I.DUPLICATE, _I.RESOLVED, _I.CLOSED}),
    _I.QUEUED: frozenset({_I.RUNNING, _I.OPEN, _I.ESCALATED, _I.RESOLVED, _I.CLOSED}),
    _I.RUNNING: frozenset({_I.RESOLVED, _I.ESCALATED, _I.OPEN, _I.QUEUED}),
    _I.RESOLVED: frozenset({_I.RECURRED, _I.CLOSED}),
    _I.RECURRED: frozenset({_I.CLOSED}),
    _I.ESCALATED: frozenset({_I.QUEUED, _I.RESOLVED, _I.CLOSED}),
    _I.DUPLICATE: frozenset({_I.CLOSED}),
    _I.CLOSED: frozenset(),
}

_T = ActivationState
ACTIVATION_EDGES: dict[ActivationState, frozenset[ActivationState]] = {
    _T.LIVE: frozenset({_T.SUSPENDED, _T.SUPERSEDED, _T.EXPIRED}),
    _T.SUSPENDED: frozenset({_T.SUPERSEDED, _T.EXPIRED}),
    _T.SUPERSEDED: frozenset(),
    _T.EXPIRED: frozenset(),
}


def next_review_status(status: ReviewStatus, action: ReviewAction) -> ReviewStatus:
    """The status after an action. Raises Conflict naming the actions that are allowed now."""
    target = REVIEW_EDGES.get((status, action))
    if target is None:
        allowed = sorted(edge_action.value for (edge, edge_action) in REVIEW_EDGES if edge is status)
        raise Conflict(
            f"Found the item {status.value}, where {action.value} is not possible.",
            allowed=f"Allowed now: {', '.join(allowed) or 'nothing, it is decided'}.",
        )
    return target


S = TypeVar("S", ExecutionStatus, IncidentStatus, ActivationState)


def check_edge(table: dict[S, frozenset[S]], before: S, after: S) -> None:
    """Raise Conflict if the table has no edge from before to after."""
    if after not in table[before]:
        allowed = ", ".join(sorted(status.value for status in table[before])) or "none, it is final"
        raise Conflict(
            f"Found status {before.value}, which cannot become {after.value}.", allowed=f"Allowed: {allowed}."
        )
