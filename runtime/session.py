"""One instance under observation: its calls accounted for, its telemetry read, its state told as a snapshot.

Two locks. `_calls` is held while the guest runs, since a store belongs to one thread at a time; a host
function may call back in. `_state` is held for moments only and guards the accounts, so that a snapshot never
waits for the guest. Each `CallStarted` has exactly one `CallEnded`: who takes the call from `_open` tells of
its end, which is the guest's thread, or whoever abandons the guest.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from wasmtrace.layout import PAGE_BYTES, TRACED_ALL
from wasmtrace.records import (
    CallEnded,
    CallStarted,
    EventBlockSink,
    EventSink,
    OpenCall,
    Outcome,
    RuntimeCost,
    Snapshot,
    Trap,
)
from wasmtrace.runtime import snapshot as stats
from wasmtrace.runtime.account import Account
from wasmtrace.runtime.anomaly.detector import Detector
from wasmtrace.runtime.anomaly.source import SessionReadings, Watching
from wasmtrace.runtime.anomaly.watch import AnomalyWatch
from wasmtrace.runtime.clock import Clock, Face, both_clocks
from wasmtrace.runtime.ending import EXIT_CODES, State, explain, resolve_trap
from wasmtrace.runtime.engine_call import CallEnd, GuestInstance, Limits, PreparedCall
from wasmtrace.runtime.event_streams import EventHub
from wasmtrace.runtime.fuel import FuelAccount
from wasmtrace.runtime.live import LiveView
from wasmtrace.runtime.reader import Reader, Ring
from wasmtrace.runtime.subject import Subject
from wasmtrace.runtime.telemetry import TelemetryMemory


class Session:
    """Runs and observes one instance."""

    def __init__(
        self,
        subject: Subject,
        guest: GuestInstance,
        limits: Limits,
        *,
        clock: Clock,
        reader: Reader,
        sinks: Sequence[EventSink],
        event_sinks: Sequence[EventBlockSink] = (),
        lossless: bool = False,
        slow_threshold_us: int,
        watching: Watching | None = None,
    ) -> None:
        self.subject = subject
        self.guest = guest
        self._limits = limits
        self._clock = clock
        self._reader = reader
        self._sinks = sinks
        self._slow_threshold_us = slow_threshold_us
        self._traced_limit = TRACED_ALL
        self._resting: set[EventSink] = set()
        self._calls = threading.RLock()
        self._state = threading.RLock()
        self._now = State()
        self._open: list[tuple[str, int, int | None]] = []
        self._fuel = FuelAccount(subject, guest, limits.fuel)
        self._account = Account(clock.now_ns)
        self._origin_ns, self._started_unix_ns = both_clocks(clock.now_ns)
        self.events = EventHub(subject.sites, subject.names, self._started_unix_ns, event_sinks, lossless=lossless)
        self._watching = watching
        self._watch: AnomalyWatch | None = None
        self._host_calls: dict[str, int] = {}
        """How often the host has called each export."""
        self._memory: TelemetryMemory | None = None
        self._face: Face | None = None
        self._ring: Ring | None = None
        self.live: LiveView | None = None
        """For those who follow the calls; None before the instance is there."""
        self._instantiate_seconds = 0.0
        self._startup_seconds = 0.0
        self._ticks_before = clock.ticks
        self._cpu_before = self._cpu_seconds()

    def now_us(self) -> int:
        """Microseconds since the instance's clock began."""
        return (self._clock.now_ns() - self._origin_ns) // 1000

    def observe(self, sink: EventSink) -> None:
        """One more is told of the events. Before `instantiate`."""
        self._sinks = (*self._sinks, sink)

    def rest(self, sink: EventSink, resting: bool) -> None:
        """Whether `sink` wants no slow calls for now. While that holds for all, the guest counts and records none."""
        (self._resting.add if resting else self._resting.discard)(sink)
        if self._memory is not None:
            self._memory.mute_ring(self._nobody_listens)

    @property
    def _nobody_listens(self) -> bool:
        return all(sink in self._resting for sink in self._sinks)

    @property
    def started_unix_ns(self) -> int:
        """The wall time at which the instance's clock began."""
        return self._started_unix_ns

    @property
    def slow_threshold_us(self) -> int:
        return self._slow_threshold_us

    def set_slow_threshold(self, threshold_us: int) -> None:
        """From when on a call is slow, from now on. Any thread."""
        self._slow_threshold_us = threshold_us
        if self.live is not None:
            self.live.set_slow_threshold(threshold_us)

    def allow_traced(self, total: int) -> None:
        """How many records of traced calls there may be since the instance began. Any thread."""
        self._traced_limit = total
        if self.live is not None:
            self.live.allow_traced(total)

    # Running

    def instantiate(self, linker: Any) -> CallEnd:
        """Makes the instance; its start function runs here. Opens the telemetry memory if it returned."""
        began_ns = self._clock.now_ns()
        self._enter()
        if self.subject.has_start:
            self._account.begin()
        try:
            end = self.guest.instantiate(linker)
        finally:
            if self.subject.has_start:
                self._account.end()
        instantiated_ns = self._clock.now_ns()
        self._instantiate_seconds = (instantiated_ns - began_ns) / 1e9
        self._startup_seconds = (instantiated_ns - self.subject.loaded_ns) / 1e9
        if end.outcome is Outcome.RETURNED:
            self._open_telemetry()
        self._leave(end, [])
        return end

    def _open_telemetry(self) -> None:
        memory = self.guest.telemetry()
        memory.set_slow_threshold(self._slow_threshold_us)
        memory.allow_traced(self._traced_limit)
        memory.mute_ring(self._nobody_listens)
        limit = self._limits.memory_bytes
        if limit is not None:
            for index, each in enumerate(self.subject.sites.memories):
                memory.set_memory_limit(index, limit // each.page_bytes)
        self._face = Face(memory, self._origin_ns)
        self._ring = Ring(memory, self.subject.sites, self.subject.names, self._sinks, self.events)
        self._memory = memory
        self.live = LiveView(memory, self._ring, self.subject.sites, self.subject.names, self.now_us)
        self._ring.drain(self.now_us())  # what the start function did
        if self._watching is not None:
            self._watch = self._watch_for_anomalies(self._watching, memory, self._face, self._ring)

    def _watch_for_anomalies(self, watching: Watching, memory: TelemetryMemory, face: Face, ring: Ring) -> AnomalyWatch:
        subject, source = self.subject, SessionReadings(self, memory, face)
        return AnomalyWatch(
            lambda: Detector(watching.settings, subject.sites, subject.names), source, ring.emit, watching.callback
        )

    def call(self, prepared: PreparedCall) -> CallEnd:
        """Calls an export. Every way in which that ends is in the result."""
        with self._calls:
            memory, ring = self._memory, self._ring
            assert memory is not None
            assert ring is not None
            stack_pointer = memory.stack_pointer
            outermost = self._enter()
            started_us = self.now_us()
            fuel_before = self._fuel.before(memory, outermost=outermost) if ring.has_sinks else None
            self._open.append((prepared.name, started_us, fuel_before))
            self._host_calls[prepared.name] = self._host_calls.get(prepared.name, 0) + 1
            ring.emit(CallStarted(prepared.name, started_us))
            frames: list[int] = []
            try:
                if outermost:
                    self._attach()
                end = self.guest.call(prepared)
            except BaseException as error:  # no thread to be had, Ctrl-C: `Instance` and `Run` raise it again
                end = CallEnd(Outcome.FAILED, error=error)
            finally:
                if outermost:
                    self._detach()
            if end.outcome is not Outcome.RETURNED:
                frames = memory.frames()
                memory.stack_pointer = stack_pointer
                self._fuel.broke_off(end.stack)
            self._leave(end, frames)
            self._tell_end(end.outcome, frames)
            return end

    def _attach(self) -> None:
        assert self._face is not None
        assert self._ring is not None
        self._account.begin()
        self._reader.attach(self._ring, self.now_us)
        self._clock.attach(self._face)
        if self._watching is not None and self._watch is not None and not self._watch.attached:
            self._watching.watcher.attach(self._watch)

    def _detach(self) -> None:
        assert self._face is not None
        assert self._ring is not None
        self._face.stop()
        self._account.end()
        self._clock.detach(self._face)
        self._reader.detach(self._ring)
        self._ring.drain(self.now_us())

    def _enter(self) -> bool:
        """Whether this is a call from outside."""
        with self._state:
            now = self._now
            now.running += 1
            if not now.abandoned:
                now.outcome, now.exit_code, now.message = Outcome.RUNNING, None, None
                now.raw_trap = now.trap = None
                now.last_frames = []
            return now.running == 1

    def _leave(self, end: CallEnd, frames: list[int]) -> None:
        with self._state:
            now = self._now
            now.running -= 1
            if now.running or now.abandoned:
                return
            now.outcome, now.raw_trap = end.outcome, end.trap
            now.exit_code = EXIT_CODES.get(end.outcome, end.exit_code)
            now.message = explain(end, self._limits.fuel, self.guest.max_stack_bytes)
            now.last_frames, now.last_frames_us = frames, self.now_us()

    def _tell_end(self, outcome: Outcome, frames: list[int]) -> None:
        ring = self._ring
        with self._state:
            if ring is None or not self._open:
                return
            export, start_us, fuel_before = self._open.pop()
        if ring.has_sinks:
            fuel_after = None if self._memory is None else self._fuel.after(self._memory, running=self._now.abandoned)
            fuel = None if fuel_before is None or fuel_after is None else max(0, fuel_after - fuel_before)
            now_us = self.now_us()
            ring.emit(CallEnded(export, start_us, now_us, outcome, fuel, self._open_calls(frames, now_us)))

    def abandon(self, outcome: Outcome, message: str) -> Snapshot:
        """The last snapshot of a guest that nobody will wait for; it may go on running."""
        memory, ring = self._memory, self._ring
        frames = memory.frames() if memory is not None else []
        with self._state:
            now = self._now
            if now.running and not now.abandoned:
                now.abandoned, now.outcome, now.message = True, outcome, message
                now.last_frames, now.last_frames_us = frames, self.now_us()
        if ring is not None:
            ring.may_wait(False)
            ring.drain(self.now_us())
        self.events.end()
        while self._open:
            self._tell_end(outcome, frames)
        self.settle()
        return self.snapshot()

    def settle(self) -> None:
        """The run is over: the anomalies that went on have ended."""
        if self._watch is not None:
            self._watch.settle(self.now_us())

    def close(self) -> None:
        """Ends the instance; what was counted stays readable."""
        self.events.end()
        self.settle()
        with self._calls:
            if self._ring is not None:
                self._ring.close()
            self.guest.close()

    # Telling

    @property
    def anomaly_callback_errors(self) -> int:
        """How often the callback for anomalies has raised."""
        return 0 if self._watch is None else self._watch.callback_errors

    @property
    def running(self) -> bool:
        """Whether a call from outside is in progress."""
        return self._now.running > 0

    def host_calls_by_index(self) -> dict[int, int]:
        """How often the host has called each function, by function index."""
        if len(self._host_calls) == 1 and max(self._host_calls.values(), default=0) < 2:
            return {}
        indices = self.subject.export_indices()
        calls = dict(self._host_calls)
        return {indices[name]: count for name, count in calls.items() if name in indices}

    def cpu_us(self) -> int:
        return round(self._account.read()[1] * 1e6)

    def _cpu_seconds(self) -> float:
        watcher = 0.0 if self._watching is None else self._watching.watcher.cpu_seconds
        return self._clock.cpu_seconds + self._reader.cpu_seconds + watcher

    @property
    def outcome(self) -> Outcome:
        return self._now.outcome

    def trap(self) -> Trap | None:
        """The trap that ended the last call, with names and with offsets in the module as it came."""
        with self._state:
            raw = self._now.raw_trap
            if raw is not None and self._now.trap is None:
                self._now.trap = resolve_trap(self.subject, raw, self._now.last_frames)
            return self._now.trap

    def _open_calls(self, frames: Sequence[int], now_us: int) -> tuple[OpenCall, ...]:
        return stats.open_calls(self.subject.sites, self.subject.names(), frames, now_us) if frames else ()

    def snapshot(self, top: int | None = None) -> Snapshot:
        """The state now. Any thread, while the guest runs too; `top` keeps the functions that were called most."""
        sites, names = self.subject.sites, self.subject.names()
        counters = self._counters()
        wall_seconds, cpu_seconds = self._account.read()
        trap = self.trap()
        with self._state:
            state = self._now
            now_us = self.now_us()
            live = state.running and not state.abandoned and self._memory is not None
            frames, frames_us = state.last_frames, state.last_frames_us
            if live and self._memory is not None:
                frames, frames_us = self._memory.frames(), now_us
            return Snapshot(
                module=self.subject.info,
                outcome=state.outcome,
                exit_code=state.exit_code,
                trap=trap,
                message=state.message,
                started_unix_ns=self._started_unix_ns,
                now_us=now_us,
                wall_seconds=wall_seconds,
                cpu_seconds=cpu_seconds,
                fuel=self._fuel.total(counters.fuel, running=state.running > 0),
                fuel_limit=self._limits.fuel,
                memories=stats.memory_stats(sites, counters),
                functions=stats.function_stats(sites, names, counters, top),
                host_calls=stats.host_call_stats(sites, counters),
                open_calls=stats.open_calls(sites, names, frames, frames_us),
                dropped=0 if self._ring is None else self._ring.dropped,
                slow_threshold_seconds=self._slow_threshold_us / 1e6,
                uninstrumented=stats.uninstrumented(sites, names),
                cost=self._cost(),
                anomalies=() if self._watch is None else self._watch.anomalies(),
                anomaly_counts={} if self._watch is None else self._watch.counts(),
            )

    def _counters(self) -> stats.Counters:
        memory, ring, face = self._memory, self._ring, self._face
        if memory is None or ring is None or face is None:
            return stats.no_counters(self.subject.sites)
        ordinals = range(self.subject.sites.layout.errno_import_count)
        calls = memory.calls()
        return stats.Counters(
            calls,
            memory.slow_calls(),
            memory.slow_us(),
            memory.grows(),
            {ordinal: memory.errnos(ordinal) for ordinal in ordinals},
            memory.memory_pages(),
            memory.slowest_us(),
            self._fuel.by_function(memory, calls),
            dict(face.self_ns),
        )

    def _cost(self) -> RuntimeCost:
        subject, ring = self.subject, self._ring
        return RuntimeCost(
            instrument_seconds=subject.instrument_seconds,
            instrument_cached=subject.instrument_cached,
            compile_seconds=subject.compile_seconds,
            instantiate_seconds=self._instantiate_seconds,
            startup_seconds=self._startup_seconds,
            reader_cpu_seconds=self._cpu_seconds() - self._cpu_before,
            telemetry_bytes=subject.sites.layout.pages * PAGE_BYTES,
            clock_ticks=self._clock.ticks - self._ticks_before,
            clock_late_max_seconds=self._clock.late_max_ns / 1e9,
            records_read=0 if ring is None else ring.records_read,
        )
