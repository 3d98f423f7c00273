"""Everything that `instrument/` does with bytes, and the only errors that may come out."""

from __future__ import annotations

from collections.abc import Callable

from wasmtrace.errors import DecodeCode, DecodeError, UnsupportedError
from wasmtrace.instrument import Options, instrument, module_names, original_offset
from wasmtrace.instrument.facts import module_facts
from wasmtrace.instrument.module import decode


def all_names(wasm: bytes) -> None:
    names = module_names(wasm)
    for funcidx in range(len(names)):
        assert isinstance(names[funcidx].name, str)


_CALLS = Options(level="calls")
_EVENTS = Options(events=("*",), event_capacity=8)
_GLOBS = Options(include=("a*", "*b"), exclude=("*c*",))

ENTRY_POINTS: dict[str, Callable[[bytes], object]] = {
    "decode": decode,
    "calls": lambda wasm: instrument(wasm, _CALLS),
    "trace": instrument,
    "events": lambda wasm: instrument(wasm, _EVENTS),
    "globs": lambda wasm: instrument(wasm, _GLOBS),
    "offset": lambda wasm: original_offset(wasm, Options(), 0, 7),
    "names": all_names,
    "facts": module_facts,
}


def run(entry_point: Callable[[bytes], object], wasm: bytes) -> Exception | None:
    """The error that came, if it is one of those that may; any other goes on to the caller."""
    try:
        entry_point(wasm)
    except (DecodeError, UnsupportedError) as error:
        _check(error, len(wasm))
        return error
    return None


def _check(error: DecodeError | UnsupportedError, size: int) -> None:
    assert str(error)
    if isinstance(error, DecodeError):
        assert isinstance(error.code, DecodeCode)
        assert 0 <= error.offset <= size, f"offset {error.offset} of {size} bytes"


def run_all(wasm: bytes) -> None:
    for entry_point in ENTRY_POINTS.values():
        run(entry_point, wasm)
