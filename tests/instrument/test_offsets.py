"""From offsets in rewritten bodies back to the module as it came, for each instruction."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from exit_cases import EXITS, SHAPES, filled
from exit_cases import program as exit_program
from test_exceptions import CALL, CATCHES, PROGRAM
from test_odd_modules import SMALL, long_body, many_locals
from traced_guest import wasm_of
from wasmtrace.errors import WasmtraceError
from wasmtrace.instrument import Options, Places, instrument, original_offset
from wasmtrace.instrument.instructions import Instruction, decode_instructions
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.rewrite import _prepare
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.sites import SiteTable

MANY_SITES = wasm_of(
    '(module (import "host" "f" (func $h)) (memory 1)'
    + "".join(
        f"(func $f{number} (result i32 i64 {'i32 ' * number}) (local i64) call $h"
        f" (memory.grow (i32.const 1)) i64.const 2 {'i32.const 3 ' * number}"
        f" (drop (memory.grow (i32.const 2))) call $h)"
        for number in range(90)
    )
    + ")"
)
"""More than 64 places of growth and block types: their numbers take one byte or two in the fewest bytes."""

MODULES: dict[str, bytes] = {
    **{row.id: wasm_of(exit_program(row, SHAPES[5])) for row in EXITS},
    **{
        f"catch-{row.id}": wasm_of(
            filled(
                PROGRAM.replace("BODY", row.body)
                .replace("CALL", CALL)
                .replace("(result RESULTS exnref)", "(result i32 exnref)"),
                SHAPES[1],
            )
        )
        for row in CATCHES
    },
    **{f"small-{row[0]}": row[1] for row in SMALL},
    "many-locals": many_locals(50_000),
    "many-sites": MANY_SITES,
}
OPTIONS = {
    "trace": Options(),
    "calls": Options(level="calls"),
    "excluded": Options(exclude=("f", "run")),
    "no-fuel": Options(fuel=False),
    "every-call": Options(slow_threshold_us=0),
}
EACH = pytest.mark.parametrize("wasm", MODULES.values(), ids=MODULES)
EACH_OPTIONS = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def instructions_of(module: Module, ordinal: int) -> list[Instruction]:
    start, end = module.bodies[ordinal]
    reader = Reader(module.data, start, end)
    for _ in range(reader.read_u32()):
        reader.read_u32()
        read_valtype(reader)
    return list(decode_instructions(module.data, reader.position, end))


@EACH
@EACH_OPTIONS
def test_every_instruction_maps_back(wasm: bytes, options: Options) -> None:
    """Of the first bodies: each old instruction is reached, in order, and nothing maps to between two."""
    old, new = decode(wasm), decode(instrument(wasm, options).wasm)
    host_count = len(old.host_functions)
    for ordinal in range(min(3, len(old.bodies))):
        base = new.bodies[ordinal][0]
        mapped = [
            original_offset(wasm, options, host_count + ordinal, each.offset - base)
            for each in instructions_of(new, ordinal)
        ]
        starts = [each.offset for each in instructions_of(old, ordinal)]
        assert list(dict.fromkeys(mapped)) == starts


@EACH
@EACH_OPTIONS
def test_copied_bytes_are_the_same(wasm: bytes, options: Options) -> None:
    old, new = decode(wasm), decode(instrument(wasm, options).wasm)
    for ordinal in range(len(old.bodies)):
        _, walk = _prepare(wasm, options)
        body, segments, _ = walk.rewrite(ordinal)
        base, end = new.bodies[ordinal]
        size = encode_u32(end - base)
        assert body == size + new.data[base:end], "it does not depend on bodies before it"
        assert sum(each.length for each in segments) == end - base
        for each in segments:
            if each.copied:
                place = base + each.new_offset
                got = new.data[place : place + each.length]
                assert got == wasm[each.old_offset : each.old_offset + each.length]


@pytest.mark.parametrize(
    ("funcidx", "body_offset"),
    [(0, 5), (-1, 5), (4, 5), (10**6, 0), (2, -1), (2, 2**64 - 1), (2, 10_000)],
    ids=["import", "negative", "added", "far", "before", "unknown-to-the-engine", "behind"],
)
def test_no_such_place(funcidx: int, body_offset: int) -> None:
    wasm = wasm_of('(module (import "host" "f" (func)) (func call 0) (func call 0) (func call 0))')
    assert original_offset(wasm, Options(), funcidx, body_offset) is None


def test_a_call_of_the_host_maps_to_itself() -> None:
    wasm = wasm_of('(module (import "host" "f" (func)) (func nop call 0 nop call 0 nop))')
    old, new = decode(wasm), decode(instrument(wasm).wasm)
    calls = [each.offset for each in instructions_of(old, 0) if each.opcode.mnemonic == "call"]
    base = new.bodies[0][0]
    made = [
        each.offset - base
        for each in instructions_of(new, 0)
        if each.opcode.mnemonic == "call" and each.immediates[0] in range(2, 20)
    ]
    got = [original_offset(wasm, Options(), 1, offset) for offset in made]
    assert [offset for offset in got if offset in calls] == calls


def test_a_bare_body_maps_to_itself() -> None:
    wasm = long_body(7_654_321)
    start, end = decode(wasm).bodies[0]
    for offset in (1, 2, 4_000_000, end - start - 1):
        assert original_offset(wasm, Options(), 0, offset) == start + offset
    assert original_offset(wasm, Options(), 0, end - start) is None


@EACH
@EACH_OPTIONS
def test_what_the_rewriter_found_need_not_be_found_again(wasm: bytes, options: Options) -> None:
    """Also when it went through the cache, as JSON."""
    sites = instrument(wasm, options).sites
    kept = SiteTable.from_json(json.loads(json.dumps(sites.as_json())))
    assert kept == sites
    again, known = Places(wasm, options), Places(wasm, options, kept)
    host_count = len(sites.host_functions)
    for ordinal, (start, end) in list(enumerate(decode(wasm).bodies))[:3]:
        assert known._walk.rewrite(ordinal) == again._walk.rewrite(ordinal)
        for offset in range(0, min(2 * (end - start), 200), 7):
            place = host_count + ordinal, offset
            assert known.original_offset(*place) == again.original_offset(*place)
            assert known.uncounted_fuel(*place) == again.uncounted_fuel(*place)


def test_a_table_of_another_module_is_no_danger() -> None:
    """A cell may be wrong then; there is an answer, or an error of ours."""
    wasm, options = MODULES["many-sites"], Options()
    sites = replace(instrument(wasm, options).sites, may_take_long=b"\1", tail_called=(7, 99_999))
    assert Places(wasm, options, sites).original_offset(0, 0) is None
    assert Places(wasm, options, sites).original_offset(1, 9) is not None
    with pytest.raises(WasmtraceError):
        Places(wasm, options, replace(sites, grow_sites=())).original_offset(1, 9)
