"""Values at the engine's edge as bytes: what is compared, and what is made up for arguments and results.

The binding's own conversion ends the process for v128 and most references, so everything here reads and writes
the engine's structures.
"""

from __future__ import annotations

import ctypes
import random
import struct
from typing import Any

from wasmtime import _ffi as ffi

I32, I64, F32, F64, V128, FUNCREF, EXTERNREF, ANYREF, EXNREF = range(9)
_NUMBER_BYTES = {I32: 4, I64: 8, F32: 4, F64: 8, V128: 16}
_NUMBERS = {"i32": I32, "i64": I64, "f32": F32, "f64": F64, "v128": V128}
_INTERESTING = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 1000, 65535, 65536, 0x7FFFFFFF),
    *(-1, -2, -8, -65536, -0x80000000, 0x7FFFFFFFFFFFFFFF, -0x8000000000000000),
)
_FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 3.5, 1e10, -1e10, 2147483648.0, 4294967296.0, -2147483649.0, 1e300, 5e-324),
    *(float("inf"), float("-inf")),
)
_F32_NANS = (0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FA00000, 0xFFFFFFFF)
_F64_NANS = (0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF)


def is_nullable(kind: str) -> bool:
    """Whether null is a value of a reference type, as `wasmtrace.runtime.engine` spells types."""
    return kind.endswith("ref") or kind.startswith("(ref null")


def can_make(kind: str) -> bool:
    """Whether a value of that type can be made outside of the guest."""
    return kind in _NUMBERS or is_nullable(kind) or _is_i31(kind)


def _is_i31(kind: str) -> bool:
    return any(word in kind for word in ("any", "eq", "i31"))


def _number_bytes(kind: int, rng: random.Random) -> bytes:
    size = _NUMBER_BYTES[kind]
    choice = rng.randrange(4)
    if choice == 0 or kind == V128:
        return rng.randbytes(size)
    if kind == F32:
        if choice == 1:
            return struct.pack("<I", rng.choice(_F32_NANS))
        return struct.pack("<f", max(-3e38, min(3e38, rng.choice(_FLOATS[:11]))))
    if kind == F64:
        if choice == 1:
            return struct.pack("<Q", rng.choice(_F64_NANS))
        return struct.pack("<d", rng.choice(_FLOATS))
    return (rng.choice(_INTERESTING) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def write_value(context: Any, kind: str, into: Any, rng: random.Random) -> None:
    """Stores a made-up value in `into`, a zeroed `wasmtime_val_t`; `can_make(kind)` holds.

    Takes as much of `rng` whatever the value, so that runs stay in step.
    """
    number = _NUMBERS.get(kind)
    if number is not None:
        into.kind = number
        data = _number_bytes(number, rng)
        ctypes.memmove(ctypes.addressof(into.of), data, len(data))
        return
    small = rng.getrandbits(31)
    null = rng.randrange(3) == 0
    if "func" in kind:
        into.kind = FUNCREF
    elif "extern" in kind:
        into.kind = EXTERNREF
    elif "exn" in kind:
        into.kind = EXNREF
    else:
        into.kind = ANYREF
        if _is_i31(kind) and not (null and is_nullable(kind)):
            ffi.wasmtime_anyref_from_i31(context, small, ctypes.byref(into.of.anyref))


def read_value(context: Any, raw: Any) -> str:
    """A value in words: bits of numbers, the value of an i31, of other references only whether they are
    null."""
    kind = raw.kind
    if kind in _NUMBER_BYTES:
        return f"{kind}:{ctypes.string_at(ctypes.addressof(raw.of), _NUMBER_BYTES[kind]).hex()}"
    if kind == ANYREF and raw.of.anyref.store_id:
        small = ctypes.c_uint32()
        if ffi.wasmtime_anyref_i31_get_u(context, ctypes.byref(raw.of.anyref), ctypes.byref(small)):
            return f"i31:{small.value}"
    # A function, external, any and exception reference all begin with the store's id, which is 0 for null.
    return f"{kind}:{'ref' if raw.of.funcref.store_id else 'null'}"


def take_values(context: Any, values: Any) -> list[str]:
    """`read_value` of each of an array that is ours, which is then let go of."""
    read = [read_value(context, each) for each in values]
    for each in values:
        ffi.wasmtime_val_unroot(ctypes.byref(each))
    return read
