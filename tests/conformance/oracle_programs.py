"""One program, once with the hooks of the oracle and once rewritten: what each of them saw."""

from __future__ import annotations

import ctypes
import tempfile
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from oracle_events import Events, Grew, Returned
from oracle_text import hook
from plain import PlainGuest
from programs import Program, Result
from spec_soundness import Telemetry
from spec_variants import EVERY_CALL_SLOW, engine_for
from wasmtrace.instrument import Instrumented, Options, instrument
from wasmtrace.runtime.drain import RawGrow, RawRecord, RawSlowCall

RING_CAPACITY = 1 << 22


@dataclass(frozen=True, slots=True)
class Seen:
    """What one way of looking saw of a run. Equal for two ways that both tell the truth."""

    calls: list[int]
    """By funcidx, imports first."""
    happened: list[Returned | Grew]
    """Returns of calls with frames, and growth, in order."""
    grown: dict[tuple[int, int], int]
    """Pages by funcidx and memidx; without those that are 0."""
    refused: dict[tuple[int, int], int]
    open_frames: list[int]
    """What is open at the end: nothing, unless the guest has trapped or exited."""


def seen_by_hooks(events: Events, function_count: int) -> Seen:
    return Seen(
        events.calls_of(0, function_count),
        list(events.happened),
        {key: pages for key, pages in events.grown.items() if pages},
        dict(events.refused),
        list(events.open_frames),
    )


def seen_by_telemetry(telemetry: Telemetry) -> Seen:
    sites = telemetry.sites.grow_sites
    cells = telemetry.u64s(telemetry.layout.grow_offset, 2 * len(sites))
    keys = [(each.funcidx, each.memidx) for each in sites]
    return Seen(
        list(telemetry.calls()),
        [_event(each) for each in telemetry.drain()],
        {key: pages for key, pages in zip(keys, cells[::2], strict=True) if pages},
        {key: times for key, times in zip(keys, cells[1::2], strict=True) if times},
        list(telemetry.frames()),
    )


def _event(record: RawRecord) -> Returned | Grew:
    if isinstance(record, RawSlowCall):
        return Returned(record.funcidx, record.depth)
    assert isinstance(record, RawGrow), f"nobody asked for {record}"
    return Grew(record.funcidx, record.memidx, record.delta_pages, record.failed)


def oracle_options() -> Options:
    """Level `trace`, each call recorded, and room for all records."""
    return Options(slow_threshold_us=0, max_stack_bytes=EVERY_CALL_SLOW.stack_bytes, ring_capacity=RING_CAPACITY)


class OracleGuest(PlainGuest):
    """A program's instance, with the hooks linked if there are events to be noted."""

    def __init__(
        self, program: Program, module: wasmtime.Module, engine: wasmtime.Engine, folder: Path, events: Events | None
    ) -> None:
        self.program = program
        self.folder = folder
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(self._wasi())
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        if events is not None:
            events.define(linker)
        if program.unknown_imports:
            linker.define_unknown_imports_as_traps(module)
        self.instance = linker.instantiate(self.store, module)
        self.exports = self.instance.exports(self.store)


def run_with_hooks(program: Program) -> tuple[Result, Seen]:
    hooked = hook(program.path.read_bytes())
    events = Events(hooked.framed)
    engine = engine_for(EVERY_CALL_SLOW.stack_bytes)
    module = wasmtime.Module(engine, hooked.wasm)
    with tempfile.TemporaryDirectory(prefix="wasmtrace-") as folder:
        guest = OracleGuest(program, module, engine, Path(folder), events)
        guest.initialize()
        result = guest.finish(*guest.run())
    return result, seen_by_hooks(events, hooked.function_count)


def run_rewritten(program: Program) -> tuple[Result, Seen]:
    done = instrument(program.path.read_bytes(), oracle_options())
    engine = engine_for(EVERY_CALL_SLOW.stack_bytes)
    module = wasmtime.Module(engine, done.wasm)
    with tempfile.TemporaryDirectory(prefix="wasmtrace-") as folder:
        guest = OracleGuest(program, module, engine, Path(folder), None)
        telemetry = telemetry_of(guest, done)
        guest.initialize()
        end = guest.run()
        seen = seen_by_telemetry(telemetry)
        return guest.finish(*end), seen


def telemetry_of(guest: PlainGuest, done: Instrumented) -> Telemetry:
    memory = guest.exports[done.sites.telemetry_export]
    assert isinstance(memory, wasmtime.Memory)
    address = ctypes.addressof(memory.data_ptr(guest.store).contents)
    return Telemetry(address, memory.data_len(guest.store), done)
