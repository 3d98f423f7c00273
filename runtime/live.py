"""An instance that runs, seen from outside: what is open, what has ended by then, from when on a call is slow."""

from __future__ import annotations

from collections.abc import Callable

from wasmtrace.records import OpenCall
from wasmtrace.runtime import snapshot as stats
from wasmtrace.runtime.reader import Ring
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.sites import FunctionNames, SiteTable


class LiveView:
    """For whoever follows the calls of one instance. Any thread."""

    def __init__(
        self,
        memory: TelemetryMemory,
        ring: Ring,
        sites: SiteTable,
        names: Callable[[], FunctionNames],
        now_us: Callable[[], int],
    ) -> None:
        self._memory = memory
        self._ring = ring
        self._sites = sites
        self._names = names
        self._now_us = now_us

    def read(self) -> tuple[tuple[OpenCall, ...], int]:
        """The open calls, outermost first, and when that was; the sinks have since been told of every slow call that
        had returned by then."""
        at_us = self._now_us()
        frames = self._memory.frames()
        calls = stats.open_calls(self._sites, self._names(), frames, at_us)
        self._ring.drain(self._now_us())
        return calls, at_us

    @property
    def dropped(self) -> int:
        """Slow calls that the ring had no room for."""
        return self._memory.dropped

    def set_slow_threshold(self, threshold_us: int) -> None:
        self._memory.set_slow_threshold(threshold_us)

    @property
    def closed(self) -> bool:
        return self._memory.closed
