"""How many calls a second become records that somebody pays for: raises the slow threshold, and lowers it again.

Pure: time and calls come in as parameters. The threshold follows what was seen: in each period the least threshold is
found under which no more calls than the budget were slow. Calls that arrive before a higher threshold takes effect are
admitted up to twice the budget, then left out and counted. So what is behind this has a bound, whatever the guest does.

Traced calls, those that are wanted however short, share the budget: whoever reads `room` tells the guest how many it
may record. Slow calls come first, but where both want more than there is, the threshold rises until half is left for
traced ones.
"""

from __future__ import annotations

from dataclasses import dataclass

PERIOD_US = 250_000
CALM_PERIODS = 8
"""The threshold sinks after so many periods with less than half of the budget used."""
HIGHEST_US = 60_000_000
_LEAST_STEP_US = 1000
_BUCKETS = 64


@dataclass(frozen=True, slots=True)
class ThresholdChange:
    at_us: int
    from_us: int
    to_us: int


class SpanBudget:
    """For one instance. `per_second` of 0 is no budget: all are admitted. Not for several threads at a time."""

    def __init__(self, per_second: int, base_us: int) -> None:
        self._per_second = per_second
        self._base_us = base_us
        self.threshold_us = base_us
        self.left_out = 0
        """Calls that were not admitted."""
        self._room = float(2 * per_second)
        self._room_at_us = 0
        self._period_began_us = 0
        self._counts = [0] * _BUCKETS
        """Calls of this period, by the number of bits of their duration in µs."""
        self._traced = 0
        """Traced calls of this period."""
        self._calm = 0

    def admit(self, duration_us: int, now_us: int) -> bool:
        """Whether there is room for one more slow call."""
        if not self._per_second:
            return True
        self._counts[min(duration_us.bit_length(), _BUCKETS - 1)] += 1
        return self._take(now_us)

    def admit_traced(self, now_us: int) -> bool:
        """Whether there is room for one more traced call."""
        if not self._per_second:
            return True
        self._traced += 1
        return self._take(now_us)

    def room(self, now_us: int) -> int | None:
        """How many more calls would be admitted now; None for any number."""
        if not self._per_second:
            return None
        self._refill(now_us)
        return int(self._room)

    def _take(self, now_us: int) -> bool:
        self._refill(now_us)
        if self._room < 1:
            self.left_out += 1
            return False
        self._room -= 1
        return True

    def _refill(self, now_us: int) -> None:
        passed = now_us - self._room_at_us
        if passed > 0:
            self._room = min(self._room + passed * self._per_second / 1e6, 2.0 * self._per_second)
            self._room_at_us = now_us

    def adjust(self, now_us: int, missed: int = 0, traced_missed: int = 0) -> ThresholdChange | None:
        """What the threshold is from now on, if it changes. `missed` were slow, too, but of unknown duration;
        `traced_missed` were traced, and got no record."""
        period_us = now_us - self._period_began_us
        if not self._per_second or period_us < PERIOD_US:
            return None
        self._period_began_us = now_us
        counts, self._counts = self._counts, [0] * _BUCKETS
        in_all = self._per_second * period_us / 1e6
        traced, self._traced = self._traced + traced_missed, 0
        allowed = max(in_all - traced, in_all / 2)
        offered = sum(counts) + missed
        if offered > allowed:
            self._calm = 0
            return self._change(now_us, self._higher(counts, allowed))
        self._calm = self._calm + 1 if offered < allowed / 2 else 0
        if self._calm >= CALM_PERIODS and self.threshold_us > self._base_us:
            self._calm = 0
            lower = self.threshold_us // 2
            return self._change(now_us, max(lower, self._base_us) if lower >= _LEAST_STEP_US else self._base_us)
        return None

    def _higher(self, counts: list[int], allowed: float) -> int:
        """The least power of two that few enough calls reach; at least one step up."""
        longer = 0
        for bits in reversed(range(_BUCKETS)):
            longer += counts[bits]
            if longer > allowed:
                return max(1 << bits, self._step())
        return self._step()

    def _step(self) -> int:
        return max(self.threshold_us * 2, _LEAST_STEP_US)

    def _change(self, now_us: int, threshold_us: int) -> ThresholdChange | None:
        before = self.threshold_us
        self.threshold_us = max(min(threshold_us, HIGHEST_US), self._base_us)
        if self.threshold_us == before:
            return None
        return ThresholdChange(now_us, before, self.threshold_us)
