"""One instance of a module under the fuzzer: imports made up, exports called, everything seen written down.

Two runs of the same module with the same seed give the same transcript, however the module was rewritten.
"""

from __future__ import annotations

import ctypes
import random
import re
import zlib
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from fuzz_values import can_make, read_value, take_values, write_value
from wasmtrace.runtime.engine import function_type

STACK_BYTES = 8 << 20
"""Far more than `smith`'s own limit on calls needs: where plain code exhausts it, nothing is compared."""
MEMORY_LIMIT_BYTES = 64 << 20
EPOCHS = 6
FUEL = 1 << 62
"""More than any run takes: the engine only counts it."""
TABLE_ITEMS_SEEN = 64
TRACE_CALLS = 2000
"""After so many host calls, only their number is written down."""
PROPOSALS = (
    *("wasm_threads", "wasm_tail_call", "wasm_reference_types", "wasm_simd", "wasm_bulk_memory"),
    *("wasm_multi_value", "wasm_multi_memory", "wasm_memory64", "wasm_relaxed_simd"),
    *("wasm_function_references", "wasm_gc", "wasm_exceptions", "wasm_wide_arithmetic"),
    *("wasm_custom_page_sizes", "shared_memory"),
)
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_ENGINE_TYPE = re.compile(r"engine \d+")
_TRAP_NAMES = {each.value: each.name.lower() for each in wasmtime.TrapCode}

Observe = Callable[[str], None]


def make_engine(*, canonical_nans: bool = False, fuel: bool = False) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = fuel
    for proposal in PROPOSALS:
        setattr(config, proposal, True)
    config.parallel_compilation = False
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = canonical_nans
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), STACK_BYTES + (1 << 20))
    config.max_wasm_stack = STACK_BYTES
    return wasmtime.Engine(config)


def _trap_text(pointer: Any) -> str:
    code = ffi.wasmtime_trap_code_t()
    if ffi.wasmtime_trap_code(pointer, ctypes.byref(code)):
        ffi.wasm_trap_delete(pointer)
        return f"trap {_TRAP_NAMES.get(code.value, code.value)}"
    return f"trap {_without_places(str(wasmtime.Trap._from_ptr(pointer)))}"


def _error_text(pointer: Any) -> str:
    return f"error {_without_places(str(wasmtime.WasmtimeError._from_ptr(pointer)))}"


def _without_places(message: str) -> str:
    """The message without places in code and numbers of the engine's types, which differ."""
    message = _ENGINE_TYPE.sub("engine", message)
    noise = ("error while executing", "Caused by:")
    lines = [each.strip() for each in message.splitlines() if "!" not in each and "0x" not in each]
    return " ".join(each for each in lines if each and not each.startswith(noise))


class FuzzGuest:
    """`transcript` grows with every call; `on_host_call` is told of each call of an import."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        module: wasmtime.Module,
        seed: int,
        unseen: str | None = None,
        *,
        fuel: bool = False,
    ) -> None:
        """`unseen` is the name of an export that is not to be looked at; `fuel` says whether the engine counts it."""
        self.transcript: list[str] = []
        self.on_host_call: Callable[[], None] = lambda: None
        self.module = module
        self._seed = seed
        self._engine = engine
        self._unseen = unseen
        self.host_calls = 0
        self._host_trace = 0
        self._callbacks: list[Any] = []
        self.store = wasmtime.Store(engine)
        self.store.set_limits(memory_size=MEMORY_LIMIT_BYTES, table_elements=20_000)
        if fuel:
            self.store.set_fuel(FUEL)
        self._instance = ffi.wasmtime_instance_t()
        self.externs: list[tuple[str, Any]] = []

    # Imports

    def _link(self) -> wasmtime.Linker:
        linker = wasmtime.Linker(self._engine)
        linker.allow_shadowing = True
        vector = ffi.wasm_importtype_vec_t()
        ffi.wasmtime_module_imports(self.module.ptr(), ctypes.byref(vector))
        try:
            for place in range(vector.size):
                self._define_function(linker, vector.data[place], place)
        finally:
            ffi.wasm_importtype_vec_delete(ctypes.byref(vector))
        error = ffi.wasmtime_linker_define_unknown_imports_as_default_values(
            linker.ptr(), self.store._context(), self.module.ptr()
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)
        return linker

    def _define_function(self, linker: wasmtime.Linker, imported: Any, place: int) -> None:
        declared = ffi.wasm_externtype_as_functype_const(ffi.wasm_importtype_type(imported))
        if not declared:
            return
        callback = self._callback(function_type(wasmtime.FuncType._from_ptr(declared, self.module)).results, place)
        self._callbacks.append(callback)
        made = ffi.wasmtime_func_t()
        context = self.store._context()
        ffi.wasmtime_func_new(context, declared, callback, None, _NO_FINALIZER, ctypes.byref(made))
        item = ffi.wasmtime_extern_t(ffi.WASMTIME_EXTERN_FUNC, ffi.wasmtime_extern_union(func=made))
        names = [ffi.to_str(part(imported).contents) for part in (ffi.wasm_importtype_module, ffi.wasm_importtype_name)]
        encoded = [name.encode() for name in names]
        error = ffi.wasmtime_linker_define(
            linker.ptr(),
            context,
            ctypes.create_string_buffer(encoded[0]),
            len(encoded[0]),
            ctypes.create_string_buffer(encoded[1]),
            len(encoded[1]),
            ctypes.byref(item),
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def _callback(self, results: tuple[str, ...], place: int) -> Any:
        """A host function: writes down its arguments, returns made-up values, and at times traps."""

        @ffi.wasmtime_func_callback_t  # type: ignore[untyped-decorator]
        def call(_env: Any, caller: Any, params: Any, param_count: int, out: Any, _count: int) -> int:
            context = ffi.wasmtime_caller_context(caller)
            self.host_calls += 1
            if self.host_calls <= TRACE_CALLS:
                arguments = ",".join(read_value(context, params[each]) for each in range(param_count))
                self._host_trace = zlib.crc32(f"{place}({arguments})".encode(), self._host_trace)
            self.on_host_call()
            rng = random.Random(self._seed * 1_000_003 + self.host_calls)
            if rng.randrange(50) == 0 or not all(map(can_make, results)):
                message = b"host says no"
                trap = ffi.wasmtime_trap_new(ctypes.create_string_buffer(message), len(message))
                return ctypes.cast(trap, ctypes.c_void_p).value or 0
            for each, kind in enumerate(results):
                ctypes.memset(ctypes.addressof(out[each]), 0, ctypes.sizeof(ffi.wasmtime_val_t))
                write_value(context, kind, out[each], rng)
            return 0

        return call

    # Calls

    def instantiate(self) -> bool:
        """Whether there is an instance; the transcript says why not."""
        try:
            linker = self._link()
        except wasmtime.WasmtimeError as refusal:
            self.transcript.append(f"link {str(refusal).splitlines()[0]}")
            return False
        self.store.set_epoch_deadline(EPOCHS)
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_linker_instantiate(
            linker.ptr(),
            self.store._context(),
            self.module.ptr(),
            ctypes.byref(self._instance),
            ctypes.byref(trap),
        )
        self._note("instantiate", self._end(error, trap) or "ok")
        if error or trap:
            return False
        self._find_exports()
        self.look()
        return True

    def _find_exports(self) -> None:
        index = 0
        while True:
            item = ffi.wasmtime_extern_t()
            name = ctypes.POINTER(ctypes.c_char)()
            size = ctypes.c_size_t()
            found = ffi.wasmtime_instance_export_nth(
                self.store._context(),
                ctypes.byref(self._instance),
                index,
                ctypes.byref(name),
                ctypes.byref(size),
                ctypes.byref(item),
            )
            if not found:
                return
            self.externs.append((ctypes.string_at(name, size.value).decode(), item))
            index += 1

    def functions(self) -> list[tuple[str, Any]]:
        return [(name, each.of.func) for name, each in self.externs if each.kind == ffi.WASMTIME_EXTERN_FUNC.value]

    def call(self, name: str, function: Any, rng: random.Random) -> bool | None:
        """Calls with made-up arguments and looks at everything after; whether it returned, None if it cannot be
        called."""
        context = self.store._context()
        declared = ffi.wasmtime_func_type(context, ctypes.byref(function))
        functype = function_type(wasmtime.FuncType._from_ptr(declared, None))
        if not all(map(can_make, functype.params)):
            return None
        params = (ffi.wasmtime_val_t * len(functype.params))()
        results = (ffi.wasmtime_val_t * len(functype.results))()
        for kind, into in zip(functype.params, params, strict=True):
            write_value(context, kind, into, rng)
        self.store.set_epoch_deadline(EPOCHS)
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call(
            context, ctypes.byref(function), params, len(params), results, len(results), ctypes.byref(trap)
        )
        for each in params:
            ffi.wasmtime_val_unroot(ctypes.byref(each))
        end = self._end(error, trap)
        values = ",".join(take_values(context, results)) if end is None else end
        self._note(f"call {name}", values)
        self.look()
        return end is None

    def _note(self, what: str, end: str) -> None:
        self.transcript.append(f"{what} -> {end} host {self.host_calls}:{self._host_trace:08x}")

    def _end(self, error: Any, trap: Any) -> str | None:
        if trap:
            return _trap_text(trap) + self._exception()
        return _error_text(error) + self._exception() if error else None

    def _exception(self) -> str:
        """The fields of the exception that nobody caught."""
        context = self.store._context()
        exception = ffi.wasmtime_exnref_t()
        if not ffi.wasmtime_context_take_exception(context, ctypes.byref(exception)):
            return ""
        fields = (ffi.wasmtime_val_t * ffi.wasmtime_exnref_field_count(context, ctypes.byref(exception)))()
        for index, into in enumerate(fields):
            ffi.wasmtime_exnref_field(context, ctypes.byref(exception), index, ctypes.byref(into))
        text = ",".join(take_values(context, fields))
        ffi.wasmtime_exnref_unroot(ctypes.byref(exception))
        return f" exception ({text})"

    # State

    def look(self) -> None:
        """Writes down every exported memory, global and table."""
        seen = [f"{name} {self._state(each)}" for name, each in self.externs if name != self._unseen]
        self.transcript.append("; ".join(each for each in seen if not each.endswith(" ")))

    def _state(self, item: Any) -> str:
        context = self.store._context()
        if item.kind == ffi.WASMTIME_EXTERN_GLOBAL.value:
            value = (ffi.wasmtime_val_t * 1)()
            ffi.wasmtime_global_get(context, ctypes.byref(item.of.global_), ctypes.byref(value[0]))
            return take_values(context, value)[0]
        if item.kind == ffi.WASMTIME_EXTERN_TABLE.value:
            return self._table_state(item.of.table)
        if item.kind == ffi.WASMTIME_EXTERN_MEMORY.value:
            size = ffi.wasmtime_memory_data_size(context, ctypes.byref(item.of.memory))
            return _bytes_state(ffi.wasmtime_memory_data(context, ctypes.byref(item.of.memory)), size)
        if item.kind == ffi.WASMTIME_EXTERN_SHAREDMEMORY.value:
            shared = item.of.sharedmemory
            return _bytes_state(ffi.wasmtime_sharedmemory_data(shared), ffi.wasmtime_sharedmemory_data_size(shared))
        return ""

    def _table_state(self, table: Any) -> str:
        context = self.store._context()
        size = ffi.wasmtime_table_size(context, ctypes.byref(table))
        values = (ffi.wasmtime_val_t * min(size, TABLE_ITEMS_SEEN))()
        for index, into in enumerate(values):
            ffi.wasmtime_table_get(context, ctypes.byref(table), index, ctypes.byref(into))
        return f"{size}[{','.join(take_values(context, values))}]"


def _bytes_state(data: Any, size: int) -> str:
    if not size:
        return "0 bytes"
    view = (ctypes.c_ubyte * size).from_address(ctypes.cast(data, ctypes.c_void_p).value or 0)
    return f"{size} bytes {zlib.crc32(view):08x}"
