"""The type section: one entry may define many type indices (recursion groups).

Only function types are kept whole; of struct and array types a rewriter needs no more than that they have an
index.

Spec: binary/types.html#recursive-types
"""

from __future__ import annotations

from dataclasses import dataclass

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.vectors import expect_end, read_count

REC_GROUP, SUB, SUB_FINAL, ARRAY, STRUCT, FUNC = 0x4E, 0x50, 0x4F, 0x5E, 0x5F, 0x60
REF, REF_NULL = 0x64, 0x63
MAX_VALUES = 1000
"""Limit of the engine for parameters and for results (wasmparser's `limits.rs`)."""
I32, I64, F32, F64 = b"\x7f", b"\x7e", b"\x7d", b"\x7c"
_VALUE_TYPES = frozenset(
    # i32 i64 f32 f64 v128, then the short forms of nullable abstract references
    [0x7F, 0x7E, 0x7D, 0x7C, 0x7B, 0x74, 0x73, 0x72, 0x71, 0x70, 0x6F, 0x6E, 0x6D, 0x6C, 0x6B, 0x6A, 0x69]
)
_PACKED_TYPES = frozenset([0x78, 0x77])


@dataclass(frozen=True, slots=True)
class FuncType:
    """Parameter and result types, each as its own bytes in the module."""

    params: tuple[bytes, ...]
    results: tuple[bytes, ...]

    def encode(self) -> bytes:
        """A type section entry of its own: no recursion group, no supertype."""
        return (
            bytes([FUNC])
            + encode_u32(len(self.params))
            + b"".join(self.params)
            + encode_u32(len(self.results))
            + b"".join(self.results)
        )


def read_valtype(reader: Reader, *, packed: bool = False) -> bytes:
    """One value type, as its bytes. Raises DecodeError BAD_TYPE."""
    start = reader.position
    code = reader.read_byte()
    if code in (REF, REF_NULL):
        reader.read_s33()
        return reader.data[start : reader.position]
    if code in _VALUE_TYPES or (packed and code in _PACKED_TYPES):
        return bytes([code])
    raise DecodeError(DecodeCode.BAD_TYPE, f"expected value type, got {code:#04x}", offset=start)


def _read_result_type(reader: Reader) -> tuple[bytes, ...]:
    """Parameters or results. Raises DecodeError COUNT_TOO_LARGE: what is added to functions grows with them."""
    offset = reader.position
    count = read_count(reader)
    if count > MAX_VALUES:
        raise DecodeError(
            DecodeCode.COUNT_TOO_LARGE, f"expected at most {MAX_VALUES} value types, got {count}", offset=offset
        )
    return tuple(read_valtype(reader) for _ in range(count))


def _read_field(reader: Reader) -> None:
    read_valtype(reader, packed=True)
    offset = reader.position
    if reader.read_byte() > 1:
        raise DecodeError(DecodeCode.BAD_FLAGS, "expected mutability 0 or 1", offset=offset)


def _read_sub_type(reader: Reader) -> FuncType | None:
    offset = reader.position
    code = reader.read_byte()
    if code in (SUB, SUB_FINAL):
        for _ in range(read_count(reader)):
            reader.read_u32()
        offset = reader.position
        code = reader.read_byte()
    if code == FUNC:
        return FuncType(_read_result_type(reader), _read_result_type(reader))
    if code == ARRAY:
        _read_field(reader)
        return None
    if code == STRUCT:
        for _ in range(read_count(reader, least_item_bytes=2)):
            _read_field(reader)
        return None
    raise DecodeError(DecodeCode.BAD_TYPE, f"expected a composite type, got {code:#04x}", offset=offset)


def decode_types(reader: Reader) -> list[FuncType | None]:
    """The function types by typeidx; None stands for a struct or array type."""
    types: list[FuncType | None] = []
    for index in range(read_count(reader)):
        try:
            if reader.position < reader.end and reader.data[reader.position] == REC_GROUP:
                reader.read_byte()
                types.extend(_read_sub_type(reader) for _ in range(read_count(reader)))
            else:
                types.append(_read_sub_type(reader))
        except DecodeError as error:
            error.index = index
            raise
    expect_end(reader)
    return types
