"""The name section: function names only. A broken one is never fatal: what was read before the fault counts.

Spec: appendix/custom.html#name-section
"""

from __future__ import annotations

from wasmtrace.errors import DecodeError
from wasmtrace.instrument.reader import Reader

MODULE_NAMES, FUNCTION_NAMES = 0, 1


def decode_function_names(data: bytes, start: int, end: int, function_count: int) -> dict[int, str]:
    """Names by funcidx from the payload of a name section; indices out of range and broken UTF-8 are mended.

    Never raises: names are for people, and a module runs without them.
    """
    names: dict[int, str] = {}
    try:
        reader = Reader(data, start, end)
        while reader.position < reader.end:
            kind = reader.read_byte()
            part = reader.window(reader.read_u32())
            if kind == FUNCTION_NAMES:
                _read_name_map(part, function_count, names)
    except DecodeError:
        pass
    return names


def _read_name_map(reader: Reader, function_count: int, names: dict[int, str]) -> None:
    data = reader.data
    for _ in range(reader.read_u32()):
        if reader.position >= reader.end:
            return
        index = reader.read_u32()
        length = reader.read_u32()
        start = reader.position
        reader.skip(length)
        if index < function_count and index not in names:
            names[index] = data[start : start + length].decode("utf-8", "replace")
