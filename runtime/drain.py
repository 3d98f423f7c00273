"""From the bytes of the ring to plain tuples. Pure: no engine, no thread, no memory.

The guest counts records written (`head`), the host records read (`tail`); a record's slot is its number
modulo the capacity. Nothing here raises for what the bytes hold: a record that makes no sense is counted as
malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wasmtrace import layout as cells
from wasmtrace.layout import EVENT_BYTES, EVENT_STRUCT, RECORD_BYTES, RECORD_STRUCT
from wasmtrace.records import EventRow


class RawSlowCall(NamedTuple):
    """A slow call, before its function has a name."""

    funcidx: int
    start_us: int
    end_us: int
    depth: int
    result: int


class RawTracedCall(NamedTuple):
    """A call that was asked for and was not slow, before its function has a name."""

    funcidx: int
    start_us: int
    end_us: int
    depth: int
    result: int


class RawGrow(NamedTuple):
    """A `memory.grow`, before its function has a name."""

    funcidx: int
    memidx: int
    delta_pages: int
    failed: bool
    at_us: int


RawRecord = RawSlowCall | RawTracedCall | RawGrow


@dataclass(slots=True)
class Batch:
    """What one look at the ring found, in the order in which the guest wrote it."""

    records: list[RawRecord] = field(default_factory=list)
    malformed: int = 0


def pending_spans(tail: int, head: int, capacity: int, record_bytes: int = RECORD_BYTES) -> list[tuple[int, int]]:
    """The unread records as (byte offset in the ring, byte length), at most two. Empty if head makes no
    sense."""
    count = head - tail
    if not 0 < count <= capacity:
        return []
    first = tail % capacity
    until_end = min(count, capacity - first)
    spans = [(first * record_bytes, until_end * record_bytes)]
    if count > until_end:
        spans.append((0, (count - until_end) * record_bytes))
    return spans


def decode_records(data: bytes, *, function_count: int, memory_count: int) -> Batch:
    """The records in `data`, which is a whole number of them."""
    batch = Batch()
    for kind, depth, frame, end, first, second, _ in RECORD_STRUCT.iter_unpack(data):
        record: RawRecord | None = None
        if frame & cells.SITE_MASK < function_count:
            if kind == cells.KIND_SLOW_CALL:
                record = _slow_call(frame, end, depth, first)
            elif kind == cells.KIND_TRACED_CALL:
                record = _traced_call(frame, end, depth, first)
            elif kind == cells.KIND_GROW and first >> 1 < memory_count:
                record = _grow(frame, first, second)
        if record is None:
            batch.malformed += 1
        else:
            batch.records.append(record)
    return batch


def _slow_call(frame: int, end: int, depth: int, result: int) -> RawSlowCall | None:
    start_us, end_us = cells.time_us_of(frame), cells.time_us_of(end)
    if end_us < start_us:
        return None
    return RawSlowCall(cells.funcidx_of(frame), start_us, end_us, depth, result)


def _traced_call(frame: int, end: int, depth: int, result: int) -> RawTracedCall:
    """The clock may have gone back by less than a tick: the guest moves it on."""
    start_us = cells.time_us_of(frame)
    return RawTracedCall(cells.funcidx_of(frame), start_us, max(cells.time_us_of(end), start_us), depth, result)


def _grow(frame: int, memory_and_failed: int, pages: int) -> RawGrow:
    failed = bool(memory_and_failed & 1)
    return RawGrow(cells.funcidx_of(frame), memory_and_failed >> 1, pages, failed, cells.time_us_of(frame))


def event_struct(kinds: str) -> struct.Struct:
    """How a record of a function with such arguments is laid out: `EVENT_STRUCT` with its floating-point numbers."""
    cell_codes = "".join("d" if kind in "fd" else "q" for kind in kinds).ljust(len(cells.EVENT_ARGUMENT_FIELDS), "q")
    return struct.Struct(f"<QQ{cell_codes}")


def decode_events(
    data: bytes, functions: Container[int], floats: Mapping[int, struct.Struct]
) -> tuple[list[EventRow], int]:
    """The rows in `data`, which is a whole number of records of the events' ring, and how many were malformed.

    `functions` are those that may be there, `floats` the structs of those that have floating-point arguments.
    Benchmark: `benchmarks/bench_events.py`.
    """
    mask = cells.SITE_MASK
    rows: list[EventRow] = list(EVENT_STRUCT.iter_unpack(data))
    if floats:
        for number, row in enumerate(rows):
            found = floats.get(row[0] & mask)
            if found is not None:
                rows[number] = found.unpack_from(data, number * EVENT_BYTES)
    kept = [row for row in rows if row[0] & mask in functions]
    return kept, len(rows) - len(kept)
