from __future__ import annotations

import pytest
import wasmtime

from wasmtrace.errors import DecodeCode, DecodeError, GuestError, UnsupportedError
from wasmtrace.runtime.engine import Engine, EngineSettings, binary_of
from wasmtrace.runtime.load_errors import is_text

HEADER = b"\0asm\x01\0\0\0"
LEGACY_TRY = (
    HEADER
    + b"\x01\x04\x01\x60\x00\x00"  # type 0: () -> ()
    + b"\x03\x02\x01\x00"  # function 0 of type 0
    + b"\x0a\x08\x01\x06\x00"  # code of 6 bytes, no locals
    + b"\x06\x40\x19\x0b\x0b"  # try, catch_all, end, end
)
DECODE_ERRORS = [
    pytest.param(b"", DecodeCode.UNEXPECTED_END, 0, id="empty"),
    pytest.param(b"\0as", DecodeCode.UNEXPECTED_END, 3, id="within-magic"),
    pytest.param(b"\0asm\x01\0", DecodeCode.UNEXPECTED_END, 6, id="within-version"),
    pytest.param(b"hello, world", DecodeCode.BAD_MAGIC, 0, id="text"),
    pytest.param(b"\x7fELF\x02\x01\x01\0", DecodeCode.BAD_MAGIC, 0, id="elf"),
    pytest.param(b"\0asm\x02\0\0\0", DecodeCode.BAD_VERSION, 4, id="version-2"),
    pytest.param(HEADER + b"\x01\x05", DecodeCode.UNEXPECTED_END, 10, id="within-section"),
]
OTHER_ERRORS = [
    pytest.param(b"\0asm\x0d\0\x01\0", UnsupportedError, "components are not supported yet", id="component"),
    pytest.param(LEGACY_TRY, UnsupportedError, "--translate-to-exnref", id="legacy-exceptions"),
    pytest.param(b"(module (func (result i32) i64.const 0))", GuestError, "type mismatch.*at 0x", id="not-valid"),
    pytest.param(b"(module (func i32.foo))", GuestError, "not a valid text module.*1:15", id="wrong-text"),
    pytest.param(b"(\xff)", GuestError, "utf-8", id="text-not-utf-8"),
]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(EngineSettings(cache=False))


@pytest.mark.parametrize(("wasm", "code", "offset"), DECODE_ERRORS)
def test_not_a_module(engine: Engine, wasm: bytes, code: DecodeCode, offset: int) -> None:
    with pytest.raises(DecodeError) as caught:
        engine.validate(wasm)
    assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(("data", "kind", "message"), OTHER_ERRORS)
def test_not_a_module_that_runs(engine: Engine, data: bytes, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        engine.validate(binary_of(data))
    assert "\n" not in str(caught.value)


WHOLE = binary_of(
    b'(module (memory 1) (data "abc") (func (export "f") (result i32) (drop (i32.const 7)) (i32.const 8)))'
)


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_cut_anywhere_is_refused_where_the_engine_refuses(engine: Engine, length: int) -> None:
    try:
        wasmtime.Module.validate(wasmtime.Engine(), WHOLE[:length])
    except wasmtime.WasmtimeError:
        with pytest.raises((DecodeError, GuestError)):
            engine.validate(WHOLE[:length])
    else:
        # Between sections: nothing that is left misses the rest.
        engine.validate(WHOLE[:length])


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"(module)", True), (b" \n;; c\n(module)", True), (HEADER, False), (b"", False), (b"module", False)],
)
def test_text_is_told_from_bytes(data: bytes, text: bool) -> None:
    assert is_text(data) is text


PROPOSALS = [
    "(module (memory 1) (memory 1))",
    "(module (memory i64 1))",
    "(module (type $s (struct (field i32))) (func (result (ref null $s)) ref.null $s))",
    "(module (tag $t) (func (try_table (throw $t))))",
    "(module (memory 1 1 shared))",
    "(module (func $f (return_call $f)))",
    "(module (memory 1 (pagesize 1)))",
    "(module (func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1))))",
    "(module (func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0))))",
    "(module (type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0))))",
]


@pytest.mark.parametrize("text", PROPOSALS)
def test_proposals_that_are_on(engine: Engine, text: str) -> None:
    engine.validate(binary_of(text.encode()))
    assert engine.compile(binary_of(text.encode())).imports == ()
