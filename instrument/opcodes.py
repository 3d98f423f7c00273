"""The opcode table: one row for each instruction that wasmtime 50 accepts.

Decoder, printer, scanner patterns and index walks read it; no other file says which immediates an opcode has.

- A row is (code, mnemonic, signature, immediates...). Rows stand in groups: one prefix byte and one proposal.
- A signature is given where it is the same at every place of use, and is None where it depends on context
  (labels, types, locals, references). `addr` is the address type of the memory or table: i32 or i64.
- Mnemonics are unique here. Where the text format has one keyword for two opcodes, the second has a suffix:
  `select_t`, `ref.test_null`, `ref.cast_null`; `Opcode.keyword` gives the text format's word.
- The MVP rows are the same as wasm-tob's. Importing wasm-tob takes 20 ms, so the rows stand here as literals,
  and `wasm_tob_rows` gives wasm-tob's own, as the oracle that tests compare with.

Spec: `appendix/index-instructions.html`, `binary/instructions.html`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple


class Immediate(Enum):
    """What follows an opcode. Indices and counts are LEB128 u32 unless another form is given."""

    BLOCKTYPE = "blocktype"
    """0x40, a value type, or an s33 type index. Spec: `binary/instructions.html#binary-blocktype`."""
    LABELIDX = "labelidx"
    LABELIDX_VECTOR = "labelidx*"
    """The vector of `br_table` and its default label."""
    FUNCIDX = "funcidx"
    TYPEIDX = "typeidx"
    TABLEIDX = "tableidx"
    MEMIDX = "memidx"
    LOCALIDX = "localidx"
    GLOBALIDX = "globalidx"
    DATAIDX = "dataidx"
    ELEMIDX = "elemidx"
    TAGIDX = "tagidx"
    FIELDIDX = "fieldidx"
    HEAPTYPE = "heaptype"
    """An s33: an abstract heap type if negative, else a type index. Spec: `binary/types.html#heap-types`."""
    VALTYPE_VECTOR = "valtype*"
    MEMARG = "memarg"
    """Flags (bit 6: a memidx follows), memidx, u64 offset. Spec: `binary/instructions.html#binary-memarg`."""
    LANEIDX = "laneidx"
    """One byte."""
    LANEIDX16 = "laneidx16"
    """Sixteen bytes, the lanes of `i8x16.shuffle`."""
    I32 = "i32"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    V128 = "v128"
    """Sixteen bytes."""
    CATCH_VECTOR = "catch*"
    """The clauses of `try_table`. Spec: `binary/instructions.html#binary-catch`."""
    CASTFLAGS = "castop"
    """One byte: bits 0 and 1 say whether source and target type are nullable."""
    RESERVED_BYTE = "0x00"
    U32 = "u32"


_I = Immediate

_TEXT_KEYWORDS = {"select_t": "select", "ref.test_null": "ref.test", "ref.cast_null": "ref.cast"}


class Signature(NamedTuple):
    """What an instruction pops (last operand on top) and what it pushes."""

    operands: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opcode:
    """One instruction: `code` is the byte itself, or the u32 after `prefix`."""

    prefix: int | None
    code: int
    mnemonic: str
    immediates: tuple[Immediate, ...]
    proposal: str
    signature: Signature | None

    @property
    def keyword(self) -> str:
        """The text format's word for this instruction."""
        return _TEXT_KEYWORDS.get(self.mnemonic, self.mnemonic)


class _Group(NamedTuple):
    """Rows of one proposal behind one prefix byte."""

    proposal: str
    prefix: int | None
    rows: tuple[tuple[int, str, str | None, *tuple[Immediate, ...]], ...]


_GROUPS: tuple[_Group, ...] = (
    _Group(
        "mvp",
        None,
        (
            (0x00, "unreachable", None),
            (0x01, "nop", "->"),
            (0x02, "block", None, _I.BLOCKTYPE),
            (0x03, "loop", None, _I.BLOCKTYPE),
            (0x04, "if", None, _I.BLOCKTYPE),
            (0x05, "else", None),
            (0x0B, "end", None),
            (0x0C, "br", None, _I.LABELIDX),
            (0x0D, "br_if", None, _I.LABELIDX),
            (0x0E, "br_table", None, _I.LABELIDX_VECTOR),
            (0x0F, "return", None),
            (0x10, "call", None, _I.FUNCIDX),
            (0x11, "call_indirect", None, _I.TYPEIDX, _I.TABLEIDX),
            (0x1A, "drop", None),
            (0x1B, "select", None),
            (0x20, "local.get", None, _I.LOCALIDX),
            (0x21, "local.set", None, _I.LOCALIDX),
            (0x22, "local.tee", None, _I.LOCALIDX),
            (0x23, "global.get", None, _I.GLOBALIDX),
            (0x24, "global.set", None, _I.GLOBALIDX),
            (0x28, "i32.load", "addr -> i32", _I.MEMARG),
            (0x29, "i64.load", "addr -> i64", _I.MEMARG),
            (0x2A, "f32.load", "addr -> f32", _I.MEMARG),
            (0x2B, "f64.load", "addr -> f64", _I.MEMARG),
            (0x2C, "i32.load8_s", "addr -> i32", _I.MEMARG),
            (0x2D, "i32.load8_u", "addr -> i32", _I.MEMARG),
            (0x2E, "i32.load16_s", "addr -> i32", _I.MEMARG),
            (0x2F, "i32.load16_u", "addr -> i32", _I.MEMARG),
            (0x30, "i64.load8_s", "addr -> i64", _I.MEMARG),
            (0x31, "i64.load8_u", "addr -> i64", _I.MEMARG),
            (0x32, "i64.load16_s", "addr -> i64", _I.MEMARG),
            (0x33, "i64.load16_u", "addr -> i64", _I.MEMARG),
            (0x34, "i64.load32_s", "addr -> i64", _I.MEMARG),
            (0x35, "i64.load32_u", "addr -> i64", _I.MEMARG),
            (0x36, "i32.store", "addr, i32 ->", _I.MEMARG),
            (0x37, "i64.store", "addr, i64 ->", _I.MEMARG),
            (0x38, "f32.store", "addr, f32 ->", _I.MEMARG),
            (0x39, "f64.store", "addr, f64 ->", _I.MEMARG),
            (0x3A, "i32.store8", "addr, i32 ->", _I.MEMARG),
            (0x3B, "i32.store16", "addr, i32 ->", _I.MEMARG),
            (0x3C, "i64.store8", "addr, i64 ->", _I.MEMARG),
            (0x3D, "i64.store16", "addr, i64 ->", _I.MEMARG),
            (0x3E, "i64.store32", "addr, i64 ->", _I.MEMARG),
            (0x3F, "memory.size", "-> addr", _I.MEMIDX),
            (0x40, "memory.grow", "addr -> addr", _I.MEMIDX),
            (0x41, "i32.const", "-> i32", _I.I32),
            (0x42, "i64.const", "-> i64", _I.I64),
            (0x43, "f32.const", "-> f32", _I.F32),
            (0x44, "f64.const", "-> f64", _I.F64),
            (0x45, "i32.eqz", "i32 -> i32"),
            (0x46, "i32.eq", "i32, i32 -> i32"),
            (0x47, "i32.ne", "i32, i32 -> i32"),
            (0x48, "i32.lt_s", "i32, i32 -> i32"),
            (0x49, "i32.lt_u", "i32, i32 -> i32"),
            (0x4A, "i32.gt_s", "i32, i32 -> i32"),
            (0x4B, "i32.gt_u", "i32, i32 -> i32"),
            (0x4C, "i32.le_s", "i32, i32 -> i32"),
            (0x4D, "i32.le_u", "i32, i32 -> i32"),
            (0x4E, "i32.ge_s", "i32, i32 -> i32"),
            (0x4F, "i32.ge_u", "i32, i32 -> i32"),
            (0x50, "i64.eqz", "i64 -> i32"),
            (0x51, "i64.eq", "i64, i64 -> i32"),
            (0x52, "i64.ne", "i64, i64 -> i32"),
            (0x53, "i64.lt_s", "i64, i64 -> i32"),
            (0x54, "i64.lt_u", "i64, i64 -> i32"),
            (0x55, "i64.gt_s", "i64, i64 -> i32"),
            (0x56, "i64.gt_u", "i64, i64 -> i32"),
            (0x57, "i64.le_s", "i64, i64 -> i32"),
            (0x58, "i64.le_u", "i64, i64 -> i32"),
            (0x59, "i64.ge_s", "i64, i64 -> i32"),
            (0x5A, "i64.ge_u", "i64, i64 -> i32"),
            (0x5B, "f32.eq", "f32, f32 -> i32"),
            (0x5C, "f32.ne", "f32, f32 -> i32"),
            (0x5D, "f32.lt", "f32, f32 -> i32"),
            (0x5E, "f32.gt", "f32, f32 -> i32"),
            (0x5F, "f32.le", "f32, f32 -> i32"),
            (0x60, "f32.ge", "f32, f32 -> i32"),
            (0x61, "f64.eq", "f64, f64 -> i32"),
            (0x62, "f64.ne", "f64, f64 -> i32"),
            (0x63, "f64.lt", "f64, f64 -> i32"),
            (0x64, "f64.gt", "f64, f64 -> i32"),
            (0x65, "f64.le", "f64, f64 -> i32"),
            (0x66, "f64.ge", "f64, f64 -> i32"),
            (0x67, "i32.clz", "i32 -> i32"),
            (0x68, "i32.ctz", "i32 -> i32"),
            (0x69, "i32.popcnt", "i32 -> i32"),
            (0x6A, "i32.add", "i32, i32 -> i32"),
            (0x6B, "i32.sub", "i32, i32 -> i32"),
            (0x6C, "i32.mul", "i32, i32 -> i32"),
            (0x6D, "i32.div_s", "i32, i32 -> i32"),
            (0x6E, "i32.div_u", "i32, i32 -> i32"),
            (0x6F, "i32.rem_s", "i32, i32 -> i32"),
            (0x70, "i32.rem_u", "i32, i32 -> i32"),
            (0x71, "i32.and", "i32, i32 -> i32"),
            (0x72, "i32.or", "i32, i32 -> i32"),
            (0x73, "i32.xor", "i32, i32 -> i32"),
            (0x74, "i32.shl", "i32, i32 -> i32"),
            (0x75, "i32.shr_s", "i32, i32 -> i32"),
            (0x76, "i32.shr_u", "i32, i32 -> i32"),
            (0x77, "i32.rotl", "i32, i32 -> i32"),
            (0x78, "i32.rotr", "i32, i32 -> i32"),
            (0x79, "i64.clz", "i64 -> i64"),
            (0x7A, "i64.ctz", "i64 -> i64"),
            (0x7B, "i64.popcnt", "i64 -> i64"),
            (0x7C, "i64.add", "i64, i64 -> i64"),
            (0x7D, "i64.sub", "i64, i64 -> i64"),
            (0x7E, "i64.mul", "i64, i64 -> i64"),
            (0x7F, "i64.div_s", "i64, i64 -> i64"),
            (0x80, "i64.div_u", "i64, i64 -> i64"),
            (0x81, "i64.rem_s", "i64, i64 -> i64"),
            (0x82, "i64.rem_u", "i64, i64 -> i64"),
            (0x83, "i64.and", "i64, i64 -> i64"),
            (0x84, "i64.or", "i64, i64 -> i64"),
            (0x85, "i64.xor", "i64, i64 -> i64"),
            (0x86, "i64.shl", "i64, i64 -> i64"),
            (0x87, "i64.shr_s", "i64, i64 -> i64"),
            (0x88, "i64.shr_u", "i64, i64 -> i64"),
            (0x89, "i64.rotl", "i64, i64 -> i64"),
            (0x8A, "i64.rotr", "i64, i64 -> i64"),
            (0x8B, "f32.abs", "f32 -> f32"),
            (0x8C, "f32.neg", "f32 -> f32"),
            (0x8D, "f32.ceil", "f32 -> f32"),
            (0x8E, "f32.floor", "f32 -> f32"),
            (0x8F, "f32.trunc", "f32 -> f32"),
            (0x90, "f32.nearest", "f32 -> f32"),
            (0x91, "f32.sqrt", "f32 -> f32"),
            (0x92, "f32.add", "f32, f32 -> f32"),
            (0x93, "f32.sub", "f32, f32 -> f32"),
            (0x94, "f32.mul", "f32, f32 -> f32"),
            (0x95, "f32.div", "f32, f32 -> f32"),
            (0x96, "f32.min", "f32, f32 -> f32"),
            (0x97, "f32.max", "f32, f32 -> f32"),
            (0x98, "f32.copysign", "f32, f32 -> f32"),
            (0x99, "f64.abs", "f64 -> f64"),
            (0x9A, "f64.neg", "f64 -> f64"),
            (0x9B, "f64.ceil", "f64 -> f64"),
            (0x9C, "f64.floor", "f64 -> f64"),
            (0x9D, "f64.trunc", "f64 -> f64"),
            (0x9E, "f64.nearest", "f64 -> f64"),
            (0x9F, "f64.sqrt", "f64 -> f64"),
            (0xA0, "f64.add", "f64, f64 -> f64"),
            (0xA1, "f64.sub", "f64, f64 -> f64"),
            (0xA2, "f64.mul", "f64, f64 -> f64"),
            (0xA3, "f64.div", "f64, f64 -> f64"),
            (0xA4, "f64.min", "f64, f64 -> f64"),
            (0xA5, "f64.max", "f64, f64 -> f64"),
            (0xA6, "f64.copysign", "f64, f64 -> f64"),
            (0xA7, "i32.wrap_i64", "i64 -> i32"),
            (0xA8, "i32.trunc_f32_s", "f32 -> i32"),
            (0xA9, "i32.trunc_f32_u", "f32 -> i32"),
            (0xAA, "i32.trunc_f64_s", "f64 -> i32"),
            (0xAB, "i32.trunc_f64_u", "f64 -> i32"),
            (0xAC, "i64.extend_i32_s", "i32 -> i64"),
            (0xAD, "i64.extend_i32_u", "i32 -> i64"),
            (0xAE, "i64.trunc_f32_s", "f32 -> i64"),
            (0xAF, "i64.trunc_f32_u", "f32 -> i64"),
            (0xB0, "i64.trunc_f64_s", "f64 -> i64"),
            (0xB1, "i64.trunc_f64_u", "f64 -> i64"),
            (0xB2, "f32.convert_i32_s", "i32 -> f32"),
            (0xB3, "f32.convert_i32_u", "i32 -> f32"),
            (0xB4, "f32.convert_i64_s", "i64 -> f32"),
            (0xB5, "f32.convert_i64_u", "i64 -> f32"),
            (0xB6, "f32.demote_f64", "f64 -> f32"),
            (0xB7, "f64.convert_i32_s", "i32 -> f64"),
            (0xB8, "f64.convert_i32_u", "i32 -> f64"),
            (0xB9, "f64.convert_i64_s", "i64 -> f64"),
            (0xBA, "f64.convert_i64_u", "i64 -> f64"),
            (0xBB, "f64.promote_f32", "f32 -> f64"),
            (0xBC, "i32.reinterpret_f32", "f32 -> i32"),
            (0xBD, "i64.reinterpret_f64", "f64 -> i64"),
            (0xBE, "f32.reinterpret_i32", "i32 -> f32"),
            (0xBF, "f64.reinterpret_i64", "i64 -> f64"),
        ),
    ),
    _Group(
        "sign-ext",
        None,
        (
            (0xC0, "i32.extend8_s", "i32 -> i32"),
            (0xC1, "i32.extend16_s", "i32 -> i32"),
            (0xC2, "i64.extend8_s", "i64 -> i64"),
            (0xC3, "i64.extend16_s", "i64 -> i64"),
            (0xC4, "i64.extend32_s", "i64 -> i64"),
        ),
    ),
    _Group(
        "reference-types",
        None,
        (
            (0x1C, "select_t", None, _I.VALTYPE_VECTOR),
            (0x25, "table.get", None, _I.TABLEIDX),
            (0x26, "table.set", None, _I.TABLEIDX),
            (0xD0, "ref.null", None, _I.HEAPTYPE),
            (0xD1, "ref.is_null", None),
            (0xD2, "ref.func", None, _I.FUNCIDX),
        ),
    ),
    _Group(
        "tail-call",
        None,
        (
            (0x12, "return_call", None, _I.FUNCIDX),
            (0x13, "return_call_indirect", None, _I.TYPEIDX, _I.TABLEIDX),
        ),
    ),
    _Group(
        "function-references",
        None,
        (
            (0x14, "call_ref", None, _I.TYPEIDX),
            (0x15, "return_call_ref", None, _I.TYPEIDX),
            (0xD4, "ref.as_non_null", None),
            (0xD5, "br_on_null", None, _I.LABELIDX),
            (0xD6, "br_on_non_null", None, _I.LABELIDX),
        ),
    ),
    _Group(
        "exceptions",
        None,
        (
            (0x08, "throw", None, _I.TAGIDX),
            (0x0A, "throw_ref", None),
            (0x1F, "try_table", None, _I.BLOCKTYPE, _I.CATCH_VECTOR),
        ),
    ),
    _Group(
        "gc",
        None,
        ((0xD3, "ref.eq", "eqref, eqref -> i32"),),
    ),
    _Group(
        "gc",
        0xFB,
        (
            (0x00, "struct.new", None, _I.TYPEIDX),
            (0x01, "struct.new_default", None, _I.TYPEIDX),
            (0x02, "struct.get", None, _I.TYPEIDX, _I.FIELDIDX),
            (0x03, "struct.get_s", None, _I.TYPEIDX, _I.FIELDIDX),
            (0x04, "struct.get_u", None, _I.TYPEIDX, _I.FIELDIDX),
            (0x05, "struct.set", None, _I.TYPEIDX, _I.FIELDIDX),
            (0x06, "array.new", None, _I.TYPEIDX),
            (0x07, "array.new_default", None, _I.TYPEIDX),
            (0x08, "array.new_fixed", None, _I.TYPEIDX, _I.U32),
            (0x09, "array.new_data", None, _I.TYPEIDX, _I.DATAIDX),
            (0x0A, "array.new_elem", None, _I.TYPEIDX, _I.ELEMIDX),
            (0x0B, "array.get", None, _I.TYPEIDX),
            (0x0C, "array.get_s", None, _I.TYPEIDX),
            (0x0D, "array.get_u", None, _I.TYPEIDX),
            (0x0E, "array.set", None, _I.TYPEIDX),
            (0x0F, "array.len", "arrayref -> i32"),
            (0x10, "array.fill", None, _I.TYPEIDX),
            (0x11, "array.copy", None, _I.TYPEIDX, _I.TYPEIDX),
            (0x12, "array.init_data", None, _I.TYPEIDX, _I.DATAIDX),
            (0x13, "array.init_elem", None, _I.TYPEIDX, _I.ELEMIDX),
            (0x14, "ref.test", None, _I.HEAPTYPE),
            (0x15, "ref.test_null", None, _I.HEAPTYPE),
            (0x16, "ref.cast", None, _I.HEAPTYPE),
            (0x17, "ref.cast_null", None, _I.HEAPTYPE),
            (0x18, "br_on_cast", None, _I.CASTFLAGS, _I.LABELIDX, _I.HEAPTYPE, _I.HEAPTYPE),
            (0x19, "br_on_cast_fail", None, _I.CASTFLAGS, _I.LABELIDX, _I.HEAPTYPE, _I.HEAPTYPE),
            (0x1A, "any.convert_extern", None),
            (0x1B, "extern.convert_any", None),
            (0x1C, "ref.i31", "i32 -> (ref i31)"),
            (0x1D, "i31.get_s", "i31ref -> i32"),
            (0x1E, "i31.get_u", "i31ref -> i32"),
        ),
    ),
    _Group(
        "sat-float-to-int",
        0xFC,
        (
            (0x00, "i32.trunc_sat_f32_s", "f32 -> i32"),
            (0x01, "i32.trunc_sat_f32_u", "f32 -> i32"),
            (0x02, "i32.trunc_sat_f64_s", "f64 -> i32"),
            (0x03, "i32.trunc_sat_f64_u", "f64 -> i32"),
            (0x04, "i64.trunc_sat_f32_s", "f32 -> i64"),
            (0x05, "i64.trunc_sat_f32_u", "f32 -> i64"),
            (0x06, "i64.trunc_sat_f64_s", "f64 -> i64"),
            (0x07, "i64.trunc_sat_f64_u", "f64 -> i64"),
        ),
    ),
    _Group(
        "bulk-memory",
        0xFC,
        (
            (0x08, "memory.init", "addr, i32, i32 ->", _I.DATAIDX, _I.MEMIDX),
            (0x09, "data.drop", "->", _I.DATAIDX),
            (0x0A, "memory.copy", None, _I.MEMIDX, _I.MEMIDX),
            (0x0B, "memory.fill", "addr, i32, addr ->", _I.MEMIDX),
            (0x0C, "table.init", "addr, i32, i32 ->", _I.ELEMIDX, _I.TABLEIDX),
            (0x0D, "elem.drop", "->", _I.ELEMIDX),
            (0x0E, "table.copy", None, _I.TABLEIDX, _I.TABLEIDX),
        ),
    ),
    _Group(
        "reference-types",
        0xFC,
        (
            (0x0F, "table.grow", None, _I.TABLEIDX),
            (0x10, "table.size", "-> addr", _I.TABLEIDX),
            (0x11, "table.fill", None, _I.TABLEIDX),
        ),
    ),
    _Group(
        "wide-arithmetic",
        0xFC,
        (
            (0x13, "i64.add128", "i64, i64, i64, i64 -> i64, i64"),
            (0x14, "i64.sub128", "i64, i64, i64, i64 -> i64, i64"),
            (0x15, "i64.mul_wide_s", "i64, i64 -> i64, i64"),
            (0x16, "i64.mul_wide_u", "i64, i64 -> i64, i64"),
        ),
    ),
    _Group(
        "simd",
        0xFD,
        (
            (0x00, "v128.load", "addr -> v128", _I.MEMARG),
            (0x01, "v128.load8x8_s", "addr -> v128", _I.MEMARG),
            (0x02, "v128.load8x8_u", "addr -> v128", _I.MEMARG),
            (0x03, "v128.load16x4_s", "addr -> v128", _I.MEMARG),
            (0x04, "v128.load16x4_u", "addr -> v128", _I.MEMARG),
            (0x05, "v128.load32x2_s", "addr -> v128", _I.MEMARG),
            (0x06, "v128.load32x2_u", "addr -> v128", _I.MEMARG),
            (0x07, "v128.load8_splat", "addr -> v128", _I.MEMARG),
            (0x08, "v128.load16_splat", "addr -> v128", _I.MEMARG),
            (0x09, "v128.load32_splat", "addr -> v128", _I.MEMARG),
            (0x0A, "v128.load64_splat", "addr -> v128", _I.MEMARG),
            (0x0B, "v128.store", "addr, v128 ->", _I.MEMARG),
            (0x0C, "v128.const", "-> v128", _I.V128),
            (0x0D, "i8x16.shuffle", "v128, v128 -> v128", _I.LANEIDX16),
            (0x0E, "i8x16.swizzle", "v128, v128 -> v128"),
            (0x0F, "i8x16.splat", "i32 -> v128"),
            (0x10, "i16x8.splat", "i32 -> v128"),
            (0x11, "i32x4.splat", "i32 -> v128"),
            (0x12, "i64x2.splat", "i64 -> v128"),
            (0x13, "f32x4.splat", "f32 -> v128"),
            (0x14, "f64x2.splat", "f64 -> v128"),
            (0x15, "i8x16.extract_lane_s", "v128 -> i32", _I.LANEIDX),
            (0x16, "i8x16.extract_lane_u", "v128 -> i32", _I.LANEIDX),
            (0x17, "i8x16.replace_lane", "v128, i32 -> v128", _I.LANEIDX),
            (0x18, "i16x8.extract_lane_s", "v128 -> i32", _I.LANEIDX),
            (0x19, "i16x8.extract_lane_u", "v128 -> i32", _I.LANEIDX),
            (0x1A, "i16x8.replace_lane", "v128, i32 -> v128", _I.LANEIDX),
            (0x1B, "i32x4.extract_lane", "v128 -> i32", _I.LANEIDX),
            (0x1C, "i32x4.replace_lane", "v128, i32 -> v128", _I.LANEIDX),
            (0x1D, "i64x2.extract_lane", "v128 -> i64", _I.LANEIDX),
            (0x1E, "i64x2.replace_lane", "v128, i64 -> v128", _I.LANEIDX),
            (0x1F, "f32x4.extract_lane", "v128 -> f32", _I.LANEIDX),
            (0x20, "f32x4.replace_lane", "v128, f32 -> v128", _I.LANEIDX),
            (0x21, "f64x2.extract_lane", "v128 -> f64", _I.LANEIDX),
            (0x22, "f64x2.replace_lane", "v128, f64 -> v128", _I.LANEIDX),
            (0x23, "i8x16.eq", "v128, v128 -> v128"),
            (0x24, "i8x16.ne", "v128, v128 -> v128"),
            (0x25, "i8x16.lt_s", "v128, v128 -> v128"),
            (0x26, "i8x16.lt_u", "v128, v128 -> v128"),
            (0x27, "i8x16.gt_s", "v128, v128 -> v128"),
            (0x28, "i8x16.gt_u", "v128, v128 -> v128"),
            (0x29, "i8x16.le_s", "v128, v128 -> v128"),
            (0x2A, "i8x16.le_u", "v128, v128 -> v128"),
            (0x2B, "i8x16.ge_s", "v128, v128 -> v128"),
            (0x2C, "i8x16.ge_u", "v128, v128 -> v128"),
            (0x2D, "i16x8.eq", "v128, v128 -> v128"),
            (0x2E, "i16x8.ne", "v128, v128 -> v128"),
            (0x2F, "i16x8.lt_s", "v128, v128 -> v128"),
            (0x30, "i16x8.lt_u", "v128, v128 -> v128"),
            (0x31, "i16x8.gt_s", "v128, v128 -> v128"),
            (0x32, "i16x8.gt_u", "v128, v128 -> v128"),
            (0x33, "i16x8.le_s", "v128, v128 -> v128"),
            (0x34, "i16x8.le_u", "v128, v128 -> v128"),
            (0x35, "i16x8.ge_s", "v128, v128 -> v128"),
            (0x36, "i16x8.ge_u", "v128, v128 -> v128"),
            (0x37, "i32x4.eq", "v128, v128 -> v128"),
            (0x38, "i32x4.ne", "v128, v128 -> v128"),
            (0x39, "i32x4.lt_s", "v128, v128 -> v128"),
            (0x3A, "i32x4.lt_u", "v128, v128 -> v128"),
            (0x3B, "i32x4.gt_s", "v128, v128 -> v128"),
            (0x3C, "i32x4.gt_u", "v128, v128 -> v128"),
            (0x3D, "i32x4.le_s", "v128, v128 -> v128"),
            (0x3E, "i32x4.le_u", "v128, v128 -> v128"),
            (0x3F, "i32x4.ge_s", "v128, v128 -> v128"),
            (0x40, "i32x4.ge_u", "v128, v128 -> v128"),
            (0x41, "f32x4.eq", "v128, v128 -> v128"),
            (0x42, "f32x4.ne", "v128, v128 -> v128"),
            (0x43, "f32x4.lt", "v128, v128 -> v128"),
            (0x44, "f32x4.gt", "v128, v128 -> v128"),
            (0x45, "f32x4.le", "v128, v128 -> v128"),
            (0x46, "f32x4.ge", "v128, v128 -> v128"),
            (0x47, "f64x2.eq", "v128, v128 -> v128"),
            (0x48, "f64x2.ne", "v128, v128 -> v128"),
            (0x49, "f64x2.lt", "v128, v128 -> v128"),
            (0x4A, "f64x2.gt", "v128, v128 -> v128"),
            (0x4B, "f64x2.le", "v128, v128 -> v128"),
            (0x4C, "f64x2.ge", "v128, v128 -> v128"),
            (0x4D, "v128.not", "v128 -> v128"),
            (0x4E, "v128.and", "v128, v128 -> v128"),
            (0x4F, "v128.andnot", "v128, v128 -> v128"),
            (0x50, "v128.or", "v128, v128 -> v128"),
            (0x51, "v128.xor", "v128, v128 -> v128"),
            (0x52, "v128.bitselect", "v128, v128, v128 -> v128"),
            (0x53, "v128.any_true", "v128 -> i32"),
            (0x54, "v128.load8_lane", "addr, v128 -> v128", _I.MEMARG, _I.LANEIDX),
            (0x55, "v128.load16_lane", "addr, v128 -> v128", _I.MEMARG, _I.LANEIDX),
            (0x56, "v128.load32_lane", "addr, v128 -> v128", _I.MEMARG, _I.LANEIDX),
            (0x57, "v128.load64_lane", "addr, v128 -> v128", _I.MEMARG, _I.LANEIDX),
            (0x58, "v128.store8_lane", "addr, v128 ->", _I.MEMARG, _I.LANEIDX),
            (0x59, "v128.store16_lane", "addr, v128 ->", _I.MEMARG, _I.LANEIDX),
            (0x5A, "v128.store32_lane", "addr, v128 ->", _I.MEMARG, _I.LANEIDX),
            (0x5B, "v128.store64_lane", "addr, v128 ->", _I.MEMARG, _I.LANEIDX),
            (0x5C, "v128.load32_zero", "addr -> v128", _I.MEMARG),
            (0x5D, "v128.load64_zero", "addr -> v128", _I.MEMARG),
            (0x5E, "f32x4.demote_f64x2_zero", "v128 -> v128"),
            (0x5F, "f64x2.promote_low_f32x4", "v128 -> v128"),
            (0x60, "i8x16.abs", "v128 -> v128"),
            (0x61, "i8x16.neg", "v128 -> v128"),
            (0x62, "i8x16.popcnt", "v128 -> v128"),
            (0x63, "i8x16.all_true", "v128 -> i32"),
            (0x64, "i8x16.bitmask", "v128 -> i32"),
            (0x65, "i8x16.narrow_i16x8_s", "v128, v128 -> v128"),
            (0x66, "i8x16.narrow_i16x8_u", "v128, v128 -> v128"),
            (0x67, "f32x4.ceil", "v128 -> v128"),
            (0x68, "f32x4.floor", "v128 -> v128"),
            (0x69, "f32x4.trunc", "v128 -> v128"),
            (0x6A, "f32x4.nearest", "v128 -> v128"),
            (0x6B, "i8x16.shl", "v128, i32 -> v128"),
            (0x6C, "i8x16.shr_s", "v128, i32 -> v128"),
            (0x6D, "i8x16.shr_u", "v128, i32 -> v128"),
            (0x6E, "i8x16.add", "v128, v128 -> v128"),
            (0x6F, "i8x16.add_sat_s", "v128, v128 -> v128"),
            (0x70, "i8x16.add_sat_u", "v128, v128 -> v128"),
            (0x71, "i8x16.sub", "v128, v128 -> v128"),
            (0x72, "i8x16.sub_sat_s", "v128, v128 -> v128"),
            (0x73, "i8x16.sub_sat_u", "v128, v128 -> v128"),
            (0x74, "f64x2.ceil", "v128 -> v128"),
            (0x75, "f64x2.floor", "v128 -> v128"),
            (0x76, "i8x16.min_s", "v128, v128 -> v128"),
            (0x77, "i8x16.min_u", "v128, v128 -> v128"),
            (0x78, "i8x16.max_s", "v128, v128 -> v128"),
            (0x79, "i8x16.max_u", "v128, v128 -> v128"),
            (0x7A, "f64x2.trunc", "v128 -> v128"),
            (0x7B, "i8x16.avgr_u", "v128, v128 -> v128"),
            (0x7C, "i16x8.extadd_pairwise_i8x16_s", "v128 -> v128"),
            (0x7D, "i16x8.extadd_pairwise_i8x16_u", "v128 -> v128"),
            (0x7E, "i32x4.extadd_pairwise_i16x8_s", "v128 -> v128"),
            (0x7F, "i32x4.extadd_pairwise_i16x8_u", "v128 -> v128"),
            (0x80, "i16x8.abs", "v128 -> v128"),
            (0x81, "i16x8.neg", "v128 -> v128"),
            (0x82, "i16x8.q15mulr_sat_s", "v128, v128 -> v128"),
            (0x83, "i16x8.all_true", "v128 -> i32"),
            (0x84, "i16x8.bitmask", "v128 -> i32"),
            (0x85, "i16x8.narrow_i32x4_s", "v128, v128 -> v128"),
            (0x86, "i16x8.narrow_i32x4_u", "v128, v128 -> v128"),
            (0x87, "i16x8.extend_low_i8x16_s", "v128 -> v128"),
            (0x88, "i16x8.extend_high_i8x16_s", "v128 -> v128"),
            (0x89, "i16x8.extend_low_i8x16_u", "v128 -> v128"),
            (0x8A, "i16x8.extend_high_i8x16_u", "v128 -> v128"),
            (0x8B, "i16x8.shl", "v128, i32 -> v128"),
            (0x8C, "i16x8.shr_s", "v128, i32 -> v128"),
            (0x8D, "i16x8.shr_u", "v128, i32 -> v128"),
            (0x8E, "i16x8.add", "v128, v128 -> v128"),
            (0x8F, "i16x8.add_sat_s", "v128, v128 -> v128"),
            (0x90, "i16x8.add_sat_u", "v128, v128 -> v128"),
            (0x91, "i16x8.sub", "v128, v128 -> v128"),
            (0x92, "i16x8.sub_sat_s", "v128, v128 -> v128"),
            (0x93, "i16x8.sub_sat_u", "v128, v128 -> v128"),
            (0x94, "f64x2.nearest", "v128 -> v128"),
            (0x95, "i16x8.mul", "v128, v128 -> v128"),
            (0x96, "i16x8.min_s", "v128, v128 -> v128"),
            (0x97, "i16x8.min_u", "v128, v128 -> v128"),
            (0x98, "i16x8.max_s", "v128, v128 -> v128"),
            (0x99, "i16x8.max_u", "v128, v128 -> v128"),
            (0x9B, "i16x8.avgr_u", "v128, v128 -> v128"),
            (0x9C, "i16x8.extmul_low_i8x16_s", "v128, v128 -> v128"),
            (0x9D, "i16x8.extmul_high_i8x16_s", "v128, v128 -> v128"),
            (0x9E, "i16x8.extmul_low_i8x16_u", "v128, v128 -> v128"),
            (0x9F, "i16x8.extmul_high_i8x16_u", "v128, v128 -> v128"),
            (0xA0, "i32x4.abs", "v128 -> v128"),
            (0xA1, "i32x4.neg", "v128 -> v128"),
            (0xA3, "i32x4.all_true", "v128 -> i32"),
            (0xA4, "i32x4.bitmask", "v128 -> i32"),
            (0xA7, "i32x4.extend_low_i16x8_s", "v128 -> v128"),
            (0xA8, "i32x4.extend_high_i16x8_s", "v128 -> v128"),
            (0xA9, "i32x4.extend_low_i16x8_u", "v128 -> v128"),
            (0xAA, "i32x4.extend_high_i16x8_u", "v128 -> v128"),
            (0xAB, "i32x4.shl", "v128, i32 -> v128"),
            (0xAC, "i32x4.shr_s", "v128, i32 -> v128"),
            (0xAD, "i32x4.shr_u", "v128, i32 -> v128"),
            (0xAE, "i32x4.add", "v128, v128 -> v128"),
            (0xB1, "i32x4.sub", "v128, v128 -> v128"),
            (0xB5, "i32x4.mul", "v128, v128 -> v128"),
            (0xB6, "i32x4.min_s", "v128, v128 -> v128"),
            (0xB7, "i32x4.min_u", "v128, v128 -> v128"),
            (0xB8, "i32x4.max_s", "v128, v128 -> v128"),
            (0xB9, "i32x4.max_u", "v128, v128 -> v128"),
            (0xBA, "i32x4.dot_i16x8_s", "v128, v128 -> v128"),
            (0xBC, "i32x4.extmul_low_i16x8_s", "v128, v128 -> v128"),
            (0xBD, "i32x4.extmul_high_i16x8_s", "v128, v128 -> v128"),
            (0xBE, "i32x4.extmul_low_i16x8_u", "v128, v128 -> v128"),
            (0xBF, "i32x4.extmul_high_i16x8_u", "v128, v128 -> v128"),
            (0xC0, "i64x2.abs", "v128 -> v128"),
            (0xC1, "i64x2.neg", "v128 -> v128"),
            (0xC3, "i64x2.all_true", "v128 -> i32"),
            (0xC4, "i64x2.bitmask", "v128 -> i32"),
            (0xC7, "i64x2.extend_low_i32x4_s", "v128 -> v128"),
            (0xC8, "i64x2.extend_high_i32x4_s", "v128 -> v128"),
            (0xC9, "i64x2.extend_low_i32x4_u", "v128 -> v128"),
            (0xCA, "i64x2.extend_high_i32x4_u", "v128 -> v128"),
            (0xCB, "i64x2.shl", "v128, i32 -> v128"),
            (0xCC, "i64x2.shr_s", "v128, i32 -> v128"),
            (0xCD, "i64x2.shr_u", "v128, i32 -> v128"),
            (0xCE, "i64x2.add", "v128, v128 -> v128"),
            (0xD1, "i64x2.sub", "v128, v128 -> v128"),
            (0xD5, "i64x2.mul", "v128, v128 -> v128"),
            (0xD6, "i64x2.eq", "v128, v128 -> v128"),
            (0xD7, "i64x2.ne", "v128, v128 -> v128"),
            (0xD8, "i64x2.lt_s", "v128, v128 -> v128"),
            (0xD9, "i64x2.gt_s", "v128, v128 -> v128"),
            (0xDA, "i64x2.le_s", "v128, v128 -> v128"),
            (0xDB, "i64x2.ge_s", "v128, v128 -> v128"),
            (0xDC, "i64x2.extmul_low_i32x4_s", "v128, v128 -> v128"),
            (0xDD, "i64x2.extmul_high_i32x4_s", "v128, v128 -> v128"),
            (0xDE, "i64x2.extmul_low_i32x4_u", "v128, v128 -> v128"),
            (0xDF, "i64x2.extmul_high_i32x4_u", "v128, v128 -> v128"),
            (0xE0, "f32x4.abs", "v128 -> v128"),
            (0xE1, "f32x4.neg", "v128 -> v128"),
            (0xE3, "f32x4.sqrt", "v128 -> v128"),
            (0xE4, "f32x4.add", "v128, v128 -> v128"),
            (0xE5, "f32x4.sub", "v128, v128 -> v128"),
            (0xE6, "f32x4.mul", "v128, v128 -> v128"),
            (0xE7, "f32x4.div", "v128, v128 -> v128"),
            (0xE8, "f32x4.min", "v128, v128 -> v128"),
            (0xE9, "f32x4.max", "v128, v128 -> v128"),
            (0xEA, "f32x4.pmin", "v128, v128 -> v128"),
            (0xEB, "f32x4.pmax", "v128, v128 -> v128"),
            (0xEC, "f64x2.abs", "v128 -> v128"),
            (0xED, "f64x2.neg", "v128 -> v128"),
            (0xEF, "f64x2.sqrt", "v128 -> v128"),
            (0xF0, "f64x2.add", "v128, v128 -> v128"),
            (0xF1, "f64x2.sub", "v128, v128 -> v128"),
            (0xF2, "f64x2.mul", "v128, v128 -> v128"),
            (0xF3, "f64x2.div", "v128, v128 -> v128"),
            (0xF4, "f64x2.min", "v128, v128 -> v128"),
            (0xF5, "f64x2.max", "v128, v128 -> v128"),
            (0xF6, "f64x2.pmin", "v128, v128 -> v128"),
            (0xF7, "f64x2.pmax", "v128, v128 -> v128"),
            (0xF8, "i32x4.trunc_sat_f32x4_s", "v128 -> v128"),
            (0xF9, "i32x4.trunc_sat_f32x4_u", "v128 -> v128"),
            (0xFA, "f32x4.convert_i32x4_s", "v128 -> v128"),
            (0xFB, "f32x4.convert_i32x4_u", "v128 -> v128"),
            (0xFC, "i32x4.trunc_sat_f64x2_s_zero", "v128 -> v128"),
            (0xFD, "i32x4.trunc_sat_f64x2_u_zero", "v128 -> v128"),
            (0xFE, "f64x2.convert_low_i32x4_s", "v128 -> v128"),
            (0xFF, "f64x2.convert_low_i32x4_u", "v128 -> v128"),
        ),
    ),
    _Group(
        "relaxed-simd",
        0xFD,
        (
            (0x100, "i8x16.relaxed_swizzle", "v128, v128 -> v128"),
            (0x101, "i32x4.relaxed_trunc_f32x4_s", "v128 -> v128"),
            (0x102, "i32x4.relaxed_trunc_f32x4_u", "v128 -> v128"),
            (0x103, "i32x4.relaxed_trunc_f64x2_s_zero", "v128 -> v128"),
            (0x104, "i32x4.relaxed_trunc_f64x2_u_zero", "v128 -> v128"),
            (0x105, "f32x4.relaxed_madd", "v128, v128, v128 -> v128"),
            (0x106, "f32x4.relaxed_nmadd", "v128, v128, v128 -> v128"),
            (0x107, "f64x2.relaxed_madd", "v128, v128, v128 -> v128"),
            (0x108, "f64x2.relaxed_nmadd", "v128, v128, v128 -> v128"),
            (0x109, "i8x16.relaxed_laneselect", "v128, v128, v128 -> v128"),
            (0x10A, "i16x8.relaxed_laneselect", "v128, v128, v128 -> v128"),
            (0x10B, "i32x4.relaxed_laneselect", "v128, v128, v128 -> v128"),
            (0x10C, "i64x2.relaxed_laneselect", "v128, v128, v128 -> v128"),
            (0x10D, "f32x4.relaxed_min", "v128, v128 -> v128"),
            (0x10E, "f32x4.relaxed_max", "v128, v128 -> v128"),
            (0x10F, "f64x2.relaxed_min", "v128, v128 -> v128"),
            (0x110, "f64x2.relaxed_max", "v128, v128 -> v128"),
            (0x111, "i16x8.relaxed_q15mulr_s", "v128, v128 -> v128"),
            (0x112, "i16x8.relaxed_dot_i8x16_i7x16_s", "v128, v128 -> v128"),
            (0x113, "i32x4.relaxed_dot_i8x16_i7x16_add_s", "v128, v128, v128 -> v128"),
        ),
    ),
    _Group(
        "threads",
        0xFE,
        (
            (0x00, "memory.atomic.notify", "addr, i32 -> i32", _I.MEMARG),
            (0x01, "memory.atomic.wait32", "addr, i32, i64 -> i32", _I.MEMARG),
            (0x02, "memory.atomic.wait64", "addr, i64, i64 -> i32", _I.MEMARG),
            (0x03, "atomic.fence", "->", _I.RESERVED_BYTE),
            (0x10, "i32.atomic.load", "addr -> i32", _I.MEMARG),
            (0x11, "i64.atomic.load", "addr -> i64", _I.MEMARG),
            (0x12, "i32.atomic.load8_u", "addr -> i32", _I.MEMARG),
            (0x13, "i32.atomic.load16_u", "addr -> i32", _I.MEMARG),
            (0x14, "i64.atomic.load8_u", "addr -> i64", _I.MEMARG),
            (0x15, "i64.atomic.load16_u", "addr -> i64", _I.MEMARG),
            (0x16, "i64.atomic.load32_u", "addr -> i64", _I.MEMARG),
            (0x17, "i32.atomic.store", "addr, i32 ->", _I.MEMARG),
            (0x18, "i64.atomic.store", "addr, i64 ->", _I.MEMARG),
            (0x19, "i32.atomic.store8", "addr, i32 ->", _I.MEMARG),
            (0x1A, "i32.atomic.store16", "addr, i32 ->", _I.MEMARG),
            (0x1B, "i64.atomic.store8", "addr, i64 ->", _I.MEMARG),
            (0x1C, "i64.atomic.store16", "addr, i64 ->", _I.MEMARG),
            (0x1D, "i64.atomic.store32", "addr, i64 ->", _I.MEMARG),
            (0x1E, "i32.atomic.rmw.add", "addr, i32 -> i32", _I.MEMARG),
            (0x1F, "i64.atomic.rmw.add", "addr, i64 -> i64", _I.MEMARG),
            (0x20, "i32.atomic.rmw8.add_u", "addr, i32 -> i32", _I.MEMARG),
            (0x21, "i32.atomic.rmw16.add_u", "addr, i32 -> i32", _I.MEMARG),
            (0x22, "i64.atomic.rmw8.add_u", "addr, i64 -> i64", _I.MEMARG),
            (0x23, "i64.atomic.rmw16.add_u", "addr, i64 -> i64", _I.MEMARG),
            (0x24, "i64.atomic.rmw32.add_u", "addr, i64 -> i64", _I.MEMARG),
            (0x25, "i32.atomic.rmw.sub", "addr, i32 -> i32", _I.MEMARG),
            (0x26, "i64.atomic.rmw.sub", "addr, i64 -> i64", _I.MEMARG),
            (0x27, "i32.atomic.rmw8.sub_u", "addr, i32 -> i32", _I.MEMARG),
            (0x28, "i32.atomic.rmw16.sub_u", "addr, i32 -> i32", _I.MEMARG),
            (0x29, "i64.atomic.rmw8.sub_u", "addr, i64 -> i64", _I.MEMARG),
            (0x2A, "i64.atomic.rmw16.sub_u", "addr, i64 -> i64", _I.MEMARG),
            (0x2B, "i64.atomic.rmw32.sub_u", "addr, i64 -> i64", _I.MEMARG),
            (0x2C, "i32.atomic.rmw.and", "addr, i32 -> i32", _I.MEMARG),
            (0x2D, "i64.atomic.rmw.and", "addr, i64 -> i64", _I.MEMARG),
            (0x2E, "i32.atomic.rmw8.and_u", "addr, i32 -> i32", _I.MEMARG),
            (0x2F, "i32.atomic.rmw16.and_u", "addr, i32 -> i32", _I.MEMARG),
            (0x30, "i64.atomic.rmw8.and_u", "addr, i64 -> i64", _I.MEMARG),
            (0x31, "i64.atomic.rmw16.and_u", "addr, i64 -> i64", _I.MEMARG),
            (0x32, "i64.atomic.rmw32.and_u", "addr, i64 -> i64", _I.MEMARG),
            (0x33, "i32.atomic.rmw.or", "addr, i32 -> i32", _I.MEMARG),
            (0x34, "i64.atomic.rmw.or", "addr, i64 -> i64", _I.MEMARG),
            (0x35, "i32.atomic.rmw8.or_u", "addr, i32 -> i32", _I.MEMARG),
            (0x36, "i32.atomic.rmw16.or_u", "addr, i32 -> i32", _I.MEMARG),
            (0x37, "i64.atomic.rmw8.or_u", "addr, i64 -> i64", _I.MEMARG),
            (0x38, "i64.atomic.rmw16.or_u", "addr, i64 -> i64", _I.MEMARG),
            (0x39, "i64.atomic.rmw32.or_u", "addr, i64 -> i64", _I.MEMARG),
            (0x3A, "i32.atomic.rmw.xor", "addr, i32 -> i32", _I.MEMARG),
            (0x3B, "i64.atomic.rmw.xor", "addr, i64 -> i64", _I.MEMARG),
            (0x3C, "i32.atomic.rmw8.xor_u", "addr, i32 -> i32", _I.MEMARG),
            (0x3D, "i32.atomic.rmw16.xor_u", "addr, i32 -> i32", _I.MEMARG),
            (0x3E, "i64.atomic.rmw8.xor_u", "addr, i64 -> i64", _I.MEMARG),
            (0x3F, "i64.atomic.rmw16.xor_u", "addr, i64 -> i64", _I.MEMARG),
            (0x40, "i64.atomic.rmw32.xor_u", "addr, i64 -> i64", _I.MEMARG),
            (0x41, "i32.atomic.rmw.xchg", "addr, i32 -> i32", _I.MEMARG),
            (0x42, "i64.atomic.rmw.xchg", "addr, i64 -> i64", _I.MEMARG),
            (0x43, "i32.atomic.rmw8.xchg_u", "addr, i32 -> i32", _I.MEMARG),
            (0x44, "i32.atomic.rmw16.xchg_u", "addr, i32 -> i32", _I.MEMARG),
            (0x45, "i64.atomic.rmw8.xchg_u", "addr, i64 -> i64", _I.MEMARG),
            (0x46, "i64.atomic.rmw16.xchg_u", "addr, i64 -> i64", _I.MEMARG),
            (0x47, "i64.atomic.rmw32.xchg_u", "addr, i64 -> i64", _I.MEMARG),
            (0x48, "i32.atomic.rmw.cmpxchg", "addr, i32, i32 -> i32", _I.MEMARG),
            (0x49, "i64.atomic.rmw.cmpxchg", "addr, i64, i64 -> i64", _I.MEMARG),
            (0x4A, "i32.atomic.rmw8.cmpxchg_u", "addr, i32, i32 -> i32", _I.MEMARG),
            (0x4B, "i32.atomic.rmw16.cmpxchg_u", "addr, i32, i32 -> i32", _I.MEMARG),
            (0x4C, "i64.atomic.rmw8.cmpxchg_u", "addr, i64, i64 -> i64", _I.MEMARG),
            (0x4D, "i64.atomic.rmw16.cmpxchg_u", "addr, i64, i64 -> i64", _I.MEMARG),
            (0x4E, "i64.atomic.rmw32.cmpxchg_u", "addr, i64, i64 -> i64", _I.MEMARG),
        ),
    ),
)

LEGACY_EXCEPTIONS: dict[int, str] = {
    0x06: "try",
    0x07: "catch",
    0x09: "rethrow",
    0x18: "delegate",
    0x19: "catch_all",
}
"""The withdrawn form of exception handling, which wasmtime refuses; here so that an error can name it."""

PREFIXES = (0xFB, 0xFC, 0xFD, 0xFE)
"""The bytes that are followed by a u32 opcode."""


def _types(text: str) -> tuple[str, ...]:
    return tuple(text.split(", ")) if text else ()


def _build() -> tuple[Opcode, ...]:
    signatures: dict[str | None, Signature | None] = {None: None}
    opcodes = []
    for proposal, prefix, rows in _GROUPS:
        for code, mnemonic, text, *immediates in rows:
            if text is not None and text not in signatures:
                operands, _, results = text.partition("->")
                signatures[text] = Signature(_types(operands.rstrip()), _types(results.lstrip()))
            opcodes.append(Opcode(prefix, code, mnemonic, tuple(immediates), proposal, signatures[text]))
    return tuple(sorted(opcodes, key=lambda opcode: (opcode.prefix or 0, opcode.code)))


OPCODES: tuple[Opcode, ...] = _build()
"""All rows: single bytes first, then by prefix; each by code."""

BY_MNEMONIC: dict[str, Opcode] = {opcode.mnemonic: opcode for opcode in OPCODES}

BY_CODE: dict[tuple[int | None, int], Opcode] = {(opcode.prefix, opcode.code): opcode for opcode in OPCODES}


class Op(IntEnum):
    """The single-byte opcodes as members: mnemonic `i32.const` is `I32_CONST`."""

    UNREACHABLE = 0x00
    NOP = 0x01
    BLOCK = 0x02
    LOOP = 0x03
    IF = 0x04
    ELSE = 0x05
    THROW = 0x08
    THROW_REF = 0x0A
    END = 0x0B
    BR = 0x0C
    BR_IF = 0x0D
    BR_TABLE = 0x0E
    RETURN = 0x0F
    CALL = 0x10
    CALL_INDIRECT = 0x11
    RETURN_CALL = 0x12
    RETURN_CALL_INDIRECT = 0x13
    CALL_REF = 0x14
    RETURN_CALL_REF = 0x15
    DROP = 0x1A
    SELECT = 0x1B
    SELECT_T = 0x1C
    TRY_TABLE = 0x1F
    LOCAL_GET = 0x20
    LOCAL_SET = 0x21
    LOCAL_TEE = 0x22
    GLOBAL_GET = 0x23
    GLOBAL_SET = 0x24
    TABLE_GET = 0x25
    TABLE_SET = 0x26
    I32_LOAD = 0x28
    I64_LOAD = 0x29
    F32_LOAD = 0x2A
    F64_LOAD = 0x2B
    I32_LOAD8_S = 0x2C
    I32_LOAD8_U = 0x2D
    I32_LOAD16_S = 0x2E
    I32_LOAD16_U = 0x2F
    I64_LOAD8_S = 0x30
    I64_LOAD8_U = 0x31
    I64_LOAD16_S = 0x32
    I64_LOAD16_U = 0x33
    I64_LOAD32_S = 0x34
    I64_LOAD32_U = 0x35
    I32_STORE = 0x36
    I64_STORE = 0x37
    F32_STORE = 0x38
    F64_STORE = 0x39
    I32_STORE8 = 0x3A
    I32_STORE16 = 0x3B
    I64_STORE8 = 0x3C
    I64_STORE16 = 0x3D
    I64_STORE32 = 0x3E
    MEMORY_SIZE = 0x3F
    MEMORY_GROW = 0x40
    I32_CONST = 0x41
    I64_CONST = 0x42
    F32_CONST = 0x43
    F64_CONST = 0x44
    I32_EQZ = 0x45
    I32_EQ = 0x46
    I32_NE = 0x47
    I32_LT_S = 0x48
    I32_LT_U = 0x49
    I32_GT_S = 0x4A
    I32_GT_U = 0x4B
    I32_LE_S = 0x4C
    I32_LE_U = 0x4D
    I32_GE_S = 0x4E
    I32_GE_U = 0x4F
    I64_EQZ = 0x50
    I64_EQ = 0x51
    I64_NE = 0x52
    I64_LT_S = 0x53
    I64_LT_U = 0x54
    I64_GT_S = 0x55
    I64_GT_U = 0x56
    I64_LE_S = 0x57
    I64_LE_U = 0x58
    I64_GE_S = 0x59
    I64_GE_U = 0x5A
    F32_EQ = 0x5B
    F32_NE = 0x5C
    F32_LT = 0x5D
    F32_GT = 0x5E
    F32_LE = 0x5F
    F32_GE = 0x60
    F64_EQ = 0x61
    F64_NE = 0x62
    F64_LT = 0x63
    F64_GT = 0x64
    F64_LE = 0x65
    F64_GE = 0x66
    I32_CLZ = 0x67
    I32_CTZ = 0x68
    I32_POPCNT = 0x69
    I32_ADD = 0x6A
    I32_SUB = 0x6B
    I32_MUL = 0x6C
    I32_DIV_S = 0x6D
    I32_DIV_U = 0x6E
    I32_REM_S = 0x6F
    I32_REM_U = 0x70
    I32_AND = 0x71
    I32_OR = 0x72
    I32_XOR = 0x73
    I32_SHL = 0x74
    I32_SHR_S = 0x75
    I32_SHR_U = 0x76
    I32_ROTL = 0x77
    I32_ROTR = 0x78
    I64_CLZ = 0x79
    I64_CTZ = 0x7A
    I64_POPCNT = 0x7B
    I64_ADD = 0x7C
    I64_SUB = 0x7D
    I64_MUL = 0x7E
    I64_DIV_S = 0x7F
    I64_DIV_U = 0x80
    I64_REM_S = 0x81
    I64_REM_U = 0x82
    I64_AND = 0x83
    I64_OR = 0x84
    I64_XOR = 0x85
    I64_SHL = 0x86
    I64_SHR_S = 0x87
    I64_SHR_U = 0x88
    I64_ROTL = 0x89
    I64_ROTR = 0x8A
    F32_ABS = 0x8B
    F32_NEG = 0x8C
    F32_CEIL = 0x8D
    F32_FLOOR = 0x8E
    F32_TRUNC = 0x8F
    F32_NEAREST = 0x90
    F32_SQRT = 0x91
    F32_ADD = 0x92
    F32_SUB = 0x93
    F32_MUL = 0x94
    F32_DIV = 0x95
    F32_MIN = 0x96
    F32_MAX = 0x97
    F32_COPYSIGN = 0x98
    F64_ABS = 0x99
    F64_NEG = 0x9A
    F64_CEIL = 0x9B
    F64_FLOOR = 0x9C
    F64_TRUNC = 0x9D
    F64_NEAREST = 0x9E
    F64_SQRT = 0x9F
    F64_ADD = 0xA0
    F64_SUB = 0xA1
    F64_MUL = 0xA2
    F64_DIV = 0xA3
    F64_MIN = 0xA4
    F64_MAX = 0xA5
    F64_COPYSIGN = 0xA6
    I32_WRAP_I64 = 0xA7
    I32_TRUNC_F32_S = 0xA8
    I32_TRUNC_F32_U = 0xA9
    I32_TRUNC_F64_S = 0xAA
    I32_TRUNC_F64_U = 0xAB
    I64_EXTEND_I32_S = 0xAC
    I64_EXTEND_I32_U = 0xAD
    I64_TRUNC_F32_S = 0xAE
    I64_TRUNC_F32_U = 0xAF
    I64_TRUNC_F64_S = 0xB0
    I64_TRUNC_F64_U = 0xB1
    F32_CONVERT_I32_S = 0xB2
    F32_CONVERT_I32_U = 0xB3
    F32_CONVERT_I64_S = 0xB4
    F32_CONVERT_I64_U = 0xB5
    F32_DEMOTE_F64 = 0xB6
    F64_CONVERT_I32_S = 0xB7
    F64_CONVERT_I32_U = 0xB8
    F64_CONVERT_I64_S = 0xB9
    F64_CONVERT_I64_U = 0xBA
    F64_PROMOTE_F32 = 0xBB
    I32_REINTERPRET_F32 = 0xBC
    I64_REINTERPRET_F64 = 0xBD
    F32_REINTERPRET_I32 = 0xBE
    F64_REINTERPRET_I64 = 0xBF
    I32_EXTEND8_S = 0xC0
    I32_EXTEND16_S = 0xC1
    I64_EXTEND8_S = 0xC2
    I64_EXTEND16_S = 0xC3
    I64_EXTEND32_S = 0xC4
    REF_NULL = 0xD0
    REF_IS_NULL = 0xD1
    REF_FUNC = 0xD2
    REF_EQ = 0xD3
    REF_AS_NON_NULL = 0xD4
    BR_ON_NULL = 0xD5
    BR_ON_NON_NULL = 0xD6


def wasm_tob_rows() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Code, mnemonic and names of immediate fields of each of wasm-tob's rows, MVP only.

    Mnemonics are as wasm-tob spells them: it keeps the names from before 2018 (`get_local`, `i32.wrap/i64`).
    """
    from wasm_tob.opcodes import OPCODES as WASM_TOB_OPCODES  # 20 ms, and only tests need it

    for row in WASM_TOB_OPCODES:
        fields = () if row.imm_struct is None else tuple(row.imm_struct._meta.fields)
        yield row.id, row.mnemonic, tuple(field.name for field in fields)
