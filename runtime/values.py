"""Which Python values are which wasm values: types as words, and arguments checked before the engine sees
them.

The engine's own binding ends the process for types that it does not know, and silently wraps integers that
are too large, so every argument passes through `check_value` first.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

from wasmtrace.errors import UnsupportedError, UsageError

_INTEGER_BITS = {"i32": 32, "i64": 64}
_FLOATS = ("f32", "f64")
REFERENCES = ("funcref", "externref")
V128_BYTES = 16
CONVERTIBLE = frozenset((*_INTEGER_BITS, *_FLOATS, *REFERENCES, "v128"))
"""Types of which a value can pass between Python and the guest."""


@dataclass(frozen=True, slots=True)
class FunctionType:
    """Parameters and results by name: `i32`, ..., `v128`, `funcref`, `externref`, or another reference
    type."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"


def check_convertible(name: str, functype: FunctionType) -> None:
    """Raises `UnsupportedError` if a value of `functype` cannot pass between Python and the guest."""
    for kind in (*functype.params, *functype.results):
        if kind not in CONVERTIBLE:
            raise UnsupportedError(f"function {name!r} has the type {functype}: no Python value stands for {kind}")


def check_arguments(name: str, functype: FunctionType, arguments: tuple[Any, ...]) -> list[Any]:
    """The arguments as the engine takes them. Raises `UsageError` for a wrong number, type or range."""
    if len(arguments) != len(functype.params):
        raise UsageError(_count_message(name, functype, len(arguments)))
    return [
        check_value(kind, value, f"argument {place} of {name!r}")
        for place, (kind, value) in enumerate(zip(functype.params, arguments, strict=True), 1)
    ]


def check_results(name: str, functype: FunctionType, returned: Any) -> list[Any]:
    """What a host function returned, as a list with one value for each result. Raises `UsageError`."""
    if not functype.results:
        values = [] if returned is None else [returned]
    elif len(functype.results) == 1:
        values = [returned]
    else:
        values = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    if len(values) != len(functype.results):
        raise UsageError(f"host function {name} must return {len(functype.results)} results, got {len(values)}")
    return [
        check_value(kind, value, f"result of host function {name}")
        for kind, value in zip(functype.results, values, strict=True)
    ]


def check_value(kind: str, value: Any, what: str) -> Any:
    """`value` as the engine takes a `kind`: integers signed or unsigned, v128 as 16 bytes. Raises
    `UsageError`."""
    if kind in _INTEGER_BITS:
        return _check_integer(_INTEGER_BITS[kind], kind, value, what)
    if kind in _FLOATS:
        if isinstance(value, (int, float)):
            return _float(value)
    elif kind == "v128":
        if isinstance(value, (bytes, bytearray)) and len(value) == V128_BYTES:
            return bytes(value)
    elif kind == "externref" or value is None:
        return value
    raise UsageError(f"{what}: expected {kind}, got {value!r}")


def _check_integer(bits: int, kind: str, value: Any, what: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{what}: expected {kind}, got {value!r}") from None
    if not -(1 << bits - 1) <= number < 1 << bits:
        raise UsageError(f"{what}: {number} does not fit {kind}")
    return number - (1 << bits) if number >= 1 << bits - 1 else number


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def parse_arguments(name: str, functype: FunctionType, texts: tuple[str, ...]) -> tuple[Any, ...]:
    """Arguments from the words of a command line: `1`, `-1`, `0xff`, `2.5`, `nan`, `null`. Raises
    `UsageError`."""
    if len(texts) != len(functype.params):
        raise UsageError(_count_message(name, functype, len(texts)))
    return tuple(
        _parse(kind, text, f"argument {place} of {name!r}")
        for place, (kind, text) in enumerate(zip(functype.params, texts, strict=True), 1)
    )


def _parse(kind: str, text: str, what: str) -> Any:
    try:
        if kind in _INTEGER_BITS:
            return check_value(kind, int(text, 0), what)
        if kind in _FLOATS:
            return float.fromhex(text) if "0x" in text.lower() else float(text)
        if kind == "v128":
            return int(text, 0).to_bytes(V128_BYTES, "little")
    except (ValueError, OverflowError):
        raise UsageError(f"{what}: expected {kind}, got {text!r}") from None
    if text == "null":
        return None
    raise UsageError(f"{what}: expected null, the only {kind} that can be written here, got {text!r}")


def _count_message(name: str, functype: FunctionType, got: int) -> str:
    return f"function {name!r} takes {len(functype.params)} arguments {functype}, got {got}"
