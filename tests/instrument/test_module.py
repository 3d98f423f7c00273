"""Decoding modules: what is wrong, where; nothing but our two errors ever comes out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exit_cases import EXITS, SHAPES, program
from traced_guest import wasm_of
from wasmtrace.errors import DecodeCode, DecodeError, UnsupportedError
from wasmtrace.instrument import Options, instrument, module_names, original_offset
from wasmtrace.instrument.facts import module_facts
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import decode
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.references import REFERRING, decode_references

HEADER = b"\0asm\x01\0\0\0"
FUNC = b"\x01\x04\x01\x60\x00\x00"
"""A type section: one function type, without parameters and results."""
CODE = b"\x0a\x04\x01\x02\x00\x0b"

# id, bytes, code, offset, section
ERRORS: list[tuple[str, bytes, DecodeCode, int, str | None]] = [
    ("nothing", b"", DecodeCode.UNEXPECTED_END, 0, None),
    ("half-a-magic", b"\0as", DecodeCode.UNEXPECTED_END, 3, None),
    ("text", b"(module)", DecodeCode.BAD_MAGIC, 0, None),
    ("short-text", b"(m", DecodeCode.BAD_MAGIC, 0, None),
    ("elf", b"\x7fELF\x02\x01\x01\x00", DecodeCode.BAD_MAGIC, 0, None),
    ("no-version", b"\0asm", DecodeCode.UNEXPECTED_END, 4, None),
    ("half-a-version", b"\0asm\x01\0\0", DecodeCode.UNEXPECTED_END, 7, None),
    ("version-2", b"\0asm\x02\0\0\0", DecodeCode.BAD_VERSION, 4, None),
    ("section-id-14", HEADER + b"\x0e\x00", DecodeCode.BAD_SECTION_ID, 8, None),
    ("section-id-255", HEADER + b"\xff\x00", DecodeCode.BAD_SECTION_ID, 8, None),
    ("no-section-size", HEADER + b"\x01", DecodeCode.UNEXPECTED_END, 9, None),
    ("section-size-too-long", HEADER + b"\x01\x80\x80\x80\x80\x80\x00", DecodeCode.LEB_TOO_LONG, 9, None),
    ("section-size-too-large", HEADER + b"\x01\xff\xff\xff\xff\x1f", DecodeCode.LEB_TOO_LARGE, 9, None),
    ("section-past-the-end", HEADER + b"\x01\x05\x00", DecodeCode.SECTION_SIZE, 9, None),
    ("section-of-4-GiB", HEADER + b"\x01\xff\xff\xff\xff\x0f", DecodeCode.SECTION_SIZE, 9, None),
    ("custom-without-name", HEADER + b"\x00\x00", DecodeCode.UNEXPECTED_END, 10, None),
    ("custom-name-past-the-end", HEADER + b"\x00\x02\x05x", DecodeCode.UNEXPECTED_END, 12, None),
    ("custom-name-broken", HEADER + b"\x00\x03\x02x\xff", DecodeCode.BAD_UTF8, 12, None),
    ("twice", HEADER + FUNC + FUNC, DecodeCode.SECTION_ORDER, 14, None),
    ("out-of-order", HEADER + b"\x03\x01\x00" + FUNC, DecodeCode.SECTION_ORDER, 11, None),
    ("tag-before-memory", HEADER + b"\x0d\x01\x00\x05\x01\x00", DecodeCode.SECTION_ORDER, 11, None),
    ("data-count-after-code", HEADER + b"\x0a\x01\x00\x0c\x01\x00", DecodeCode.SECTION_ORDER, 11, None),
    ("type-empty", HEADER + b"\x01\x00", DecodeCode.UNEXPECTED_END, 10, "type"),
    ("type-count-lies", HEADER + b"\x01\x05\x05\x60\x00\x00\x60", DecodeCode.COUNT_TOO_LARGE, 10, "type"),
    ("type-count-4G", HEADER + b"\x01\x05\xff\xff\xff\xff\x0f", DecodeCode.COUNT_TOO_LARGE, 10, "type"),
    ("type-left-over", HEADER + b"\x01\x05\x01\x60\x00\x00\x00", DecodeCode.SECTION_SIZE, 14, "type"),
    ("type-form", HEADER + b"\x01\x02\x01\x40", DecodeCode.BAD_TYPE, 11, "type"),
    ("type-parameter", HEADER + b"\x01\x05\x01\x60\x01\x40\x00", DecodeCode.BAD_TYPE, 13, "type"),
    ("type-parameters-4G", HEADER + b"\x01\x07\x01\x60\xff\xff\xff\xff\x0f", DecodeCode.COUNT_TOO_LARGE, 12, "type"),
    ("type-results-lie", HEADER + b"\x01\x04\x01\x60\x00\x01", DecodeCode.COUNT_TOO_LARGE, 13, "type"),
    ("rec-group-4G", HEADER + b"\x01\x07\x01\x4e\xff\xff\xff\xff\x0f", DecodeCode.COUNT_TOO_LARGE, 12, "type"),
    ("struct-mutability", HEADER + b"\x01\x05\x01\x5f\x01\x7f\x02", DecodeCode.BAD_FLAGS, 14, "type"),
    ("import-kind", HEADER + b"\x02\x05\x01\x00\x00\x05\x00", DecodeCode.BAD_KIND, 13, "import"),
    ("import-name", HEADER + b"\x02\x05\x01\x01\xff\x00\x00", DecodeCode.BAD_UTF8, 12, "import"),
    ("import-count-lies", HEADER + b"\x02\x05\x02\x00\x00\x00\x00", DecodeCode.COUNT_TOO_LARGE, 10, "import"),
    ("import-memory-flags", HEADER + b"\x02\x06\x01\x00\x00\x02\x10\x00", DecodeCode.BAD_FLAGS, 14, "import"),
    ("function-count-lies", HEADER + b"\x03\x02\x02\x00", DecodeCode.COUNT_TOO_LARGE, 10, "function"),
    ("memory-flags", HEADER + b"\x05\x03\x01\x10\x00", DecodeCode.BAD_FLAGS, 11, "memory"),
    ("memory-page-size", HEADER + b"\x05\x04\x01\x08\x00\x01", DecodeCode.BAD_FLAGS, 13, "memory"),
    ("memory-without-max", HEADER + b"\x05\x03\x01\x01\x00", DecodeCode.UNEXPECTED_END, 13, "memory"),
    ("export-kind", HEADER + b"\x07\x04\x01\x00\x05\x00", DecodeCode.BAD_KIND, 12, "export"),
    ("export-name-past-the-end", HEADER + b"\x07\x04\x01\x09\x00\x00", DecodeCode.UNEXPECTED_END, 14, "export"),
    ("start-left-over", HEADER + b"\x08\x02\x00\x00", DecodeCode.SECTION_SIZE, 11, "start"),
    ("data-count-empty", HEADER + b"\x0c\x00", DecodeCode.UNEXPECTED_END, 10, "data_count"),
    ("code-count-lies", HEADER + b"\x0a\x04\x02\x02\x00\x0b", DecodeCode.COUNT_TOO_LARGE, 10, "code"),
    ("body-past-the-end", HEADER + b"\x0a\x04\x01\x09\x00\x0b", DecodeCode.SECTION_SIZE, 12, "code"),
    ("body-empty", HEADER + b"\x0a\x03\x01\x00\x00", DecodeCode.BAD_BODY, 12, "code"),
    ("body-without-end", HEADER + b"\x0a\x04\x01\x02\x00\x01", DecodeCode.BAD_BODY, 12, "code"),
    ("code-left-over", HEADER + b"\x0a\x05\x01\x02\x00\x0b\x00", DecodeCode.SECTION_SIZE, 14, "code"),
    ("code-without-functions", HEADER + CODE, DecodeCode.COUNT_MISMATCH, 14, None),
    ("functions-without-code", HEADER + b"\x03\x02\x01\x00", DecodeCode.COUNT_MISMATCH, 12, None),
]


@pytest.mark.parametrize(
    ("wasm", "code", "offset", "section"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_errors(wasm: bytes, code: DecodeCode, offset: int, section: str | None) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(wasm)
    assert (caught.value.code, caught.value.offset, caught.value.section) == (code, offset, section)


def with_body(code: bytes, extra: bytes = b"") -> bytes:
    """A module with one function of that body, its locals first."""
    body = encode_u32(len(code)) + code
    section = b"\x01" + body
    return HEADER + FUNC + b"\x03\x02\x01\x00" + extra + b"\x0a" + encode_u32(len(section)) + section


# id, module, code: found when bodies are walked
WALK_ERRORS: list[tuple[str, bytes, DecodeCode]] = [
    ("locals-without-type", with_body(b"\x01\x0b"), DecodeCode.UNEXPECTED_END),
    ("locals-count-4G", with_body(b"\xff\xff\xff\xff\x0f\x0b"), DecodeCode.UNEXPECTED_END),
    ("locals-count-too-long", with_body(b"\x80\x80\x80\x80\x80\x80\x0b"), DecodeCode.LEB_TOO_LONG),
    ("megabyte-of-0x80", with_body(b"\x00\x10" + b"\x80" * 1_000_000 + b"\x0b"), DecodeCode.LEB_TOO_LONG),
    ("bad-opcode", with_body(b"\x00\x16\x0b"), DecodeCode.BAD_OPCODE),
    ("bad-sub-opcode", with_body(b"\x00\xfc\x50\x0b"), DecodeCode.BAD_OPCODE),
    ("table-4G", with_body(b"\x00\x0e\xff\xff\xff\xff\x0f\x0b"), DecodeCode.COUNT_TOO_LARGE),
    ("const-cut", with_body(b"\x00\x44\x0b"), DecodeCode.UNEXPECTED_END),
    (
        "type-not-a-function",
        HEADER + b"\x01\x03\x01\x5f\x00" + b"\x03\x02\x01\x00" + CODE,
        DecodeCode.BAD_INDEX,
    ),
    ("type-out-of-range", HEADER + FUNC + b"\x03\x02\x01\x07" + CODE, DecodeCode.BAD_INDEX),
    ("import-type", HEADER + b"\x02\x05\x01\x00\x00\x00\x09", DecodeCode.BAD_INDEX),
]


@pytest.mark.parametrize(("wasm", "code"), [row[1:] for row in WALK_ERRORS], ids=[row[0] for row in WALK_ERRORS])
def test_errors_of_bodies(wasm: bytes, code: DecodeCode) -> None:
    with pytest.raises(DecodeError) as caught:
        instrument(wasm)
    assert caught.value.code is code


UNSUPPORTED: list[tuple[str, Callable[[], object], str]] = [
    ("component", lambda: decode(b"\0asm\x0d\0\x01\0"), "expected a core module, got a component"),
    ("legacy-try", lambda: instrument(with_body(b"\x00\x06\x40\x0b\x0b")), "--translate-to-exnref"),
    ("legacy-rethrow", lambda: instrument(with_body(b"\x00\x09\x00\x0b")), "legacy exception instruction `rethrow`"),
    ("legacy-catch-all", lambda: instrument(with_body(b"\x00\x06\x40\x19\x0b\x0b")), "wasm-opt --all-features"),
]


@pytest.mark.parametrize(("act", "message"), [row[1:] for row in UNSUPPORTED], ids=[row[0] for row in UNSUPPORTED])
def test_unsupported(act: Callable[[], object], message: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        act()
    assert message in str(caught.value)


EVERYTHING = wasm_of("""
(module
  (rec (type $a (sub (func (param i32 (ref null $b)) (result i64 f32)))) (type $b (struct (field i8 (mut i64)))))
  (type $c (array (mut externref)))
  (type $d (sub final $a (func (param i32 (ref null $b)) (result i64 f32))))
  (import "host" "f" (func $f (param i32) (result v128)))
  (import "host" "t" (table 1 3 funcref))
  (import "host" "m" (memory i64 1 300))
  (import "host" "g" (global (mut i32)))
  (import "host" "e" (tag (param i32)))
  (table $own 2 (ref null func) (ref.func $f))
  (memory 1 2 shared)
  (memory 1 (pagesize 1))
  (tag $e (param f64))
  (global i64 (i64.const -1234567890123))
  (export "f" (func $f)) (export "own" (table $own)) (export "m" (memory 1))
  (start $s)
  (elem (table $own) (i32.const 0) func $f $s)
  (elem (ref null func) (ref.func $s) (ref.null func))
  (data $x "some data")
  (data (memory 1) (i32.const 300) "more")
  (func $s (local i32 i32 (ref null $b) v128)
    (block $to (result f64) (try_table (catch $e $to) (throw $e (f64.const 1))) f64.const 1) drop
    (drop (memory.grow 2 (i32.const 1))) (drop (call $f (i32.const 3)))
    (memory.init 1 $x (i32.const 0) (i32.const 0) (i32.const 0)))
  (func $more (type $d) (i64.const 4) (f32.const 5)))
""")
"""A module with something in each section."""
SECTIONS = [each for each in decode(EVERYTHING).sections if each.name is None]


def test_everything_is_there() -> None:
    assert {each.id for each in SECTIONS} == set(SectionId) - {SectionId.CUSTOM}
    instrument(EVERYTHING)


def read(wasm: bytes) -> None:
    """All that is done to a module as it came."""
    module = decode(wasm)
    for each in module.sections:
        if each.id in REFERRING:
            decode_references(each.id, Reader(wasm, each.start, each.end))


@pytest.mark.parametrize("section", SECTIONS, ids=[each.id.name for each in SECTIONS])
def test_each_section_cut_at_each_length(section: object) -> None:
    """With the size that says so: the items end too soon. Only data and tags are not looked into."""
    (each,) = [one for one in SECTIONS if one is section]
    for size in range(each.end - each.start):
        payload = EVERYTHING[each.start : each.start + size]
        wasm = EVERYTHING[: each.header_offset] + bytes([each.id]) + encode_u32(size) + payload
        if each.id in (SectionId.DATA, SectionId.TAG):
            continue
        with pytest.raises(DecodeError):
            read(wasm + EVERYTHING[each.end :])


def test_the_module_cut_at_each_length() -> None:
    ends = {8, *(each.end for each in decode(EVERYTHING).sections)}
    for size in range(len(EVERYTHING)):
        if size in ends:
            with suppress(DecodeError):
                decode(EVERYTHING[:size])
            continue
        with pytest.raises(DecodeError) as caught:
            decode(EVERYTHING[:size])
        assert caught.value.offset <= size


def survives(wasm: bytes) -> None:
    """Each use of a module that nobody has validated ends well or with one of our errors."""
    for level in ("calls", "trace"):
        options = Options(level=level, exclude=("a*",), ring_capacity=1)
        for act in (
            lambda options=options: instrument(wasm, options),
            lambda: [module_names(wasm)[each] for each in range(5)],
            lambda: module_facts(wasm),
            lambda options=options: original_offset(wasm, options, 1, 9),
        ):
            with suppress(DecodeError, UnsupportedError):
                act()


SEEDS = [EVERYTHING, *(wasm_of(program(row, shape)) for row in EXITS[::4] for shape in SHAPES[::5])]
SETTINGS = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(st.binary(max_size=80))
@example(b"")
def test_any_bytes(data: bytes) -> None:
    survives(data)
    survives(HEADER + data)


@SETTINGS
@given(st.lists(st.tuples(st.integers(0, 13), st.binary(max_size=30)), max_size=6))
def test_any_sections(sections: list[tuple[int, bytes]]) -> None:
    survives(HEADER + b"".join(bytes([code]) + encode_u32(len(data)) + data for code, data in sections))


@SETTINGS
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255), st.booleans()), min_size=1, max_size=5),
)
def test_mutated_modules(seed: bytes, edits: list[tuple[float, int, bool]]) -> None:
    wasm = bytearray(seed)
    for place, byte, inserted in edits:
        offset = 8 + int(place * (len(wasm) - 9))
        wasm[offset : offset + (not inserted)] = bytes([byte])
    survives(bytes(wasm))


@pytest.mark.parametrize("byte", [0x00, 0x0B, 0x7F, 0x80, 0xFF])
def test_each_byte_replaced(byte: int) -> None:
    for offset in range(8, len(EVERYTHING)):
        survives(EVERYTHING[:offset] + bytes([byte]) + EVERYTHING[offset + 1 :])
