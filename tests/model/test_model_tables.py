"""Tables that decide: each names every status, each status can be reached, and what is final stays final."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runwright.model.diagnoses import CONSEQUENCES, Consequence, FailureType
from runwright.model.edges import (
    ACTIVATION_EDGES,
    DECIDED,
    EXECUTION_EDGES,
    INCIDENT_EDGES,
    REVIEW_EDGES,
    check_edge,
    next_review_status,
)
from runwright.model.errors import Conflict, GateReason
from runwright.model.executions import ExecutionStatus
from runwright.model.incidents import IncidentStatus
from runwright.model.outcomes import EXECUTION_OUTCOMES, execution_outcome, needs_rollback
from runwright.model.reviews import ActivationState, ReviewAction, ReviewStatus
from runwright.model.severity import Severity
from runwright.model.verdicts import VerificationOutcome

_REVIEWS: dict[Any, frozenset[Any]] = {
    status: frozenset(after for (before, _), after in REVIEW_EDGES.items() if before is status)
    for status in ReviewStatus
}

TABLES: dict[str, tuple[Any, dict[Any, frozenset[Any]], set[Any], set[Any]]] = {
    "execution": (
        ExecutionStatus,
        EXECUTION_EDGES,
        {ExecutionStatus.PENDING},
        {status for status in ExecutionStatus if status.final},
    ),
    "incident": (IncidentStatus, INCIDENT_EDGES, {IncidentStatus.OPEN}, {IncidentStatus.CLOSED}),
    "activation": (
        ActivationState,
        ACTIVATION_EDGES,
        {ActivationState.LIVE},
        {ActivationState.SUPERSEDED, ActivationState.EXPIRED},
    ),
    "review": (ReviewStatus, _REVIEWS, {ReviewStatus.DRAFT}, set(DECIDED)),
}
"""Name -> its enum, its edges, where a record begins, where it may end."""

EVERY = pytest.mark.parametrize("name", TABLES)


@EVERY
def test_the_table_names_every_status_and_no_other(name: str) -> None:
    kind, table, _, _ = TABLES[name]
    assert set(table) == set(kind)
    assert set().union(*table.values()) <= set(kind)


@EVERY
def test_every_status_can_be_reached_from_the_first(name: str) -> None:
    kind, table, begin, _ = TABLES[name]
    seen, waiting = set(begin), list(begin)
    while waiting:
        new = table[waiting.pop()] - seen
        seen |= new
        waiting += new
    assert seen == set(kind)


@EVERY
def test_what_is_final_has_no_way_out_and_all_else_has_one(name: str) -> None:
    _, table, _, final = TABLES[name]
    assert {status for status, after in table.items() if not after} == final


@EVERY
def test_an_end_is_near_from_everywhere(name: str) -> None:
    """Nothing can be led into a corner from which no final status is reached."""
    kind, table, _, final = TABLES[name]
    ends = set(final)
    for _ in kind:
        ends |= {status for status, after in table.items() if after & ends}
    assert ends == set(kind)


@pytest.mark.parametrize("name", ["execution", "incident", "activation"])
def test_edges_are_kept_and_refusals_name_what_is_allowed(name: str) -> None:
    kind, table, _, final = TABLES[name]
    for before, after in itertools.product(kind, kind):
        if after in table[before]:
            check_edge(table, before, after)
            continue
        with pytest.raises(Conflict) as caught:
            check_edge(table, before, after)
        assert before.value in caught.value.found
        allowed = caught.value.allowed
        assert ("it is final" in allowed) == (before in final)
        assert all(status.value in allowed for status in table[before])


def test_review_actions_lead_where_the_table_says() -> None:
    for status, action in itertools.product(ReviewStatus, ReviewAction):
        if (status, action) in REVIEW_EDGES:
            assert next_review_status(status, action) is REVIEW_EDGES[status, action]
            continue
        with pytest.raises(Conflict) as caught:
            next_review_status(status, action)
        assert ("it is decided" in caught.value.allowed) == (status in DECIDED)


def test_every_action_is_possible_somewhere() -> None:
    assert {action for _, action in REVIEW_EDGES} == set(ReviewAction)


def test_a_decision_needs_the_lease() -> None:
    deciding = {ReviewAction.APPROVE, ReviewAction.REJECT, ReviewAction.REQUEST_CHANGES}
    assert {status for status, action in REVIEW_EDGES if action in deciding} == {ReviewStatus.IN_REVIEW}


def test_whatever_is_undecided_can_be_withdrawn() -> None:
    undecided = set(ReviewStatus) - DECIDED
    assert {status for status, action in REVIEW_EDGES if action is ReviewAction.WITHDRAW} == undecided


def test_nothing_becomes_approved_but_by_approving() -> None:
    ways = {edge for edge, after in REVIEW_EDGES.items() if after is ReviewStatus.APPROVED}
    assert ways == {(ReviewStatus.IN_REVIEW, ReviewAction.APPROVE)}


def test_a_suspended_activation_never_lives_again() -> None:
    assert all(ActivationState.LIVE not in after for after in ACTIVATION_EDGES.values())


class TestOutcomes:
    def test_every_case_is_in_the_table(self) -> None:
        assert set(EXECUTION_OUTCOMES) == set(itertools.product((True, False), VerificationOutcome))

    def test_success_needs_all_steps_and_a_verdict_that_passed(self) -> None:
        good = {case for case, status in EXECUTION_OUTCOMES.items() if status is ExecutionStatus.SUCCESS}
        assert good == {(True, VerificationOutcome.PASSED)}

    def test_partial_means_done_but_not_shown(self) -> None:
        partial = {case for case, status in EXECUTION_OUTCOMES.items() if status is ExecutionStatus.PARTIAL}
        assert partial == {(True, VerificationOutcome.UNVERIFIABLE)}

    @pytest.mark.parametrize(("steps_ok", "verdict"), EXECUTION_OUTCOMES)
    def test_only_failures_are_rolled_back(self, steps_ok: bool, verdict: VerificationOutcome) -> None:
        status = execution_outcome(steps_ok, verdict)
        assert status in EXECUTION_EDGES[ExecutionStatus.RUNNING]
        assert status.final
        assert needs_rollback(steps_ok, verdict) is (status is ExecutionStatus.FAILURE)


class TestFailureTypes:
    def test_each_leads_somewhere(self) -> None:
        assert set(CONSEQUENCES) == set(FailureType)
        assert set(CONSEQUENCES.values()) == set(Consequence)

    def test_improvable_is_what_leads_to_an_edit(self) -> None:
        for kind in FailureType:
            assert kind.improvable is (CONSEQUENCES[kind] is Consequence.EDIT)

    def test_not_knowing_goes_to_a_person(self) -> None:
        assert CONSEQUENCES[FailureType.UNDETERMINED] is Consequence.PERSON


def test_severities_rank_from_critical_to_low() -> None:
    assert [severity.rank for severity in Severity] == [1, 2, 3, 4]
    assert Severity.CRITICAL.rank < Severity.LOW.rank


def test_tampering_is_told_apart_from_ordinary_refusals() -> None:
    tampering = {reason for reason in GateReason if reason.tampering}
    assert tampering == {GateReason.SIGNATURE, GateReason.CONTENT, GateReason.MISMATCH, GateReason.UNREADABLE}
