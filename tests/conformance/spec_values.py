"""Values of the scripts, in the engine's own representation: `wasmtime.Val` has no v128, and ends the process for
references to garbage-collected objects.

A `wasmtime_val_t` is a kind, and 24 bytes: numbers little-endian, a reference with the number of its store first,
which is 0 for null.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wasmtime import _ffi as ffi

KINDS = {"i32": 0, "i64": 1, "f32": 2, "f64": 3, "v128": 4}
FUNC, EXTERN, ANY, EXN = 5, 6, 7, 8
REFERENCE_KINDS = {"funcref": FUNC, "externref": EXTERN, "anyref": ANY, "exnref": EXN}
VALUE_BYTES = 32
_PAYLOAD = 8
_LANES = {"i8": "B", "i16": "H", "i32": "I", "i64": "Q", "f32": "I", "f64": "Q"}
_V128_BYTES = 16
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))

_NULLS = {
    "refnull": (FUNC, EXTERN, ANY, EXN),
    "nullref": (ANY,),
    "nullfuncref": (FUNC,),
    "nullexternref": (EXTERN,),
    "nullexnref": (EXN,),
}
_OBJECTS: dict[str, Callable[[Any, Any], bool]] = {
    "i31ref": ffi.wasmtime_anyref_is_i31,
    "eqref": ffi.wasmtime_anyref_is_eqref,
    "structref": ffi.wasmtime_anyref_is_struct,
    "arrayref": ffi.wasmtime_anyref_is_array,
}


class References(Protocol):
    """What a store can do with references to things of the host."""

    @property
    def context(self) -> Any: ...

    def internalize(self, value: Any) -> Any:
        """The anyref of an externref."""
        ...

    def externalize(self, value: Any) -> Any:
        """The externref of an anyref."""
        ...


def new_values(count: int) -> Any:
    return (ffi.wasmtime_val_t * max(count, 1))()


def release(values: Any, count: int) -> None:
    for place in range(count):
        if values[place].kind >= FUNC:
            ffi.wasmtime_val_unroot(ctypes.byref(values[place]))


def write(store: References, wanted: Sequence[dict[str, Any]], into: Any) -> None:
    """Stores the arguments of a command in an array of values."""
    address = ctypes.addressof(into)
    for place, value in enumerate(wanted):
        if value["type"] in KINDS:
            packed = bytes([KINDS[value["type"]]]).ljust(_PAYLOAD, b"\0") + _bits(value)
            ctypes.memmove(address + place * VALUE_BYTES, packed, len(packed))
        else:
            into[place] = _reference(store, value)


def _bits(value: dict[str, Any]) -> bytes:
    if value["type"] == "v128":
        return b"".join(_lane(lane, value["lane_type"]) for lane in value["value"])
    return _lane(value["value"], value["type"])


def _lane(text: str, kind: str) -> bytes:
    code = _LANES[kind]
    size = struct.calcsize(code)
    return struct.pack("<" + code, int(text) & ((1 << 8 * size) - 1))


def _reference(store: References, value: dict[str, Any]) -> Any:
    made: Any = ffi.wasmtime_val_t()
    made.kind = REFERENCE_KINDS[value["type"]]
    if value["value"] == "null":
        return made
    made.kind = EXTERN
    # A null pointer as the data would look like no data.
    data = ctypes.c_void_p(int(value["value"]) + 1)
    if not ffi.wasmtime_externref_new(store.context, data, _NO_FINALIZER, ctypes.byref(made.of.externref)):
        raise MemoryError("the engine has no room for an externref")
    return store.internalize(made) if value["type"] == "anyref" else made


def matches(store: References, value: Any, expected: dict[str, Any]) -> bool:
    """Whether a result is what a command expects."""
    kind = expected["type"]
    if kind == "either":
        return any(matches(store, value, each) for each in expected["values"])
    if kind in KINDS:
        return value.kind == KINDS[kind] and _number_matches(value, expected)
    if kind in _NULLS:
        return value.kind in _NULLS[kind] and _is_null(value)
    if kind in _OBJECTS:
        any_ref = ctypes.byref(value.of.anyref)
        return value.kind == ANY and not _is_null(value) and _OBJECTS[kind](store.context, any_ref)
    return value.kind == REFERENCE_KINDS[kind] and _reference_matches(store, value, expected.get("value"))


def _is_null(value: Any) -> bool:
    return int(value.of.externref.store_id) == 0


def _reference_matches(store: References, value: Any, wanted: str | None) -> bool:
    if _is_null(value) or wanted in (None, "null"):
        return _is_null(value) == (wanted == "null")
    return wanted is not None and host_number(store, value) == int(wanted)


def host_number(store: References, value: Any) -> int | None:
    """The number behind a reference to a thing of the host, None for any other."""
    extern = store.externalize(value) if value.kind == ANY else value
    data = ffi.wasmtime_externref_data(store.context, ctypes.byref(extern.of.externref))
    return int(data) - 1 if data else None


def _number_matches(value: Any, expected: dict[str, Any]) -> bool:
    raw = ctypes.string_at(ctypes.addressof(value) + _PAYLOAD, _V128_BYTES)
    if expected["type"] == "v128":
        kind, wanted = expected["lane_type"], expected["value"]
    else:
        kind, wanted = expected["type"], [expected["value"]]
    code = _LANES[kind]
    size = struct.calcsize(code)
    lanes = struct.unpack_from(f"<{len(wanted)}{code}", raw)
    return all(_lane_matches(lane, text, kind, 8 * size) for lane, text in zip(lanes, wanted, strict=True))


def _lane_matches(lane: int, text: str, kind: str, width: int) -> bool:
    if not text.startswith("nan:"):
        return lane == int(text) & ((1 << width) - 1)
    fraction = 23 if width == 32 else 52
    exponent_and_quiet = ((1 << width - fraction - 1) - 1) << fraction | 1 << fraction - 1
    if text == "nan:canonical":
        return lane & ((1 << width - 1) - 1) == exponent_and_quiet
    return lane & exponent_and_quiet == exponent_and_quiet
