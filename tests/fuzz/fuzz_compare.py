"""Plain against instrumented: one module, every variant, one verdict.

Compared: how instantiation and each call ended, results bit by bit, what host functions were given, exported
memories, globals and tables after each call, fuel of each call. Besides, the telemetry memory must be in order after
each call.
"""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import wasmtime
from wasmtime import _ffi as ffi

from fuzz_guest import FUEL, STACK_BYTES, FuzzGuest, make_engine
from wasmtrace import layout as cells
from wasmtrace.errors import UnsupportedError
from wasmtrace.instrument import Instrumented, Options, instrument
from wasmtrace.instrument.module import decode
from wasmtrace.instrument.sections.imports import FUNC_KIND

VARIANTS = {
    "calls": Options(level="calls", max_stack_bytes=STACK_BYTES, ring_capacity=64),
    "trace": Options(level="trace", max_stack_bytes=STACK_BYTES, ring_capacity=256),
    "events": Options(max_stack_bytes=STACK_BYTES, ring_capacity=4, events=("*",), event_capacity=8),
    "slow": Options(level="trace", max_stack_bytes=STACK_BYTES, ring_capacity=4, slow_threshold_us=0),
}
"""`slow` records each call as it returns, in a ring that is soon full."""
ROUNDS = 2
MOST_CALLS = 60
"""Of the module's exports, in all rounds."""
INCOMPARABLE = ("stack_overflow", "interrupt")
"""How much stack a frame takes, and how long a call, is what instrumenting does change."""


@dataclass(slots=True)
class Verdict:
    """What came of one module. `problems` is empty if instrumenting changed nothing."""

    rejected: str | None = None
    calls: int = 0
    runs: int = 0
    host_calls: int = 0
    """Of the plain run."""
    fuel_compared: int = 0
    """Calls of rewritten modules whose fuel was held against the engine's."""
    ends: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    nan_only: bool = False
    """The only differences were in NaN bits, which the specification leaves open."""


class Pair(NamedTuple):
    """An engine for modules as they came, which counts fuel, and one for those that count it themselves."""

    plain: wasmtime.Engine
    rewritten: wasmtime.Engine

    def tick(self) -> None:
        for each in self:
            each.increment_epoch()


def _make_pair(*, canonical_nans: bool = False) -> Pair:
    return Pair(make_engine(canonical_nans=canonical_nans, fuel=True), make_engine(canonical_nans=canonical_nans))


class Engines:
    """Two engines with NaNs as they come, and two, made when needed, where they are all the same."""

    def __init__(self) -> None:
        self.usual = _make_pair()
        self._canonical: Pair | None = None

    @property
    def canonical(self) -> Pair:
        if self._canonical is None:
            self._canonical = _make_pair(canonical_nans=True)
        return self._canonical

    def tick(self) -> None:
        """One epoch, for all: any thread."""
        self.usual.tick()
        if self._canonical is not None:
            self._canonical.tick()


def compare(engines: Engines, wasm: bytes, seed: int, phase: Callable[[str], None] = lambda name: None) -> Verdict:
    """`phase` is told what is about to run: what the process dies of is then known."""
    verdict = Verdict()
    phase("plain")
    try:
        wasmtime.Module.validate(engines.usual.rewritten, wasm)
    except wasmtime.WasmtimeError as error:
        verdict.rejected = str(error).splitlines()[0]
        return verdict
    _compare(engines.usual, wasm, seed, phase, verdict)
    if verdict.problems:
        again = Verdict()
        _compare(engines.canonical, wasm, seed, phase, again)
        if not again.problems:
            verdict.problems.clear()
            verdict.nan_only = True
    return verdict


def _compare(engines: Pair, wasm: bytes, seed: int, phase: Callable[[str], None], verdict: Verdict) -> None:
    try:
        plain = Run(engines.plain, wasm, seed, None)
    except wasmtime.WasmtimeError as error:
        verdict.rejected = f"cannot be compiled: {str(error).splitlines()[0]}"
        return
    plain.go()
    verdict.calls += plain.calls
    verdict.runs += 1
    verdict.ends |= plain.ends
    verdict.host_calls += plain.guest.host_calls
    for name, options in VARIANTS.items():
        phase(name)
        try:
            made = instrument(wasm, options)
        except UnsupportedError as error:
            verdict.rejected = f"unsupported: {error}"
            return
        try:
            run = Run(engines.rewritten, made.wasm, seed, Telemetry(made, wasm))
        except wasmtime.WasmtimeError as error:
            verdict.problems.append(f"{name}: the engine refuses it: {error}")
            continue
        run.go()
        verdict.runs += 1
        verdict.calls += run.calls
        found = run.problems or _first_difference(plain.guest.transcript, run.guest.transcript)
        if not found and run.counts_all_fuel:
            verdict.fuel_compared += len(run.fuel)
            found = _fuel_differences(plain.fuel, run.fuel)
        verdict.problems += [f"{name}: {each}" for each in found]


def _first_difference(plain: list[str], instrumented: list[str]) -> list[str]:
    for place, (one, other) in enumerate(zip(plain, instrumented, strict=False)):
        if any(f"trap {each}" in line for line in (one, other) for each in INCOMPARABLE):
            return []
        if one != other:
            return [f"line {place}: plain {one!r}, instrumented {other!r}"]
    if len(plain) != len(instrumented):
        return [f"{len(plain)} lines plain, {len(instrumented)} instrumented"]
    return []


def _fuel_differences(plain: list[CallFuel], instrumented: list[CallFuel]) -> list[str]:
    """Of calls that returned or threw: after a trap, the engine has not saved what it counted last."""
    for place, (one, other) in enumerate(zip(plain, instrumented, strict=False)):
        if not one.is_known or not other.is_known:
            continue
        if one.fuel != other.fuel:
            return [f"call {place}, of {one.name}: fuel of plain {one.fuel}, of instrumented {other.fuel}"]
    return []


class CallFuel(NamedTuple):
    """What one call took."""

    name: str
    fuel: int
    is_known: bool


class Telemetry:
    """The telemetry memory of one run, and what must hold in it."""

    def __init__(self, made: Instrumented, original: bytes) -> None:
        self.made = made
        self.layout = made.sites.layout
        module = decode(original)
        imported = len(module.host_functions)
        unprobed = {each.funcidx for each in made.sites.skipped}
        self.funcidx = {
            each.name: each.index
            for each in module.exports
            if each.kind == FUNC_KIND and each.index >= imported and each.index not in unprobed
        }
        self.called: dict[int, int] = {}
        self._address = 0
        self._size = 0

    def attach(self, guest: FuzzGuest) -> None:
        item = dict(guest.externs)[self.made.sites.telemetry_export]
        context = guest.store._context()
        memory = ctypes.byref(item.of.memory)
        self._size = ffi.wasmtime_memory_data_size(context, memory)
        self._address = ctypes.cast(ffi.wasmtime_memory_data(context, memory), ctypes.c_void_p).value or 0

    def cell(self, offset: int) -> int:
        assert offset + cells.CELL_BYTES <= self._size
        return int(struct.unpack("<Q", ctypes.string_at(self._address + offset, cells.CELL_BYTES))[0])

    def fuel(self) -> int:
        """Of all functions, since the instance began."""
        sites, layout = self.made.sites, self.layout
        calls = self._cells(layout.calls_offset)
        return sum(self._cells(layout.fuel_offset)) + sum(map(int.__mul__, calls, sites.fuel_per_call))

    def _cells(self, offset: int) -> tuple[int, ...]:
        count = self.layout.function_count
        assert offset + count * cells.CELL_BYTES <= self._size
        return struct.unpack(f"<{count}Q", ctypes.string_at(self._address + offset, count * cells.CELL_BYTES))

    def put(self, offset: int, value: int) -> None:
        ctypes.memmove(self._address + offset, struct.pack("<Q", value), cells.CELL_BYTES)

    def tick(self, time_us: int, rng: random.Random) -> None:
        """What the host does each millisecond, but for where the watermark is: anywhere is allowed."""
        if not self._address:
            return
        self.put(cells.CLOCK_OFFSET, cells.stamp(time_us))
        if self.made.sites.layout.max_stack_bytes and self.cell(cells.SLOW_CUTOFF_OFFSET) != cells.CUTOFF_ALL:
            self.put(cells.SLOW_CUTOFF_OFFSET, cells.stamp(max(0, time_us - rng.randrange(3000))))
            depth = rng.randrange(12) * cells.CELL_BYTES
            self.put(cells.WATERMARK_OFFSET, self.layout.stack_offset + depth if depth else 0)

    def reset_stack(self) -> None:
        """As the host does after a trap."""
        self.put(cells.STACK_POINTER_OFFSET, self.layout.stack_offset)

    def problems(self, *, returned: bool) -> list[str]:
        layout = self.layout
        fixed = {
            "magic": (cells.MAGIC_OFFSET, cells.MAGIC),
            "version": (cells.VERSION_OFFSET, cells.VERSION),
            "function count": (cells.FUNCTION_COUNT_OFFSET, layout.function_count),
            "ring capacity": (cells.RING_CAPACITY_OFFSET, layout.ring_capacity),
            "stack base": (cells.STACK_BASE_OFFSET, layout.stack_offset),
        }
        found = [
            f"telemetry: {name} is {self.cell(offset):#x}, not {value:#x}"
            for name, (offset, value) in fixed.items()
            if self.cell(offset) != value
        ]
        pointer = self.cell(cells.STACK_POINTER_OFFSET)
        if pointer != layout.stack_offset and returned:
            found.append(f"telemetry: stack pointer {pointer - layout.stack_offset} above its base after a return")
        if not layout.stack_offset <= pointer <= layout.stack_offset + layout.stack_bytes or pointer % 8:
            found.append(f"telemetry: stack pointer {pointer:#x} is outside of the stack")
        return found + self._counts() + self._ring() + self._events() + self._unused()

    def _counts(self) -> list[str]:
        return [
            f"telemetry: function {funcidx} was called {calls} times, counted {counted}"
            for funcidx, calls in self.called.items()
            if (counted := self.cell(self.layout.calls_cell(funcidx))) < calls
        ]

    def _ring(self) -> list[str]:
        layout = self.layout
        head, tail = self.cell(cells.RING_HEAD_OFFSET), self.cell(cells.RING_TAIL_OFFSET)
        if not 0 <= head - tail <= layout.ring_capacity:
            return [f"telemetry: ring head {head}, tail {tail}"]
        found = []
        for number in range(tail, head):
            place = layout.ring_offset + number % layout.ring_capacity * cells.RECORD_BYTES
            data = ctypes.string_at(self._address + place, cells.RECORD_BYTES)
            kind, depth, frame, end, *_ = cells.RECORD_STRUCT.unpack(data)
            good = (
                kind in (cells.KIND_SLOW_CALL, cells.KIND_GROW)
                and depth * cells.CELL_BYTES <= layout.stack_bytes
                and cells.funcidx_of(frame) < layout.function_count
                and cells.time_us_of(frame) <= cells.time_us_of(end)
            )
            if not good:
                found.append(f"telemetry: ring record {data.hex()}")
        if number_read := head - tail:
            self.put(cells.RING_TAIL_OFFSET, tail + number_read // 2)
        return found

    def _events(self) -> list[str]:
        layout = self.layout
        head, tail = self.cell(cells.EVENT_HEAD_OFFSET), self.cell(cells.EVENT_TAIL_OFFSET)
        if not 0 <= head - tail <= layout.event_capacity:
            return [f"telemetry: events' head {head}, tail {tail}"]
        found = []
        for number in range(tail, head):
            place = layout.events_offset + number % layout.event_capacity * cells.EVENT_BYTES
            frame, depth = cells.EVENT_STRUCT.unpack(ctypes.string_at(self._address + place, cells.EVENT_BYTES))[:2]
            if cells.funcidx_of(frame) >= layout.function_count or depth * cells.CELL_BYTES > layout.stack_bytes:
                found.append(f"telemetry: event of frame {frame:#x} at depth {depth}")
        self.put(cells.EVENT_TAIL_OFFSET, tail + (head - tail) // 2)
        return found

    def _unused(self) -> list[str]:
        """Bytes that belong to no area must be 0."""
        layout = self.layout
        gaps = {
            "header": (cells.TICK_OFFSET + cells.CELL_BYTES, cells.HEADER_BYTES),
            "host's cells": (cells.EVENT_WAIT_OFFSET + cells.CELL_BYTES, cells.EVENT_HEAD_OFFSET),
            "end": (layout.stack_offset + layout.stack_bytes, self._size),
        }
        return [
            f"telemetry: unused bytes of the {name} were written"
            for name, (start, end) in gaps.items()
            if any(ctypes.string_at(self._address + start, end - start))
        ]


class Run:
    """One module, instantiated and called through."""

    def __init__(self, engine: wasmtime.Engine, wasm: bytes, seed: int, telemetry: Telemetry | None) -> None:
        module = wasmtime.Module(engine, wasm)
        self._telemetry = telemetry
        unseen = telemetry.made.sites.telemetry_export if telemetry else None
        self.guest = FuzzGuest(engine, module, seed, unseen, fuel=telemetry is None)
        self.fuel: list[CallFuel] = []
        self.problems: list[str] = []
        self.calls = 0
        self.ends: set[str] = set()
        self._seed = seed
        self._ticks = 0
        self._tick_rng = random.Random(seed)

    @property
    def counts_all_fuel(self) -> bool:
        """Not where a body has no room for probes."""
        sites = self._telemetry.made.sites if self._telemetry else None
        return sites is None or not any((each.funcidx or 0) >= len(sites.host_functions) for each in sites.skipped)

    def _fuel_used(self) -> int:
        return self._telemetry.fuel() if self._telemetry else FUEL - int(self.guest.store.get_fuel())

    def go(self) -> None:
        guest = self.guest
        if self._telemetry:
            guest.on_host_call = self._tick
        instantiated = guest.instantiate()
        self._note_end()
        if not instantiated:
            return
        if self._telemetry:
            self._telemetry.attach(guest)
            self.problems += self._telemetry.problems(returned=True)
        self._call_all()

    def _call_all(self) -> None:
        rng = random.Random(self._seed)
        functions = self.guest.functions()
        for _ in range(ROUNDS):
            rng.shuffle(functions)
            for name, function in functions[: MOST_CALLS // ROUNDS]:
                if self._telemetry:
                    self._tick()
                before = self._fuel_used()
                returned = self.guest.call(name, function, rng)
                if returned is None:
                    continue
                self.calls += 1
                self._note_end()
                threw = " exception (" in self.guest.transcript[-2]
                self.fuel.append(CallFuel(name, self._fuel_used() - before, returned or threw))
                if any(each in self.guest.transcript[-2] for each in INCOMPARABLE):
                    return
                self._check(name, returned=returned)
                if self.problems:
                    return

    def _tick(self) -> None:
        assert self._telemetry is not None
        self._ticks += 1
        self._telemetry.tick(self._ticks * 1000, self._tick_rng)

    def _note_end(self) -> None:
        line = next((each for each in self.guest.transcript[-2:] if " -> " in each), "")
        end = line.partition(" -> ")[2].rpartition(" host ")[0]
        if end.startswith(("trap", "error")):
            self.ends.add(" ".join(end.partition("(")[0].split()[:5]))

    def _check(self, name: str, *, returned: bool) -> None:
        telemetry = self._telemetry
        if telemetry is None:
            return
        funcidx = telemetry.funcidx.get(name)
        if funcidx is not None:
            telemetry.called[funcidx] = telemetry.called.get(funcidx, 0) + 1
        self.problems += telemetry.problems(returned=returned)
        if not returned:
            telemetry.reset_stack()
