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

    @property
    def traced_count(self) -> int:
        """Records of traced calls that were not slow, since the instance began."""
        return self._memory.traced_count

    @property
    def traced_left_out(self) -> int:
        """Such calls that got no record, because no more were allowed."""
        return self._memory.traced_left_out

    def allow_traced(self, total: int) -> None:
        """How many such records there may be since the instance began."""
        self._memory.allow_traced(total)

    def pages(self, memory: int) -> int:
        """Present pages of a memory."""
        return self._memory.memory_pages()[memory][0]

    def set_slow_threshold(self, threshold_us: int) -> None:
        self._memory.set_slow_threshold(threshold_us)

    @property
    def closed(self) -> bool:
        return self._memory.closed
