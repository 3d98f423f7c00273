"""A telemetry memory in ordinary memory, with no engine: what tests read and spoil."""

from __future__ import annotations

import ctypes

from wasmtrace import layout as cells
from wasmtrace.layout import GrowSite, Layout
from wasmtrace.records import FunctionName
from wasmtrace.sites import GuestMemory, HostFunction, SiteTable

LAYOUT = Layout(
    function_count=4,
    memory_count=1,
    grow_site_count=1,
    errno_import_count=1,
    ring_capacity=4,
    max_stack_bytes=64 * cells.BYTES_PER_ENGINE_FRAME,
)
SITES = SiteTable(
    level="trace",
    layout=LAYOUT,
    telemetry_export=cells.EXPORT_NAME,
    host_functions=(HostFunction("wasi_snapshot_preview1", "fd_write", 0),),
    memories=(GuestMemory(False, 2, None, 65536),),
    grow_sites=(GrowSite(2, 0),),
    framed_functions=3,
    skipped=(),
)


class Image:
    """The bytes, where they are, and cells written as a guest would."""

    def __init__(self, layout: Layout = LAYOUT, slow_threshold_us: int = 1000) -> None:
        self.layout = layout
        self.buffer = ctypes.create_string_buffer(layout.pages * cells.PAGE_BYTES)
        self.length = len(self.buffer)
        self.address = ctypes.addressof(self.buffer)
        initial = layout.initial_bytes((2,) * layout.memory_count, slow_threshold_us)
        ctypes.memmove(self.buffer, initial, len(initial))

    def put(self, offset: int, value: int) -> None:
        ctypes.c_uint64.from_address(self.address + offset).value = value

    def get(self, offset: int) -> int:
        return ctypes.c_uint64.from_address(self.address + offset).value

    def push_frame(self, funcidx: int, start_us: int) -> None:
        top = self.get(cells.STACK_POINTER_OFFSET)
        self.put(top, cells.stamp(start_us) | funcidx)
        self.put(cells.STACK_POINTER_OFFSET, top + cells.CELL_BYTES)

    def push_record(self, record: bytes) -> None:
        """Into the next slot, whether or not it has been read."""
        head = self.get(cells.RING_HEAD_OFFSET)
        slot = self.layout.ring_offset + head % self.layout.ring_capacity * cells.RECORD_BYTES
        ctypes.memmove(self.address + slot, record, len(record))
        self.put(cells.RING_HEAD_OFFSET, head + 1)


def slow_record(funcidx: int, start_us: int, end_us: int, depth: int = 0, result: int = 0) -> bytes:
    frame = cells.stamp(start_us) | funcidx
    return cells.RECORD_STRUCT.pack(cells.KIND_SLOW_CALL, depth, frame, cells.stamp(end_us), result, 0, 0)


def grow_record(funcidx: int, at_us: int, memidx: int, pages: int, *, failed: bool = False) -> bytes:
    frame = cells.stamp(at_us) | funcidx
    return cells.RECORD_STRUCT.pack(cells.KIND_GROW, 0, frame, 0, memidx << 1 | failed, pages, 0)


class Names:
    """`f0`, `f1`, ..."""

    def __getitem__(self, funcidx: int) -> FunctionName:
        return FunctionName(funcidx, f"f{funcidx}", f"f{funcidx}")
