"""The ways in which each script is run: as it came, and rewritten at each level.

All have the same engine, but that the stack of those rewritten is as much larger as `runtime/engine.py` makes it, and
that the engine counts the fuel of modules as they came: those rewritten count it themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import wasmtime

from wasmtrace.instrument import Instrumented, Options, instrument
from wasmtrace.instrument.options import LEVELS, TRACE
from wasmtrace.runtime.engine import EngineSettings

_SETTINGS = EngineSettings()
PROPOSALS = (
    *("wasm_threads", "wasm_tail_call", "wasm_reference_types", "wasm_simd", "wasm_bulk_memory"),
    *("wasm_multi_value", "wasm_multi_memory", "wasm_memory64", "wasm_relaxed_simd"),
    *("wasm_function_references", "wasm_gc", "wasm_exceptions", "wasm_wide_arithmetic"),
    *("wasm_custom_page_sizes", "shared_memory"),
)
"""All that wasmtime 50 can be told to accept in core modules, but stack switching, which no script is about."""
_RING_CAPACITY = 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a script. `options` is None for modules as they came."""

    name: str
    options: Options | None

    @property
    def stack_bytes(self) -> int:
        return _SETTINGS.max_stack_bytes if self.options is None else self.options.max_stack_bytes

    @property
    def engine(self) -> wasmtime.Engine:
        return engine_for(self.stack_bytes, fuel=self.options is None)


def _options(level: str, slow_threshold_us: int = 1000) -> Options:
    return Options(
        level=level,
        slow_threshold_us=slow_threshold_us,
        max_stack_bytes=_SETTINGS.engine_stack_bytes,
        ring_capacity=_RING_CAPACITY,
    )


PLAIN = Variant("plain", None)
EVERY_CALL_SLOW = Variant("trace, all slow", _options(TRACE, slow_threshold_us=0))
"""Each exit takes the path of a slow call."""
INSTRUMENTED = (*(Variant(level, _options(level)) for level in LEVELS), EVERY_CALL_SLOW)
VARIANTS = (PLAIN, *INSTRUMENTED)


@cache
def engine_for(stack_bytes: int, *, fuel: bool = False) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = fuel
    for proposal in PROPOSALS:
        setattr(config, proposal, True)
    config.max_wasm_stack = stack_bytes
    return wasmtime.Engine(config)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A compiled module, and what was put into it."""

    wasm: bytes
    """As it came."""
    module: wasmtime.Module
    instrumented: Instrumented | None

    @property
    def imports_a_table(self) -> bool:
        return any(isinstance(each.type, wasmtime.TableType) for each in self.module.imports)


def load(variant: Variant, wasm: bytes) -> Loaded:
    """Raises `wasmtime.WasmtimeError` for a module that is not valid, and whatever the rewriter raises."""
    engine = variant.engine
    if variant.options is None:
        return Loaded(wasm, wasmtime.Module(engine, wasm), None)
    wasmtime.Module.validate(engine, wasm)
    done = instrument(wasm, variant.options)
    return Loaded(wasm, wasmtime.Module(engine, done.wasm), done)
