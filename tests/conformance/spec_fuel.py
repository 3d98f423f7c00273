"""What the engine's fuel has of making an instance that is not the module's own code.

For what it cannot lay out beforehand (constant expressions, segments in what is imported, the start function) the
engine compiles a function of its own, and counts that as any other: 1 for the call of it, its instructions, and what is
copied by its segments. The rewriter counts the start function, and nothing else.
"""

from __future__ import annotations

import wasmtime

from spec_guests import RETURNED, Guests
from spec_host import define_spectest
from wasmtrace.instrument.module import decode

_NOP, _END = b"\x01", b"\x0b"


def with_empty_start(wasm: bytes) -> bytes | None:
    """The module with a start function that does nothing; None if it has no such function of its own."""
    module = decode(wasm)
    ordinal = -1 if module.start is None else module.start - len(module.host_functions)
    if ordinal < 0:
        return None
    start, end = module.bodies[ordinal]
    return wasm[:start] + b"\0" + _NOP * (end - start - 2) + _END + wasm[end:]


def start_fuel(engine: wasmtime.Engine, wasm: bytes, used: int) -> int | None:
    """Of the `used` fuel that making an instance took, that of the start function; None if it cannot be told."""
    empty = with_empty_start(wasm)
    if empty is None:
        return 0
    guests = Guests(engine, fuel=True)
    try:
        define_spectest(guests)
        before = guests.fuel()
        ended, _ = guests.instantiate(wasmtime.Module(engine, empty))
        return used - (guests.fuel() - before) + 1 if ended is RETURNED else None
    finally:
        guests.close()
