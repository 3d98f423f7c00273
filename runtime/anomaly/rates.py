"""The rules about how often functions are called: those that are watched, and those that have a usual rate."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

from wasmtrace.layout import CELL_BYTES
from wasmtrace.records import AnomalyKind
from wasmtrace.runtime.anomaly.reading import TICK_US, Finding, Reading, Series
from wasmtrace.runtime.anomaly.scan import CounterScan

MOST_TRACKED = 64
"""Functions followed at once: what runs wild together has one cause."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How often one function may be called, a second."""

    kind: AnomalyKind
    rate: float
    window_us: int
    detail: str


class RateRule:
    """Follows each function that was called often within one tick, until it has been below its limit for a window.

    Any window with too many calls holds a tick with its share of them, so nothing escapes the scan.
    """

    def __init__(self) -> None:
        self._limits: dict[int, RateLimit] = {}
        self._scan = CounterScan({})
        self._tracks: dict[int, Series] = {}
        self._last_us = 0

    @property
    def tracking(self) -> bool:
        return bool(self._tracks)

    def add(self, limits: Mapping[int, RateLimit]) -> None:
        """Judges these functions too; who has a limit keeps it."""
        self._limits = {**limits, **self._limits}
        share = 0.8 * TICK_US / 1e6
        self._scan = CounterScan({index: int(each.rate * share) for index, each in self._limits.items()})

    def judges(self, funcidx: int) -> bool:
        return funcidx in self._limits

    def observe(self, reading: Reading) -> list[Finding]:
        self._follow(reading)
        self._take_up(reading)
        self._last_us = reading.now_us
        found = []
        for index in list(self._tracks):
            limit, series = self._limits[index], self._tracks[index]
            if series.full:
                rate = series.rate()
                if rate > limit.rate:
                    found.append(Finding(limit.kind, index, rate, limit.rate, limit.detail))
                else:
                    del self._tracks[index]
        return found

    def _follow(self, reading: Reading) -> None:
        for index, series in self._tracks.items():
            series.add(reading.now_us, _cell(reading.calls, index))

    def _take_up(self, reading: Reading) -> None:
        room = MOST_TRACKED - len(self._tracks)
        found = self._scan.look(reading.calls, wanted=room > 0)
        grown = [each for each in found if each[0] not in self._tracks and each[0] in self._limits]
        for index, delta in grown if len(grown) <= room else heapq.nlargest(room, grown, key=lambda each: each[1]):
            count = _cell(reading.calls, index)
            series = Series(self._limits[index].window_us, self._last_us, count - delta)
            series.add(reading.now_us, count)
            self._tracks[index] = series


class ExportRule:
    """Exported functions that the host calls too often; `reading.exports` counts them, a handful."""

    def __init__(self, threshold: float, window_us: int) -> None:
        self._threshold = threshold
        self._window_us = window_us
        self._tracks: dict[int, Series] = {}

    def observe(self, reading: Reading) -> list[Finding]:
        found = []
        for index, count in reading.exports.items():
            series = self._tracks.get(index)
            if series is None:
                self._tracks[index] = Series(self._window_us, reading.now_us, count)
                continue
            series.add(reading.now_us, count)
            if series.full and series.rate() > self._threshold:
                found.append(
                    Finding(AnomalyKind.CALL_RATE, index, series.rate(), self._threshold, "by the host, as an export")
                )
        return found


def _cell(raw: bytes, index: int) -> int:
    return int.from_bytes(raw[index * CELL_BYTES : (index + 1) * CELL_BYTES], "little")
