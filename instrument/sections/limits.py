"""Limits and memory types.

Spec: binary/types.html#limits
"""

from __future__ import annotations

from dataclasses import dataclass

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.reader import Reader

HAS_MAX, SHARED, IS_64, HAS_PAGE_SIZE = 1, 2, 4, 8
DEFAULT_PAGE_BYTES_LOG2 = 16


@dataclass(frozen=True, slots=True)
class MemoryType:
    """A memory's limits in pages of `1 << page_bytes_log2` bytes."""

    min_pages: int
    max_pages: int | None
    is_64: bool
    shared: bool
    page_bytes_log2: int

    @property
    def page_bytes(self) -> int:
        return 1 << self.page_bytes_log2


def read_limits(reader: Reader) -> tuple[int, int, int | None]:
    """Flags, minimum, maximum. Raises DecodeError BAD_FLAGS."""
    offset = reader.position
    flags = reader.read_byte()
    if flags > HAS_MAX | SHARED | IS_64 | HAS_PAGE_SIZE:
        raise DecodeError(DecodeCode.BAD_FLAGS, f"expected limits flags, got {flags:#04x}", offset=offset)
    read = reader.read_u64 if flags & IS_64 else reader.read_u32
    least = read()
    most = read() if flags & HAS_MAX else None
    return flags, least, most


def read_memory_type(reader: Reader) -> MemoryType:
    flags, least, most = read_limits(reader)
    log2 = DEFAULT_PAGE_BYTES_LOG2
    if flags & HAS_PAGE_SIZE:
        offset = reader.position
        log2 = reader.read_u32()
        if log2 not in (0, DEFAULT_PAGE_BYTES_LOG2):
            raise DecodeError(DecodeCode.BAD_FLAGS, f"expected page size 1 or 65536, got 2^{log2}", offset=offset)
    return MemoryType(least, most, bool(flags & IS_64), bool(flags & SHARED), log2)


def fixed_memory(pages: int) -> bytes:
    """A 32-bit memory type whose minimum is its maximum: it never moves."""
    return bytes([HAS_MAX]) + encode_u32(pages) + encode_u32(pages)
