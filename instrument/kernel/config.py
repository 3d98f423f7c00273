"""The memory that host and walk share: `Bytes`, `Type` and `Config` of walk.c, field by field."""

from __future__ import annotations

import ctypes

from wasmtrace.instrument.template import BodyClass

_U32 = ctypes.c_uint32


class Bytes(ctypes.LittleEndianStructure):
    _fields_ = (("at", _U32), ("length", _U32))


class Type(ctypes.LittleEndianStructure):
    _fields_ = (("params", _U32), ("results", _U32), ("block", Bytes))


_CLASSES = len(BodyClass)


class Config(ctypes.LittleEndianStructure):
    """`Config` of walk.c, field by field."""

    _fields_ = (
        *((name, _U32) for name in ("hosts", "functions", "type_count", "memory_count", "table_count")),
        *((name, _U32) for name in ("typeidxs", "types", "shapes", "flags", "memory_is_64", "table_is_64")),
        *((name, _U32) for name in ("fuel", "exceptions", "detour_type", "most_bounded", "max_body_bytes")),
        *((name, _U32) for name in ("max_locals", "scratch", "scratch_bytes", "calls_offset", "fuel_offset")),
        *((name, Bytes * _CLASSES) for name in ("enter", "leave", "land")),
        ("class_locals", _U32 * _CLASSES),
        *((name, Bytes) for name in ("add", "add_before", "add_after")),
        *((name, _U32) for name in ("own_code", "host_calls", "host_tail_calls", "growers")),
        *((name, _U32) for name in ("costs", "traits", "per_call", "tail_called", "skipped", "seen")),
        *((name, _U32) for name in ("framed_count", "error", "error_at", "error_index")),
        *((name, _U32) for name in ("edges", "edge_count", "edge_room", "edge_starts")),
        *((name, _U32) for name in ("sites", "site_count", "site_room", "out")),
        *((name, _U32) for name in ("segments", "segment_count", "asked_at", "asked_lag")),
    )
