"""A module run in wasmtime, as it came or rewritten, and its telemetry memory as a test looks at it.

Time stands still unless the test moves it: `Traced.tick` writes the clock, the cutoff and the watermark, as
`wasmtrace/layout.py` says that the host does.
"""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import wasmtime

from wasmtrace import layout as cells
from wasmtrace.instrument import Instrumented, Options, instrument, module_names

Host = tuple[list[str], list[str], Callable[..., Any]]
"""Parameter and result types of a host function, and the function."""

_VALTYPES: dict[str, Callable[[], wasmtime.ValType]] = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}


def wasm_of(wat: str) -> bytes:
    return bytes(wasmtime.wat2wasm(wat))


def engine(max_wasm_stack: int | None = None) -> wasmtime.Engine:
    """With every proposal on that wasmtime-py can switch on."""
    config = wasmtime.Config()
    config.wasm_custom_page_sizes = True
    config.wasm_gc = True
    config.wasm_exceptions = True
    config.wasm_threads = True
    config.shared_memory = True
    config.wasm_memory64 = True
    if max_wasm_stack is not None:
        config.max_wasm_stack = max_wasm_stack
    return wasmtime.Engine(config)


ENGINE = engine()


class Guest:
    """An instance of a module. `hosts` are the functions it may import, by "module.name"."""

    def __init__(
        self,
        wasm: bytes,
        hosts: Mapping[str, Host] = {},
        *,
        wasm_engine: wasmtime.Engine = ENGINE,
        memory: str | None = None,
    ) -> None:
        self.store = wasmtime.Store(wasm_engine)
        linker = wasmtime.Linker(wasm_engine)
        for path, (params, results, function) in hosts.items():
            functype = wasmtime.FuncType(
                [_VALTYPES[each]() for each in params], [_VALTYPES[each]() for each in results]
            )
            module, name = path.split(".")
            linker.define_func(module, name, functype, function)
        if memory is not None:
            memory_type = wasmtime.MemoryType(wasmtime.Limits(1, 4))
            module, name = memory.split(".")
            linker.define(self.store, module, name, wasmtime.Memory(self.store, memory_type))
        self.instance = linker.instantiate(self.store, wasmtime.Module(wasm_engine, wasm))
        self.exports = self.instance.exports(self.store)

    def call(self, export: str, *args: Any) -> Any:
        function = self.exports[export]
        assert isinstance(function, wasmtime.Func)
        return function(self.store, *args)

    def outcome(self, export: str, *args: Any) -> Any:
        """What a call returned, or which trap or error ended it."""
        try:
            return self.call(export, *args)
        except wasmtime.Trap as trap:
            return trap.trap_code
        except wasmtime.WasmtimeError as error:
            return str(error).splitlines()[0].split("0:")[0]


class Record(NamedTuple):
    """One record of the ring."""

    kind: int
    depth: int
    name: str
    start_us: int
    end_us: int
    payloads: tuple[int, int]


class Traced(Guest):
    """A rewritten module's instance; functions go by their names in the module as it came."""

    def __init__(
        self,
        wasm: bytes,
        hosts: Mapping[str, Host] = {},
        options: Options = Options(slow_threshold_us=0),  # noqa: B008 (frozen)
        **settings: Any,
    ) -> None:
        self.wasm = wasm
        self.made: Instrumented = instrument(wasm, options)
        self.sites, self.layout = self.made.sites, self.made.sites.layout
        names = module_names(wasm)
        self.names = [names[funcidx].name for funcidx in range(len(names))]
        super().__init__(self.made.wasm, hosts, **settings)
        memory = self.exports[self.sites.telemetry_export]
        assert isinstance(memory, wasmtime.Memory)
        size = memory.data_len(self.store)
        address = ctypes.addressof(memory.data_ptr(self.store).contents)
        self._bytes = memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")
        self._ticks = [0]
        self._drained = 0

    def cell(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self._bytes, offset)[0])

    def put(self, offset: int, value: int) -> None:
        struct.pack_into("<Q", self._bytes, offset, value)

    def _by_name(self, offset: int) -> dict[str, int]:
        found: Counter[str] = Counter()
        for funcidx, name in enumerate(self.names):
            found[name] += self.cell(offset + funcidx * cells.CELL_BYTES)
        return {name: count for name, count in found.items() if count}

    @property
    def calls(self) -> dict[str, int]:
        """How often each function was called; those that were not are left out."""
        return self._by_name(self.layout.calls_offset)

    @property
    def slow_calls(self) -> dict[str, int]:
        return self._by_name(self.layout.slow_calls_offset)

    @property
    def slow_us(self) -> dict[str, int]:
        return self._by_name(self.layout.slow_us_offset)

    @property
    def depth(self) -> int:
        """How many frames are on the shadow stack."""
        return (self.cell(cells.STACK_POINTER_OFFSET) - self.layout.stack_offset) // cells.CELL_BYTES

    @property
    def open_frames(self) -> list[str]:
        """The functions of the open frames, outermost first."""
        return [self.names[cells.funcidx_of(frame)] for frame in self.frames()]

    def frames(self) -> list[int]:
        base = self.layout.stack_offset
        return [self.cell(base + place * cells.CELL_BYTES) for place in range(self.depth)]

    def ring(self) -> list[Record]:
        """The records since the last call of this, which then counts as drained."""
        head = self.cell(cells.RING_HEAD_OFFSET)
        records = [self._record(number) for number in range(self._drained, head)]
        self._drained = head
        self.put(cells.RING_TAIL_OFFSET, head)
        return records

    def _record(self, number: int) -> Record:
        place = self.layout.ring_offset + number % self.layout.ring_capacity * cells.RECORD_BYTES
        kind, depth, frame, end, *payloads, _ = cells.RECORD_STRUCT.unpack_from(self._bytes, place)
        name = self.names[cells.funcidx_of(frame)]
        start_us, end_us = cells.time_us_of(frame), cells.time_us_of(end)
        return Record(kind, depth, name, start_us, end_us, (payloads[0], payloads[1]))

    def recorded(self) -> list[tuple[str, int]]:
        """Name and depth of each slow call since the last drain."""
        return [(each.name, each.depth) for each in self.ring() if each.kind == cells.KIND_SLOW_CALL]

    def reset_stack(self) -> None:
        """What the host does after a trap."""
        self.put(cells.STACK_POINTER_OFFSET, self.layout.stack_offset)

    def tick(self, now_us: int, threshold_us: int) -> None:
        """Moves the clock. A frame is slow if it was pushed before a tick that is a threshold ago."""
        self._ticks.append(now_us)
        old = [each for each in self._ticks if each <= now_us - threshold_us]
        cutoff = cells.stamp(max(old, default=0))
        slow = sum(1 for frame in self.frames() if frame < cutoff)
        self.put(cells.CLOCK_OFFSET, max(cells.stamp(now_us), self.cell(cells.CLOCK_OFFSET)))
        self.put(cells.TICK_OFFSET, cells.stamp(now_us))
        self.put(cells.SLOW_CUTOFF_OFFSET, cutoff)
        watermark = self.layout.stack_offset + slow * cells.CELL_BYTES if slow else 0
        self.put(cells.WATERMARK_OFFSET, watermark)
