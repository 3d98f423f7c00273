"""What an instance has used of fuel: by function as the guest counts it, or in all as the engine does.

The engine's count is asked for only where there is a limit, which is the engine's: it has the probes' own instructions
in it, and can be read only when the guest does not run.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterable

from wasmtrace.runtime import snapshot as stats
from wasmtrace.runtime.engine_call import GuestInstance
from wasmtrace.runtime.subject import Subject
from wasmtrace.runtime.telemetry import TelemetryMemory

Place = tuple[int, int]
"""Function index, and offset in its rewritten body."""


class FuelAccount:
    """Of one instance. `by_function` and `broke_off` may be called from any thread."""

    def __init__(self, subject: Subject, guest: GuestInstance, limit: int | None) -> None:
        self._subject = subject
        self._guest = guest
        self._is_limited = limit is not None
        self._lock = threading.Lock()
        self._broken_off: Counter[Place] = Counter()
        self._told = 0

    def broke_off(self, stack: Iterable[Place]) -> None:
        """Calls that stood there will never return."""
        with self._lock:
            self._broken_off.update(stack)

    def by_function(self, memory: TelemetryMemory, calls: array[int]) -> list[int] | None:
        """By funcidx; None if the guest does not count."""
        sites = self._subject.sites
        if not sites.fuel_per_call:
            return None
        with self._lock:
            broken_off = list(self._broken_off.items())
        uncounted: Counter[int] = Counter()
        for (funcidx, offset), count in broken_off:
            if offset and funcidx < sites.function_count:
                uncounted[funcidx] += count * self._subject.uncounted_fuel(funcidx, offset)
        return stats.fuel_by_function(sites, calls, memory.fuel(), uncounted)

    def total(self, by_function: list[int] | None, *, running: bool) -> int | None:
        """None if it is not counted, or not to be known while the guest runs."""
        if self._is_limited:
            return None if running else self._guest.fuel_used
        return None if by_function is None else sum(by_function)

    def now(self, memory: TelemetryMemory, *, running: bool = False) -> int | None:
        """The total, between two calls or from a host function; `running` is that another thread is in the guest."""
        return self.total(None if self._is_limited else self.by_function(memory, memory.calls()), running=running)

    def before(self, memory: TelemetryMemory, *, outermost: bool) -> int | None:
        """The total when a call begins: for one from outside, what was told at the end of the last."""
        return self._told if outermost and self._told else self.now(memory)

    def after(self, memory: TelemetryMemory, *, running: bool) -> int | None:
        """The total when a call has ended, and somebody is told."""
        now = self.now(memory, running=running)
        self._told = now or 0
        return now
