"""The host module `spectest` that the scripts import from.

Its functions are host functions; what they were called with is kept, so that two runs can be compared.
"""

from __future__ import annotations

from typing import Any

import wasmtime

from spec_guests import End, Guests

_FUNCTIONS = {
    "print": (),
    "print_i32": ("i32",),
    "print_i64": ("i64",),
    "print_f32": ("f32",),
    "print_f64": ("f64",),
    "print_i32_f32": ("i32", "f32"),
    "print_f64_f64": ("f64", "f64"),
}
_THINGS = """(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (table (export "table64") i64 10 20 funcref)
  (memory (export "memory") 1 2)
  (memory (export "shared_memory") 1 2 shared))"""


def define_spectest(guests: Guests) -> list[str]:
    """Defines `spectest`; gives the list that grows by a line at each call of one of its functions."""
    printed: list[str] = []
    ended, things = guests.instantiate(wasmtime.Module(guests.engine, bytes(wasmtime.wat2wasm(_THINGS))))
    assert ended.end is End.RETURNED, ended
    guests.register("spectest", things)
    for name, params in _FUNCTIONS.items():
        functype = wasmtime.FuncType([getattr(wasmtime.ValType, each)() for each in params], [])
        function = wasmtime.Func(guests.store, functype, _printer(name, printed))
        guests.linker.define(guests.store, "spectest", name, function)
    return printed


def _printer(name: str, printed: list[str]) -> Any:
    def called(*values: float) -> None:
        printed.append(f"{name}{values!r}")

    return called
