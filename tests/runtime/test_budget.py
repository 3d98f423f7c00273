"""The slow threshold follows what the guest does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wasmtrace.runtime.budget import CALM_PERIODS, HIGHEST_US, PERIOD_US, SpanBudget, ThresholdChange

PER_SECOND = 200
ALLOWED = PER_SECOND * PERIOD_US // 1_000_000


def periods(budget: SpanBudget, count: int, durations: Callable[[], list[int]]) -> list[ThresholdChange]:
    """What changes in so many periods, in each of which calls of these durations end, if they are still slow."""
    changes = []
    for number in range(1, count + 1):
        now_us = number * PERIOD_US
        for duration in durations():
            if duration >= budget.threshold_us:
                budget.admit(duration, now_us)
        change = budget.adjust(now_us)
        if change is not None:
            changes.append(change)
    return changes


def test_within_the_budget_nothing_changes() -> None:
    budget = SpanBudget(PER_SECOND, 1000)
    assert periods(budget, 20, lambda: [5000] * ALLOWED) == []
    assert (budget.threshold_us, budget.left_out) == (1000, 0)


def test_beyond_it_the_threshold_rises_so_far_that_the_longest_still_fit() -> None:
    budget = SpanBudget(PER_SECOND, 1000)
    changes = periods(budget, 1, lambda: [1500] * 10_000 + [40_000] * (ALLOWED - 1))
    assert changes == [ThresholdChange(PERIOD_US, 1000, 2048)]
    assert periods_after(budget, [1500] * 10_000 + [40_000] * (ALLOWED - 1)) == 0


def periods_after(budget: SpanBudget, durations: list[int]) -> int:
    """How many are left out from now on, in ten periods."""
    before = budget.left_out
    for number in range(100, 110):
        for duration in durations:
            if duration >= budget.threshold_us:
                budget.admit(duration, number * PERIOD_US)
        budget.adjust(number * PERIOD_US)
    return budget.left_out - before


def test_when_it_is_calm_again_the_threshold_sinks_to_the_base() -> None:
    budget = SpanBudget(PER_SECOND, 1000)
    periods(budget, 1, lambda: [10_000] * 1000)
    assert budget.threshold_us > 10_000
    now_us = PERIOD_US
    steps = []
    while budget.threshold_us > 1000:
        now_us += PERIOD_US
        change = budget.adjust(now_us)
        if change is not None:
            steps.append(change)
        assert now_us < 1000 * PERIOD_US
    assert steps[-1].to_us == 1000
    assert all(each.to_us < each.from_us for each in steps)
    assert steps[0].at_us == (1 + CALM_PERIODS) * PERIOD_US


@pytest.mark.parametrize("base_us", [0, 1, 1000, 5_000_000])
def test_it_never_sinks_below_the_base_nor_rises_for_ever(base_us: int) -> None:
    budget = SpanBudget(1, base_us)
    for number in range(1, 200):
        for _ in range(100):
            budget.admit(1 << 40, number * PERIOD_US)
        budget.adjust(number * PERIOD_US)
        assert base_us <= budget.threshold_us <= max(HIGHEST_US, base_us)


@pytest.mark.parametrize("calls_a_second", [0, 100, 400, 5000, 100_000])
def test_what_is_admitted_has_a_bound(calls_a_second: int) -> None:
    budget = SpanBudget(PER_SECOND, 0)
    admitted = sum(
        budget.admit(10, second * 1_000_000 + number * 1_000_000 // calls_a_second)
        for second in range(10)
        for number in range(calls_a_second)
    )
    assert admitted <= PER_SECOND * 12
    assert admitted + budget.left_out == calls_a_second * 10
    assert budget.left_out == 0 or calls_a_second > PER_SECOND


def test_without_a_budget_all_are_admitted_and_nothing_changes() -> None:
    budget = SpanBudget(0, 1000)
    assert all(budget.admit(2000, 1) for _ in range(100_000))
    assert budget.adjust(1 << 40, missed=5) is None


def test_what_the_ring_dropped_counts_too() -> None:
    budget = SpanBudget(PER_SECOND, 1000)
    assert budget.adjust(PERIOD_US, missed=10_000) == ThresholdChange(PERIOD_US, 1000, 2000)


def shared(slow_a_second: int, traced_a_second: int, seconds: int = 40) -> tuple[int, int, int]:
    """Slow and traced calls admitted in the last ten seconds, and the threshold, when slow calls last from 1 to 128 ms
    and the guest records no more traced calls than there was room for at the last look."""
    budget = SpanBudget(PER_SECOND, 1000)
    allowed = recorded = left_out = 0
    slow = traced = 0
    for number in range(1, seconds * 4 + 1):
        late = number > (seconds - 10) * 4
        looked = left_out
        for _ in range(traced_a_second // 4):
            if recorded < allowed:
                recorded += 1
                traced += budget.admit_traced(number * PERIOD_US - 1) * late
            else:
                left_out += 1
        for each in range(slow_a_second // 4):
            duration = 1000 << (each % 8)
            if duration >= budget.threshold_us:
                slow += budget.admit(duration, number * PERIOD_US - 1) * late
        room = budget.room(number * PERIOD_US)
        assert room is not None
        allowed = recorded + room
        budget.adjust(number * PERIOD_US, traced_missed=left_out - looked)
    return slow, traced, budget.threshold_us


@pytest.mark.parametrize(
    ("slow_a_second", "traced_a_second", "least_slow", "least_traced"),
    [
        pytest.param(0, 100_000, 0, 1990, id="traced-alone-get-all"),
        pytest.param(100_000, 0, 0, 0, id="slow-alone"),
        pytest.param(40, 100_000, 390, 1500, id="few-slow"),
        pytest.param(400, 100_000, 300, 800, id="both-want-more"),
        pytest.param(400, 20, 1000, 190, id="few-traced"),
    ],
)
def test_traced_calls_share_the_budget(
    slow_a_second: int, traced_a_second: int, least_slow: int, least_traced: int
) -> None:
    slow, traced, _ = shared(slow_a_second, traced_a_second)
    assert slow + traced <= PER_SECOND * 12
    assert slow >= least_slow
    assert traced >= least_traced


def test_traced_calls_alone_do_not_raise_the_threshold() -> None:
    assert shared(0, 100_000)[2] == 1000


def test_without_a_budget_there_is_always_room() -> None:
    budget = SpanBudget(0, 1000)
    assert budget.room(0) is None
    assert all(budget.admit_traced(0) for _ in range(10_000))
