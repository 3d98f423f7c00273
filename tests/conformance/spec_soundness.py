"""What must hold of the telemetry memory whenever no guest runs."""

from __future__ import annotations

import ctypes
import struct

from wasmtrace import layout as cells
from wasmtrace.instrument import Instrumented
from wasmtrace.layout import CELL_BYTES, CUTOFF_ALL, RECORD_BYTES, Layout
from wasmtrace.runtime.drain import RawRecord, RawSlowCall, decode_records, pending_spans
from wasmtrace.sites import SiteTable


class Unsound(AssertionError):
    """The telemetry memory holds what it must not."""


class Telemetry:
    """The telemetry memory of one instance, read by its layout alone. The store must be open."""

    def __init__(self, address: int, length: int, instrumented: Instrumented) -> None:
        self.sites: SiteTable = instrumented.sites
        self.layout: Layout = instrumented.sites.layout
        self._address = address
        if length != self.layout.pages * cells.PAGE_BYTES:
            raise Unsound(f"expected {self.layout.pages} pages of telemetry memory, got {length} bytes")
        if self.cell(cells.MAGIC_OFFSET) != cells.MAGIC:
            raise Unsound("the magic number is gone")
        self._calls = (0,) * self.layout.function_count

    def cell(self, offset: int) -> int:
        return int(ctypes.c_uint64.from_address(self._address + offset).value)

    def stack_pointer(self) -> int:
        return int(ctypes.c_uint32.from_address(self._address + cells.STACK_POINTER_OFFSET).value)

    def set_cell(self, offset: int, value: int) -> None:
        ctypes.c_uint64.from_address(self._address + offset).value = value

    def u64s(self, offset: int, count: int) -> tuple[int, ...]:
        raw = ctypes.string_at(self._address + offset, count * CELL_BYTES)
        return struct.unpack(f"<{count}Q", raw)

    def calls(self) -> tuple[int, ...]:
        return self.u64s(self.layout.calls_offset, self.layout.function_count)

    def fuel(self) -> int:
        """Of all functions together."""
        return sum(self.fuel_by_function())

    def fuel_by_function(self) -> list[int]:
        cells = self.u64s(self.layout.fuel_offset, self.layout.function_count)
        return [
            cell + calls * per_call
            for cell, calls, per_call in zip(cells, self.calls(), self.sites.fuel_per_call, strict=True)
        ]

    def slow_calls(self) -> int:
        return sum(self.u64s(self.layout.slow_calls_offset, self.layout.function_count))

    def frames(self) -> tuple[int, ...]:
        """The open frames, outermost first, by funcidx."""
        depth = (self.stack_pointer() - self.layout.stack_offset) // CELL_BYTES
        return tuple(cells.funcidx_of(each) for each in self.u64s(self.layout.stack_offset, depth))

    def reset_stack(self) -> None:
        """As the runtime does after a call that did not return."""
        self.set_cell(cells.STACK_POINTER_OFFSET, self.layout.stack_offset)

    def drain(self) -> list[RawRecord]:
        """Takes what is in the ring. Raises `Unsound` for a record that makes no sense."""
        head, tail = self.cell(cells.RING_HEAD_OFFSET), self.cell(cells.RING_TAIL_OFFSET)
        capacity = self.layout.ring_capacity
        if not 0 <= head - tail <= capacity:
            raise Unsound(f"expected a head of {tail} to {tail + capacity}, got {head}")
        data = b"".join(
            ctypes.string_at(self._address + self.layout.ring_offset + start, length)
            for start, length in pending_spans(tail, head, capacity)
        )
        batch = decode_records(
            data,
            function_count=self.layout.function_count,
            memory_count=self.layout.memory_count,
        )
        if batch.malformed or len(batch.records) * RECORD_BYTES != len(data):
            raise Unsound(f"{batch.malformed} records make no sense")
        self.set_cell(cells.RING_TAIL_OFFSET, head)
        return batch.records

    def check_between_calls(self) -> None:
        """No frame is open, counters have only grown, the ring is whole."""
        if self.stack_pointer() != self.layout.stack_offset:
            raise Unsound(f"frames of functions {self.frames()} are still open")
        calls = self.calls()
        if any(now < before for now, before in zip(calls, self._calls, strict=True)):
            raise Unsound("a counter went back")
        self._calls = calls
        records = self.drain()
        slow = sum(isinstance(each, RawSlowCall) for each in records)
        if slow and self.cell(cells.SLOW_CUTOFF_OFFSET) != CUTOFF_ALL:
            raise Unsound(f"{slow} slow calls although the clock stood still")
