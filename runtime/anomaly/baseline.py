"""Learns how often each function is usually called: its mean and its busiest second, over the run's first minute.

Learned only for an app that waits at times, as a service does. One that computes at full speed from its first moment
has phases, not a usual rate: each phase would be an anomaly of the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import sub

from wasmtrace.layout import CELL_BYTES, SITE_MASK, time_us_of
from wasmtrace.runtime.anomaly.reading import TICK_US, Reading
from wasmtrace.runtime.anomaly.scan import BLOCK_CELLS, cells_of

_BLOCK_BYTES = BLOCK_CELLS * CELL_BYTES
_SLICE_US = 1_000_000
_WAITING_SHARE = 0.2
"""How much of the time an app must wait for its rates to be learned."""
_WAITS_US = 1_000
"""A host call that has been open for so long waits: a service that wakes every few milliseconds waits as well as one
that wakes once a second."""
_UNWATCHED_US = 10 * TICK_US
_LEAST_STEADY = 0.1
"""Mean over busiest second: a function called in bursts alone has no usual rate."""


class BaselineLearner:
    """Takes the readings of the learning period. Slices are a second, or a tenth of a short period."""

    def __init__(self, period_seconds: float, hosts: int) -> None:
        self._period_us = round(period_seconds * 1e6)
        self._slice_us = min(_SLICE_US, self._period_us // 10)
        self._hosts = hosts
        self._first: tuple[int, bytes] | None = None
        self._last: tuple[int, bytes] = (0, b"")
        self._peaks: dict[int, list[float]] = {}
        self._now_us = self._waiting_us = 0

    def add(self, reading: Reading) -> bool:
        """Whether the period is over."""
        if self._first is None:
            self._first = self._last = (reading.now_us, reading.calls)
            self._now_us = reading.now_us
            return False
        passed_us = reading.now_us - self._now_us
        self._now_us = reading.now_us
        # Nobody looks at an instance that is not called for a while.
        if not reading.running or passed_us > _UNWATCHED_US or _waits(reading, self._hosts):
            self._waiting_us += passed_us
        since_us = reading.now_us - self._last[0]
        if since_us >= self._slice_us:
            self._note_peaks(reading.calls, since_us)
            self._last = (reading.now_us, reading.calls)
        return reading.now_us - self._first[0] >= self._period_us

    def _note_peaks(self, calls: bytes, since_us: int) -> None:
        before = self._last[1]
        for start in range(0, len(calls), _BLOCK_BYTES):
            now, old = calls[start : start + _BLOCK_BYTES], before[start : start + _BLOCK_BYTES]
            if now != old:
                scale = 1e6 / since_us
                rates = [delta * scale for delta in map(sub, cells_of(now), cells_of(old))]
                known = self._peaks.get(start // _BLOCK_BYTES)
                self._peaks[start // _BLOCK_BYTES] = rates if known is None else list(map(max, known, rates))

    def usual(self) -> dict[int, tuple[float, float]]:
        """Calls a second, mean and peak, by index of the guest's functions that are called steadily."""
        if self._first is None or self._waiting_us < _WAITING_SHARE * (self._now_us - self._first[0]):
            return {}
        seconds = (self._last[0] - self._first[0]) / 1e6
        first, last = cells_of(self._first[1]), cells_of(self._last[1])
        found = {}
        for block, peaks in self._peaks.items():
            for lane, peak in enumerate(peaks):
                index = block * BLOCK_CELLS + lane
                if peak > 0 and index >= self._hosts:
                    mean = (last[index] - first[index]) / seconds
                    if mean >= _LEAST_STEADY * peak:
                        found[index] = (mean, peak)
        return found


def _waits(reading: Reading, hosts: int) -> bool:
    if not reading.frames:
        return False
    innermost = reading.frames[-1]
    return innermost & SITE_MASK < hosts and reading.now_us - time_us_of(innermost) >= _WAITS_US


def limits_of(usual: Mapping[int, tuple[float, float]], factor: float, least: float) -> dict[int, float]:
    """From which rate on a function runs wild: `factor` times its mean, less a fifth since rates are never exact, and
    well above its busiest second."""
    return {index: max(0.8 * factor * mean, 3 * peak, least) for index, (mean, peak) in usual.items()}
