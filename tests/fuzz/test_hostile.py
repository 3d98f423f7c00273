"""Modules made to cost more than their size: errors of our own, linear time, memory that is a multiple of the
input."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from fuzz_decoder import ENTRY_POINTS, run, run_all
from hostile import LYING, NO_TYPE, SCALED, bodies, imports, leb, module, names, one_body, section, sized
from wasmtrace.errors import UnsupportedError

UNITS = 1000
MOST_BYTES_EACH = 400
"""Of memory for one byte of input: twice what the worst of `SCALED` takes."""
FIXED_BYTES = 4 << 20
"""What patterns and tables take at first, and a module of nothing."""


@pytest.mark.parametrize("wasm", LYING.values(), ids=LYING)
def test_a_lie_is_an_error_of_ours_or_harmless(wasm: bytes) -> None:
    run_all(wasm)


def _cpu_seconds(entry_point: Callable[[bytes], object], wasm: bytes) -> float:
    best = 1e9
    for _ in range(2):
        started = time.process_time()
        run(entry_point, wasm)
        best = min(best, time.process_time() - started)
    return best


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize("make", SCALED.values(), ids=SCALED)
def test_time_is_linear(make: Callable[[int], bytes], entry_point: str) -> None:
    """Eight times the input: linear is 8, quadratic 64. A few milliseconds more are noise."""
    work = ENTRY_POINTS[entry_point]
    run(work, make(10))
    small, large = make(UNITS), make(UNITS * 8)
    for _ in range(3):
        base, seconds = _cpu_seconds(work, small), _cpu_seconds(work, large)
        if seconds <= 20 * base + 0.03:
            return
    pytest.fail(f"{base:.4f} s for {len(small)} bytes, {seconds:.4f} s for {len(large)}")


@pytest.mark.parametrize("entry_point", ["trace", "names", "facts"])
@pytest.mark.parametrize("make", SCALED.values(), ids=SCALED)
def test_memory_is_a_multiple_of_the_input(make: Callable[[int], bytes], entry_point: str) -> None:
    wasm = make(UNITS * 4)
    tracemalloc.start()
    try:
        run(ENTRY_POINTS[entry_point], wasm)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= FIXED_BYTES + MOST_BYTES_EACH * len(wasm)


_MANY_VALUES = b"\x7f" * 5000
_WIDE = b"\x01\x60" + leb(1000) + b"\x7f" * 1000
_TWO_RESULTS = leb(1_000_000) + b"\x60\0\0" * 999_999 + b"\x60\0\x02\x7f\x7f"

LARGE: dict[str, Callable[[], bytes]] = {
    "100,000 functions": lambda: bodies(100_000, b"\x00\x03\x40\x0b\x0b"),
    "100,000 imports": lambda: imports(100_000),
    "100,000 imports of WASI": lambda: imports(100_000, module_name=b"wasi_unstable", types=b"\x01\x60\x00\x01\x7f"),
    "1,100,000 functions": lambda: bodies(1_100_000),
    "1,000,000 types and one more": lambda: module(
        section(1, _TWO_RESULTS),
        section(3, b"\x01" + leb(999_999)),
        section(10, b"\x01" + sized(b"\0\x03\x40\x0b\x0b")),
    ),
    "as many results as functions": lambda: bodies(
        5000, b"\x00\x03\x40\x0b\x0b", types=b"\x01\x60\x00" + leb(5000) + _MANY_VALUES
    ),
    "as many parameters as imports": lambda: imports(5000, types=b"\x01\x60" + leb(5000) + _MANY_VALUES + b"\0"),
    "1000 parameters in many imports": lambda: imports(50_000, types=_WIDE + b"\0"),
    "nesting of 1,000,000": lambda: one_body(b"\x02\x40" * 1_000_000 + b"\x0b" * 1_000_000),
    "a handler in 200,000 more": lambda: one_body(b"\x1f\x40\x00" * 200_000 + b"\x0b" * 200_000),
    "a branch table of 1,000,000": lambda: one_body(b"\x0e" + leb(1_000_000) + b"\0" * 1_000_001),
    "2,000 different branch tables": lambda: SCALED["branch tables of all lengths"](2_000_000),
    "a name of 1 MB": lambda: names(b"\x01\x00" + sized(b"x" * 1_000_000)),
    "a mangled name of 1 MB": lambda: names(b"\x01\x00" + sized(b"_ZN" + b"1a" * 500_000 + b"Ev")),
    "a mangled name that doubles": lambda: names(
        b"\x01\x00" + sized(b"_Z1fFvvE" + b"".join(b"FvS%c_S%c_E" % (each, each) for each in b"0123456789ABCDEF" * 4))
    ),
    "1 MB of continuation bytes": lambda: one_body(b"\x80" * 1_000_000),
    "1 MB of almost a constant": lambda: one_body(b"\x42" + b"\x80" * 1_000_000),
    "1 MB of almost an access": lambda: one_body((b"\x28\x40" + b"\x80" * 9) * 90_000),
    "1 MB, the last instruction cut": lambda: one_body(b"\x20\x00" * 500_000 + b"\xfd\x0c"),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_large_inputs_end_soon(make: Callable[[], bytes]) -> None:
    """No entry point takes more than 5 µs for a byte (10 s of a busy machine for the largest)."""
    wasm = make()
    for name in ("trace", "names", "facts"):
        started = time.process_time()
        run(ENTRY_POINTS[name], wasm)
        seconds = time.process_time() - started
        assert seconds < 2 + len(wasm) * 5e-6, name


@pytest.mark.parametrize("name", ["1,100,000 functions", "1000 parameters in many imports"])
def test_what_no_room_is_for_is_said(name: str) -> None:
    assert isinstance(run(ENTRY_POINTS["trace"], LARGE[name]()), UnsupportedError)


def test_the_smallest_modules() -> None:
    run_all(b"")
    run_all(module())
    run_all(module(section(1, NO_TYPE)))
