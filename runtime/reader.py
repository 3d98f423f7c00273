"""The thread that empties the rings while the guests run, and what becomes of the records.

A sink that raises is dropped and counted: it never reaches the guest. Events of one instance come in the
order in which they were read, from one thread at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from wasmtrace.layout import RECORD_BYTES
from wasmtrace.records import Dropped, Event, EventBlock, EventSink, MemoryGrew, SlowCall, TracedCall
from wasmtrace.runtime.drain import Batch, RawGrow, RawRecord, RawSlowCall, decode_records, pending_spans
from wasmtrace.runtime.event_ring import PASS_RECORDS, EventRing
from wasmtrace.runtime.event_streams import EventHub
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.runtime.threads import start_daemon
from wasmtrace.sites import FunctionNames, SiteTable

DRAIN_SECONDS = 0.02


class Ring:
    """One instance's ring: takes the records out, tells the sinks.

    `names` is asked for only if there are sinks: reading the names of a large module takes a while.
    """

    def __init__(
        self,
        memory: TelemetryMemory,
        sites: SiteTable,
        names: Callable[[], FunctionNames],
        sinks: Sequence[EventSink],
        hub: EventHub | None = None,
    ) -> None:
        self._memory = memory
        self._sites = sites
        self._names = names
        self._sinks = list(sinks)
        # Re-entrant: a sink may call an instance, whose own events then come in between.
        self._lock = threading.RLock()
        self._tail = memory.ring_tail
        hub = EventHub(sites, names, 0) if hub is None else hub
        if self._sinks:
            hub.add_sink(self._emit_block)
        self._events = EventRing(memory, hub, self.emit)
        self._dropped = 0
        self._records_read = 0
        self.malformed = 0
        self.sink_errors: list[str] = []
        """One line for each sink that raised and was dropped."""

    def drain(self, now_us: int, event_limit: int | None = None) -> bool:
        """Takes out what the guest has written up to now, of its events at most `event_limit`. Whether to
        do so again at once.

        Any thread; never raises for what the guest wrote.
        """
        with self._lock:
            if self._memory.closed:
                return False
            head = self._memory.ring_head
            if head != self._tail:
                batch = self._read(head)
                self._memory.ring_tail = self._tail = head
                self._take(batch)
            self._note_dropped(now_us)
            return self._events.drain(now_us, event_limit)

    def may_wait(self, allowed: bool) -> None:
        """Whether the guest may wait for its events' ring to be drained, if that was asked for."""
        self._events.may_wait(allowed)

    def _emit_block(self, block: EventBlock) -> int:
        for event in block.events():
            self.emit(event)
        return 0

    @property
    def records_read(self) -> int:
        """Of both rings."""
        return self._records_read + self._events.records_read

    @property
    def dropped(self) -> int:
        """Records of both rings that were lost since the instance began."""
        return self._memory.dropped + self._events.dropped

    def _read(self, head: int) -> Batch:
        capacity = self._sites.layout.ring_capacity
        spans = pending_spans(self._tail, head, capacity)
        if not spans:
            return Batch(malformed=1)
        ring = self._sites.layout.ring_offset
        data = b"".join(self._memory.read_exact(ring + offset, length) for offset, length in spans)
        self._records_read += len(data) // RECORD_BYTES
        return decode_records(data, function_count=self._sites.function_count, memory_count=len(self._sites.memories))

    def _take(self, batch: Batch) -> None:
        self.malformed += batch.malformed
        for record in batch.records if self._sinks else ():
            self.emit(self._event(record))

    def _event(self, record: RawRecord) -> Event:
        name = self._names()[record.funcidx]
        if isinstance(record, RawGrow):
            return MemoryGrew(name, record.memidx, record.delta_pages, record.failed, record.at_us)
        hosts = self._sites.host_functions
        host = record.funcidx < len(hosts)
        errno = record.result if host and hosts[record.funcidx].errno_ordinal is not None else 0
        kind = SlowCall if isinstance(record, RawSlowCall) else TracedCall
        return kind(name, host, record.start_us, record.end_us, record.depth, errno)

    def _note_dropped(self, now_us: int) -> None:
        lost = self._memory.dropped - self._dropped
        if lost > 0:
            self._dropped += lost
            self.emit(Dropped(lost, now_us))

    def emit(self, event: Event) -> None:
        """Gives one event to each sink."""
        with self._lock:
            for sink in tuple(self._sinks):
                try:
                    sink(event)
                except Exception as error:
                    self._sinks.remove(sink)
                    self.sink_errors.append(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Closes the telemetry memory, not in the middle of a drain."""
        with self._lock:
            self._memory.close()

    @property
    def has_sinks(self) -> bool:
        return bool(self._sinks)


class Reader:
    """Drains attached rings every 20 ms from one daemon thread; naps while there are none."""

    def __init__(self, interval_seconds: float = DRAIN_SECONDS) -> None:
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._rings: dict[int, tuple[Ring, Callable[[], int]]] = {}
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.cpu_seconds = 0.0

    def attach(self, ring: Ring, now_us: Callable[[], int]) -> None:
        with self._lock:
            self._rings[id(ring)] = (ring, now_us)
            ring.may_wait(not self._ended.is_set())
            if self._thread is None and not self._ended.is_set():
                self._thread = start_daemon(self._run, "wasmtrace-reader")
        self._wake.set()

    def detach(self, ring: Ring) -> None:
        """The ring may still be in the middle of a drain; drain it once more after this for the rest."""
        with self._lock:
            self._rings.pop(id(ring), None)
        ring.may_wait(False)

    def close(self) -> None:
        """Ends the thread."""
        with self._lock:
            self._ended.set()
            for ring, _ in self._rings.values():
                ring.may_wait(False)
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        behind = False
        while not self._ended.wait(0 if behind else self._interval):
            behind = False
            with self._lock:
                rings = list(self._rings.values())
                if not rings:
                    self._wake.clear()
            for ring, now_us in rings:
                behind = ring.drain(now_us(), PASS_RECORDS) or behind
            self.cpu_seconds = time.thread_time()
            # `close` sets `_ended` first: whoever has cleared its wake sees that.
            if not rings and not self._ended.is_set():
                self._wake.wait()
