"""The plain decoder of instructions: driven by the opcode table, strict, one at a time.

It is the slow twin of the scanner's pattern: some twenty times slower, and what tests compare with.

- An instruction's form is checked here; indices, types and nesting are the engine's to validate.
- Values that no pass computes with (float constants, vectors, value types) stay bytes.
- Nothing is sized by a count before the count is checked against the bytes left, and nothing recurses.

Spec: `binary/instructions.html`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from wasmtrace.errors import DecodeCode, DecodeError, UnsupportedError
from wasmtrace.instrument.opcodes import BY_CODE, LEGACY_EXCEPTIONS, PREFIXES, Immediate, Opcode
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.types import REF, REF_NULL, read_valtype
from wasmtrace.instrument.sections.vectors import read_count

EMPTY_BLOCKTYPE = b"\x40"
_HAS_MEMIDX = 0x40
_ABSTRACT_HEAP_TYPES = range(0x69, 0x75)
"""exn, array, struct, i31, eq, any, extern, func, none, noextern, nofunc, noexn."""


class MemArg(NamedTuple):
    """Place of an access: `align` is the exponent of the alignment hint, `offset` a u64."""

    align: int
    memidx: int
    offset: int


class Catch(NamedTuple):
    """A clause of `try_table`: kind 0 `catch`, 1 `catch_ref`, 2 `catch_all`, 3 `catch_all_ref` (no tag)."""

    kind: int
    tagidx: int | None
    labelidx: int


Value: TypeAlias = int | bytes | MemArg | tuple[int, ...] | tuple[bytes, ...] | tuple[Catch, ...]
"""What an immediate is decoded to:

- indices, counts, lanes, flags, integer constants: int; a heap type: the s33 (negative if abstract)
- float and vector constants, shuffle lanes: their bytes
- block type: a type index as int, else the value type's bytes, or `EMPTY_BLOCKTYPE`
- `br_table`: its labels, the default last
"""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: `offset` and `end` from module start, `immediates` as `opcode.immediates` says."""

    offset: int
    end: int
    opcode: Opcode
    immediates: tuple[Value, ...]


def decode_instruction(reader: Reader) -> Instruction:
    """The next instruction.

    Raises: DecodeError, BAD_OPCODE at the instruction's first byte; UnsupportedError for legacy exceptions.
    """
    offset = reader.position
    opcode = _read_opcode(reader)
    immediates = tuple(_READ[kind](reader) for kind in opcode.immediates)
    return Instruction(offset, reader.position, opcode, immediates)


def decode_instructions(data: bytes, start: int, end: int) -> Iterator[Instruction]:
    """The instructions of `data[start:end]`, in order; does not look at how blocks nest.

    Raises: as `decode_instruction`.
    """
    reader = Reader(data, start, end)
    while not reader.at_end():
        yield decode_instruction(reader)


def skip_instruction(data: bytes, position: int, end: int) -> int:
    """The offset after the instruction at `position`: as strict as `decode_instruction`, and faster.

    Four bytes of LEB128 fit every integer kind, so common instructions need no decoding to be checked.
    """
    if position < end:
        count = _SHORT_LEB_COUNTS[data[position]]
        after = position + 1
        if count == _MEMARG and after < end and data[after] < _HAS_MEMIDX:
            after += 1
            count = 1
        for _ in range(count):
            limit = min(after + 4, end)
            while after < limit and data[after] >= 0x80:
                after += 1
            if after >= limit:
                break
            after += 1
        else:
            if count >= 0:
                return after
    return decode_instruction(Reader(data, position, end)).end


def _read_opcode(reader: Reader) -> Opcode:
    offset = reader.position
    byte = reader.read_byte()
    prefix, code = (byte, reader.read_u32()) if byte in PREFIXES else (None, byte)
    opcode = BY_CODE.get((prefix, code))
    if opcode is not None:
        return opcode
    if prefix is None and code in LEGACY_EXCEPTIONS:
        raise UnsupportedError(
            f"legacy exception instruction `{LEGACY_EXCEPTIONS[code]}` (at {offset:#x}); "
            "translate the module first: wasm-opt --all-features --translate-to-exnref"
        )
    got = f"{code:#04x}" if prefix is None else f"{prefix:#04x} {code}"
    raise DecodeError(DecodeCode.BAD_OPCODE, f"expected an opcode, got {got}", offset=offset)


def _read_heaptype(reader: Reader) -> int:
    """Spec: `binary/types.html#heap-types`."""
    offset = reader.position
    value = reader.read_s33()
    if value >= 0 or (reader.position == offset + 1 and value + 0x80 in _ABSTRACT_HEAP_TYPES):
        return value
    raise DecodeError(DecodeCode.BAD_TYPE, f"expected heap type, got {reader.data[offset]:#04x}", offset=offset)


def _read_strict_valtype(reader: Reader) -> bytes:
    """`read_valtype`, which takes any s33 for a heap type, and then the check of that."""
    offset = reader.position
    valtype = read_valtype(reader)
    if valtype[0] in (REF, REF_NULL):
        _read_heaptype(Reader(reader.data, offset + 1, reader.end))
    return valtype


def _read_blocktype(reader: Reader) -> int | bytes:
    offset = reader.position
    byte = reader.read_byte()
    if byte == EMPTY_BLOCKTYPE[0]:
        return EMPTY_BLOCKTYPE
    reader.position = offset
    if 0x40 < byte < 0x80:
        return _read_strict_valtype(reader)
    typeidx = reader.read_s33()
    if typeidx < 0:
        raise DecodeError(DecodeCode.BAD_TYPE, f"expected block type, got {typeidx}", offset=offset)
    return typeidx


def _read_memarg(reader: Reader) -> MemArg:
    offset = reader.position
    flags = reader.read_u32()
    if flags >= 2 * _HAS_MEMIDX:
        raise DecodeError(DecodeCode.BAD_FLAGS, f"expected memarg flags below 128, got {flags}", offset=offset)
    memidx = reader.read_u32() if flags & _HAS_MEMIDX else 0
    return MemArg(flags & ~_HAS_MEMIDX, memidx, reader.read_u64())


def _read_labels(reader: Reader) -> tuple[int, ...]:
    labels = tuple([reader.read_u32() for _ in range(read_count(reader))])
    return (*labels, reader.read_u32())


def _read_valtypes(reader: Reader) -> tuple[bytes, ...]:
    return tuple([_read_strict_valtype(reader) for _ in range(read_count(reader))])


def _read_catch(reader: Reader) -> Catch:
    offset = reader.position
    kind = reader.read_byte()
    if kind > 3:
        raise DecodeError(DecodeCode.BAD_KIND, f"expected catch kind 0 to 3, got {kind}", offset=offset)
    tagidx = reader.read_u32() if kind < 2 else None
    return Catch(kind, tagidx, reader.read_u32())


def _read_catches(reader: Reader) -> tuple[Catch, ...]:
    return tuple([_read_catch(reader) for _ in range(read_count(reader, least_item_bytes=2))])


def _read_flags(most: int) -> Callable[[Reader], int]:
    def read(reader: Reader) -> int:
        offset = reader.position
        flags = reader.read_byte()
        if flags > most:
            raise DecodeError(DecodeCode.BAD_FLAGS, f"expected at most {most}, got {flags:#04x}", offset=offset)
        return flags

    return read


def _read_fixed(size: int) -> Callable[[Reader], bytes]:
    return lambda reader: reader.read_bytes(size)


_U32_KINDS = (
    Immediate.LABELIDX,
    Immediate.FUNCIDX,
    Immediate.TYPEIDX,
    Immediate.TABLEIDX,
    Immediate.MEMIDX,
    Immediate.LOCALIDX,
    Immediate.GLOBALIDX,
    Immediate.DATAIDX,
    Immediate.ELEMIDX,
    Immediate.TAGIDX,
    Immediate.FIELDIDX,
    Immediate.U32,
)

_READ: dict[Immediate, Callable[[Reader], Value]] = {
    **dict.fromkeys(_U32_KINDS, Reader.read_u32),
    Immediate.BLOCKTYPE: _read_blocktype,
    Immediate.LABELIDX_VECTOR: _read_labels,
    Immediate.HEAPTYPE: _read_heaptype,
    Immediate.VALTYPE_VECTOR: _read_valtypes,
    Immediate.MEMARG: _read_memarg,
    Immediate.LANEIDX: Reader.read_byte,
    Immediate.LANEIDX16: _read_fixed(16),
    Immediate.I32: Reader.read_s32,
    Immediate.I64: Reader.read_s64,
    Immediate.F32: _read_fixed(4),
    Immediate.F64: _read_fixed(8),
    Immediate.V128: _read_fixed(16),
    Immediate.CATCH_VECTOR: _read_catches,
    Immediate.CASTFLAGS: _read_flags(3),
    Immediate.RESERVED_BYTE: _read_flags(0),
}

_SHORT_KINDS = frozenset((*_U32_KINDS, Immediate.I32, Immediate.I64))


_MEMARG, _OTHER = -1, -2


def _short_leb_count(code: int) -> int:
    """How many integers follow a single-byte opcode, `_MEMARG`, or `_OTHER` if it wants the decoder."""
    opcode = BY_CODE.get((None, code))
    if opcode is None:
        return _OTHER
    if opcode.immediates == (Immediate.MEMARG,):
        return _MEMARG
    return len(opcode.immediates) if _SHORT_KINDS.issuperset(opcode.immediates) else _OTHER


_SHORT_LEB_COUNTS = tuple(_short_leb_count(code) for code in range(0x100))
