"""The plain decoder, and skipping: each row of the opcode table, then forms and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_samples import ROWS, Row, row_id
from wasmtrace.errors import DecodeCode, DecodeError, UnsupportedError
from wasmtrace.instrument.instructions import (
    Catch,
    MemArg,
    Value,
    decode_instruction,
    decode_instructions,
    skip_instruction,
)
from wasmtrace.instrument.opcodes import LEGACY_EXCEPTIONS
from wasmtrace.instrument.reader import Reader

START = 3
"""Offset of each case in its data: offsets count from the module's start."""

FORMS: list[tuple[str, bytes, str, tuple[Value, ...]]] = [
    ("block-i32", b"\x02\x7f", "block", (b"\x7f",)),
    ("block-short-ref", b"\x02\x70", "block", (b"\x70",)),
    ("block-ref-null-type", b"\x02\x63\x07", "block", (b"\x63\x07",)),
    ("block-ref-abstract", b"\x02\x64\x6b", "block", (b"\x64\x6b",)),
    ("block-ref-padded-type", b"\x02\x63\x87\x80\x00", "block", (b"\x63\x87\x80\x00",)),
    ("block-typeidx", b"\x02\x07", "block", (7,)),
    ("block-typeidx-64", b"\x02\xc0\x00", "block", (64,)),
    ("block-typeidx-padded", b"\x02\x87\x80\x80\x80\x00", "block", (7,)),
    ("br_table-default-only", b"\x0e\x00\x05", "br_table", ((5,),)),
    ("br_table", b"\x0e\x02\x01\x82\x00\x05", "br_table", ((1, 2, 5),)),
    ("call-padded", b"\x10\x81\x80\x80\x80\x00", "call", (1,)),
    ("call_indirect-table", b"\x11\x02\x01", "call_indirect", (2, 1)),
    ("select-no-type", b"\x1c\x00", "select_t", ((),)),
    ("select-refs", b"\x1c\x02\x63\x70\x7e", "select_t", ((b"\x63\x70", b"\x7e"),)),
    (
        "try_table-all-kinds",
        b"\x1f\x40\x04"
        b"\x00\x09\x01"  # catch tag 9, label 1
        b"\x01\x09\x02"  # catch_ref tag 9, label 2
        b"\x02\x03"  # catch_all label 3
        b"\x03\x04",  # catch_all_ref label 4
        "try_table",
        (b"\x40", (Catch(0, 9, 1), Catch(1, 9, 2), Catch(2, None, 3), Catch(3, None, 4))),
    ),
    ("try_table-none", b"\x1f\x00\x00", "try_table", (0, ())),
    ("load-align-63", b"\x28\x3f\x00", "i32.load", (MemArg(63, 0, 0),)),
    ("load-memidx", b"\x28\x42\x01\x08", "i32.load", (MemArg(2, 1, 8),)),
    ("load-memidx-padded", b"\x28\xc2\x00\x81\x00\x88\x00", "i32.load", (MemArg(2, 1, 8),)),
    ("load-offset-u64", b"\x28\x02" + b"\xff" * 9 + b"\x01", "i32.load", (MemArg(2, 0, 2**64 - 1),)),
    ("i32-minus-one", b"\x41\x7f", "i32.const", (-1,)),
    ("i32-padded", b"\x41\xff\xff\xff\xff\x7f", "i32.const", (-1,)),
    ("i64-min", b"\x42" + b"\x80" * 9 + b"\x7f", "i64.const", (-(2**63),)),
    ("f32-signalling-nan", b"\x43\x01\x00\xa0\x7f", "f32.const", (b"\x01\x00\xa0\x7f",)),
    ("memory.size-1", b"\x3f\x01", "memory.size", (1,)),
    ("ref.null-type", b"\xd0\x80\x01", "ref.null", (128,)),
    ("ref.null-noexn", b"\xd0\x74", "ref.null", (-12,)),
    ("memory.copy", b"\xfc\x0a\x01\x02", "memory.copy", (1, 2)),
    ("lane-load", b"\xfd\x54\x40\x01\x02\x0f", "v128.load8_lane", (MemArg(0, 1, 2), 15)),
    ("padded-sub-opcode", b"\xfc\x8b\x80\x80\x80\x00\x00", "memory.fill", (0,)),
    ("relaxed", b"\xfd\x80\x02", "i8x16.relaxed_swizzle", ()),
]

ERRORS: list[tuple[str, bytes, DecodeCode, int]] = [
    ("empty", b"", DecodeCode.UNEXPECTED_END, 3),
    ("unassigned", b"\x16", DecodeCode.BAD_OPCODE, 3),
    ("stack-switching", b"\xe0\x00", DecodeCode.BAD_OPCODE, 3),
    ("unassigned-prefix", b"\xff\x00", DecodeCode.BAD_OPCODE, 3),
    ("unassigned-gc", b"\xfb\x1f", DecodeCode.BAD_OPCODE, 3),
    ("memory.discard", b"\xfc\x12\x00", DecodeCode.BAD_OPCODE, 3),
    ("gap-in-simd", b"\xfd\x9a\x01", DecodeCode.BAD_OPCODE, 3),
    ("unassigned-atomic", b"\xfe\x4f\x00\x00", DecodeCode.BAD_OPCODE, 3),
    ("sub-opcode-too-long", b"\xfc\x80\x80\x80\x80\x80\x00", DecodeCode.LEB_TOO_LONG, 4),
    ("sub-opcode-too-large", b"\xfc\x8b\x80\x80\x80\x10", DecodeCode.LEB_TOO_LARGE, 4),
    ("sub-opcode-missing", b"\xfd", DecodeCode.UNEXPECTED_END, 4),
    ("block-packed-type", b"\x02\x78", DecodeCode.BAD_TYPE, 4),
    ("block-contref", b"\x02\x68", DecodeCode.BAD_TYPE, 4),
    ("block-padded-empty", b"\x02\xc0\x7f", DecodeCode.BAD_TYPE, 4),
    ("block-ref-bad-heaptype", b"\x02\x63\x7f", DecodeCode.BAD_TYPE, 5),
    ("block-ref-padded-abstract", b"\x02\x63\xf0\x7f", DecodeCode.BAD_TYPE, 5),
    ("block-typeidx-too-large", b"\x02\xff\xff\xff\xff\x1f", DecodeCode.LEB_TOO_LARGE, 4),
    ("br_table-count-4G", b"\x0e\xff\xff\xff\xff\x0f\x00", DecodeCode.COUNT_TOO_LARGE, 4),
    ("br_table-no-default", b"\x0e\x01\x00", DecodeCode.UNEXPECTED_END, 6),
    ("select-count-4G", b"\x1c\xff\xff\xff\xff\x0f\x7f", DecodeCode.COUNT_TOO_LARGE, 4),
    ("select-bad-type", b"\x1c\x01\x40", DecodeCode.BAD_TYPE, 5),
    ("try_table-count", b"\x1f\x40\x02\x02\x00\x02", DecodeCode.COUNT_TOO_LARGE, 5),
    ("try_table-bad-kind", b"\x1f\x40\x01\x04\x00", DecodeCode.BAD_KIND, 6),
    ("call-too-long", b"\x10\x80\x80\x80\x80\x80\x00", DecodeCode.LEB_TOO_LONG, 4),
    ("call-too-large", b"\x10\x80\x80\x80\x80\x10", DecodeCode.LEB_TOO_LARGE, 4),
    ("i32-too-large", b"\x41\x80\x80\x80\x80\x08", DecodeCode.LEB_TOO_LARGE, 4),
    ("load-flags-128", b"\x28\x80\x01\x00", DecodeCode.BAD_FLAGS, 4),
    ("load-offset-too-large", b"\x28\x00" + b"\xff" * 9 + b"\x02", DecodeCode.LEB_TOO_LARGE, 5),
    ("load-memidx-cut", b"\x28\x40\x00", DecodeCode.UNEXPECTED_END, 6),
    ("heaptype-value-type", b"\xd0\x7f", DecodeCode.BAD_TYPE, 4),
    ("castflags", b"\xfb\x18\x04\x00\x6e\x6b", DecodeCode.BAD_FLAGS, 5),
    ("fence-not-zero", b"\xfe\x03\x01", DecodeCode.BAD_FLAGS, 5),
    ("f64-cut", b"\x44" + bytes(7), DecodeCode.UNEXPECTED_END, 11),
]


def outcome_of_decode(data: bytes, start: int, end: int) -> int | tuple[DecodeCode, int] | str:
    try:
        return decode_instruction(Reader(data, start, end)).end
    except DecodeError as error:
        return error.code, error.offset
    except UnsupportedError as error:
        return str(error)


def outcome_of_skip(data: bytes, start: int, end: int) -> int | tuple[DecodeCode, int] | str:
    try:
        return skip_instruction(data, start, end)
    except DecodeError as error:
        return error.code, error.offset
    except UnsupportedError as error:
        return str(error)


Outcome = Callable[[bytes, int, int], int | tuple[DecodeCode, int] | str]
OUTCOMES = pytest.mark.parametrize("outcome", [outcome_of_decode, outcome_of_skip], ids=["decode", "skip"])
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=row_id)


def surrounded(code: bytes) -> tuple[bytes, int, int]:
    """Data, start and end: other bytes stand before, and zeros after, which must never be read."""
    return b"\xaa" * START + code + bytes(20), START, START + len(code)


@EACH_ROW
def test_row_round_trips(row: Row) -> None:
    data, start, end = surrounded(row.code)
    (instruction,) = decode_instructions(data, start, end)
    assert (instruction.opcode, instruction.immediates) == (row.opcode, row.values)
    assert (instruction.offset, instruction.end) == (start, end)


@EACH_ROW
@OUTCOMES
def test_row_ends_where_it_ends(row: Row, outcome: Outcome) -> None:
    data, start, end = surrounded(row.code)
    assert outcome(data, start, end + 10) == end


@EACH_ROW
@OUTCOMES
def test_row_cut_at_each_length(row: Row, outcome: Outcome) -> None:
    for size in range(len(row.code)):
        got = outcome(*surrounded(row.code[:size]))
        assert isinstance(got, tuple), f"{size} bytes: {got}"


@pytest.mark.parametrize("row", [row for row in ROWS if row.opcode.prefix is not None], ids=row_id)
def test_sub_opcode_may_be_padded(row: Row) -> None:
    prefix, code = row.opcode.prefix, row.opcode.code
    assert prefix is not None
    rest = row.code[2 if code < 0x80 else 3 :]
    data, start, end = surrounded(bytes([prefix, code & 0x7F | 0x80, code >> 7 | 0x80, 0x80, 0x80, 0x00]) + rest)
    (instruction,) = decode_instructions(data, start, end)
    assert (instruction.opcode, instruction.immediates) == (row.opcode, row.values)


@pytest.mark.parametrize(("code", "mnemonic", "values"), [form[1:] for form in FORMS], ids=[form[0] for form in FORMS])
def test_forms(code: bytes, mnemonic: str, values: tuple[Value, ...]) -> None:
    data, start, end = surrounded(code)
    (instruction,) = decode_instructions(data, start, end)
    assert (instruction.opcode.mnemonic, instruction.immediates) == (mnemonic, values)
    assert skip_instruction(data, start, end) == end


@pytest.mark.parametrize(
    ("code", "expected", "offset"), [error[1:] for error in ERRORS], ids=[error[0] for error in ERRORS]
)
@OUTCOMES
def test_errors(code: bytes, expected: DecodeCode, offset: int, outcome: Outcome) -> None:
    assert outcome(*surrounded(code)) == (expected, offset)


@pytest.mark.parametrize(("code", "mnemonic"), LEGACY_EXCEPTIONS.items(), ids=LEGACY_EXCEPTIONS.values())
@OUTCOMES
def test_legacy_exceptions_are_named(code: int, mnemonic: str, outcome: Outcome) -> None:
    message = outcome(*surrounded(bytes([code, 0x40])))
    assert message == (
        f"legacy exception instruction `{mnemonic}` (at 0x3); "
        "translate the module first: wasm-opt --all-features --translate-to-exnref"
    )


def test_instructions_follow_each_other() -> None:
    data, start, end = surrounded(b"".join(row.code for row in ROWS))
    instructions = list(decode_instructions(data, start, end))
    assert [each.opcode for each in instructions] == [row.opcode for row in ROWS]
    assert [each.end for each in instructions] == [each.offset for each in instructions[1:]] + [end]


@given(
    st.one_of(
        st.binary(max_size=24),
        st.sampled_from(ROWS).flatmap(lambda row: st.binary().map(row.code[:2].__add__)),
    )
)
def test_any_bytes_decode_or_raise_as_skipping_does(code: bytes) -> None:
    data, start, end = surrounded(code)
    assert outcome_of_skip(data, start, end) == outcome_of_decode(data, start, end)
