from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wasmtrace.exporters.series import OTHER, BoundedSeries, Counts, Key

OTHER_KEY = (OTHER,)
GROWTH = st.lists(
    st.dictionaries(st.sampled_from([f"f{at}" for at in range(12)]), st.tuples(*[st.integers(0, 2**62)] * 2)),
    max_size=12,
)


def bounded(slots: int, reserved: int | None = None) -> BoundedSeries:
    kept = slots - slots // 2 if reserved is None else reserved
    return BoundedSeries(1, 2, ((1,), (0,)), slots=slots, reserved=kept)


def counts(**by_name: int) -> dict[Key, Counts]:
    return {(name,): (count, 0) for name, count in by_name.items()}


def first(rows: list[tuple[Key, Counts]]) -> dict[str, int]:
    return {key[0]: row[0] for key, row in rows}


@given(GROWTH, st.integers(0, 8), st.booleans())
def test_sum_is_exact_and_nothing_goes_down(growth: list[dict[str, Counts]], slots: int, spare: bool) -> None:
    series = bounded(slots, None if spare else 0)
    true: dict[Key, Counts] = {}
    before: dict[Key, Counts] = {}
    for step in growth:
        for name, (calls, time) in step.items():
            old = true.get((name,), (0, 0))
            true[(name,)] = (old[0] + calls, old[1] + time)
        rows = series.update(true)
        now = dict(rows)
        assert len(now) == len(rows) <= slots + 1
        assert before.keys() <= now.keys()
        assert all(now[key][field] >= old[field] for key, old in before.items() for field in (0, 1))
        for field in (0, 1):
            assert sum(row[field] for row in now.values()) == sum(row[field] for row in true.values())
        before = now


@given(GROWTH)
def test_counts_that_vanish_do_not_go_down(growth: list[dict[str, Counts]]) -> None:
    series = bounded(4)
    before: dict[Key, Counts] = {}
    for step in growth:
        now = dict(series.update({(name,): row for name, row in step.items()}))
        assert all(now[key][field] >= old[field] for key, old in before.items() for field in (0, 1))
        before = now


def test_first_scrape_fills_half_and_later_ones_half_of_the_rest() -> None:
    series = bounded(8)
    busy = {f"f{at}": 100 - at for at in range(50)}
    assert len(series.update(counts(**busy))) == 4 + 1
    busy = {name: 2 * count for name, count in busy.items()}
    assert len(series.update(counts(**busy))) == 6 + 1
    busy = {name: 2 * count for name, count in busy.items()}
    assert len(series.update(counts(**busy))) == 7 + 1
    for _ in range(5):
        busy = {name: 2 * count for name, count in busy.items()}
        assert len(series.update(counts(**busy))) == 8 + 1


def test_late_function_starts_from_what_other_already_has() -> None:
    series = bounded(2)
    assert first(series.update(counts(a=10, late=5))) == {"a": 10, OTHER: 5}
    assert first(series.update(counts(a=11, late=25))) == {"a": 11, "late": 20, OTHER: 5}
    assert first(series.update(counts(a=11, late=26, new=7))) == {"a": 11, "late": 21, OTHER: 12}


def test_largest_growth_is_named_not_largest_count() -> None:
    series = bounded(2)
    series.update(counts(a=1000, big=900, grows=1))
    assert first(series.update(counts(a=1000, big=901, grows=50))) == {"a": 1000, "grows": 49, OTHER: 902}


def test_measures_take_turns() -> None:
    series = bounded(4, reserved=2)
    rows = series.update({("many",): (1000, 0), ("more",): (2000, 0), ("slow",): (1, 5), ("idle",): (1, 0)})
    assert first(rows) == {"more": 2000, "slow": 1, OTHER: 1001}


def test_nothing_called_is_not_the_first_scrape() -> None:
    series = bounded(2)
    assert first(series.update({})) == {OTHER: 0}
    assert first(series.update(counts(a=1, b=2, c=3))) == {"c": 3, OTHER: 3}


def test_few_keys_are_all_named() -> None:
    rows = bounded(4).update(counts(a=1, b=2, c=3, d=4), most_keys=4)
    assert first(rows) == {"a": 1, "b": 2, "c": 3, "d": 4, OTHER: 0}


def test_no_slots() -> None:
    assert first(bounded(0).update(counts(a=1, b=2))) == {OTHER: 3}
