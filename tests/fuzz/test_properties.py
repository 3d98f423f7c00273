"""Any bytes at all: only `DecodeError` and `UnsupportedError` come out, with a code and an offset."""

from __future__ import annotations

import zipfile
from functools import cache

import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_decoder import ENTRY_POINTS, run, run_all
from fuzz_generate import SPECTEST
from hostile import HEADER, LYING, SCALED, custom, leb, section
from wasmtrace.instrument import instrument
from wasmtrace.instrument.opcodes import OPCODES

SETTINGS = settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
_TEXT = b"""(module
  (type $pair (func (param i32 i64) (result i64 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "log" (func $log (param f64)))
  (memory (export "memory") 1 4) (memory $other i64 1 2)
  (table 4 funcref) (global $g (mut i32) (i32.const 7)) (tag $t (param i32))
  (elem (i32.const 0) $pairs $write) (data (i32.const 8) "text") (data $passive "more")
  (start $begin)
  (func $begin (drop (call $write (i32.const 0) (i32.const 1) (i32.const 2) (i32.const 3))))
  (func $pairs (export "pairs") (type $pair)
    (local v128 f32)
    (block $out (loop $again (br_table $again $out (local.get 0))))
    (if (local.get 0) (then (return (local.get 1) (local.get 0))))
    (memory.init $passive (i32.const 0) (i32.const 0) (i32.const 1))
    (drop (memory.grow (i32.const 1))) (drop (memory.grow $other (i64.const 1)))
    (block $caught (result i32)
      (try_table (result i32) (catch $t $caught) (throw $t (i32.const 3))))
    (drop) (return_call $pairs (local.get 0) (local.get 1)))
  (func $last (call $log (f64.const nan:0x4)) (drop (i32.const -2147483648))))
"""


@cache
def _valid() -> tuple[bytes, ...]:
    """Modules that the engine takes: one of each feature, and some of the specification's."""
    modules = [bytes(wasmtime.wat2wasm(_TEXT)), *(make(3) for make in SCALED.values())]
    if SPECTEST.exists():
        with zipfile.ZipFile(SPECTEST) as archive:
            found = sorted(each.filename for each in archive.infolist() if each.filename.endswith(".wasm"))
            modules += [archive.read(each) for each in found[::40]]
    return tuple(each for each in modules if len(each) < 20_000)


def test_the_module_with_everything_is_taken() -> None:
    assert instrument(_valid()[0]).sites.grow_sites
    for name, entry_point in ENTRY_POINTS.items():
        assert run(entry_point, _valid()[0]) is None, name


@SETTINGS
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    run_all(data)
    run_all(HEADER + data)


_numbers = st.one_of(
    st.integers(0, 3), st.sampled_from([127, 128, 2**20, 2**31, 2**32 - 1, 2**32, 2**64 - 1]), st.integers(0, 2**35)
)
_codes = [bytes([each.code]) if each.prefix is None else bytes([each.prefix]) + leb(each.code) for each in OPCODES]
_pieces = st.one_of(
    _numbers.map(leb),
    st.sampled_from(_codes),
    st.sampled_from([b"\x00", b"\x01\x00", b"\x60\x00\x00", b"\x60\x00\x01\x7f", b"\x02\x40", b"\x0b", b"\x63\x00"]),
    st.binary(max_size=6),
)
_payloads = st.lists(_pieces, max_size=20).map(b"".join)
_sections = st.one_of(
    st.builds(section, st.integers(0, 14), _payloads),
    st.builds(custom, st.sampled_from([b"name", b"producers", b"target_features", b".debug_info"]), _payloads),
)


@SETTINGS
@given(st.lists(_sections, max_size=8), st.booleans())
def test_sections_of_anything(sections: list[bytes], in_order: bool) -> None:
    """Sections at random, and in an order that gets further than the first of them."""
    if in_order:
        order = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11, 0, 14)
        sections = sorted({each[0]: each for each in sections}.values(), key=lambda each: order.index(each[0]))
    run_all(HEADER + b"".join(sections))


@SETTINGS
@given(st.lists(_pieces, max_size=40).map(b"".join), st.lists(_pieces, max_size=6).map(b"".join))
def test_bodies_of_anything(code: bytes, declared: bytes) -> None:
    """One function with a memory, a type and an import, whose body is made of real opcodes and rubbish."""
    body = declared + code + b"\x0b"
    run_all(
        HEADER
        + section(1, b"\x02\x60\x00\x00\x60\x00\x02\x7f\x7f")
        + section(2, b"\x01\x00\x00\x00\x00")
        + section(3, b"\x01\x01")
        + section(5, b"\x01\x00\x00")
        + section(10, b"\x01" + leb(len(body)) + body)
    )


@SETTINGS
@given(st.data())
def test_changed_bytes(data: st.DataObject) -> None:
    """A valid module with some bytes changed, taken out or repeated."""
    wasm = bytearray(data.draw(st.sampled_from(_valid())))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(8, max(8, len(wasm) - 1)))
        size = data.draw(st.integers(0, 8))
        new = data.draw(st.one_of(st.binary(max_size=8), _pieces, st.just(bytes(wasm[place : place + size]) * 2)))
        wasm[place : place + size] = new
    run_all(bytes(wasm))


@SETTINGS
@given(st.sampled_from(list(LYING.values())), st.sampled_from(list(LYING.values())))
def test_two_lies(one: bytes, other: bytes) -> None:
    run_all(one + other[8:])
