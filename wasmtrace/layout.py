"""The telemetry memory: the contract between the code in the guest and the host that reads it.

The rewriter appends one linear memory of fixed size to a module. Probes store in it, the host reads it from
outside while the guest runs. No offset is spelled anywhere but here. All cells are little-endian, 8 bytes.

    header | memory cells | errno cells | calls | slow calls | slow µs | slowest µs | fuel | ring | events |
    grow cells | shadow stack

The shadow stack is last: an overflow of it traps at the end of the memory, and never spoils another area. The grow
cells stand before it because how many there are is known only when all code has been seen.

Times are microseconds since the clock's origin. A *stamp* is `time_us << SITE_BITS`; a frame on the shadow stack is
`stamp | funcidx`. The clock cell holds a stamp, so that a frame is one OR of it with a small constant.

Outer frames are older than inner ones, so the calls that are already slow are a prefix of the shadow stack. At each
tick of the clock the host writes the *cutoff*, the stamp below which a frame is slow, and the *watermark*, the end of
that prefix: a call whose frame lies below the watermark looks closer when it returns, and every other pays for one
comparison. A frame's stamp is the last tick before it, so a call of stamp `s` began before the tick after `s`: the
host takes as cutoff the last tick whose successor is a threshold ago. A call that is recorded has lasted at least the
threshold; one that lasted a tick longer is recorded for certain. A threshold of 0 records every call.

Calls of functions that the user asked for (*traced* ones) are recorded however short, as long as the host allows it:
it writes how many there may be since the instance began, the guest how many there were. Many of them begin and end
within one tick. So that their order and who called whom stay known, the guest moves the clock cell on by 1 µs with
each such record, though never past what the next tick will say.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from typing import Any

from wasmtrace.errors import InstrumentError

MAGIC = 0x0045_4341_5254_4D57
"""`WMTRACE` and a zero byte, as a little-endian u64."""

VERSION = 4
PAGE_BYTES = 65536
CELL_BYTES = 8
SITE_BITS = 20
"""A function index fits: the engine takes at most 1,000,000 functions."""
SITE_MASK = (1 << SITE_BITS) - 1
EXPORT_NAME = "wasmtrace:telemetry"

# Header cells. Those that probes use have one-byte offsets; those that the host writes have a cache line of their own.
MAGIC_OFFSET = 0
STACK_POINTER_OFFSET = 8
RING_HEAD_OFFSET = 16
RING_DROPPED_OFFSET = 24
VERSION_OFFSET = 32
FUNCTION_COUNT_OFFSET = 40
RING_CAPACITY_OFFSET = 48
STACK_BASE_OFFSET = 56
CLOCK_OFFSET = 64
SLOW_THRESHOLD_OFFSET = 72
"""In µs, for the host: the guest looks at what the host makes of it, cutoff and watermark."""
RING_TAIL_OFFSET = 80
WATERMARK_OFFSET = 88
SLOW_CUTOFF_OFFSET = 96
EVENT_TAIL_OFFSET = 104
EVENT_WAIT_OFFSET = 112
"""Not 0: a guest that finds the events' ring full waits, instead of dropping the record. The host takes it back when
nobody drains any more, and so ends every wait."""
RING_MUTED_OFFSET = 120
"""Not 0: nobody wants records, and the guest writes none. It counts slow calls all the same."""
EVENT_HEAD_OFFSET = 128
EVENT_DROPPED_OFFSET = 136
EVENT_CAPACITY_OFFSET = 144
TRACED_COUNT_OFFSET = 152
TRACED_LEFT_OUT_OFFSET = 160
"""Traced calls that the host did not allow a record, and that were not slow."""
TRACED_LIMIT_OFFSET = 168
"""Host: what `TRACED_COUNT_OFFSET` may grow to."""
TICK_OFFSET = 176
"""Host: the clock as it was at the last tick."""
HEADER_BYTES = 192

# One memory of the guest: present pages (guest writes), most pages allowed (host writes).
MEMORY_CELL_BYTES = 16
MEMORY_PAGES_FIELD = 0
MEMORY_LIMIT_FIELD = 8

# One place of growth, that is a pair (function, memory).
GROW_CELL_BYTES = 16
GROW_PAGES_FIELD = 0
GROW_FAILED_FIELD = 8

ERRNO_COUNT = 78
"""WASI preview 1 has errno 0..76; the last cell takes every other value. Cell 0 stays 0: success is not counted."""

# A ring record. The guest writes it, then a fence, then the head cell.
RECORD_BYTES = 48
RECORD_KIND_FIELD = 0
RECORD_DEPTH_FIELD = 4
RECORD_FRAME_FIELD = 8
RECORD_END_FIELD = 16
RECORD_PAYLOAD_FIELDS = (24, 32)
RECORD_STRUCT = struct.Struct("<IIQQQQQ")
"""kind, depth, frame, end stamp, two payloads, reserved."""
WATERMARK_ALL = 0x7FFF_FFFF
"""Above every frame: each call is looked at when it returns."""
CUTOFF_ALL = 0x7FFF_FFFF_FFFF_FFFF
"""Above every stamp: each call that is looked at is slow."""
KIND_SLOW_CALL = 1
"""Payload 0: the result of a host call as u64 (WASI errno), else 0."""
KIND_TRACED_CALL = 3
"""Like a slow call: one that the user asked for, and that was not slow."""
TRACED_ALL = 0x7FFF_FFFF_FFFF_FFFF
"""No limit."""
MOST_AHEAD_US = 900
"""How far the guest may move the clock on from the last tick."""
KIND_GROW = 2
"""Frame: stamp of now | funcidx. Payload 0: memidx << 1 | failed. Payload 1: pages asked for."""

EVENT_BYTES = 48
EVENT_FRAME_FIELD = 0
EVENT_DEPTH_FIELD = 8
EVENT_ARGUMENT_FIELDS = (16, 24, 32, 40)
EVENT_STRUCT = struct.Struct("<QQqqqq")
"""Stamp of now | funcidx, depth, arguments. An i32 argument is sign-extended, an f32 is promoted to an f64; cells
beyond the function's arguments hold anything."""

DEFAULT_RING_CAPACITY = 16384
DEFAULT_EVENT_CAPACITY = 1 << 17
MAX_EVENT_CAPACITY = 1 << 24
BYTES_PER_ENGINE_FRAME = 16
"""The least that one wasm call takes of the engine's stack: a return address and a saved frame pointer."""


@dataclass(frozen=True, slots=True)
class GrowSite:
    """One cell pair of the grow area: `memory.grow memidx` in function `funcidx`."""

    funcidx: int
    memidx: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each area of one module's telemetry memory begins, in bytes, and how long it is."""

    function_count: int
    memory_count: int
    grow_site_count: int
    errno_import_count: int
    ring_capacity: int
    max_stack_bytes: int
    event_capacity: int = 0
    """Records of the events' ring; 0 where no function is an event."""

    def __post_init__(self) -> None:
        if self.ring_capacity < 1 or self.ring_capacity & (self.ring_capacity - 1):
            raise InstrumentError(f"ring capacity must be a power of two, got {self.ring_capacity}")
        if self.event_capacity < 0 or self.event_capacity & (self.event_capacity - 1):
            raise InstrumentError(f"event capacity must be 0 or a power of two, got {self.event_capacity}")
        if self.function_count > SITE_MASK:
            raise InstrumentError(f"at most {SITE_MASK} functions, got {self.function_count}")

    @property
    def memories_offset(self) -> int:
        return HEADER_BYTES

    @property
    def errno_offset(self) -> int:
        return self.memories_offset + self.memory_count * MEMORY_CELL_BYTES

    @property
    def calls_offset(self) -> int:
        return self.errno_offset + self.errno_import_count * ERRNO_COUNT * CELL_BYTES

    @property
    def slow_calls_offset(self) -> int:
        return self.calls_offset + self.function_count * CELL_BYTES

    @property
    def slow_us_offset(self) -> int:
        return self.slow_calls_offset + self.function_count * CELL_BYTES

    @property
    def slowest_us_offset(self) -> int:
        return self.slow_us_offset + self.function_count * CELL_BYTES

    @property
    def fuel_offset(self) -> int:
        return self.slowest_us_offset + self.function_count * CELL_BYTES

    @property
    def ring_offset(self) -> int:
        return self.fuel_offset + self.function_count * CELL_BYTES

    @property
    def events_offset(self) -> int:
        return self.ring_offset + self.ring_capacity * RECORD_BYTES

    @property
    def grow_offset(self) -> int:
        return self.events_offset + self.event_capacity * EVENT_BYTES

    @property
    def stack_offset(self) -> int:
        return self.grow_offset + self.grow_site_count * GROW_CELL_BYTES

    @property
    def stack_bytes(self) -> int:
        return self.max_stack_bytes // BYTES_PER_ENGINE_FRAME * CELL_BYTES

    @property
    def pages(self) -> int:
        return -(-(self.stack_offset + self.stack_bytes) // PAGE_BYTES)

    def memory_cell(self, memidx: int) -> int:
        return self.memories_offset + memidx * MEMORY_CELL_BYTES

    def calls_cell(self, funcidx: int) -> int:
        return self.calls_offset + funcidx * CELL_BYTES

    def grow_cell(self, site: int) -> int:
        return self.grow_offset + site * GROW_CELL_BYTES

    def errno_cells(self, ordinal: int) -> int:
        """Offset of the errno cells of the `ordinal`-th import that returns a WASI errno."""
        return self.errno_offset + ordinal * ERRNO_COUNT * CELL_BYTES

    def initial_bytes(self, memory_pages: tuple[int, ...], slow_threshold_us: int) -> bytes:
        """The header and memory cells as the guest finds them at its first instruction."""
        image = bytearray(self.errno_offset)

        def put(offset: int, value: int) -> None:
            image[offset : offset + CELL_BYTES] = struct.pack("<Q", value & 0xFFFF_FFFF_FFFF_FFFF)

        put(MAGIC_OFFSET, MAGIC)
        put(VERSION_OFFSET, VERSION)
        put(FUNCTION_COUNT_OFFSET, self.function_count)
        put(RING_CAPACITY_OFFSET, self.ring_capacity)
        put(EVENT_CAPACITY_OFFSET, self.event_capacity)
        put(TRACED_LIMIT_OFFSET, self.ring_capacity)
        put(SLOW_THRESHOLD_OFFSET, slow_threshold_us)
        put(SLOW_CUTOFF_OFFSET, 0 if slow_threshold_us else CUTOFF_ALL)
        put(STACK_BASE_OFFSET, self.stack_offset)
        put(STACK_POINTER_OFFSET, self.stack_offset)
        put(WATERMARK_OFFSET, 0 if slow_threshold_us else WATERMARK_ALL)
        for memidx, pages in enumerate(memory_pages):
            put(self.memory_cell(memidx) + MEMORY_PAGES_FIELD, pages)
            put(self.memory_cell(memidx) + MEMORY_LIMIT_FIELD, 0x7FFF_FFFF_FFFF_FFFF)
        return bytes(image)

    def as_json(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Layout:
        return cls(**{name: int(value[name]) for name in cls.__slots__})


def stamp(time_us: int) -> int:
    """The clock cell's value for a time."""
    return time_us << SITE_BITS


def time_us_of(frame_or_stamp: int) -> int:
    return frame_or_stamp >> SITE_BITS


def funcidx_of(frame: int) -> int:
    return frame & SITE_MASK
