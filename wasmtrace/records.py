"""What the runtime tells the exporters: the one language between reading the telemetry memory and showing it.

Two kinds of thing. *Events* happened once: a closed union of frozen records, in the order in which they were read.
A *snapshot* is the state of one run at one moment, live or at its end; counters only grow from one snapshot to the
next. Names are as the guest gave them: hostile text. Every exporter escapes it for where it goes.

Times: `*_us` are microseconds since the run's clock began (`Snapshot.started_unix_ns` is its wall time);
`*_seconds` are durations. Pages are pages of that memory (`page_bytes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """How much is put into a module."""

    CALLS = "calls"
    TRACE = "trace"


class Outcome(Enum):
    """How a run stands or ended."""

    RUNNING = "running"
    RETURNED = "returned"
    EXITED = "exited"
    """The guest called `proc_exit`."""
    TRAPPED = "trapped"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    """A signal, or a caller who asked for it."""
    FAILED = "failed"
    """The host could not go on: an import that raised, for example."""


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function's name for people, and the bytes' own: equal unless it was demangled."""

    index: int
    name: str
    raw_name: str


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call, of a guest or host function, that took at least the threshold. Read from the ring when it returned."""

    function: FunctionName
    host: bool
    start_us: int
    end_us: int
    depth: int
    """Calls with a frame that were open around it; 0 is called from the host."""
    errno: int
    """What a host call returned: 0 for success, and for every guest function."""


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call of a function that the user asked for call by call, which was not slow. As `SlowCall`."""

    function: FunctionName
    host: bool
    start_us: int
    end_us: int
    depth: int
    errno: int


@dataclass(frozen=True, slots=True)
class MemoryGrew:
    """One `memory.grow`, done or refused."""

    function: FunctionName
    memory: int
    delta_pages: int
    failed: bool
    at_us: int


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The host began to call an export."""

    export: str
    at_us: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The host's call of an export ended; exactly one for each `CallStarted`."""

    export: str
    start_us: int
    end_us: int
    outcome: Outcome
    fuel: int | None
    open_calls: tuple[OpenCall, ...]
    """The frames that were still open: those of a trap or an exit."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """`count` records were lost since the last such record, because a ring was full."""

    count: int
    at_us: int
    guest_events: bool = False
    """Whether they were `GuestEvent`s; those that a sink could not take are counted too."""


class AnomalyKind(Enum):
    """What went wild."""

    CALL_RATE = "call_rate"
    """A watched function is called more often than its threshold."""
    NO_PROGRESS = "no_progress"
    """Host calls that fail or get nowhere, over and over."""
    BASELINE = "baseline"
    """A function runs far above the rate that is usual for it."""
    HANG = "hang"
    """The same call is open, and nothing is counted."""
    GROWTH = "growth"
    """Memory grows without end."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One cause in one run, from when it was seen until it had been gone for a window; a newer record of the same
    `number` replaces an older one. `rate` and `peak_rate` are calls, or for growth pages, a second."""

    number: int
    """Counts the anomalies of this run, from 1."""
    kind: AnomalyKind
    function: FunctionName
    """The one to look at first."""
    host: bool
    also: tuple[FunctionName, ...]
    """Others with the same cause, such as callers."""
    stack: tuple[OpenCall, ...]
    """What was open when it was seen, outermost first; the caller's stack for a host function."""
    rate: float
    peak_rate: float
    threshold: float
    started_us: int
    ended_us: int | None
    message: str
    """One sentence for people: what, how much, what to look at."""


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """One call of a function that the user asked to hear of. `arguments` are the first four that are numbers, as
    declared; integers are signed."""

    function: FunctionName
    arguments: tuple[int | float, ...]
    at_us: int
    depth: int


Event = SlowCall | TracedCall | MemoryGrew | CallStarted | CallEnded | Dropped | Anomaly | GuestEvent
EventSink = Callable[[Event], None]

EventRow = tuple[int, int, int | float, int | float, int | float, int | float]
"""A call in an `EventBlock`: key, depth, four cells."""


@dataclass(frozen=True, slots=True)
class EventSource:
    """A function each of whose calls is an event."""

    function: FunctionName
    host: bool
    kinds: str
    """A letter for each argument that is recorded: `i` i32, `l` i64, `f` f32, `d` f64."""
    left_out: int
    """Parameters that are not recorded: those of other types, and those after the fourth."""


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Many guest events at once, oldest first, for whoever writes hundreds of thousands a second."""

    rows: Sequence[EventRow]
    """Calls of the same function at the same time have the same key. Cells beyond the function's arguments hold
    anything."""
    describe: Callable[[int], tuple[EventSource, int]]
    """For a key: the function, and the time in µs since the run's clock began."""
    started_unix_ns: int

    def events(self) -> Iterator[GuestEvent]:
        """The same, one by one."""
        for key, depth, *cells in self.rows:
            source, at_us = self.describe(key)
            yield GuestEvent(source.function, tuple(cells[: len(source.kinds)]), at_us, depth)


EventBlockSink = Callable[[EventBlock], int]
"""Returns how many of the events it could not take."""


@dataclass(frozen=True, slots=True)
class OpenCall:
    """One frame of the live stack."""

    function: FunctionName
    host: bool
    start_us: int
    open_seconds: float


@dataclass(frozen=True, slots=True)
class StackEntry:
    """One frame of a trap's stack, innermost first. `offset` is in the module as it came, None if unknown."""

    function: FunctionName
    offset: int | None


@dataclass(frozen=True, slots=True)
class Trap:
    """Why the guest was stopped. `code` is one word, such as `unreachable` or `out_of_fuel`."""

    code: str
    message: str
    stack: tuple[StackEntry, ...]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """Which module ran. `size_bytes` and `sha256` are of the module as it came."""

    name: str
    sha256: str
    size_bytes: int
    instrumented_bytes: int
    level: Level
    function_count: int
    """Functions of the whole index space, imports included."""


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """A function that was called. `self_seconds` is sampled: the time in which it was the innermost frame."""

    index: int
    name: str
    raw_name: str
    calls: int
    slow_calls: int = 0
    slow_seconds: float = 0.0
    slowest_seconds: float = 0.0
    self_seconds: float = 0.0
    grown_pages: int = 0
    failed_grows: int = 0
    fuel: int | None = None
    """Instructions executed in its own body, as the engine's fuel counts them; None if nobody counts."""


@dataclass(frozen=True, slots=True)
class HostCallStats:
    """An import that was called. `errors` counts results other than success, by name (`badf`, `noent`, ...)."""

    index: int
    module: str
    name: str
    calls: int
    slow_calls: int = 0
    slow_seconds: float = 0.0
    slowest_seconds: float = 0.0
    self_seconds: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """One memory of the guest. `limit_pages` is None where nothing but the module itself limits it."""

    index: int
    pages: int
    peak_pages: int
    page_bytes: int
    limit_pages: int | None


@dataclass(frozen=True, slots=True)
class Uninstrumented:
    """What carries no probe, or not all of them, and why. `index` is None where it is about the module."""

    index: int | None
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RuntimeCost:
    """What wasmtrace itself took."""

    instrument_seconds: float
    """Rewriting, or reading the rewritten module from the cache."""
    instrument_cached: bool
    compile_seconds: float
    instantiate_seconds: float
    startup_seconds: float
    """From `load` to the guest's first instruction."""
    reader_cpu_seconds: float
    """The threads that write the clock and read the telemetry memory, during the run."""
    telemetry_bytes: int
    clock_ticks: int
    clock_late_max_seconds: float
    """The longest time between two ticks of the clock: the worst resolution of any duration."""
    records_read: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of one run. `functions` and `host_calls` hold what was called at least once, unless `top` cut it."""

    module: ModuleInfo
    outcome: Outcome
    exit_code: int | None
    trap: Trap | None
    message: str | None
    """What to say of the outcome besides the trap: which limit, how far; which signal."""
    started_unix_ns: int
    now_us: int
    wall_seconds: float
    """The guest alone, first instruction to last, or to now."""
    cpu_seconds: float
    fuel: int | None
    """None if it is not counted. With a limit, it is what the engine counts: the probes' own instructions too, and not
    known before the guest returns."""
    fuel_limit: int | None
    memories: tuple[MemoryStats, ...]
    functions: tuple[FunctionStats, ...]
    host_calls: tuple[HostCallStats, ...]
    open_calls: tuple[OpenCall, ...]
    """Outermost first."""
    dropped: int
    slow_threshold_seconds: float
    uninstrumented: tuple[Uninstrumented, ...]
    cost: RuntimeCost
    anomalies: tuple[Anomaly, ...] = ()
    """Of the whole run, oldest first; those without an end are going on. Of very many the oldest are left out."""
    anomaly_counts: Mapping[tuple[AnomalyKind, str], int] = field(default_factory=dict)
    """How many there were, those left out too, by kind and function name."""
