"""One store with the instances of one script, driven through the engine's C functions.

Nothing here knows of instrumenting: plain and rewritten modules are run by the same code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi
from wasmtime import _func

from spec_values import ANY, EXTERN, new_values, release

_FUNC_EXTERN, _GLOBAL_EXTERN, _MEMORY_EXTERN = 0, 1, 3
_FUEL = 1 << 62

_CONVERSIONS = """(module
  (func (export "internalize") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "externalize") (param anyref) (result externref) (extern.convert_any (local.get 0))))"""


class End(Enum):
    """How an action, or the making of an instance, ended."""

    RETURNED = "returned"
    TRAPPED = "trapped"
    THREW = "threw"
    REFUSED = "refused"
    """With an error of the engine: not valid, not linkable."""


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` is the engine's trap code, `cause` the innermost line of a trap's message, the first of an error's."""

    end: End
    code: str = ""
    cause: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.end.value, self.code, self.cause) if part)


RETURNED = Ended(End.RETURNED)


@dataclass(frozen=True, slots=True)
class Function:
    """An exported function, ready to be called."""

    raw: Any
    param_count: int
    result_count: int


class Instance:
    """An instance and what has been looked up in it."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.functions: dict[str, Function] = {}


class Guests:
    """A store, a linker, and calls into them. Not for two threads at once."""

    def __init__(self, engine: wasmtime.Engine, *, fuel: bool = False) -> None:
        """`fuel` says whether the engine counts it."""
        self.engine = engine
        self.store = wasmtime.Store(engine)
        if fuel:
            self.store.set_fuel(_FUEL)
        self.context = self.store._context()
        self.linker = wasmtime.Linker(engine)
        self.linker.allow_shadowing = True
        self._conversions: Instance | None = None

    def fuel(self) -> int:
        """What the engine has counted."""
        return _FUEL - self.store.get_fuel()

    def close(self) -> None:
        self.store.close()

    def instantiate(self, module: wasmtime.Module) -> tuple[Ended, Instance]:
        """Makes an instance, and so runs its start function; the instance is usable if that returned."""
        raw = ffi.wasmtime_instance_t()
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_linker_instantiate(
            self.linker.ptr(), self.context, module.ptr(), ctypes.byref(raw), ctypes.byref(trap)
        )
        return self._ended(error, trap), Instance(raw)

    def register(self, name: str, instance: Instance) -> None:
        """Lets modules import from the instance by that name."""
        encoded = name.encode()
        error = ffi.wasmtime_linker_define_instance(
            self.linker.ptr(),
            self.context,
            ctypes.create_string_buffer(encoded, max(len(encoded), 1)),
            len(encoded),
            ctypes.byref(instance.raw),
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def extern(self, instance: Instance, name: str) -> Any:
        """The raw export. Raises `KeyError`."""
        found, encoded = ffi.wasmtime_extern_t(), name.encode()
        if not ffi.wasmtime_instance_export_get(
            self.context,
            ctypes.byref(instance.raw),
            ctypes.create_string_buffer(encoded, max(len(encoded), 1)),
            len(encoded),
            ctypes.byref(found),
        ):
            raise KeyError(name)
        return found

    def function(self, instance: Instance, name: str) -> Function:
        """Raises `KeyError` if no function is exported by that name."""
        found = instance.functions.get(name)
        if found is None:
            extern = self.extern(instance, name)
            if extern.kind != _FUNC_EXTERN:
                raise KeyError(name)
            functype = ffi.wasmtime_func_type(self.context, ctypes.byref(extern.of.func))
            params = ffi.wasm_functype_params(functype).contents.size
            results = ffi.wasm_functype_results(functype).contents.size
            ffi.wasm_functype_delete(functype)
            found = instance.functions[name] = Function(extern.of.func, params, results)
        return found

    def call(self, function: Function, arguments: Any) -> tuple[Ended, Any]:
        """Calls with an array of values; gives an array of results, to be released."""
        results = new_values(function.result_count)
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call(
            self.context,
            ctypes.byref(function.raw),
            arguments,
            function.param_count,
            results,
            function.result_count,
            ctypes.byref(trap),
        )
        return self._ended(error, trap), results

    def global_value(self, instance: Instance, name: str) -> Any:
        """An array of one value. Raises `KeyError` if no global is exported by that name."""
        extern = self.extern(instance, name)
        if extern.kind != _GLOBAL_EXTERN:
            raise KeyError(name)
        value = new_values(1)
        ffi.wasmtime_global_get(self.context, ctypes.byref(extern.of.global_), ctypes.byref(value[0]))
        return value

    def memory(self, instance: Instance, name: str) -> tuple[int, int]:
        """Address and length of an exported memory. Raises `KeyError`."""
        extern = self.extern(instance, name)
        if extern.kind != _MEMORY_EXTERN:
            raise KeyError(name)
        raw = ctypes.byref(extern.of.memory)
        address = ctypes.cast(ffi.wasmtime_memory_data(self.context, raw), ctypes.c_void_p).value
        return address or 0, int(ffi.wasmtime_memory_data_size(self.context, raw))

    def internalize(self, value: Any) -> Any:
        return self._convert("internalize", value, ANY)

    def externalize(self, value: Any) -> Any:
        return self._convert("externalize", value, EXTERN)

    def _convert(self, name: str, value: Any, kind: int) -> Any:
        if self._conversions is None:
            module = wasmtime.Module(self.engine, bytes(wasmtime.wat2wasm(_CONVERSIONS)))
            _, self._conversions = self.instantiate(module)
        arguments = new_values(1)
        arguments[0] = value
        ended, results = self.call(self.function(self._conversions, name), arguments)
        assert ended.end is End.RETURNED
        assert results[0].kind == kind
        return results[0]

    def _ended(self, error: Any, trap: Any) -> Ended:
        # What a host function raised is kept for a caller that would raise it again; the next call would find it.
        _func.LAST_EXCEPTION = None
        if error:
            return Ended(End.REFUSED, cause=first_line(str(wasmtime.WasmtimeError._from_ptr(error))))
        if not trap:
            return RETURNED
        found = wasmtime.Trap._from_ptr(trap)
        cause = last_line(found.message)
        if ffi.wasmtime_context_has_exception(self.context):
            exception = ffi.wasmtime_exnref_t()
            ffi.wasmtime_context_take_exception(self.context, ctypes.byref(exception))
            ffi.wasmtime_exnref_unroot(ctypes.byref(exception))
            return Ended(End.THREW, cause=cause)
        code = found.trap_code
        return Ended(End.TRAPPED, "" if code is None else code.name.lower(), cause)


def first_line(message: str) -> str:
    return message.splitlines()[0] if message else ""


def last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (lines[-1] if lines else "").removeprefix("wasm trap: ")


def call_values(guests: Guests, function: Function, values: Sequence[int]) -> tuple[Ended, list[int]]:
    """For tests of their own modules: a call with i32 arguments and i32 or i64 results."""
    arguments = new_values(len(values))
    for place, value in enumerate(values):
        arguments[place].kind = 0
        arguments[place].of.i32 = value
    ended, results = guests.call(function, arguments)
    read = (
        [
            results[place].of.i64 if results[place].kind else results[place].of.i32
            for place in range(function.result_count)
        ]
        if ended is RETURNED
        else []
    )
    release(results, function.result_count if ended is RETURNED else 0)
    return ended, read
