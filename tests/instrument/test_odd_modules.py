"""Modules at the edges: sections missing, limits of the engine, start functions, recursion groups, threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wasmtime

from traced_guest import ENGINE, Guest, Host, Traced, wasm_of
from wasmtrace.errors import UnsupportedError, UsageError
from wasmtrace.instrument import Options, instrument
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import decode
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.layout import EXPORT_NAME, MAGIC

HEADER = b"\0asm\x01\0\0\0"
LEVELS = ("calls", "trace")
EACH_LEVEL = pytest.mark.parametrize("level", LEVELS)


def section(code: int, *items: bytes, count: bool = True) -> bytes:
    payload = (encode_u32(len(items)) if count else b"") + b"".join(items)
    return bytes([code]) + encode_u32(len(payload)) + payload


def padded(value: int) -> bytes:
    """Five bytes of LEB128, as linkers write them."""
    groups = [value >> shift & 0x7F | 0x80 for shift in range(0, 35, 7)]
    return bytes([*groups[:4], groups[4] & 0x7F])


# id, module, an export to call with no arguments, and its result
SMALL: list[tuple[str, bytes, str | None, object]] = [
    ("empty", HEADER, None, None),
    ("custom-only", HEADER + b"\x00\x02\x01x", None, None),
    ("types-only", wasm_of("(module (type (func)))"), None, None),
    ("memory-only", wasm_of('(module (memory (export "m") 1))'), None, None),
    ("table-only", wasm_of("(module (table 1 funcref))"), None, None),
    ("empty-sections", HEADER + b"".join(section(code) for code in (1, 2, 3, 4, 5, 6, 7, 9, 10, 11)), None, None),
    ("no-exports", wasm_of("(module (func call 0))"), None, None),
    ("data-without-count", wasm_of('(module (memory 1) (data (i32.const 0) "x"))'), None, None),
    (
        "data-with-count",
        wasm_of("""(module (memory 1) (data $d "hello")
          (func (export "f") (result i32)
            (memory.init $d (i32.const 8) (i32.const 1) (i32.const 4)) (data.drop $d) (i32.load (i32.const 8))))"""),
        "f",
        int.from_bytes(b"ello", "little"),
    ),
    (
        "data-count-0",
        HEADER + section(12, b"\x00", count=False) + section(11),
        None,
        None,
    ),
    (
        "padded",
        HEADER
        + b"\x01"
        + padded(5)
        + b"\x01\x60\x00\x01\x7f"
        + b"\x03"
        + padded(7)
        + padded(2)
        + b"\x00\x00"
        + b"\x07"
        + padded(9)
        + b"\x01\x01f\x00"
        + padded(0)
        + b"\x0a"
        + padded(28)
        + padded(2)
        + padded(9)
        + b"\x00\x10"
        + padded(1)
        + b"\x0f\x0b"
        + padded(4)
        + b"\x00\x41\x07\x0b",
        "f",
        7,
    ),
    (
        "begins-with-loop",
        wasm_of("""(module (func (export "f") (result i32) (local i32)
          loop (result i32) local.get 0 i32.const 1 i32.add local.tee 0 i32.const 5 i32.lt_u br_if 0 local.get 0 end))
        """),
        "f",
        5,
    ),
    (
        "rec-groups",
        wasm_of("""(module
          (rec (type $a (sub (func (result (ref null $b))))) (type $b (struct (field (ref null $a)))) (type $c (func)))
          (rec (type $d (array (mut i8))))
          (rec (type $e (func (result i32 i64))) (type $g (sub $a (func (result (ref null $b))))))
          (func $three (type $e) i32.const 3 i64.const 4)
          (func $null (type $g) call $none ref.null $b)
          (func $none (type $c))
          (func (export "f") (result i32) call $null drop call $three drop))"""),
        "f",
        3,
    ),
    (
        "threads",
        wasm_of("""(module (memory 1 1 shared)
          (func (export "f") (result i32)
            (i32.atomic.store (i32.const 8) (i32.const 5))
            (drop (memory.atomic.notify (i32.const 8) (i32.const 1)))
            (i32.atomic.rmw.add (i32.const 8) (i32.const 2)) (atomic.fence)))"""),
        "f",
        5,
    ),
    (
        "uninitialised-local",
        wasm_of("""(module (type $t (func (result i32))) (elem declare func $six) (func $six (type $t) i32.const 6)
          (func (export "f") (result i32) (local $r (ref $t))
            call $six drop ref.func $six local.set $r local.get $r call_ref $t))"""),
        "f",
        6,
    ),
    (
        "locals-of-all-types",
        wasm_of("""(module (type $t (func)) (func $x)
          (func (export "f") (result i32)
            (local i32 i64 f32 f64 v128 funcref externref anyref (ref null $t) i31ref exnref)
            call $x i32.const 4))"""),
        "f",
        4,
    ),
]
EACH_SMALL = pytest.mark.parametrize(
    ("wasm", "export", "result"), [row[1:] for row in SMALL], ids=[row[0] for row in SMALL]
)


@EACH_SMALL
@EACH_LEVEL
def test_small_modules(wasm: bytes, export: str | None, result: object, level: str) -> None:
    traced = Traced(wasm, options=Options(level=level))
    assert traced.cell(0) == MAGIC
    if export is not None:
        assert traced.call(export) == Guest(wasm).call(export) == result
        assert traced.depth == 0


@EACH_SMALL
def test_old_indices_stay(wasm: bytes, export: str | None, result: object) -> None:
    """What was there keeps its bytes, in front of what is new; the sections stand in order."""
    old, new = decode(wasm), decode(instrument(wasm).wasm)
    assert new.types[: len(old.types)] == old.types
    assert new.function_typeidxs[: len(old.function_typeidxs)] == old.function_typeidxs
    assert (new.memories[: len(old.memories)], new.imports) == (old.memories, old.imports)
    assert new.exports[: len(old.exports)] == old.exports
    assert (new.data_count is None) == (old.data_count is None)
    assert new.data_count is None or old.data_count is None or new.data_count == old.data_count + 1
    assert len(new.exports) == len(old.exports) + 1


START = """(module (import "host" "fail" (func $fail (param i32)))
  (global $n (export "n") (mut i32) (i32.const 0))
  (func $touch) (func $begin call $touch global.get $n i32.const 1 i32.add global.set $n i32.const 5 call $fail)
  (start $begin) (func (export "f") call $begin))"""


def test_the_start_function_is_counted() -> None:
    got: list[int] = []
    traced = Traced(wasm_of(START), {"host.fail": (["i32"], [], got.append)})
    assert traced.calls == {"begin": 1, "touch": 1, "fail": 1}
    assert traced.recorded() == [("fail", 1), ("begin", 0)]
    traced.call("f")
    assert (traced.calls["begin"], got, traced.depth) == (2, [5, 5], 0)


def test_a_start_function_that_is_imported() -> None:
    called: list[int] = []
    both: dict[str, Host] = {"host.begin": ([], [], lambda: called.append(1))}
    traced = Traced(wasm_of('(module (import "host" "begin" (func)) (start 0))'), both)
    assert called == [1]
    assert [(each.funcidx, each.reason) for each in traced.sites.skipped] == [
        (0, "also the start function: that call is not counted")
    ]


def test_a_module_that_exports_the_same_name() -> None:
    names = [EXPORT_NAME, f"{EXPORT_NAME}.1"]
    wasm = wasm_of(f'(module (memory (export "{names[0]}") 1) (global (export "{names[1]}") i32 (i32.const 4)))')
    traced = Traced(wasm)
    assert traced.sites.telemetry_export == f"{EXPORT_NAME}.2"
    again = Traced(traced.made.wasm)
    assert again.sites.telemetry_export == f"{EXPORT_NAME}.3"


# Limits of the engine

TIMED = "counted, but not timed: a frame would pass the engine's limits"
BARE = "not counted, not timed: any probe would pass the engine's limits"


def many_locals(count: int) -> bytes:
    """A function with so many locals that calls another."""
    body = b"\x01" + encode_u32(count) + b"\x7e" + b"\x10\x01\x0b"
    return (
        HEADER
        + section(1, b"\x60\x00\x00")
        + section(3, b"\x00", b"\x00")
        + section(7, b"\x01f\x00\x00")
        + section(10, encode_u32(len(body)) + body, b"\x02\x00\x0b")
    )


@pytest.mark.parametrize(
    ("count", "reasons"),
    [(49_998, []), (49_999, []), (50_000, [TIMED])],
)
def test_locals_at_the_limit(count: int, reasons: list[str]) -> None:
    wasm = many_locals(count)
    traced = Traced(wasm)
    traced.call("f")
    assert traced.calls == {"f": 1, "func[1]": 1}
    assert [each.reason for each in traced.sites.skipped] == reasons
    assert traced.sites.framed_functions == 1 - len(reasons)
    assert traced.recorded() == [("f", 0)] * (1 - len(reasons))


def long_body(size: int) -> bytes:
    """A function whose body has `size` bytes: a call, then `nop` to the end."""
    body = b"\x00\x10\x01" + b"\x01" * (size - 4) + b"\x0b"
    return (
        HEADER
        + section(1, b"\x60\x00\x00")
        + section(3, b"\x00", b"\x00")
        + section(7, b"\x01f\x00\x00")
        + section(10, encode_u32(size) + body, b"\x02\x00\x0b")
    )


@pytest.mark.parametrize(
    ("less", "reasons"),
    [(1000, []), (50, [TIMED]), (3, [BARE]), (0, [BARE])],
)
def test_bodies_at_the_limit(less: int, reasons: list[str]) -> None:
    """Validated, not compiled: seven million instructions take the compiler long."""
    made = instrument(long_body(7_654_321 - less))
    wasmtime.Module.validate(ENGINE, made.wasm)
    assert [(each.funcidx, each.reason) for each in made.sites.skipped] == [(0, each) for each in reasons]


def memories(count: int) -> bytes:
    return HEADER + section(5, *[b"\x00\x00"] * count)


def test_memories_at_the_limit() -> None:
    made = instrument(memories(99))
    wasmtime.Module.validate(ENGINE, made.wasm)
    with pytest.raises(UnsupportedError, match="fewer than 100 memories, got 100"):
        instrument(memories(100))


def test_functions_at_the_limit() -> None:
    wasm = HEADER + section(1, b"\x60\x00\x00") + section(3, *[b"\x00"] * 999_999)
    wasm += section(10, *[b"\x02\x00\x0b"] * 999_999)
    with pytest.raises(UnsupportedError, match="at most 1000000 functions"):
        instrument(wasm)


BAD_OPTIONS: list[tuple[str, Callable[[], object], type[Exception]]] = [
    ("level", lambda: Options(level="all"), UsageError),
    ("threshold", lambda: Options(slow_threshold_us=-1), UsageError),
    ("ring-too-large", lambda: instrument(HEADER, Options(ring_capacity=1 << 26)), UnsupportedError),
]


@pytest.mark.parametrize(("make", "error"), [row[1:] for row in BAD_OPTIONS], ids=[row[0] for row in BAD_OPTIONS])
def test_bad_options(make: Callable[[], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_new_sections_stand_in_order() -> None:
    wasm = wasm_of("(module (tag) (table 1 funcref) (func $f) (start $f) (elem (i32.const 0) $f))")
    made = decode(instrument(wasm).wasm)
    ids = [each.id for each in made.sections if each.id is not SectionId.CUSTOM]
    assert ids == [
        *(SectionId.TYPE, SectionId.FUNCTION, SectionId.TABLE, SectionId.MEMORY, SectionId.TAG),
        *(SectionId.EXPORT, SectionId.START, SectionId.ELEMENT, SectionId.CODE, SectionId.DATA),
    ]
