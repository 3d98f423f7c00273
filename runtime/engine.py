"""The engine: configured, and compiling. With `engine_link.py` and `engine_call.py` the only code that knows
wasmtime.

Nothing of wasmtime but opaque objects passes to the rest; its errors end here and come out as ours.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import wasmtime
from wasmtime import _ffi as ffi

from wasmtrace.errors import GuestError, UsageError
from wasmtrace.runtime.address_space import check_address_space
from wasmtrace.runtime.engine_cache import engine_cache_directory, is_private
from wasmtrace.runtime.load_errors import check_header, is_text, load_error
from wasmtrace.runtime.values import FunctionType

DEFAULT_STACK_BYTES = 512 * 1024
"""The engine's own default."""
FRAME_GROWTH = 4
FRAME_GROWTH_INTERRUPTIBLE = 6
"""The engine's frames of an instrumented function that uses fuel, and is interruptible, are at most so many
times as large as the plain one's (16 to 64 bytes for the smallest; typical ones grow by half): a recursion
that the plain program survives must be survived. tests/runtime/test_stack.py"""
MAX_STACK_BYTES = 1 << 30
_DEFAULT_ASYNC_STACK_BYTES = 2 << 20
_ASYNC_MARGIN_BYTES = 1 << 20

FUEL_TANK = (1 << 63) - 1
"""What a store gets when nobody sets a limit: never used up."""

_PROPOSALS = (
    "wasm_threads",
    "wasm_tail_call",
    "wasm_reference_types",
    "wasm_simd",
    "wasm_bulk_memory",
    "wasm_multi_value",
    "wasm_multi_memory",
    "wasm_memory64",
    "wasm_relaxed_simd",
    "wasm_function_references",
    "wasm_gc",
    "wasm_exceptions",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "shared_memory",
    "parallel_compilation",
)
_MOST_NAMED = 8
_VALUE_KINDS = ("i32", "i64", "f32", "f64", "v128")
# By kind of heap type, as wasmtime/val.h numbers them; concrete types have no name of their own.
_HEAP_TYPES = (
    *("extern", "noextern", "func", "(func type)", "nofunc", "any", "none"),
    *("eq", "i31", "array", "(array type)", "struct", "(struct type)", "exn"),
)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What holds for every instance of one engine. `max_stack_bytes` is for the program as it came."""

    cache: bool = True
    fuel: bool = True
    interruptible: bool = False
    max_stack_bytes: int = DEFAULT_STACK_BYTES

    def __post_init__(self) -> None:
        if not 1024 <= self.max_stack_bytes <= MAX_STACK_BYTES:
            raise UsageError(f"expected a stack of 1 KiB to 1 GiB, got {self.max_stack_bytes} bytes")

    @property
    def engine_stack_bytes(self) -> int:
        """The engine's limit, with room for the larger frames of instrumented functions."""
        return self.max_stack_bytes * (FRAME_GROWTH_INTERRUPTIBLE if self.interruptible else FRAME_GROWTH)


@dataclass(frozen=True, slots=True)
class Extern:
    """One import or export. `module` is empty for exports, `functype` None for what is not a function."""

    module: str
    name: str
    kind: str
    functype: FunctionType | None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.module else self.name


def functions_of(exports: Mapping[str, Extern]) -> list[str]:
    """Names of those that are functions."""
    return [each.name for each in exports.values() if each.functype is not None]


def some_of(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


class CompiledModule:
    """A module ready to be instantiated."""

    def __init__(self, module: wasmtime.Module) -> None:
        self.raw = module
        self._imports: tuple[Extern, ...] | None = None
        self._exports: dict[str, Extern] | None = None

    @property
    def imports(self) -> tuple[Extern, ...]:
        if self._imports is None:
            self._imports = tuple(_describe(each, each.module, each.name or "") for each in self.raw.imports)
        return self._imports

    @property
    def exports(self) -> dict[str, Extern]:
        if self._exports is None:
            self._exports = {each.name: _describe(each, "", each.name) for each in self.raw.exports}
        return self._exports


def _describe(item: wasmtime.ImportType | wasmtime.ExportType, module: str, name: str) -> Extern:
    try:
        declared = item.type
    except wasmtime.WasmtimeError:
        # The binding has no class for it; it can be neither provided nor called, but stands in nobody's way.
        return Extern(module, name, "other", None)
    if isinstance(declared, wasmtime.FuncType):
        return Extern(module, name, "func", function_type(declared))
    return Extern(module, name, type(declared).__name__.removesuffix("Type").lower(), None)


def function_type(functype: wasmtime.FuncType) -> FunctionType:
    """The type in words. The binding's own names would end the process for v128 and most references."""
    return FunctionType(
        tuple(_kind_name(each) for each in functype.params),
        tuple(_kind_name(each) for each in functype.results),
    )


def _kind_name(valtype: wasmtime.ValType) -> str:
    described = ffi.wasmtime_valtype_t()
    ffi.wasmtime_valtype_new(valtype.ptr(), ctypes.byref(described))
    try:
        kind, heap_kind = int(described.kind), int(described.reftype.heaptype.kind)
        if kind < len(_VALUE_KINDS):
            return _VALUE_KINDS[kind]
        heap = _HEAP_TYPES[heap_kind] if heap_kind < len(_HEAP_TYPES) else "?"
        if described.reftype.nullable:
            return f"{heap}ref" if heap.isalnum() else f"(ref null {heap})"
        return f"(ref {heap})"
    finally:
        ffi.wasmtime_valtype_delete(ctypes.byref(described))


class Engine:
    """Compiles modules. Raises `UsageError` for settings that the engine would end the process for, `GuestError`
    for too little address space, of which it would die as well."""

    def __init__(self, settings: EngineSettings) -> None:
        check_address_space()
        self.settings = settings
        config = wasmtime.Config()
        for proposal in _PROPOSALS:
            setattr(config, proposal, True)
        self.caches = settings.cache and _enable_cache(config)
        """Whether compiled code is kept on disk."""
        config.consume_fuel = settings.fuel
        config.epoch_interruption = settings.interruptible
        stack = settings.engine_stack_bytes
        if stack > _DEFAULT_ASYNC_STACK_BYTES:
            ffi.wasmtime_config_async_stack_size_set(config.ptr(), stack + _ASYNC_MARGIN_BYTES)
        config.max_wasm_stack = stack
        self.raw = wasmtime.Engine(config)

    def validate(self, wasm: bytes) -> None:
        """Raises `DecodeError`, `UnsupportedError` or `GuestError` unless `wasm` is a core module that can
        run."""
        check_header(wasm)
        try:
            wasmtime.Module.validate(self.raw, wasm)
        except wasmtime.WasmtimeError as error:
            raise load_error(str(error)) from None

    def compile(self, wasm: bytes) -> CompiledModule:
        """Compiles what `validate` has let through, or what was made of it."""
        try:
            return CompiledModule(wasmtime.Module(self.raw, wasm))
        except wasmtime.WasmtimeError as error:
            raise GuestError(f"the engine cannot compile the module: {' '.join(str(error).split())}") from None

    def increment_epoch(self) -> None:
        """Makes each running guest of an interruptible engine look whether it is to end. Any thread."""
        self.raw.increment_epoch()


def _enable_cache(config: wasmtime.Config) -> bool:
    directory = engine_cache_directory()
    if directory is None or not is_private(directory):
        return False
    try:
        config.cache = True
    except wasmtime.WasmtimeError:
        # No home directory, or one that cannot be written: slower, not wrong.
        return False
    return True


def from_text(text: bytes) -> bytes:
    """The binary module of a text module. Raises `GuestError` with the line."""
    try:
        return bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        lines = [line.strip(" |^") for line in str(error).splitlines()]
        raise GuestError(f"not a valid text module: {' '.join(line for line in lines if line)}") from None


def binary_of(data: bytes) -> bytes:
    """The binary module of one in either form. Raises `GuestError` for text that is not a module."""
    return from_text(data) if is_text(data) else data


def validate(wasm: bytes) -> None:
    """`Engine.validate` for whoever runs nothing."""
    Engine(EngineSettings(cache=False)).validate(wasm)
