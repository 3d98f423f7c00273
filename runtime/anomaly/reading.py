"""What the rules see and say: one reading of the counters, and a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wasmtrace.records import AnomalyKind

TICK_US = 100_000
"""How far apart readings are meant to be."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters of one instance at one moment. Numbers only grow, unless the telemetry memory is spoiled."""

    now_us: int
    calls: bytes
    """One little-endian u64 a function, imports first."""
    errnos: bytes = b""
    """`ERRNO_COUNT` little-endian u64 for each import that returns an errno."""
    grows: Sequence[tuple[int, int]] = ()
    """Pages grown and growth refused, by grow site."""
    pages: Sequence[tuple[int, int]] = ()
    """Present and most pages, by memory."""
    frames: Sequence[int] = ()
    """The open frames, outermost first; empty at level `calls`."""
    running: bool = True
    """Whether a call of the host is in progress."""
    self_ns: Mapping[int, int] = field(default_factory=dict)
    """Time as the innermost function, sampled; by function index."""
    exports: Mapping[int, int] = field(default_factory=dict)
    """How often the host has called a function, by function index."""
    cpu_us: int = 0
    """Of the guest."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule finds wrong at one moment."""

    kind: AnomalyKind
    member: int
    """What it is about: a function's index, or for growth a memory's. One anomaly may have several."""
    rate: float
    threshold: float
    detail: str
    """What to say after function and rate: how the calls fail, what is usual, when the limit is reached."""
    blamed: tuple[int, ...] = ()
    """Functions that did it, worst first; for rules whose member is no function."""


class Series:
    """A count over the last window: times and values, oldest first."""

    __slots__ = ("_points", "_window_us")

    def __init__(self, window_us: int, now_us: int, count: int) -> None:
        self._window_us = window_us
        self._points = [(now_us, count)]

    def add(self, now_us: int, count: int) -> None:
        """Later than all before. Keeps the newest point that is a window old, drops those before it."""
        points = self._points
        points.append((now_us, count))
        old = now_us - self._window_us + TICK_US // 20
        while len(points) > 2 and points[1][0] <= old:
            del points[0]

    @property
    def full(self) -> bool:
        """Whether it covers a window, give or take the lateness of a reading."""
        return self._points[-1][0] - self._points[0][0] >= self._window_us - TICK_US // 20

    def rate(self) -> float:
        """A second, over the window."""
        (start_us, first), (end_us, last) = self._points[0], self._points[-1]
        return (last - first) * 1e6 / (end_us - start_us) if end_us > start_us else 0.0

    def delta(self) -> int:
        return self._points[-1][1] - self._points[0][1]

    def share_above(self, rate: float) -> float:
        """How much of the time between readings the rate was above that."""
        above = total = 0
        for (start_us, first), (end_us, last) in zip(self._points, self._points[1:], strict=False):
            total += end_us - start_us
            if (last - first) * 1e6 > rate * (end_us - start_us):
                above += end_us - start_us
        return above / total if total else 0.0
