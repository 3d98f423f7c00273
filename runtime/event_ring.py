"""Empties the events' ring of one instance. Bulk all the way: no event is looked at by itself here."""

from __future__ import annotations

from collections.abc import Callable

from wasmtrace.layout import EVENT_BYTES
from wasmtrace.records import Dropped, Event
from wasmtrace.runtime.drain import pending_spans
from wasmtrace.runtime.event_streams import EventHub
from wasmtrace.runtime.telemetry import TelemetryMemory

BLOCK_RECORDS = 1024
"""Formatting a block is one call in C, which keeps the clock's thread waiting: less than a tick."""
PASS_RECORDS = 16 * BLOCK_RECORDS
"""What the reading thread takes at once before it looks at the other rings."""


class EventRing:
    """Takes the records out and gives them to the hub; tells `emit` how many were lost. Not for two threads at once."""

    def __init__(self, memory: TelemetryMemory, hub: EventHub, emit: Callable[[Event], None]) -> None:
        self._memory = memory
        self._hub = hub
        self._emit = emit
        self._capacity = memory.layout.event_capacity
        self._tail = memory.event_tail
        self._asked = False
        self._told = 0
        self.records_read = 0
        self.malformed = 0

    def may_wait(self, allowed: bool) -> None:
        """Whether the guest may wait for the ring to be drained: not if nobody drains it. Any thread."""
        if self._capacity:
            self._asked = allowed and self._hub.lossless
            self._memory.ask_to_wait(self._asked)

    def drain(self, now_us: int, limit: int | None = None) -> bool:
        """Takes out what is there now, or `limit` records of it. Whether to look again at once: more are there, or
        the guest may wait for room already."""
        if not self._capacity:
            return False
        head = self._memory.event_head
        if not 0 <= head - self._tail <= self._capacity:
            self.malformed += 1
            self._memory.event_tail = self._tail = head
        urgent = self._asked and head - self._tail > self._capacity // 2
        end = head if limit is None else min(head, self._tail + limit)
        while self._tail < end and not (self._asked and self._hub.held_up):
            self._hub.deliver(self._take(min(BLOCK_RECORDS, end - self._tail)))
        self._note_dropped(now_us)
        return self._tail == end and (end < head or urgent)

    def _take(self, count: int) -> bytes:
        spans = pending_spans(self._tail, self._tail + count, self._capacity, EVENT_BYTES)
        ring = self._memory.layout.events_offset
        data = b"".join(self._memory.read_exact(ring + offset, length) for offset, length in spans)
        self._tail += count
        self._memory.event_tail = self._tail  # the guest goes on while the block is written
        self.records_read += count
        return data

    @property
    def dropped(self) -> int:
        """Events for which the ring, or a sink, had no room."""
        return self._memory.events_dropped + self._hub.lost

    def _note_dropped(self, now_us: int) -> None:
        lost = self.dropped - self._told
        if lost > 0:
            self._told += lost
            self._emit(Dropped(lost, now_us, guest_events=True))
