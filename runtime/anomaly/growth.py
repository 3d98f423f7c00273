"""The rule about memory that grows without end: a steady slope over the whole window, and no plateau.

A program that builds up its data grows too, fast at first, then less. The window is cut into twelve parts: growth is
without end if at most one part had none, the later half grew at least two thirds of what the earlier did, and at this
pace the limit is a day away or less.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from wasmtrace.layout import GrowSite
from wasmtrace.records import AnomalyKind
from wasmtrace.runtime.anomaly.reading import Finding, Reading
from wasmtrace.sites import GuestMemory

_PARTS = 12
_QUIET_PARTS = 1
_NOT_SLOWER = 2 / 3
_SOON_SECONDS = 24 * 3600
_ADDRESSABLE_BYTES = 1 << 32
"""What a memory without any limit is taken to end at."""
_NO_LIMIT = 1 << 62
_MOST_BLAMED = 5


@dataclass(frozen=True, slots=True)
class _Point:
    now_us: int
    pages: tuple[int, ...]
    grows: tuple[int, ...]


class GrowthRule:
    def __init__(self, window_seconds: float, memories: Sequence[GuestMemory], sites: Sequence[GrowSite]) -> None:
        self._step_us = round(window_seconds * 1e6) // _PARTS
        self._memories = memories
        self._sites = sites
        self._points: list[_Point] = []
        self._findings: list[Finding] = []

    def observe(self, reading: Reading) -> list[Finding]:
        points = self._points
        if not points or reading.now_us - points[-1].now_us >= self._step_us:
            pages = tuple(present for present, _ in reading.pages)
            points.append(_Point(reading.now_us, pages, tuple(grown for grown, _ in reading.grows)))
            del points[: -_PARTS - 1]
            whole = len(points) == _PARTS + 1
            found = [self._judge(each, reading) for each in range(len(self._memories))] if whole else []
            self._findings = [each for each in found if each is not None]
        return self._findings

    def _judge(self, memory: int, reading: Reading) -> Finding | None:
        sizes = [point.pages[memory] for point in self._points]
        steps = [after - before for before, after in itertools.pairwise(sizes)]
        early, late = sum(steps[: _PARTS // 2]), sum(steps[_PARTS // 2 :])
        if sum(step <= 0 for step in steps) > _QUIET_PARTS or late < _NOT_SLOWER * early:
            return None
        rate = (sizes[-1] - sizes[0]) * 1e6 / (self._points[-1].now_us - self._points[0].now_us)
        page_bytes = self._memories[memory].page_bytes
        limit = self._limit(memory, reading)
        left_seconds = (limit - sizes[-1]) / rate
        if left_seconds > _SOON_SECONDS:
            return None
        detail = (
            f"memory {memory} grows by {rate * page_bytes / 1048576:.3g} MiB a second without end; at this pace it "
            f"reaches its limit of {limit * page_bytes / 1048576:,.0f} MiB in {_duration(left_seconds)}"
        )
        return Finding(AnomalyKind.GROWTH, memory, rate, 0.0, detail, self._blamed(memory))

    def _limit(self, memory: int, reading: Reading) -> int:
        each = self._memories[memory]
        limits = [limit for limit in (reading.pages[memory][1], each.max_pages) if limit and limit < _NO_LIMIT]
        return min(limits, default=_ADDRESSABLE_BYTES // each.page_bytes)

    def _blamed(self, memory: int) -> tuple[int, ...]:
        first, last = self._points[0].grows, self._points[-1].grows
        grown: dict[int, int] = {}
        for site, before, after in zip(self._sites, first, last, strict=True):
            if site.memidx == memory and after > before:
                grown[site.funcidx] = grown.get(site.funcidx, 0) + after - before
        return tuple(sorted(grown, key=lambda each: -grown[each])[:_MOST_BLAMED])


def _duration(seconds: float) -> str:
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
