"""Programs ready to be run and timed in plain wasmtime, rewritten in one way or other."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wasmtime import Config, Engine, Func, FuncType, Linker, Memory, Module, Store, Table, ValType

from naive_hook import HOOK_TABLE
from subjects import PlainGuest, Program
from wasmtrace.runtime.clock import Clock, Face
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.sites import SiteTable

Link = Callable[[Linker, Store], object]
"""Defines more imports; what it returns is the guest's `linked`."""
MUCH_FUEL = (1 << 63) - 1
FAR_DEADLINE = 1 << 40
"""In epochs; nobody increments them."""


@cache
def engine_with(limits: str | None) -> Engine:
    """The one engine that checks fuel, epochs or nothing."""
    config = Config()
    if limits == "fuel":
        config.consume_fuel = True
    elif limits == "epochs":
        config.epoch_interruption = True
    return Engine(config)


class Guest(PlainGuest):
    """A `PlainGuest` whose store may have fuel and a deadline, and which may import more."""

    def __init__(
        self, program: Program, engine: Engine, module: Module, folder: Path, link: Link | None, limits: str | None
    ) -> None:
        self.program = program
        self.folder = folder
        self.store = Store(engine)
        self.store.set_wasi(self._wasi())
        if limits == "fuel":
            self.store.set_fuel(MUCH_FUEL)
        elif limits == "epochs":
            self.store.set_epoch_deadline(FAR_DEADLINE)
        linker = Linker(engine)
        linker.define_wasi()
        self.linked = None if link is None else link(linker, self.store)
        if program.unknown_imports:
            linker.define_unknown_imports_as_traps(module)
        self.instance = linker.instantiate(self.store, module)
        self.exports = self.instance.exports(self.store)

    def memory_digest(self) -> str | None:
        """Of the guest's memory as it is now; None if it exports none."""
        memory = self.exports.get("memory")
        if not isinstance(memory, Memory):
            return None
        size = memory.data_len(self.store)
        address = ctypes.cast(memory.data_ptr(self.store), ctypes.c_void_p).value
        assert address is not None
        return hashlib.blake2b((ctypes.c_char * size).from_address(address), digest_size=16).hexdigest()

    def set_hook(self, hook: Callable[[int], None]) -> None:
        table = self.exports[HOOK_TABLE]
        assert isinstance(table, Table)
        table.set(self.store, 0, Func(self.store, FuncType([ValType.i32()], []), hook))


@contextlib.contextmanager
def telemetry_of(guest: PlainGuest, sites: SiteTable) -> Iterator[TelemetryMemory]:
    memory = guest.exports[sites.telemetry_export]
    assert isinstance(memory, Memory)
    address = ctypes.cast(memory.data_ptr(guest.store), ctypes.c_void_p).value
    assert address is not None
    telemetry = TelemetryMemory(address, memory.data_len(guest.store), sites.layout, guest.store)
    try:
        yield telemetry
    finally:
        telemetry.close()


@contextlib.contextmanager
def ticking_clock(telemetry: TelemetryMemory) -> Iterator[None]:
    """The runtime's own clock thread, ticking each millisecond for this guest."""
    clock = Clock()
    clock.attach(Face(telemetry, clock.now_ns()))
    try:
        yield
    finally:
        clock.close()


@contextlib.contextmanager
def emptied_after(seconds: float, counts: list[int]) -> Iterator[list[int]]:
    """Empties `counts` when the time has passed: the next hook raises IndexError, which ends the guest, and is caught
    here. Gives what was in it. So the hook itself need not look at a clock.
    """
    kept: list[int] = []

    def empty() -> None:
        kept.extend(counts)
        counts.clear()

    timer = threading.Timer(seconds, empty)
    timer.start()
    try:
        yield kept
    except IndexError:
        if not kept:
            raise
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. The processor's time is that of the guest's thread, which other work on the machine does not
    lengthen."""

    wall: float
    cpu: float

    def scaled(self, factor: float) -> Sample:
        return Sample(self.wall * factor, self.cpu * factor)


@contextlib.contextmanager
def stopwatch(into: list[Sample]) -> Iterator[None]:
    start, cpu_start = time.perf_counter(), time.thread_time()
    try:
        yield
    finally:
        into.append(Sample(time.perf_counter() - start, time.thread_time() - cpu_start))
