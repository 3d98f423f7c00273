"""One module run in three ways: plain with the engine's fuel, with the oracle's counters, rewritten."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import wasmtime
from wasmtime import _ffi as ffi

from fuel_oracle import counted
from wasmtrace.instrument import Options, instrument
from wasmtrace.instrument.rewrite import Places

STACK_BYTES = 1 << 19
MOST_FRAMES = 20
"""So many, the innermost, the engine gives of a trap."""
_FUEL = 1 << 62
OPTIONS = {
    "calls": Options(level="calls"),
    "trace": Options(),
    "trace, all slow": Options(slow_threshold_us=0),
    "events": Options(level="calls", events=("*",), event_capacity=8),
}
Call = tuple[str, tuple[int, ...]]
Frames = list[tuple[int, int]]
"""Function and offset in its body, innermost first."""


@cache
def engine(*, fuel: bool = False) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = fuel
    config.wasm_gc = config.wasm_exceptions = config.wasm_function_references = True
    config.wasm_memory64 = config.wasm_custom_page_sizes = True
    config.max_wasm_stack = STACK_BYTES
    return wasmtime.Engine(config)


def exit_frames(end: wasmtime.ExitTrap) -> Frames:
    """The frames that were open when a program ended itself."""
    frames = ffi.wasm_frame_vec_t()
    ffi.wasmtime_error_wasm_trace(end.ptr(), ctypes.byref(frames))
    found = [
        (ffi.wasm_frame_func_index(frames.data[each]), ffi.wasm_frame_func_offset(frames.data[each]))
        for each in range(frames.size)
    ]
    ffi.wasm_frame_vec_delete(ctypes.byref(frames))
    return found


class Guest:
    """An instance; of its imports, functions return zeros and `proc_exit` ends the program."""

    def __init__(self, wasm: bytes, *, fuel: bool = False) -> None:
        self.engine = engine(fuel=fuel)
        self.store = wasmtime.Store(self.engine)
        if fuel:
            self.store.set_fuel(_FUEL)
        self._counts = fuel
        self.store.set_limits(table_elements=1000)
        linker = wasmtime.Linker(self.engine)
        linker.define_wasi()
        self.store.set_wasi(wasmtime.WasiConfig())
        self.module = wasmtime.Module(self.engine, wasm)
        linker.define_unknown_imports_as_default_values(self.store, self.module)
        self.exports = linker.instantiate(self.store, self.module).exports(self.store)

    def call(self, name: str, arguments: Sequence[int]) -> tuple[str, Frames]:
        """How it ended, and the frames that were open then."""
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        try:
            return repr(function(self.store, *arguments)), []
        except wasmtime.ExitTrap as end:
            return f"exit {end.code}", exit_frames(end)
        except wasmtime.Trap as trap:
            if self.take_exception():
                return "threw", []
            return f"trap {trap.trap_code}", [(each.func_index, each.func_offset) for each in trap.frames]

    def take_exception(self) -> bool:
        exception = ffi.wasmtime_exnref_t()
        if not ffi.wasmtime_context_take_exception(self.store._context(), ctypes.byref(exception)):
            return False
        ffi.wasmtime_exnref_unroot(ctypes.byref(exception))
        return True

    def engine_fuel(self) -> int:
        return _FUEL - self.store.get_fuel()

    def oracle_fuel(self) -> dict[int, int]:
        found = {}
        for name in self.exports:
            if name.startswith("fuel "):
                value = self.exports[name]
                assert isinstance(value, wasmtime.Global)
                found[int(name.removeprefix("fuel "))] = int(value.value(self.store))
        return found


class Rewritten(Guest):
    def __init__(self, wasm: bytes, options: Options) -> None:
        made = instrument(wasm, options)
        self.sites, self.layout = made.sites, made.sites.layout
        self.places = Places(wasm, options, made.sites)
        super().__init__(made.wasm)

    def _cells(self, offset: int) -> tuple[int, ...]:
        memory = self.exports[self.sites.telemetry_export]
        assert isinstance(memory, wasmtime.Memory)
        count = self.layout.function_count
        return struct.unpack(f"<{count}Q", bytes(memory.read(self.store, offset, offset + 8 * count)))

    def reset_stack(self) -> None:
        memory = self.exports[self.sites.telemetry_export]
        assert isinstance(memory, wasmtime.Memory)
        memory.write(self.store, struct.pack("<Q", self.layout.stack_offset), 8)

    def fuel(self) -> dict[int, int]:
        calls, cells = self._cells(self.layout.calls_offset), self._cells(self.layout.fuel_offset)
        first = len(self.sites.host_functions)
        return {
            funcidx: calls[funcidx] * self.sites.fuel_per_call[funcidx] + cells[funcidx]
            for funcidx in range(first, self.layout.function_count)
        }

    def uncounted(self, frames: Frames) -> dict[int, int]:
        """By function, what open calls have used and no cell has, less what cells have too much."""
        found: dict[int, int] = {}
        for funcidx, offset in frames:
            if len(self.sites.host_functions) <= funcidx < self.layout.function_count:
                found[funcidx] = found.get(funcidx, 0) + self.places.uncounted_fuel(funcidx, offset)
        return found


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one call, or of the start function: how it ended, and the fuel by function; None if it is not known."""

    end: str
    fuel: dict[int, int] | None


def seen_by_oracle(wasm: bytes, calls: Sequence[Call]) -> list[Seen]:
    """What each call took, and the engine's count of the module as it came held against it."""
    plain, oracle = Guest(wasm, fuel=True), Guest(counted(wasm))
    seen = [Seen("start", oracle.oracle_fuel())]
    for name, arguments in calls:
        engine_before, before = plain.engine_fuel(), oracle.oracle_fuel()
        end, _ = plain.call(name, arguments)
        same_end, _ = oracle.call(name, arguments)
        assert same_end == end
        by_engine = plain.engine_fuel() - engine_before
        took = _less(oracle.oracle_fuel(), before)
        if end.startswith("trap"):
            # The engine has not saved what it counted last.
            assert by_engine <= sum(took.values()), (name, arguments, end)
        else:
            assert by_engine == sum(took.values()), (name, arguments, end)
        seen.append(Seen(end, took))
    return seen


def seen_by_telemetry(wasm: bytes, calls: Sequence[Call], options: Options) -> list[Seen]:
    guest = Rewritten(wasm, options)
    seen = [Seen("start", guest.fuel())]
    for name, arguments in calls:
        before = guest.fuel()
        end, frames = guest.call(name, arguments)
        uncounted = guest.uncounted(frames)
        if end.startswith(("trap", "exit")):
            guest.reset_stack()
        took = _less(guest.fuel(), before)
        if len(frames) >= MOST_FRAMES:
            seen.append(Seen(end, None))
            continue
        seen.append(Seen(end, {each: fuel + uncounted.get(each, 0) for each, fuel in took.items()}))
    return seen


def _less(after: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    return {each: after[each] - before[each] for each in after}


def check(wasm: bytes, calls: Sequence[Call], options: Mapping[str, Options] = OPTIONS) -> list[Seen]:
    """Holds all three against each other; gives the truth."""
    truth = seen_by_oracle(wasm, calls)
    for name, each in options.items():
        for known, found in zip(truth, seen_by_telemetry(wasm, calls, each), strict=True):
            assert found.end == known.end, name
            assert found.fuel in (known.fuel, None), name
    return truth


def wasm_of(wat: str) -> bytes:
    return bytes(wasmtime.wat2wasm(wat))
