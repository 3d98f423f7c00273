"""A guest cannot name what is appended to it: the telemetry memory, the functions, the types.

A module that uses the index of something appended is valid once that is there. So each is looked at as it came: it is
refused before it is rewritten, and nothing of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile_names import custom_section
from wasmtrace import Level, Runtime, RuntimeConfig, WasmtraceError
from wasmtrace.instrument import Options, instrument
from wasmtrace.layout import EXPORT_NAME, MAGIC, VERSION, VERSION_OFFSET
from wasmtrace.runtime.engine import Engine, EngineSettings, binary_of

ENGINE = Engine(EngineSettings(cache=False))


def _memories(count: int) -> str:
    return "".join(f'(memory (export "memory{each}") 1 10)' for each in range(count))


# {m} is the index one past the last memory: the telemetry memory's, once it is there.
MEMORY_USES = {
    "load": "(drop (i32.load {m} (i32.const 0)))",
    "load v128": "(drop (v128.load {m} (i32.const 0)))",
    "load lane": "(drop (v128.load8_lane {m} 0 (i32.const 0) (v128.const i64x2 0 0)))",
    "store": "(i64.store {m} (i32.const 0) (i64.const -1))",
    "store v128": "(v128.store {m} (i32.const 0) (v128.const i64x2 0 0))",
    "atomic": "(drop (i32.atomic.rmw.add {m} (i32.const 0) (i32.const 1)))",
    "notify": "(drop (memory.atomic.notify {m} (i32.const 0) (i32.const 1)))",
    "size": "(drop (memory.size {m}))",
    "grow": "(drop (memory.grow {m} (i32.const 1)))",
    "fill": "(memory.fill {m} (i32.const 0) (i32.const 0) (i32.const 100))",
    "copy within": "(memory.copy {m} {m} (i32.const 0) (i32.const 8) (i32.const 100))",
    "copy to": "(memory.copy {m} 0 (i32.const 0) (i32.const 0) (i32.const 100))",
    "copy from": "(memory.copy 0 {m} (i32.const 0) (i32.const 0) (i32.const 100))",
    "init": "(memory.init {m} $data (i32.const 0) (i32.const 0) (i32.const 1))",
    "dead code": "unreachable (drop (i32.load {m} (i32.const 0)))",
}
MEMORY_DECLARATIONS = {
    "export": '(export "mine" (memory {m}))',
    "export again": f'(export "{EXPORT_NAME}" (memory {{m}}))',
    "data": '(data (memory {m}) (i32.const 0) "owned")',
}
# {f} is one past the last function, {t} one past the last type; more follow them.
OTHER_USES = {
    "call": "(func unreachable (call {f}) unreachable)",
    "call the next": "(func unreachable (call {f1}) unreachable)",
    "tail call": "(func (return_call {f}))",
    "reference": "(elem declare func {f}) (func (drop (ref.func {f})))",
    "element": "(table 1 funcref) (elem (i32.const 0) func {f})",
    "element expression": "(table 1 funcref) (elem (i32.const 0) funcref (ref.func {f}))",
    "global": "(global funcref (ref.func {f}))",
    "export function": '(export "mine" (func {f}))',
    "start": "(start {f})",
    "function type": "(func (type {t}))",
    "block type": "(func (block (type {t}) drop drop) unreachable)",
    "indirect call": "(table 1 funcref) (func (call_indirect (type {t}) (i32.const 0)))",
    "reference type": "(func (param (ref null {t})))",
    "tag type": "(tag (type {t}))",
    "drop data": "(func (data.drop 1))",
    "read global": "(func (drop (global.get 0)))",
    "write global": "(func (global.set 0 (i32.const 0)))",
    "export global": '(export "mine" (global 0))',
    "table": "(func (drop (table.get 0 (i32.const 0))))",
    "export table": '(export "mine" (table 0))',
}


def _using_memory(memories: int, instruction: str) -> str:
    body = instruction.replace("{m}", str(memories))
    return f'(module {_memories(memories)} (data $data "x") (func (export "f") {body}))'


def _declaring(memories: int, declaration: str) -> str:
    return f"(module {_memories(memories)} {declaration.replace('{m}', str(memories))})"


def _other(text: str) -> str:
    """The module of a row. Its functions come before the appended ones; so do its types."""
    functions = 1 + len(re.findall(r"\(func (?!\{)", text))
    spots = {"{f}": functions, "{f1}": functions + 1, "{t}": 1 + ("(func" in text)}
    for spot, index in spots.items():
        text = text.replace(spot, str(index))
    return f'(module (memory 1) (func (export "work") (result i32) (memory.grow (i32.const 1))) {text})'


CRAFTED = {
    **{
        f"{name}, {count} memories": _using_memory(count, text)
        for name, text in MEMORY_USES.items()
        for count in (0, 1, 2)
    },
    **{
        f"{name}, {count} memories": _declaring(count, text)
        for name, text in MEMORY_DECLARATIONS.items()
        for count in (0, 1, 2)
    },
    **{name: _other(text) for name, text in OTHER_USES.items()},
}


def _is_valid_once_rewritten(wasm: bytes) -> bool:
    try:
        ENGINE.validate(instrument(wasm, Options()).wasm)
    except WasmtraceError:
        return False
    return True


@pytest.mark.parametrize("text", CRAFTED.values(), ids=CRAFTED)
@pytest.mark.parametrize("level", list(Level), ids=lambda level: level.value)
def test_what_is_appended_cannot_be_named(tmp_path: Path, text: str, level: Level) -> None:
    cache = tmp_path / "cache"
    config = RuntimeConfig(level=level, cache_dir=cache, engine_cache=False)
    with Runtime(config) as runtime, pytest.raises(WasmtraceError):
        runtime.load(binary_of(text.encode()), "crafted")
    assert not cache.exists()


def test_the_danger_is_real() -> None:
    """Many of these modules become valid by what is appended, were they not looked at before."""
    valid = {name for name, text in CRAFTED.items() if _is_valid_once_rewritten(binary_of(text.encode()))}
    assert {"load, 0 memories", "size, 0 memories", "store, 1 memories", "export, 2 memories"} <= valid
    assert {"data, 1 memories", "copy from, 2 memories", "reference", "export function"} <= valid


# Modules that a lenient reader might take for something else than the engine does.

_TYPE, _FUNCTION, _MEMORY = b"\x01\x04\x01\x60\x00\x00", b"\x03\x02\x01\x00", b"\x05\x03\x01\x00\x01"
_CODE = b"\x0a\x04\x01\x02\x00\x0b"
_LOAD_NEXT = b"\x0a\x0c\x01\x0a\x00\x41\x00\x28\x42\x01\x00\x1a\x0b\x00"
_HEADER = b"\0asm\x01\0\0\0"
AMBIGUOUS = {
    "two memory sections": _TYPE + _FUNCTION + _MEMORY + _MEMORY + _CODE,
    "two code sections": _TYPE + _FUNCTION + _CODE + _CODE,
    "memory after code": _TYPE + _FUNCTION + _CODE + _MEMORY,
    "section too long": _TYPE + _FUNCTION + b"\x0a\x05\x01\x02\x00\x0b",
    "section too short": _TYPE + _FUNCTION + b"\x0a\x03\x01\x02\x00\x0b",
    "length padded too far": _TYPE + _FUNCTION + b"\x0a\x84\x80\x80\x80\x80\x00\x01\x02\x00\x0b",
    "length with spare bits": _TYPE + _FUNCTION + b"\x0a\x84\x80\x80\x80\x70\x01\x02\x00\x0b",
    "body beyond its section": _TYPE + _FUNCTION + b"\x0a\x04\x01\x03\x00\x0b" + _MEMORY,
    "code after the body's end": _TYPE + _FUNCTION + b"\x0a\x06\x01\x04\x00\x0b\x01\x0b",
    "more bodies than functions": _TYPE + _FUNCTION + b"\x0a\x07\x02\x02\x00\x0b\x02\x00\x0b",
    "fewer bodies than functions": _TYPE + b"\x03\x03\x02\x00\x00" + _CODE,
    "two memories, one counted": b"\x05\x05\x01\x00\x01\x00\x01",
    "one memory, two counted": b"\x05\x03\x02\x00\x01",
    "memory with unknown flags": b"\x05\x03\x01\x80\x01",
    "memory in a custom section's tail": b"\x00\x05\x01x\x05\x03\x01\x00\x01",
    "custom name beyond its section": b"\x00\x02\x7fx",
    "unknown section": b"\x0f\x01\x00",
    "a module within": _HEADER,
    "bytes at the end": _TYPE + _FUNCTION + _CODE + b"\x01",
    "memory argument one past": _TYPE + _FUNCTION + _MEMORY + _LOAD_NEXT,
    "data count without data": b"\x0c\x01\x01" + _TYPE,
    "export twice": _TYPE + _FUNCTION + b"\x07\x09\x02\x01a\x00\x00\x01a\x00\x00" + _CODE,
    "export not UTF-8": _TYPE + _FUNCTION + b"\x07\x05\x01\x01\xff\x00\x00" + _CODE,
    "text with a binary": b"",
}


@pytest.mark.parametrize("content", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, content: bytes) -> None:
    wasm = _HEADER + content if content else b"(module)" + _HEADER
    cache = tmp_path / "cache"
    config = RuntimeConfig(cache_dir=cache, engine_cache=False)
    with Runtime(config) as runtime, pytest.raises(WasmtraceError):
        runtime.load(wasm, "ambiguous")
    assert not cache.exists()


def test_a_valid_module_of_the_same_pieces_runs() -> None:
    with Runtime() as runtime:
        runtime.load(_HEADER + _TYPE + _FUNCTION + _MEMORY + _CODE + custom_section(b"x", _MEMORY), "valid")


# Names

SAME_NAME = {
    "memory": '(memory (export "{name}") 3)',
    "function": '(func (export "{name}") (result i32) (i32.const 7))',
    "global": '(global (export "{name}") (mut i64) (i64.const 1))',
    "table": '(table (export "{name}") 1 funcref)',
    "memories": '(memory (export "{name}") 3) (memory (export "{name}.1") 3) (memory (export "{name}.2") 3)',
}


@pytest.mark.parametrize("declaration", SAME_NAME.values(), ids=SAME_NAME)
def test_an_export_of_the_telemetry_memorys_name_is_the_guests_own(declaration: str) -> None:
    """It is neither hidden nor taken for the telemetry memory."""
    functions = '(func (export "count")) '
    module = f"(module {functions}{declaration.replace('{name}', EXPORT_NAME)})".encode()
    with Runtime() as runtime:
        program = runtime.load(module, "named")
        assert EXPORT_NAME in program.exports
        assert len(program.exports) == 1 + module.count(b"(export") - 1
        with runtime.instantiate(program) as instance:
            for _ in range(5):
                instance.call("count")
            if b"(memory" in module:
                instance.write_memory(0, b"\xff" * (3 << 16), EXPORT_NAME)
            counts = {each.name: each.calls for each in instance.snapshot().functions}
    assert counts["count"] == 5


IMPORTS = {
    "memory": '(import "wasmtrace" "telemetry" (memory 1))',
    "memory of that name": f'(import "{EXPORT_NAME}" "{EXPORT_NAME}" (memory 1))',
    "memory without a module": f'(import "" "{EXPORT_NAME}" (memory 1))',
    "memory of WASI": f'(import "wasi_snapshot_preview1" "{EXPORT_NAME}" (memory 1))',
    "global": '(import "wasmtrace" "clock" (global (mut i64)))',
    "function": '(import "wasmtrace" "record" (func))',
}


@pytest.mark.parametrize("declaration", IMPORTS.values(), ids=IMPORTS)
@pytest.mark.parametrize("invoke", ["start", "instantiate"])
def test_nothing_of_ours_can_be_imported(declaration: str, invoke: str) -> None:
    module = f'(module {declaration} (func (export "_start")))'.encode()
    with Runtime() as runtime:
        program = runtime.load(module, "importing")
        with pytest.raises(WasmtraceError, match="nobody provides"):
            getattr(runtime, invoke)(program)


# A valid guest that does its worst with the memories that it has

WORST = """
(module
  (memory $small (export "small") 1 4)
  (memory $large (export "large") i64 1 4)
  (func (export "fill") (param i32)
    (memory.fill $small (i32.const 0) (local.get 0) (i32.mul (memory.size $small) (i32.const 65536)))
    (memory.fill $large (i64.const 0) (local.get 0) (i64.mul (memory.size $large) (i64.const 65536))))
  (func (export "grow") (result i32) (drop (memory.grow $large (i64.const 1))) (memory.grow $small (i32.const 1)))
  (func (export "store") (param i32) (i64.store $small (local.get 0) (i64.const -1)))
  (func (export "store far") (param i32) (i64.store $small offset=4294967295 (local.get 0) (i64.const -1)))
  (func (export "store 64") (param i64) (i64.store $large (local.get 0) (i64.const -1)))
  (func (export "store 64 far") (param i64)
    (i64.store $large offset=18446744073709551615 (local.get 0) (i64.const -1))))
"""
WILD_32 = [65536, 65529, 1 << 20, (1 << 31) - 1, -(1 << 31), -1, -8]
WILD_64 = [65536, 1 << 32, (1 << 32) + 8, 1 << 47, (1 << 63) - 1, -(1 << 63), -1, -65536]


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime() as runtime:
        yield runtime


def test_wild_stores_trap_and_reach_nothing(runtime: Runtime) -> None:
    with runtime.instantiate(runtime.load(WORST.encode(), "worst")) as instance:
        memory = instance.session.guest.telemetry()
        for _ in range(5):
            instance.call("fill", 0xFF)
            instance.call("grow")
        calls = [("store", each) for each in WILD_32 if not 0 <= each < 4 * 65536]
        calls += [("store far", each) for each in (0, *WILD_32)]
        calls += [("store 64", each) for each in WILD_64 if not 0 <= each < 4 * 65536]
        calls += [("store 64 far", each) for each in (0, *WILD_64)]
        for name, address in calls:
            with pytest.raises(WasmtraceError, match="out of bounds"):
                instance.call(name, address)
        assert memory.read_cell(0) == MAGIC
        assert memory.read_cell(VERSION_OFFSET) == VERSION
        counts = {each.name: each.calls for each in instance.snapshot().functions}
        pages = [each.pages for each in instance.snapshot().memories]
    assert pages == [4, 4]
    assert counts["fill"] == counts["grow"] == 5
    assert sum(counts.values()) == 10 + len(calls)


RECURSION = '(module (func $down (export "down") (param i32) (call $down (i32.add (local.get 0) (i32.const 1)))))'


def test_a_guest_cannot_run_the_shadow_stack_over(runtime: Runtime) -> None:
    """The engine's own limit comes first, and were it not so, the memory ends there."""
    with runtime.instantiate(runtime.load(RECURSION.encode(), "recursion")) as instance:
        memory = instance.session.guest.telemetry()
        for _ in range(3):
            with pytest.raises(WasmtraceError, match="stack"):
                instance.call("down", 0)
            assert memory.stack_pointer == memory.layout.stack_offset
        assert memory.read_cell(0) == MAGIC
