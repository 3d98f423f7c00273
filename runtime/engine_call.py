"""One instance in its store: instantiated, called, its memory read. Every way in which a call can end is a
`CallEnd`.

A store belongs to one thread at a time: callers see to that (`session.py`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from wasmtrace.errors import GuestError, UsageError
from wasmtrace.layout import PAGE_BYTES, Layout
from wasmtrace.records import Outcome
from wasmtrace.runtime.engine import FUEL_TANK, CompiledModule, Engine, Extern, functions_of
from wasmtrace.runtime.engine_link import Host, check_imports
from wasmtrace.runtime.engine_values import read_values, release_values, write_values
from wasmtrace.runtime.sandbox import Sandbox
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.runtime.values import FunctionType, check_arguments, check_convertible
from wasmtrace.sites import SiteTable

_EpochCallback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ctypes.c_uint8),
)
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_CONTINUE = 0


@dataclass(frozen=True, slots=True)
class RawTrap:
    """A trap in terms of the module that ran: function index and offset in its body, innermost first."""

    code: str
    message: str
    frames: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How one call into the guest ended; exactly one of `exit_code`, `trap`, `error` is set unless it
    returned."""

    outcome: Outcome
    values: tuple[Any, ...] = ()
    exit_code: int | None = None
    trap: RawTrap | None = None
    error: BaseException | None = None
    stack: tuple[tuple[int, int], ...] = ()
    """Where the guest's calls stood, innermost first, as in `RawTrap`; the engine tells of at most 20."""
    """What a host function raised, or a `GuestError`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one instance may use. None is no limit but the engine's."""

    fuel: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call whose arguments have been checked."""

    name: str
    functype: FunctionType
    values: list[Any]


class GuestInstance:
    """One instance of a rewritten module. `instantiate` first; the start function runs in it."""

    def __init__(self, engine: Engine, module: CompiledModule, sites: SiteTable, limits: Limits, owner: object) -> None:
        self._engine = engine
        self._module = module
        self._sites = sites
        self._limits = limits
        self._host = Host(owner)
        self._store = wasmtime.Store(engine.raw)
        self._instance = ffi.wasmtime_instance_t()
        self._instantiated = False
        self._killed = False
        self._externs: dict[str, Any] = {}
        self._tank = FUEL_TANK if limits.fuel is None else limits.fuel
        self._configure_store()

    def _configure_store(self) -> None:
        layout = self._sites.layout
        if self._engine.settings.fuel:
            self._store.set_fuel(self._tank)
        if self._limits.memory_bytes is not None:
            self._check_memories(self._limits.memory_bytes)
            self._store.set_limits(memory_size=max(self._limits.memory_bytes, layout.pages * PAGE_BYTES))
        if self._engine.settings.interruptible:
            self._epoch_callback = _EpochCallback(self._on_epoch)
            ffi.wasmtime_store_epoch_deadline_callback(self._store.ptr(), self._epoch_callback, None, _NO_FINALIZER)
            self._store.set_epoch_deadline(1)

    def _check_memories(self, limit_bytes: int) -> None:
        for index, memory in enumerate(self._sites.memories):
            needed = memory.min_pages * memory.page_bytes
            if not memory.imported and needed > limit_bytes:
                raise GuestError(f"memory {index} begins with {needed} bytes, over the limit of {limit_bytes} bytes")

    def _on_epoch(self, _context: Any, _data: Any, delta: Any, kind: Any) -> int:
        if self._killed:
            error = ffi.wasmtime_error_new(b"interrupted")
            return ctypes.cast(error, ctypes.c_void_p).value or 0
        delta[0] = 1
        kind[0] = _CONTINUE
        return 0

    def link(self, sandbox: Sandbox, *, trap_unknown: bool) -> wasmtime.Linker:
        """Everything that can be wrong before the guest runs. Raises `UsageError` or `GuestError`."""
        self._store.set_wasi(self._host.wasi(sandbox))
        linker = self._host.linker(self._engine, self._module, sandbox, trap_unknown=trap_unknown)
        check_imports(linker, self._store, self._module)
        return linker

    def instantiate(self, linker: wasmtime.Linker) -> CallEnd:
        """Makes the instance, and so runs the start function."""

        def run(trap: Any) -> Any:
            return ffi.wasmtime_linker_instantiate(
                linker.ptr(),
                self._store._context(),
                self._module.raw.ptr(),
                ctypes.byref(self._instance),
                trap,
            )

        end = self._enter(run) or CallEnd(Outcome.RETURNED)
        self._instantiated = end.outcome is Outcome.RETURNED
        return end

    def telemetry(self) -> TelemetryMemory:
        """Raises `GuestError` if the module has none, or not the one that the site table is about."""
        layout: Layout = self._sites.layout
        memory = self._extern(self._sites.telemetry_export)
        if not isinstance(memory, wasmtime.Memory):
            raise GuestError("the module has no telemetry memory: it was not rewritten")
        address = ctypes.addressof(memory.data_ptr(self._store).contents)
        return TelemetryMemory(address, memory.data_len(self._store), layout, self._store)

    # Calls

    def prepare(self, name: str, arguments: tuple[Any, ...]) -> PreparedCall:
        """Raises `UsageError` or `UnsupportedError` if there is no such function or the arguments do not
        fit."""
        functype = self.function_type(name)
        return PreparedCall(name, functype, check_arguments(name, functype, arguments))

    def function_type(self, name: str) -> FunctionType:
        """Raises `UsageError` if no function is exported by that name."""
        return exported_function(self._module, name)

    def call(self, prepared: PreparedCall) -> CallEnd:
        """Calls an export; however that ends is in the result."""
        name, functype, values = prepared.name, prepared.functype, prepared.values
        function = self._extern(name)
        params = (ffi.wasmtime_val_t * len(values))()
        results = (ffi.wasmtime_val_t * len(functype.results))()
        context = self._store._context()
        write_values(self._store, functype.params, values, params)

        def run(trap: Any) -> Any:
            return ffi.wasmtime_func_call(
                context, ctypes.byref(function._func), params, len(params), results, len(results), trap
            )

        try:
            end = self._enter(run)
        finally:
            release_values(params, len(params))
        if end is not None:
            return end
        return CallEnd(Outcome.RETURNED, tuple(read_values(self._store, functype.results, results, owned=True)))

    def _enter(self, run: Callable[[Any], Any]) -> CallEnd | None:
        """Runs the guest; None if it returned."""
        self._host.take_error()
        trap_pointer = ctypes.POINTER(ffi.wasm_trap_t)()
        error_pointer = run(ctypes.byref(trap_pointer))
        raised = self._host.take_error()
        trap = wasmtime.Trap._from_ptr(trap_pointer) if trap_pointer else None
        error = wasmtime.WasmtimeError._from_ptr(error_pointer) if error_pointer else None
        if trap is None and error is None and raised is None:
            return None
        if isinstance(error, wasmtime.ExitTrap):
            return CallEnd(Outcome.EXITED, exit_code=error.code, stack=_stack_of(error))
        if raised is not None:
            stack = _stack_of(error) if error is not None else _frames_of(trap) if trap is not None else ()
            return CallEnd(Outcome.FAILED, error=raised, stack=stack)
        if self._killed:
            return CallEnd(Outcome.INTERRUPTED, stack=_frames_of(trap) if trap is not None else ())
        if trap is not None:
            described = _describe_trap(trap)
            return CallEnd(Outcome.TRAPPED, trap=described, stack=described.frames)
        return _describe_error(error)

    # What an instance has

    def _extern(self, name: str) -> Any:
        if not self._instantiated:
            raise GuestError("the instance is not ready: its start function is still running")
        found = self._externs.get(name)
        if found is None:
            raw, encoded = ffi.wasmtime_extern_t(), name.encode()
            if not ffi.wasmtime_instance_export_get(
                self._store._context(),
                ctypes.byref(self._instance),
                ctypes.create_string_buffer(encoded),
                len(encoded),
                ctypes.byref(raw),
            ):
                raise UsageError(f"nothing is exported as {name!r}")
            found = self._externs[name] = _wrap_extern(raw)
        return found

    def memory_view(self, name: str) -> tuple[int, int]:
        """Address and length of an exported memory, true until the guest runs next."""
        memory = self._extern(name)
        if isinstance(memory, wasmtime.SharedMemory):
            return ctypes.addressof(memory.data_ptr().contents), memory.data_len()
        if not isinstance(memory, wasmtime.Memory):
            raise UsageError(f"export {name!r} is not a memory")
        length = memory.data_len(self._store)
        return (ctypes.addressof(memory.data_ptr(self._store).contents) if length else 0), length

    @property
    def fuel_used(self) -> int | None:
        """Since the instance began; None if fuel is off."""
        return self._tank - self._store.get_fuel() if self._engine.settings.fuel else None

    @property
    def interruptible(self) -> bool:
        return self._engine.settings.interruptible

    @property
    def max_stack_bytes(self) -> int:
        return self._engine.settings.max_stack_bytes

    def kill(self) -> None:
        """Ends the call in progress at the guest's next loop or call. Any thread; the engine must be
        interruptible."""
        if not self._engine.settings.interruptible:
            raise UsageError("kill needs an interruptible runtime")
        self._killed = True
        self._engine.increment_epoch()

    def close(self) -> None:
        self._store.close()


def exported_function(module: CompiledModule, name: str) -> FunctionType:
    """The type of an exported function that Python can call. Raises `UsageError` or `UnsupportedError`."""
    found = module.exports.get(name)
    if found is None or found.functype is None:
        raise UsageError(_no_function_message(module.exports, name))
    check_convertible(name, found.functype)
    return found.functype


def _no_function_message(exports: dict[str, Extern], name: str) -> str:
    functions = functions_of(exports)
    shown = ", ".join(functions[:8]) + (", ..." if len(functions) > 8 else "")
    what = f"export {name!r} is a {exports[name].kind}, not a function" if name in exports else ""
    return f"{what or f'no function is exported as {name!r}'}; exported functions: {shown or 'none'}"


def _wrap_extern(raw: Any) -> Any:
    from wasmtime._extern import wrap_extern

    return wrap_extern(raw)


def _describe_trap(trap: wasmtime.Trap) -> RawTrap:
    try:
        found = trap.trap_code
    except ValueError:
        found = None
    code = "trap" if found is None else found.name.lower()
    return RawTrap(code, _cause(trap.message), _frames_of(trap))


def _frames_of(trap: wasmtime.Trap) -> tuple[tuple[int, int], ...]:
    return tuple((each.func_index, _offset(each)) for each in trap.frames)


def _stack_of(error: wasmtime.WasmtimeError) -> tuple[tuple[int, int], ...]:
    """Where the guest stood when an error ended it, which is no trap; wasmtime-py has no method for it."""
    frames = ffi.wasm_frame_vec_t()
    ffi.wasmtime_error_wasm_trace(error.ptr(), ctypes.byref(frames))
    try:
        return tuple(
            (ffi.wasm_frame_func_index(frames.data[place]), ffi.wasm_frame_func_offset(frames.data[place]))
            for place in range(frames.size)
        )
    finally:
        ffi.wasm_frame_vec_delete(ctypes.byref(frames))


def _offset(frame: wasmtime.Frame) -> int:
    """Where in the function's body; the engine says -1 for the stack check before its first instruction."""
    return frame.func_offset if frame.func_offset < 1 << 63 else 0


def _describe_error(error: wasmtime.WasmtimeError | None) -> CallEnd:
    return CallEnd(Outcome.FAILED, error=GuestError(_cause(str(error))))


def _cause(message: str) -> str:
    """The innermost cause: what follows the backtrace."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    cause = lines[-1] if lines else "unknown"
    return cause.removeprefix("wasm trap: ").removeprefix("0: ")
