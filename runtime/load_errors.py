"""What the engine says of a module that it refuses, as one of our errors: what is wrong, where, how to mend
it."""

from __future__ import annotations

import re

from wasmtrace.errors import DecodeCode, DecodeError, GuestError, UnsupportedError, WasmtraceError

MODULE_MAGIC = b"\0asm"
_MODULE_VERSION = b"\x01\0\0\0"
_COMPONENT_LAYER = b"\x01\0"
_TEXT_STARTS = (b"(", b";;")
_OFFSET = re.compile(r"\s*\(at offset 0x([0-9a-f]+)\)")
_FEATURE = re.compile(r"(support is not enabled|feature (is )?required|not supported|disabled)")
_LEGACY_EXCEPTIONS = "legacy_exceptions"
_LEGACY_REMEDY = (
    "the module uses legacy exceptions, which the engine does not run;"
    " translate it first: wasm-opt --all-features --translate-to-exnref"
)


def is_text(data: bytes) -> bool:
    """Whether it looks like a module in text form: it begins with a parenthesis or a comment."""
    return data.lstrip()[:2].startswith(_TEXT_STARTS)


def check_header(wasm: bytes) -> None:
    """Raises if the first eight bytes are not those of a core module."""
    if not wasm:
        raise DecodeError(DecodeCode.UNEXPECTED_END, "not a WebAssembly module: it is empty", offset=0)
    magic = wasm[:4]
    if magic != MODULE_MAGIC[: len(magic)]:
        expected = MODULE_MAGIC.hex(" ")
        message = f"not a WebAssembly module: expected the magic bytes {expected}, got {magic.hex(' ')}"
        raise DecodeError(DecodeCode.BAD_MAGIC, message, offset=0)
    if len(wasm) < 8:
        raise DecodeError(DecodeCode.UNEXPECTED_END, "the module ends within its header", offset=len(wasm))
    if wasm[6:8] == _COMPONENT_LAYER:
        raise UnsupportedError("this is a WebAssembly component: components are not supported yet, only core modules")
    if wasm[4:8] != _MODULE_VERSION:
        message = f"expected module version {_MODULE_VERSION.hex(' ')}, got {wasm[4:8].hex(' ')}"
        raise DecodeError(DecodeCode.BAD_VERSION, message, offset=4)


def load_error(engine_message: str) -> WasmtraceError:
    """The error for a module that the engine refused with this message."""
    text = " ".join(engine_message.split())
    if _LEGACY_EXCEPTIONS in text:
        return UnsupportedError(_LEGACY_REMEDY)
    found = _OFFSET.search(text)
    offset = int(found[1], 16) if found else 0
    said = _OFFSET.sub("", text)
    if "unexpected end" in said:
        return DecodeError(DecodeCode.UNEXPECTED_END, "the module ends too early", offset=offset)
    if _FEATURE.search(said):
        return UnsupportedError(f"the engine does not run this module: {said} (at {offset:#x})")
    return GuestError(f"not a valid module: {said} (at {offset:#x})" if found else f"not a valid module: {said}")
