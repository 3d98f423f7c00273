"""The telemetry memory of one live instance, read and written from any thread. All raw memory access is here.

Three rules make a late read an error instead of a segmentation fault:

- every access goes through bounds that were checked against the layout, under one lock;
- the object keeps the owner of the memory (the store) alive until `close`;
- `close` first copies everything but the ring and the shadow stack, so that later reads give the last values.

The guest may write at the same time. A cell is read whole (8 aligned bytes), two cells need not belong
together. What is read is not trusted: sizes and indices are clamped here or by who interprets them.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from array import array
from collections import deque

from wasmtrace import layout as cells
from wasmtrace.errors import GuestError
from wasmtrace.layout import CELL_BYTES, Layout

_U64 = (1 << 64) - 1
_TICKS_KEPT = 1024
_MILESTONES_KEPT = 512
_MILESTONE_US = 16_000
_AHEAD = cells.stamp(cells.MOST_AHEAD_US + 1)
OUTERMOST_FRAMES_KEPT = 128
INNERMOST_FRAMES_KEPT = 896
"""A stack deeper than both together is read without its middle: a runaway recursion has 100,000 equal
frames."""


class _Image:
    """What a closed telemetry memory still knows: the areas before the ring, and the grow cells."""

    def __init__(self, counters: bytes, grows: bytes, grow_offset: int) -> None:
        self._areas = ((0, counters), (grow_offset, grows))

    def read(self, offset: int, length: int) -> bytes:
        for start, area in self._areas:
            if start <= offset and offset + length <= start + len(area):
                return area[offset - start : offset - start + length]
        raise GuestError("telemetry memory: the instance is closed")


class TelemetryMemory:
    """Reads and writes one telemetry memory at `address`; `owner` is kept alive as long as it is open.

    Raises `GuestError` if the header is not that of `layout`.
    """

    def __init__(self, address: int, length: int, layout: Layout, owner: object) -> None:
        if length != layout.pages * cells.PAGE_BYTES:
            raise GuestError(f"expected {layout.pages} pages of telemetry memory, got {length} bytes")
        self.layout = layout
        self._lock = threading.Lock()
        self._owner: object = owner
        self._address = address
        self._length = length
        self._image: _Image | None = None
        self._clock = ctypes.c_uint64.from_address(address + cells.CLOCK_OFFSET)
        self._tick = ctypes.c_uint64.from_address(address + cells.TICK_OFFSET)
        self._watermark = ctypes.c_uint64.from_address(address + cells.WATERMARK_OFFSET)
        self._slow_cutoff = ctypes.c_uint64.from_address(address + cells.SLOW_CUTOFF_OFFSET)
        self._stack_pointer = ctypes.c_uint64.from_address(address + cells.STACK_POINTER_OFFSET)
        self._stack_base = layout.stack_offset
        self._most_frames = layout.stack_bytes // CELL_BYTES
        self._stack = (ctypes.c_uint64 * self._most_frames).from_address(address + layout.stack_offset)
        self._slow_us = 0
        self._ticks: deque[int] = deque()
        """Ticks less than a threshold ago, in µs; the latest that is longer ago is `_cutoff_us`."""
        self._cutoff_us = 0
        self._milestones: deque[int] = deque(maxlen=_MILESTONES_KEPT)
        """Ticks now and then: where a cutoff begins whose threshold is new."""
        self._check_header()
        self._slow_us = self.read_cell(cells.SLOW_THRESHOLD_OFFSET)

    def _check_header(self) -> None:
        expected = {
            "magic number": (cells.MAGIC_OFFSET, cells.MAGIC),
            "layout version": (cells.VERSION_OFFSET, cells.VERSION),
            "function count": (cells.FUNCTION_COUNT_OFFSET, self.layout.function_count),
            "ring capacity": (cells.RING_CAPACITY_OFFSET, self.layout.ring_capacity),
            "event capacity": (cells.EVENT_CAPACITY_OFFSET, self.layout.event_capacity),
        }
        for what, (offset, value) in expected.items():
            found = self.read_cell(offset)
            if found != value:
                raise GuestError(f"telemetry memory: expected {what} {value:#x}, got {found:#x}")

    @property
    def slow_threshold_us(self) -> int:
        return self._slow_us

    @property
    def closed(self) -> bool:
        return self._image is not None

    def close(self) -> None:
        """Lets go of the memory; later reads give the values of this moment, later writes do nothing."""
        with self._lock:
            if self._image is None:
                counters = ctypes.string_at(self._address, self.layout.ring_offset)
                grow_bytes = self.layout.stack_offset - self.layout.grow_offset
                grows = ctypes.string_at(self._address + self.layout.grow_offset, grow_bytes)
                self._image = _Image(counters, grows, self.layout.grow_offset)
                self._clock = self._tick = self._watermark = self._slow_cutoff = ctypes.c_uint64()
                self._stack_pointer = ctypes.c_uint64(self.layout.stack_offset)
                self._stack = (ctypes.c_uint64 * 0)()
                self._owner = None

    def read_exact(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, never fewer. Raises `GuestError` beyond the end, or for what close
        dropped."""
        with self._lock:
            if offset < 0 or length < 0 or offset + length > self._length:
                raise GuestError(f"telemetry memory: read of {length} bytes at {offset:#x} is out of bounds")
            if self._image is None:
                return ctypes.string_at(self._address + offset, length)
            return self._image.read(offset, length)

    def read_cell(self, offset: int) -> int:
        return int.from_bytes(self.read_exact(offset, CELL_BYTES), "little")

    def write_cell(self, offset: int, value: int) -> None:
        """Stores `value` modulo 2**64; does nothing once closed."""
        with self._lock:
            if offset < 0 or offset % CELL_BYTES or offset + CELL_BYTES > self._length:
                raise GuestError(f"telemetry memory: write at {offset:#x} is out of bounds")
            if self._image is None:
                ctypes.c_uint64.from_address(self._address + offset).value = value & _U64

    def _cells(self, offset: int, count: int) -> array[int]:
        values = array("Q", self.read_exact(offset, count * CELL_BYTES))
        if sys.byteorder == "big":
            values.byteswap()
        return values

    # Counters

    def calls(self) -> array[int]:
        """How often each function was called, by function index."""
        return self._cells(self.layout.calls_offset, self.layout.function_count)

    def slow_calls(self) -> array[int]:
        return self._cells(self.layout.slow_calls_offset, self.layout.function_count)

    def slow_us(self) -> array[int]:
        return self._cells(self.layout.slow_us_offset, self.layout.function_count)

    def slowest_us(self) -> array[int]:
        """How long the longest slow call of each function took."""
        return self._cells(self.layout.slowest_us_offset, self.layout.function_count)

    def fuel(self) -> array[int]:
        """What the guest has counted, by function index, besides what each call costs at least."""
        return self._cells(self.layout.fuel_offset, self.layout.function_count)

    def grows(self) -> list[tuple[int, int]]:
        """Pages grown and grows refused, by grow site."""
        flat = self._cells(self.layout.grow_offset, self.layout.grow_site_count * 2)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def errnos(self, ordinal: int) -> array[int]:
        """How often each errno was returned by the `ordinal`-th import that returns one."""
        if not 0 <= ordinal < self.layout.errno_import_count:
            raise GuestError(f"telemetry memory: no errno cells with ordinal {ordinal}")
        return self._cells(self.layout.errno_cells(ordinal), cells.ERRNO_COUNT)

    def memory_pages(self) -> list[tuple[int, int]]:
        """Present pages and most pages allowed, by memory."""
        flat = self._cells(self.layout.memories_offset, self.layout.memory_count * 2)
        return list(zip(flat[::2], flat[1::2], strict=True))

    @property
    def dropped(self) -> int:
        return self.read_cell(cells.RING_DROPPED_OFFSET)

    # The ring

    def mute_ring(self, muted: bool) -> None:
        """Whether the guest keeps records of slow calls and growth to itself, since nobody wants them."""
        self.write_cell(cells.RING_MUTED_OFFSET, int(muted))

    @property
    def traced_count(self) -> int:
        """Records of traced calls that were not slow, since the instance began."""
        return self.read_cell(cells.TRACED_COUNT_OFFSET)

    @property
    def traced_left_out(self) -> int:
        return self.read_cell(cells.TRACED_LEFT_OUT_OFFSET)

    def allow_traced(self, total: int) -> None:
        """How many such records there may be since the instance began."""
        self.write_cell(cells.TRACED_LIMIT_OFFSET, total)

    @property
    def ring_head(self) -> int:
        """How many records the guest has written since it began."""
        return self.read_cell(cells.RING_HEAD_OFFSET)

    @property
    def ring_tail(self) -> int:
        return self.read_cell(cells.RING_TAIL_OFFSET)

    @ring_tail.setter
    def ring_tail(self, count: int) -> None:
        self.write_cell(cells.RING_TAIL_OFFSET, count)

    # The events' ring

    @property
    def event_head(self) -> int:
        """How many events the guest has written since it began."""
        return self.read_cell(cells.EVENT_HEAD_OFFSET)

    @property
    def event_tail(self) -> int:
        return self.read_cell(cells.EVENT_TAIL_OFFSET)

    @event_tail.setter
    def event_tail(self, count: int) -> None:
        self.write_cell(cells.EVENT_TAIL_OFFSET, count)

    @property
    def events_dropped(self) -> int:
        return self.read_cell(cells.EVENT_DROPPED_OFFSET)

    def ask_to_wait(self, asked: bool) -> None:
        """Whether a guest that finds the ring full waits. Any thread; ends a wait at once."""
        self.write_cell(cells.EVENT_WAIT_OFFSET, int(asked))

    # The shadow stack

    @property
    def stack_pointer(self) -> int:
        """Where the next frame goes, clamped to the stack's area."""
        with self._lock:
            return self._stack_base + self._depth() * CELL_BYTES

    @stack_pointer.setter
    def stack_pointer(self, offset: int) -> None:
        self.write_cell(cells.STACK_POINTER_OFFSET, offset)

    def _depth(self) -> int:
        """How many frames are open, clamped to the stack's area."""
        depth: int = (self._stack_pointer.value - self._stack_base) // CELL_BYTES
        if 0 <= depth <= self._most_frames:
            return depth
        return 0 if depth < 0 else self._most_frames

    def frames(self) -> list[int]:
        """The open frames, outermost first; of a very deep stack the middle is left out."""
        with self._lock:
            if self._image is not None:
                return []
            base, depth = self._stack_base, self._depth()
            top = base + depth * CELL_BYTES
            if depth <= OUTERMOST_FRAMES_KEPT + INNERMOST_FRAMES_KEPT:
                raw = ctypes.string_at(self._address + base, depth * CELL_BYTES)
            else:
                outer = ctypes.string_at(self._address + base, OUTERMOST_FRAMES_KEPT * CELL_BYTES)
                inner_bytes = INNERMOST_FRAMES_KEPT * CELL_BYTES
                raw = outer + ctypes.string_at(self._address + top - inner_bytes, inner_bytes)
        values = array("Q", raw)
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()

    # What the host writes

    def tick(self, time_us: int) -> int:
        """Sets clock, cutoff and watermark; returns the function index of the innermost open frame, or -1."""
        with self._lock:
            # The clock first: whoever is found slow by the new cutoff must be seen to have lasted so long.
            now = time_us << cells.SITE_BITS
            self._tick.value = now
            # The guest may have moved it on, by less than a tick: it never goes back.
            shown = self._clock.value
            self._clock.value = shown if now < shown < now + _AHEAD else now
            depth = self._depth()
            if not self._milestones or time_us - self._milestones[-1] >= _MILESTONE_US:
                self._milestones.append(time_us)
            if self._slow_us:
                cutoff = self._cutoff_at(time_us) << cells.SITE_BITS
                self._slow_cutoff.value = cutoff
                self._watermark.value = self._stack_base + self._first_young(depth, cutoff) * CELL_BYTES
            return self._stack[depth - 1] & cells.SITE_MASK if depth else -1

    def _cutoff_at(self, time_us: int) -> int:
        """The last tick that is a threshold ago: a frame of an earlier tick was pushed before it, and so is slow.

        Of a long threshold not every tick is remembered; the one given is then a little too early, never too late.
        """
        ticks = self._ticks
        if not ticks or time_us - ticks[-1] >= self._slow_us // _TICKS_KEPT:
            ticks.append(time_us)
        slow_since = time_us - self._slow_us
        while ticks and ticks[0] <= slow_since:
            self._cutoff_us = ticks.popleft()
        return self._cutoff_us

    def _first_young(self, depth: int, cutoff: int) -> int:
        """How many frames are below the cutoff. Outer ones are older: a binary search, unless all of them are."""
        stack = self._stack
        if not depth or stack[depth - 1] < cutoff:
            return depth
        low, high = 0, depth - 1
        while low < high:
            middle = (low + high) // 2
            if stack[middle] < cutoff:
                low = middle + 1
            else:
                high = middle
        return low

    def set_slow_threshold(self, slow_threshold_us: int) -> None:
        """From when on a call is slow; holds for calls that are open, too, from the next tick on.

        Up to a threshold of 8 s, the new cutoff is at most a milestone too early; with a longer one, nothing is slow
        until the threshold has passed.
        """
        with self._lock:
            self._slow_us = slow_threshold_us
            self._ticks = deque(self._milestones)
            self._cutoff_us = 0
            self._slow_cutoff.value = 0 if slow_threshold_us else cells.CUTOFF_ALL
            self._watermark.value = 0 if slow_threshold_us else cells.WATERMARK_ALL
        self.write_cell(cells.SLOW_THRESHOLD_OFFSET, slow_threshold_us)

    def set_memory_limit(self, memidx: int, pages: int) -> None:
        self.write_cell(self.layout.memory_cell(memidx) + cells.MEMORY_LIMIT_FIELD, pages)

    def set_memory_pages(self, memidx: int, pages: int) -> None:
        self.write_cell(self.layout.memory_cell(memidx) + cells.MEMORY_PAGES_FIELD, pages)
