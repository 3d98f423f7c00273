"""Adds up snapshots: what the runs of all instances under one module name have counted together.

Everything here is an integer (seconds as nanoseconds) and only grows, so a run that has ended is
folded in by adding it once more, to the sum that stays. Names become label values here: fit to be shown, of
bounded length, never "(other)".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from wasmtrace.exporters.series import OTHER, Counts, Key, added
from wasmtrace.exporters.text import capped, fingerprint, printable
from wasmtrace.records import AnomalyKind, FunctionStats, HostCallStats, Outcome, RuntimeCost, Snapshot

LABEL_LENGTH = 200
RING_FULL = "ring_full"
"""Why records are dropped; `exporters.otlp` has reasons of its own."""

FUNCTION_FIELDS = ("calls", "slow_calls", "slow_ns", "self_ns", "grown_pages", "failed_grows", "fuel")
HOST_FIELDS = ("calls", "slow_calls", "slow_ns", "self_ns")

SumKey = tuple[str, str]
"""Which counter, and the value of its label beside the module ("" where it has none)."""


@lru_cache(maxsize=65536)
def label(text: str) -> str:
    """A name as a label value. Different names stay different, unless one spells the other's escapes."""
    shown = capped(printable(text), LABEL_LENGTH)
    return shown + fingerprint(text) if shown == OTHER else shown


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


@dataclass(slots=True)
class Totals:
    """The sums of some runs. Functions of one name are one function here; the report tells them apart."""

    functions: dict[Key, Counts] = field(default_factory=dict)
    host_calls: dict[Key, Counts] = field(default_factory=dict)
    errors: dict[Key, Counts] = field(default_factory=dict)
    anomalies: dict[Key, Counts] = field(default_factory=dict)
    sums: dict[SumKey, int] = field(default_factory=dict)
    peaks: dict[SumKey, int] = field(default_factory=dict)
    """The highest of any run, not their sum."""

    def copy(self) -> Totals:
        return Totals(
            dict(self.functions),
            dict(self.host_calls),
            dict(self.errors),
            dict(self.anomalies),
            dict(self.sums),
            dict(self.peaks),
        )

    def add(self, snapshot: Snapshot) -> None:
        """Add one run."""
        for function in snapshot.functions:
            _add(self.functions, (label(function.name),), _function_counts(function))
        for call in snapshot.host_calls:
            self._add_host_call(call)
        for (kind, name), count in _anomaly_counts(snapshot).items():
            _add(self.anomalies, (kind.value, label(name)), (count,))
        for key, amount in _sums(snapshot):
            self.sums[key] = self.sums.get(key, 0) + amount
        for key, amount in _peaks(snapshot):
            self.peaks[key] = max(self.peaks.get(key, 0), amount)

    def _add_host_call(self, call: HostCallStats) -> None:
        key = (label(call.module), label(call.name))
        counts = (call.calls, call.slow_calls, nanoseconds(call.slow_seconds), nanoseconds(call.self_seconds))
        _add(self.host_calls, key, counts)
        for errno, count in call.errors.items():
            _add(self.errors, (*key, label(errno)), (count,))


def _add(into: dict[Key, Counts], key: Key, counts: Counts) -> None:
    old = into.get(key)
    into[key] = counts if old is None else added(old, counts)


def _anomaly_counts(snapshot: Snapshot) -> Mapping[tuple[AnomalyKind, str], int]:
    """Of the whole run; the list of a snapshot may be without its oldest."""
    if snapshot.anomaly_counts:
        return snapshot.anomaly_counts
    return Counter((each.kind, each.function.name) for each in snapshot.anomalies)


def _function_counts(function: FunctionStats) -> Counts:
    return (
        function.calls,
        function.slow_calls,
        nanoseconds(function.slow_seconds),
        nanoseconds(function.self_seconds),
        function.grown_pages,
        function.failed_grows,
        function.fuel or 0,
    )


def _sums(snapshot: Snapshot) -> Iterable[tuple[SumKey, int]]:
    cost = snapshot.cost
    yield ("wall", ""), nanoseconds(snapshot.wall_seconds)
    yield ("cpu", ""), nanoseconds(snapshot.cpu_seconds)
    yield ("dropped", RING_FULL), snapshot.dropped
    yield ("records", ""), cost.records_read
    yield ("ticks", ""), cost.clock_ticks
    yield ("reader_cpu", ""), nanoseconds(cost.reader_cpu_seconds)
    for phase, seconds in startup_phases(cost):
        yield ("startup", phase), nanoseconds(seconds)
    for outcome in Outcome:
        if outcome is not Outcome.RUNNING:
            yield ("runs", outcome.value), int(snapshot.outcome is outcome)
    if snapshot.fuel is not None:
        yield ("fuel", ""), snapshot.fuel
    if snapshot.trap is not None:
        yield ("traps", label(snapshot.trap.code)), 1


def startup_phases(cost: RuntimeCost) -> Iterable[tuple[str, float]]:
    """The parts of the start; their sum is `startup_seconds` (or more, if the parts were more)."""
    yield "instrument", cost.instrument_seconds
    yield "compile", cost.compile_seconds
    yield "instantiate", cost.instantiate_seconds
    known = cost.instrument_seconds + cost.compile_seconds + cost.instantiate_seconds
    yield "other", max(0.0, cost.startup_seconds - known)


def _peaks(snapshot: Snapshot) -> Iterable[tuple[SumKey, int]]:
    yield ("clock_late", ""), nanoseconds(snapshot.cost.clock_late_max_seconds)
    for memory in snapshot.memories:
        yield ("memory_peak", str(memory.index)), memory.peak_pages * memory.page_bytes
