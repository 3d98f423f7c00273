"""Python values to and from the engine's arrays of values. The values have been checked (`values.py`)."""

from __future__ import annotations

import ctypes
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from wasmtrace.runtime.values import REFERENCES, V128_BYTES

_KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "v128": 4, "funcref": 5, "externref": 6}


def write_values(context: Any, kinds: tuple[str, ...], values: list[Any], into: Any) -> None:
    """Stores `values` in `into`, an array of `wasmtime_val_t` or a pointer to its first."""
    for place, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        if kind in REFERENCES:
            make = wasmtime.Val.externref if kind == "externref" else wasmtime.Val.funcref
            into[place] = make(value)._new_raw(context)
            continue
        raw = into[place]
        raw.kind = _KINDS[kind]
        if kind == "v128":
            ctypes.memmove(raw.of.v128, value, V128_BYTES)
        else:
            setattr(raw.of, kind, value)


def read_values(context: Any, kinds: tuple[str, ...], values: Any, *, owned: bool) -> list[Any]:
    """The values of an array. `owned` ones are let go of."""
    result = []
    for place, kind in enumerate(kinds):
        raw = values[place]
        if kind in REFERENCES:
            result.append(wasmtime.Val._from_raw(context, raw, owned).value)
        elif kind == "v128":
            result.append(bytes(raw.of.v128))
        else:
            result.append(getattr(raw.of, kind))
    return result


def release_values(values: Any, count: int) -> None:
    for place in range(count):
        ffi.wasmtime_val_unroot(ctypes.byref(values[place]))
