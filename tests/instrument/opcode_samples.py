"""One valid instance of each row of the opcode table, and a module in which all of them validate."""

from __future__ import annotations

import re
from dataclasses import dataclass

from wasmtrace.instrument.instructions import Catch, MemArg, Value
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.opcodes import OPCODES, Immediate, Opcode

Sample = tuple[bytes, Value]
"""An immediate as bytes, and what it is decoded to."""

ZERO: Sample = (b"\x00", 0)
STRUCT, BYTES, INTS, FUNCS = ((bytes([typeidx]), typeidx) for typeidx in (1, 2, 3, 4))
FIELD_I8, FIELD_I32 = (b"\x00", 0), (b"\x01", 1)
ANY_HEAPTYPE, STRUCT_HEAPTYPE = (b"\x6e", -0x12), (b"\x6b", -0x15)

SAMPLES: dict[Immediate, Sample] = {
    Immediate.BLOCKTYPE: (b"\x40", b"\x40"),
    Immediate.LABELIDX: ZERO,
    Immediate.LABELIDX_VECTOR: (b"\x02" + b"\x00\x00" + b"\x00", (0, 0, 0)),
    Immediate.FUNCIDX: ZERO,
    Immediate.TYPEIDX: ZERO,
    Immediate.TABLEIDX: ZERO,
    Immediate.MEMIDX: ZERO,
    Immediate.LOCALIDX: ZERO,
    Immediate.GLOBALIDX: ZERO,
    Immediate.DATAIDX: ZERO,
    Immediate.ELEMIDX: ZERO,
    Immediate.TAGIDX: ZERO,
    Immediate.FIELDIDX: FIELD_I32,
    Immediate.HEAPTYPE: STRUCT_HEAPTYPE,
    Immediate.VALTYPE_VECTOR: (b"\x01\x7f", (b"\x7f",)),
    Immediate.MEMARG: (b"\x00\x90\x01", MemArg(0, 0, 144)),
    Immediate.LANEIDX: (b"\x01", 1),
    Immediate.LANEIDX16: (bytes(range(16)), bytes(range(16))),
    Immediate.I32: (b"\x80\x7f", -128),
    Immediate.I64: (b"\x80\x80\x80\x80\x80\x01", 1 << 35),
    Immediate.F32: (b"\x00\x00\x80\x3f", b"\x00\x00\x80\x3f"),
    Immediate.F64: (b"\x00\x00\x00\x00\x00\x00\xf0\x3f", b"\x00\x00\x00\x00\x00\x00\xf0\x3f"),
    Immediate.V128: (bytes(range(0x80, 0x90)), bytes(range(0x80, 0x90))),
    Immediate.CATCH_VECTOR: (
        b"\x02"
        b"\x00\x00\x00"  # catch tag 0, label 0
        b"\x02\x00",  # catch_all label 0
        (Catch(0, 0, 0), Catch(2, None, 0)),
    ),
    Immediate.CASTFLAGS: (b"\x03", 3),
    Immediate.RESERVED_BYTE: ZERO,
    Immediate.U32: (b"\x02", 2),
}

SPECIAL: dict[str, tuple[Sample, ...]] = {
    "struct.new": (STRUCT,),
    "struct.new_default": (STRUCT,),
    "struct.get": (STRUCT, FIELD_I32),
    "struct.get_s": (STRUCT, FIELD_I8),
    "struct.get_u": (STRUCT, FIELD_I8),
    "struct.set": (STRUCT, FIELD_I32),
    "array.new": (INTS,),
    "array.new_default": (INTS,),
    "array.new_fixed": (INTS, SAMPLES[Immediate.U32]),
    "array.new_data": (INTS, ZERO),
    "array.new_elem": (FUNCS, ZERO),
    "array.get": (INTS,),
    "array.get_s": (BYTES,),
    "array.get_u": (BYTES,),
    "array.set": (INTS,),
    "array.fill": (INTS,),
    "array.copy": (INTS, INTS),
    "array.init_data": (INTS, ZERO),
    "array.init_elem": (FUNCS, ZERO),
    "br_on_cast": (SAMPLES[Immediate.CASTFLAGS], ZERO, ANY_HEAPTYPE, STRUCT_HEAPTYPE),
    "br_on_cast_fail": (SAMPLES[Immediate.CASTFLAGS], ZERO, ANY_HEAPTYPE, STRUCT_HEAPTYPE),
}
"""Rows whose immediates must name another type than type 0."""

SURROUNDINGS: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "block": ((), (b"\x0b",)),
    "loop": ((), (b"\x0b",)),
    "if": ((), (b"\x0b",)),
    "else": ((b"\x00", b"\x04\x40"), (b"\x0b",)),
    "end": ((b"\x02\x40",), ()),
    "try_table": ((), (b"\x0b",)),
    "br_on_non_null": ((b"\x02\x6e",), (b"\x0b", b"\x1a")),
    "br_on_cast": ((b"\x02\x6b",), (b"\x0b", b"\x1a")),
    "br_on_cast_fail": ((b"\x02\x6e",), (b"\x0b", b"\x1a")),
}
"""Instructions that must stand before and after a row."""


@dataclass(frozen=True, slots=True)
class Row:
    """An opcode of the table as an instruction."""

    opcode: Opcode
    code: bytes
    values: tuple[Value, ...]

    @property
    def before(self) -> tuple[bytes, ...]:
        """What stands before it in a function: at last `unreachable`, so that any operand is there."""
        return (*SURROUNDINGS.get(self.opcode.mnemonic, ((), ()))[0], b"\x00")

    @property
    def after(self) -> tuple[bytes, ...]:
        """What stands after it: at first `unreachable`, so that any result is taken."""
        return (b"\x00", *SURROUNDINGS.get(self.opcode.mnemonic, ((), ()))[1])


def opcode_bytes(opcode: Opcode) -> bytes:
    if opcode.prefix is None:
        return bytes([opcode.code])
    return bytes([opcode.prefix]) + encode_u32(opcode.code)


def _atomic_memarg(mnemonic: str) -> Sample:
    """Atomic accesses must be aligned to their size: the last number in the name, `notify` as `wait32`."""
    bits = re.findall(r"\d+", mnemonic) or ["32"]
    align = {"8": 0, "16": 1, "32": 2, "64": 3}[bits[-1]]
    return bytes([align]) + b"\x08", MemArg(align, 0, 8)


def _row(opcode: Opcode) -> Row:
    samples = SPECIAL.get(opcode.mnemonic) or tuple(SAMPLES[kind] for kind in opcode.immediates)
    if opcode.proposal == "threads" and opcode.immediates == (Immediate.MEMARG,):
        samples = (_atomic_memarg(opcode.mnemonic),)
    code = opcode_bytes(opcode) + b"".join(encoded for encoded, _ in samples)
    return Row(opcode, code, tuple(value for _, value in samples))


ROWS = [_row(opcode) for opcode in OPCODES]


def row_id(row: Row) -> str:
    return row.opcode.mnemonic


PUSH: dict[str, bytes] = {
    "addr": b"\x41\x00",
    "i32": b"\x41\x00",
    "i64": b"\x42\x00",
    "f32": b"\x43" + bytes(4),
    "f64": b"\x44" + bytes(8),
    "v128": b"\xfd\x0c" + bytes(16),
    "eqref": b"\xd0\x6d",
    "i31ref": b"\xd0\x6c",
    "arrayref": b"\xd0\x6a",
}
"""Pushes a value of a signature's operand type."""

POP: dict[str, bytes] = {
    "addr": b"\x45\x1a",
    "i32": b"\x45\x1a",
    "i64": b"\x50\x1a",
    "f32": b"\x8b\x1a",
    "f64": b"\x99\x1a",
    "v128": b"\xfd\x53\x1a",
    "(ref i31)": b"\xfb\x1d\x1a",
}
"""Consumes a value of a signature's result type, and of no other."""


def typed_body(row: Row) -> bytes:
    """A body that validates only if the row's signature is right: nothing in it is polymorphic."""
    signature = row.opcode.signature
    assert signature is not None
    pushes = [PUSH[each] for each in signature.operands]
    pops = [POP[each] for each in reversed(signature.results)]
    return b"".join((*pushes, row.code, *pops))


def _section(section_id: int, payload: bytes) -> bytes:
    return bytes([section_id]) + encode_u32(len(payload)) + payload


def module_of(bodies: list[bytes]) -> bytes:
    """A module with a function [] -> [] for each body, with an i32 local; the last `end` is added."""
    code = b"".join(encode_u32(len(body) + 4) + b"\x01\x01\x7f" + body + b"\x0b" for body in bodies)
    return b"".join(
        (
            b"\x00asm\x01\x00\x00\x00",
            _section(
                1,
                b"\x05"
                b"\x60\x00\x00"  # 0: func [] -> []
                b"\x5f\x02\x78\x01\x7f\x01"  # 1: struct of mutable i8, i32
                b"\x5e\x78\x01"  # 2: array of mutable i8
                b"\x5e\x7f\x01"  # 3: array of mutable i32
                b"\x5e\x70\x01",  # 4: array of mutable funcref
            ),
            _section(3, encode_u32(len(bodies)) + bytes(len(bodies))),
            _section(4, b"\x01\x70\x00\x01"),  # table of funcref
            _section(5, b"\x01\x00\x01"),  # memory
            _section(13, b"\x01\x00\x00"),  # tag of type 0
            _section(6, b"\x01\x7f\x01\x41\x00\x0b"),  # mutable i32 global
            _section(9, b"\x01\x01\x00\x01\x00"),  # passive segment: func 0
            _section(12, b"\x01"),
            _section(10, encode_u32(len(bodies)) + code),
            _section(11, b"\x01\x01\x00"),  # passive segment, empty
        )
    )
