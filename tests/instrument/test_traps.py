"""Exits that end the instance's call: traps, `proc_exit`, an exhausted stack. Frames stay open; offsets map back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import wasmtime

from traced_guest import Guest, Host, Traced, engine, wasm_of
from wasmtrace.instrument import Options, original_offset
from wasmtrace.instrument.instructions import decode_instructions
from wasmtrace.instrument.module import decode

PROGRAM = wasm_of(
    """
(module
  (import "host" "value" (func $host.value (result i32)))
  (import "host" "fail" (func $host.fail))
  (memory 1)
  (tag $e)
  (table 1 funcref)
  (type $pair (func (result i32 i64)))
  (func $leaf (param i32) (result i32) i32.const 10 local.get 0 i32.div_s)
  (func $divide (param i32) (result i32) (local i64 f32)
    call $host.value drop local.get 0 call $leaf call $host.value i32.add)
  (func $load (param i32) (result i32)
    i32.const 1 memory.grow drop
    i32.const 0 memory.grow drop
    local.get 0 i32.eqz if i32.const 3 return end
    local.get 0 i32.const -8 i32.add i32.load call $host.value i32.add)
  (func $stop (param i32)
    block $to try_table (catch_all $to) call $host.value drop local.get 0 i32.eqz if throw $e end end
    call $host.value drop unreachable end)
  (func $many (type $pair) call $host.value i64.const 2 local.get_TRAP)
  (func $indirect (param i32) (result i32) call $host.value drop local.get 0 call_indirect (result i32))
  (func $tail (param i32) (result i32) call $host.value drop local.get 0 return_call $divide)
  (func $raise (param i32) (result i32) loop call $host.value drop call $host.fail end i32.const 0)
  (func (export "divide") (param i32) (result i32) local.get 0 call $divide)
  (func (export "load") (param i32) (result i32) local.get 0 call $load)
  (func (export "stop") (param i32) (result i32) local.get 0 call $stop i32.const 1)
  (func (export "many") (param i32) (result i32) call $many drop)
  (func (export "indirect") (param i32) (result i32) local.get 0 call $indirect)
  (func (export "tail") (param i32) (result i32) local.get 0 call $tail)
  (func (export "raise") (param i32) (result i32) local.get 0 call $raise))
""".replace("local.get_TRAP", "unreachable")
)

# export, argument, trap, open frames, the instruction that trapped and those that called, innermost first
# (the engine gives no frames of a trap that the host raised)
TRAPS: list[tuple[str, int, wasmtime.TrapCode, list[str], list[str]]] = [
    (
        "divide",
        0,
        wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO,
        ["divide", "divide"],
        ["i32.div_s", "call", "call"],
    ),
    ("load", 1, wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS, ["load", "load"], ["i32.load", "call"]),
    ("stop", 1, wasmtime.TrapCode.UNREACHABLE, ["stop", "stop"], ["unreachable", "call"]),
    ("many", 0, wasmtime.TrapCode.UNREACHABLE, ["many", "many"], ["unreachable", "call"]),
    (
        "indirect",
        7,
        wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS,
        ["indirect", "indirect"],
        ["call_indirect", "call"],
    ),
    ("tail", 0, wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO, ["tail", "divide"], ["i32.div_s", "call", "call"]),
    ("raise", 0, wasmtime.TrapCode.UNREACHABLE, ["raise", "raise", "host.fail"], []),
]
EACH_TRAP = pytest.mark.parametrize("row", TRAPS, ids=[row[0] for row in TRAPS])
OPTIONS = {
    "trace": Options(),
    "calls": Options(level="calls"),
    "excluded": Options(exclude=("divide", "stop", "load")),
    "threshold-0": Options(slow_threshold_us=0),
}
EACH_OPTIONS = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def hosts() -> dict[str, Host]:
    return {"host.value": ([], ["i32"], lambda: 1), "host.fail": ([], [], _fail)}


def _fail() -> None:
    raise wasmtime.Trap("failed")


def trap_of(guest: Guest, export: str, argument: int) -> wasmtime.Trap:
    with pytest.raises(wasmtime.Trap) as caught:
        guest.call(export, argument)
    return caught.value


@EACH_TRAP
def test_frames_stay_open_after_a_trap(row: tuple[str, int, wasmtime.TrapCode, list[str], list[str]]) -> None:
    export, argument, code, frames, _ = row
    traced = Traced(PROGRAM, hosts())
    trap = trap_of(traced, export, argument)
    assert export == "raise" or trap.trap_code is code
    assert traced.open_frames == frames
    traced.reset_stack()
    traced.ring()
    assert traced.call("load", 0) == 3
    assert traced.recorded() == [("load", 1), ("load", 0)]


@EACH_TRAP
@EACH_OPTIONS
def test_offsets_of_traps(row: tuple[str, int, wasmtime.TrapCode, list[str], list[str]], options: Options) -> None:
    export, argument, _, _, instructions = row
    plain = trap_of(Guest(PROGRAM, hosts()), export, argument)
    traced = trap_of(Traced(PROGRAM, hosts(), options), export, argument)
    count = len(decode(PROGRAM).function_typeidxs)
    got = [
        (each.func_index, original_offset(PROGRAM, options, each.func_index, each.func_offset))
        for each in traced.frames
        if each.func_index < count
    ]
    assert got == [(each.func_index, each.module_offset) for each in plain.frames]
    assert [mnemonic_at(PROGRAM, offset) for _, offset in got] == instructions


def mnemonic_at(wasm: bytes, offset: int | None) -> str | None:
    for start, end in code_ranges(wasm):
        for each in decode_instructions(wasm, start, end):
            if each.offset == offset:
                return each.opcode.mnemonic
    return None


def code_ranges(wasm: bytes) -> list[tuple[int, int]]:
    """Where the instructions of each body are."""
    ranges = []
    for start, end in decode(wasm).bodies:
        groups, position = wasm[start], start + 1
        ranges.append((position + 2 * groups, end))
    return ranges


def test_proc_exit_leaves_its_frames() -> None:
    wasm = wasm_of("""
    (module
      (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (func $end (param i32) local.get 0 call $proc_exit unreachable)
      (memory (export "memory") 1)
      (func (export "_start") i32.const 7 call $end))
    """)
    exits: list[int] = []

    def proc_exit(code: int) -> None:
        exits.append(code)
        raise wasmtime.ExitTrap(f"exit {code}")

    traced = Traced(wasm, {"wasi_snapshot_preview1.proc_exit": (["i32"], [], proc_exit)})
    with pytest.raises(Exception, match=r"exit 7"):
        traced.call("_start")
    assert exits == [7]
    assert traced.open_frames == ["_start", "end", "proc_exit"]
    assert traced.calls == {"_start": 1, "end": 1, "proc_exit": 1}


# Stack exhaustion

PLAIN_STACK = 64 << 10
STACK_FACTOR = 4
"""What fits in a stack of some size fits, rewritten, in one of this many times that size.

That holds where functions have at most one result. The least frame is 16 bytes plain and 48 or 64 rewritten. Each
further result that is in a register (8 numbers, 8 floats or vectors) wants up to 16 bytes more.
"""
WORST_STACK_FACTOR = 18
"""For all functions: 16 results in registers, and nothing else in the frame."""

_MANY = " ".join(["i64"] * 12)
_GETS = " ".join(f"local.get {n}" for n in range(12))
RECURSIONS: dict[str, str] = {
    "minimal": '(func $f (export "f") call $f)',
    "host-too": '(func $f (export "f") call $host.value drop call $f)',
    "with-result": '(func $f (export "f") (result i32) call $f i32.const 1 i32.add)',
    "count-down": "(func $f (param i32) local.get 0 if local.get 0 i32.const 1 i32.sub call $f end)"
    ' (func (export "f") i32.const -1 call $f)',
    "indirect": '(table 1 funcref) (elem (i32.const 0) $f) (func $f (export "f") i32.const 0 call_indirect)',
    "mutual": '(func $g call $f) (func $f (export "f") call $g)',
    "with-loop": '(func $f (export "f") loop call $f end)',
    "float": '(func $f (export "f") (result f64) call $f)',
    "vector": '(func $f (export "f") (result v128) call $f)',
    "wide": f'(func $f (param {_MANY}) {_GETS} call $f) (func (export "f") {"i64.const 1 " * 12} call $f)',
    "catching": '(func $f (export "f") block $a try_table (catch_all $a) call $f end end)',
    "growing": '(memory 1) (func $f (export "f") i32.const 0 memory.grow drop call $f)',
    "leaf-at-the-end": '(func $f (export "f") call $leaf call $f) (func $leaf (local i32) loop end)',
}
MULTI_VALUE: dict[str, tuple[str, int]] = {
    "two": ("i32 i64", 4),
    "three": ("i32 i64 f32", 5),
    "eight": ("i64 " * 8, 7),
    "eight-vectors": ("v128 " * 8, 11),
    "nine": ("i64 " * 9, 3),
    "sixteen": ("i64 v128 " * 8, WORST_STACK_FACTOR),
    "forty": ("f64 v128 i64 i32 " * 10, 4),
}
EACH_RECURSION = pytest.mark.parametrize("fields", RECURSIONS.values(), ids=RECURSIONS)
DEPTH_CELL = '(global $depth (export "depth") (mut i32) (i32.const 0))'
_COUNT = " global.get $depth i32.const 1 i32.add global.set $depth "


def recursion(fields: str) -> bytes:
    """The module, with `f` counting its calls in the global `depth`."""
    counted = re.sub(r"(\(func \$f( \(export \"f\"\))?( \((param|result)[^)]*\))*)", rf"\1{_COUNT}", fields, count=1)
    return wasm_of(f'(module (import "host" "value" (func $host.value (result i32))) {DEPTH_CELL} {counted})')


def depth_reached(make: Callable[[], Guest]) -> int:
    guest = make()
    with pytest.raises(wasmtime.Trap) as caught:
        guest.call("f")
    assert caught.value.trap_code is wasmtime.TrapCode.STACK_OVERFLOW
    depth = guest.exports["depth"]
    assert isinstance(depth, wasmtime.Global)
    return int(depth.value(guest.store))


def growth(fields: str, level: str, factor: int, *, fuel: bool = True) -> float:
    """How much deeper than plain the rewritten recursion gets in a stack of `factor` times the size."""
    wasm, roomy = recursion(fields), factor * PLAIN_STACK
    options = Options(level=level, max_stack_bytes=roomy, fuel=fuel)
    plain = depth_reached(lambda: Guest(wasm, hosts(), wasm_engine=engine(PLAIN_STACK)))
    return depth_reached(lambda: Traced(wasm, hosts(), options, wasm_engine=engine(roomy))) / plain


@EACH_RECURSION
def test_what_fits_plain_fits_rewritten(fields: str) -> None:
    assert growth(fields, "trace", STACK_FACTOR) >= 1


@pytest.mark.parametrize(("results", "factor"), MULTI_VALUE.values(), ids=MULTI_VALUE)
def test_what_fits_plain_fits_rewritten_with_more_results(results: str, factor: int) -> None:
    assert growth(f'(func $f (export "f") (result {results}) call $f)', "trace", factor) >= 1


@EACH_RECURSION
def test_counting_takes_next_to_no_stack(fields: str) -> None:
    assert growth(fields, "calls", 1, fuel=False) >= 0.85


@EACH_RECURSION
def test_counting_fuel_takes_one_more_register(fields: str) -> None:
    assert growth(fields, "calls", 2) >= 1


@EACH_RECURSION
def test_the_shadow_stack_outlasts_the_engines(fields: str) -> None:
    """The trap is the engine's stack overflow, never a store past the telemetry memory; counts stay exact."""
    wasm = recursion(fields)
    guests: list[Traced] = []
    for stack in (64 << 10, 1 << 20):
        options = Options(max_stack_bytes=stack)

        def make(options: Options = options, stack: int = stack) -> Guest:
            guests.append(Traced(wasm, hosts(), options, wasm_engine=engine(stack)))
            return guests[-1]

        reached = depth_reached(make)
        traced = guests[-1]
        assert traced.calls["f"] - reached in (0, 1)
        assert traced.depth * 8 <= traced.layout.stack_bytes
        assert traced.calls["f"] - traced.open_frames.count("f") in (0, 1)
