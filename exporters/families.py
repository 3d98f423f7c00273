"""The metrics: name, help, labels and scale of each, and the gauges that are computed from the runs at hand.

Keys of the tables are the names under which `totals` and `gauges` count. A test compares them with
`docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wasmtrace.exporters.series import Key
from wasmtrace.exporters.totals import label
from wasmtrace.records import MemoryStats, Outcome, Snapshot

_NS = 1_000_000_000
_FUNCTION = ("module", "function")
_IMPORT = ("module", "namespace", "function")
_MODULE = ("module",)
_MEMORY = ("module", "memory")
_UNITS = {
    "seconds": "s",
    "bytes": "By",
    "anomalies": "{anomaly}",
    "calls": "{call}",
    "errors": "{error}",
    "fuel": "{fuel}",
    "functions": "{function}",
    "grows": "{grow}",
    "pages": "{page}",
    "records": "{record}",
    "runs": "{run}",
    "ticks": "{tick}",
    "traps": "{trap}",
    "wasmtrace_fuel_consumed_total": "{fuel}",
    "wasmtrace_fuel_limit": "{fuel}",
    "wasmtrace_records_read_total": "{record}",
    "wasmtrace_runs_active": "{run}",
}
"""By the last word of a name without `_total`, or by the name."""
_ANOMALY = ("module", "kind", "function")


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A raw count is divided by `divisor` to be in the base unit."""

    name: str
    help: str
    labels: tuple[str, ...] = _MODULE
    divisor: int = 1
    only_if_seen: bool = False
    """Leave a series out while it is 0: most functions never grow a memory."""

    @property
    def unit(self) -> str:
        """In UCUM, as OTLP has it: `s`, `By`, or what is counted in braces."""
        word = self.name.removesuffix("_total").rpartition("_")[2]
        return _UNITS.get(word, _UNITS.get(self.name, ""))


COUNTERS = {
    "function_calls": Family("wasmtrace_function_calls_total", "Calls of a function.", _FUNCTION),
    "function_slow_calls": Family(
        "wasmtrace_function_slow_calls_total", "Calls that took at least the slow threshold.", _FUNCTION
    ),
    "function_slow_ns": Family(
        "wasmtrace_function_slow_seconds_total", "Time in slow calls, callees included.", _FUNCTION, _NS
    ),
    "function_self_ns": Family(
        "wasmtrace_function_self_seconds_total", "Sampled time as the innermost function.", _FUNCTION, _NS
    ),
    "function_grown_pages": Family(
        "wasmtrace_function_grown_pages_total", "Pages by which a function grew memories.", _FUNCTION, 1, True
    ),
    "function_failed_grows": Family(
        "wasmtrace_function_failed_grows_total", "Memory growth that was refused.", _FUNCTION, 1, True
    ),
    "function_fuel": Family(
        "wasmtrace_function_fuel_total",
        "Fuel consumed in a function's own body, as the engine counts it.",
        _FUNCTION,
        1,
        True,
    ),
    "host_calls": Family("wasmtrace_host_calls_total", "Calls of an imported function.", _IMPORT),
    "host_slow_calls": Family(
        "wasmtrace_host_slow_calls_total", "Host calls that took at least the slow threshold.", _IMPORT
    ),
    "host_slow_ns": Family("wasmtrace_host_slow_seconds_total", "Time in slow host calls.", _IMPORT, _NS),
    "host_self_ns": Family("wasmtrace_host_self_seconds_total", "Sampled time in a host call.", _IMPORT, _NS),
    "host_errors": Family(
        "wasmtrace_host_call_errors_total",
        "Host calls that returned an error, by WASI errno.",
        (*_IMPORT, "errno"),
        1,
        True,
    ),
    "runs": Family("wasmtrace_runs_total", "Runs that ended, by how they ended.", ("module", "outcome")),
    "traps": Family("wasmtrace_traps_total", "Runs that a trap ended, by its code.", ("module", "code")),
    "wall": Family("wasmtrace_run_wall_seconds_total", "Wall time of the guest alone.", _MODULE, _NS),
    "cpu": Family("wasmtrace_run_cpu_seconds_total", "CPU time of the guest alone.", _MODULE, _NS),
    "fuel": Family(
        "wasmtrace_fuel_consumed_total", "Fuel consumed, as the engine counts it; with a limit, that of the probes too."
    ),
    "dropped": Family(
        "wasmtrace_dropped_records_total",
        "Records lost: the ring was full, or they could not be sent.",
        ("module", "reason"),
    ),
    "records": Family("wasmtrace_records_read_total", "Records read from the ring."),
    "startup": Family(
        "wasmtrace_startup_seconds_total",
        "Time from load to the guest's first instruction, by phase.",
        ("module", "phase"),
        _NS,
    ),
    "reader_cpu": Family(
        "wasmtrace_reader_cpu_seconds_total",
        "CPU time of the threads that keep the clock and read.",
        _MODULE,
        _NS,
    ),
    "ticks": Family("wasmtrace_clock_ticks_total", "Ticks of the guest's clock."),
    "anomalies": Family(
        "wasmtrace_anomalies_total", "Anomalies that began, by kind and the function to look at first.", _ANOMALY
    ),
}

GAUGES = {
    "runs_active": Family("wasmtrace_runs_active", "Runs in progress."),
    "run_age": Family("wasmtrace_run_age_seconds", "Age of the oldest run in progress, 0 if there is none."),
    "open_call_age": Family(
        "wasmtrace_open_call_age_seconds", "Age of the oldest outermost call in progress, 0 if there is none."
    ),
    "memory": Family("wasmtrace_memory_bytes", "Present size of a linear memory, all instances.", _MEMORY),
    "memory_peak": Family("wasmtrace_memory_peak_bytes", "Most that this memory had in any run.", _MEMORY),
    "memory_limit": Family(
        "wasmtrace_memory_limit_bytes",
        "Most that this memory may have, all instances; absent if unlimited.",
        _MEMORY,
    ),
    "fuel_limit": Family("wasmtrace_fuel_limit", "Fuel that the runs at hand may consume; absent if unlimited."),
    "telemetry": Family("wasmtrace_telemetry_bytes", "Size of the telemetry memories, all instances."),
    "clock_late": Family(
        "wasmtrace_clock_late_max_seconds",
        "Longest time between two ticks of the clock in any run.",
        _MODULE,
        _NS,
    ),
    "slow_threshold": Family("wasmtrace_slow_threshold_seconds", "From how long on a call is slow."),
    "anomaly_active": Family(
        "wasmtrace_anomaly_active", "1 while such an anomaly goes on, 0 after it has ended.", _ANOMALY
    ),
    "anomaly_rate": Family(
        "wasmtrace_anomaly_rate",
        "Calls, or pages of growth, a second of an anomaly that goes on; 0 after it has ended.",
        _ANOMALY,
    ),
    "uninstrumented": Family("wasmtrace_uninstrumented_functions", "What carries no probe, or not all of them."),
}

INFOS = {
    "module": Family("wasmtrace_module", "Which module runs under this name.", ("module", "sha256", "level")),
}

Sample = tuple[str, Key, float]


def gauges(live: Sequence[Snapshot]) -> Iterator[Sample]:
    """The gauges of one module, over the runs at hand: key, label values without the module, value."""
    running = [each for each in live if each.outcome is Outcome.RUNNING]
    yield "runs_active", (), len(running)
    yield "run_age", (), max((each.wall_seconds for each in running), default=0)
    outermost = (each.open_calls[0].open_seconds for each in running if each.open_calls)
    yield "open_call_age", (), max(outermost, default=0)
    yield from _memory_gauges(live)
    limits = [each.fuel_limit for each in live]
    if limits and None not in limits:
        yield "fuel_limit", (), sum(limit for limit in limits if limit is not None)
    if live:
        yield "telemetry", (), sum(each.cost.telemetry_bytes for each in live)
        yield "slow_threshold", (), max(each.slow_threshold_seconds for each in live)
        yield "uninstrumented", (), max(len(each.uninstrumented) for each in live)


def anomaly_gauges(live: Sequence[Snapshot], keys: Sequence[Key]) -> Iterator[Sample]:
    """Whether anomalies go on and how fast, for each key that has been seen; the last is of all others."""
    rates: dict[Key, float] = {}
    for snapshot in live:
        for each in snapshot.anomalies:
            if each.ended_us is None:
                named: Key = (each.kind.value, label(each.function.name))
                key = named if named in keys else keys[-1]
                rates[key] = max(each.rate, rates.get(key, 0.0))
    for each_key in keys:
        yield "anomaly_active", each_key, int(each_key in rates)
        yield "anomaly_rate", each_key, rates.get(each_key, 0.0)


def _memory_gauges(live: Sequence[Snapshot]) -> Iterator[Sample]:
    by_index: dict[int, list[MemoryStats]] = {}
    for snapshot in live:
        for memory in snapshot.memories:
            by_index.setdefault(memory.index, []).append(memory)
    for index, memories in sorted(by_index.items()):
        yield "memory", (str(index),), sum(each.pages * each.page_bytes for each in memories)
        limits = [each.limit_pages for each in memories]
        if None not in limits:
            total = sum(each.page_bytes * (each.limit_pages or 0) for each in memories)
            yield "memory_limit", (str(index),), total
