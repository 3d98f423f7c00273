"""Keeps the number of series bounded, their sum exact, and every one of them growing only.

A guest may have 600,000 functions; a time series database wants a few hundred. So the busiest keys get a
series of their own (are *named*), and the others are summed in one. Rules:

1. A key that is named stays named: there is no eviction, and a series never disappears.
2. What a key had counted before it was named stays in "(other)" for ever; its own series starts from there.
   So neither goes down when a key changes sides, and their sum is the true one at every scrape.
3. The first scrape leaves slots free for what comes later, and each later one takes at most half of the rest.
4. A count that seems to go down (a run that ended and is not yet folded in) keeps its highest value.

All counts are integers (seconds are nanoseconds here): sums of floats would depend on their order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence

Key = tuple[str, ...]
"""The label values of one series."""
Counts = tuple[int, ...]
"""What is counted for one key; the same fields for all keys of a family."""

OTHER = "(other)"


def added(left: Counts, right: Counts) -> Counts:
    return tuple(map(int.__add__, left, right))


def without(left: Counts, right: Counts) -> Counts:
    return tuple(map(int.__sub__, left, right))


class BoundedSeries:
    """At most `slots` named keys and "(other)".

    `measures` says what makes a key worth a name: each is a tuple of fields whose sum is ranked, and the
    measures take turns, so that a rare slow function gets a slot beside many busy ones.
    """

    def __init__(self, labels: int, fields: int, measures: Sequence[Counts], *, slots: int, reserved: int) -> None:
        self._other_key: Key = (OTHER,) * labels
        self._zero: Counts = (0,) * fields
        self._measures = measures
        self._slots = slots
        self._reserved = reserved
        self._last: dict[Key, Counts] = {}
        self._bases: dict[Key, Counts] = {}

    def update(self, now: Mapping[Key, Counts], *, most_keys: int | None = None) -> list[tuple[Key, Counts]]:
        """The series at this scrape, sorted, "(other)" last. `most_keys`: how many there can ever be."""
        before = self._last
        merged = _highest(before, now)
        growth = {
            key: without(counts, before.get(key, self._zero))
            for key, counts in merged.items()
            if key not in self._bases and before.get(key) != counts
        }
        for key in self._choose(growth, self._budget(most_keys)):
            self._bases[key] = before.get(key, self._zero)
        self._last = merged
        named = [(key, without(merged[key], base)) for key, base in sorted(self._bases.items())]
        return [*named, (self._other_key, self._other(merged))]

    def _budget(self, most_keys: int | None) -> int:
        free = self._slots - len(self._bases)
        if most_keys is not None and most_keys <= self._slots:
            return free
        if not self._last:
            return free - self._reserved
        return (free + 1) // 2

    def _choose(self, growth: Mapping[Key, Counts], budget: int) -> list[Key]:
        if budget <= 0:
            return []
        if len(growth) <= budget:
            return list(growth)
        chosen: dict[Key, None] = {}
        rankings = [self._ranked(growth, fields, budget) for fields in self._measures]
        while rankings and len(chosen) < budget:
            ranking = rankings.pop(0)
            key = next((each for each in ranking if each not in chosen), None)
            if key is not None:
                chosen[key] = None
                rankings.append(ranking)
        return list(chosen)

    def _ranked(self, growth: Mapping[Key, Counts], fields: Counts, budget: int) -> Iterator[Key]:
        ranked = ((sum(counts[each] for each in fields), key) for key, counts in growth.items())
        return (key for _, key in heapq.nlargest(budget, (each for each in ranked if each[0] > 0)))

    def _other(self, merged: Mapping[Key, Counts]) -> Counts:
        total = self._zero
        for key, counts in merged.items():
            total = added(total, self._bases.get(key, counts))
        return total


def _highest(before: Mapping[Key, Counts], now: Mapping[Key, Counts]) -> dict[Key, Counts]:
    merged = dict(before)
    for key, counts in now.items():
        old = merged.get(key)
        if old is None:
            merged[key] = counts
        elif old != counts:
            merged[key] = tuple(map(max, old, counts))
    return merged
