"""What to put into a module."""

from __future__ import annotations

from dataclasses import dataclass

from wasmtrace.errors import UsageError
from wasmtrace.layout import DEFAULT_EVENT_CAPACITY, DEFAULT_RING_CAPACITY, MAX_EVENT_CAPACITY

CALLS = "calls"
TRACE = "trace"
LEVELS = (CALLS, TRACE)


@dataclass(frozen=True, slots=True)
class Options:
    """`include` and `exclude` are globs on function names (either form); they choose what gets frames.
    `events` are globs, too: each call of those functions and imports is put into a ring of `event_capacity` records.

    `trace_functions` are globs, too: each call of those becomes a record in the ring, slow or not.

    `max_stack_bytes` is the engine's limit for the rewritten module: the shadow stack is made to outlast it.
    """

    level: str = TRACE
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    slow_threshold_us: int = 1000
    max_stack_bytes: int = 1 << 20
    ring_capacity: int = DEFAULT_RING_CAPACITY
    events: tuple[str, ...] = ()
    event_capacity: int = DEFAULT_EVENT_CAPACITY
    trace_functions: tuple[str, ...] = ()
    fuel: bool = True
    """Whether fuel is counted, by function."""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise UsageError(f"expected level calls or trace, got {self.level!r}")
        if self.trace_functions and self.level != TRACE:
            raise UsageError(f"functions can be traced at level trace only, got level {self.level}")
        capacity = self.event_capacity
        if not 0 < capacity <= MAX_EVENT_CAPACITY or capacity & (capacity - 1):
            most = f"a power of two of events, at most {MAX_EVENT_CAPACITY}"
            raise UsageError(f"expected room for {most}, got {capacity}")
        if not 0 <= self.slow_threshold_us < 1 << 40:
            raise UsageError(f"expected a slow threshold of 0 or more, got {self.slow_threshold_us} µs")
