"""Figures: counted right, with intervals that are the published ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.model.executions import ExecutionStatus
from runwright.surfaces.figures import figures, share, version_rate, wilson
from support import records
from support.house import House


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3 (Wilson score without correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_intervals_are_those_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    found = wilson(successes, trials)
    assert found is not None
    assert found == pytest.approx((low, high), abs=0.00006)


@given(st.integers(1, 10_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_an_interval_holds_its_share_and_stays_a_share(counted: tuple[int, int]) -> None:
    found = wilson(*counted)
    assert found is not None
    assert 0 <= found[0] <= counted[0] / counted[1] + 1e-12
    assert counted[0] / counted[1] - 1e-12 <= found[1] <= 1


def test_nothing_of_nothing_is_no_share() -> None:
    assert share(0, 0)["value"] is None
    assert share(0, 0)["interval"] is None


async def test_runs_under_way_count_in_no_rate(house: House) -> None:
    counted = {
        ExecutionStatus.SUCCESS: 3,
        ExecutionStatus.FAILURE: 1,
        ExecutionStatus.PARTIAL: 1,
        ExecutionStatus.RUNNING: 2,
        ExecutionStatus.PENDING: 1,
    }
    async with house.services.store.transaction() as tx:
        for status, number in counted.items():
            for index in range(number):
                await tx.executions.add(records.execution(f"exe-{status.value}-{index}", status=status))
        foreign = records.execution("exe-rival", client_id="rival", status=ExecutionStatus.FAILURE)
        await tx.executions.add(foreign)
    async with house.services.store.reading() as tx:
        mine = await figures(tx, {"client_id": ("acme",)})
        everyone = await figures(tx, {})
        rate = await version_rate(tx, {"client_id": ("acme",)}, f"{records.RUNBOOK}-v1")
        other = await version_rate(tx, {}, f"{records.RUNBOOK}-v9")
    assert (mine["success_rate"]["numerator"], mine["success_rate"]["denominator"]) == (3, 5)
    assert (everyone["success_rate"]["numerator"], everyone["success_rate"]["denominator"]) == (3, 6)
    assert rate == mine["success_rate"]
    assert other["denominator"] == 0
    assert mine["executions"]["running"] == 2
