"""How much slower a rewritten program runs than the same one untouched, and how much longer it compiles.

Rounds go plain, calls, trace, plain, calls, trace, ..., so that what else the machine does meets all alike.
Only the guest's own call is timed. While it runs, the runtime's clock thread ticks. Nothing uses fuel, and
the engine's configuration is the same for all. Modules come without DWARF, which the rewriter leaves out.
"""

from __future__ import annotations

import contextlib
import ctypes
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from subjects import (
    CHECKSUMS,
    PlainGuest,
    Program,
    Row,
    arguments,
    c_subjects,
    chosen,
    geometric_mean,
    publish,
    real_subjects,
    strip_debug,
)
from wasmtime import Config, Engine, Memory, Module

from wasmtrace.instrument import Options, instrument
from wasmtrace.runtime.clock import Clock, Face
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.sites import SiteTable

LEVELS = ("plain", "calls", "trace")


@dataclass
class Variant:
    """One program at one level, compiled."""

    level: str
    module: Module
    wasm_bytes: int
    machine_code_bytes: int
    sites: SiteTable | None
    compile_seconds: list[float] = field(default_factory=list)
    run_seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    """The guest's own thread: what other work on the machine does not lengthen."""


def compile_variants(program: Program, engine: Engine, rounds: int) -> list[Variant]:
    """The program at each level; each is compiled `rounds` times, in turn."""
    original = strip_debug(program.path.read_bytes())
    images: dict[str, tuple[bytes, SiteTable | None]] = {"plain": (original, None)}
    for level in LEVELS[1:]:
        made = instrument(original, Options(level=level))
        images[level] = (made.wasm, made.sites)
    seconds: dict[str, list[float]] = {level: [] for level in LEVELS}
    modules: dict[str, Module] = {}
    for _ in range(rounds):
        for level in LEVELS:
            start = time.perf_counter()
            modules[level] = Module(engine, images[level][0])
            seconds[level].append(time.perf_counter() - start)
    return [
        Variant(
            level,
            modules[level],
            len(images[level][0]),
            len(modules[level].serialize()),
            images[level][1],
            seconds[level],
        )
        for level in LEVELS
    ]


@contextlib.contextmanager
def ticking_clock(guest: PlainGuest, sites: SiteTable | None) -> Iterator[None]:
    """The runtime's own clock thread, ticking each millisecond for this guest; nothing for a plain one."""
    if sites is None:
        yield
        return
    memory = guest.exports[sites.telemetry_export]
    assert isinstance(memory, Memory)
    address = ctypes.cast(memory.data_ptr(guest.store), ctypes.c_void_p).value
    assert address is not None
    telemetry = TelemetryMemory(address, memory.data_len(guest.store), sites.layout, guest.store)
    clock = Clock()
    clock.attach(Face(telemetry, clock.now_ns()))
    try:
        yield
    finally:
        clock.close()
        telemetry.close()


def run_once(program: Program, engine: Engine, variant: Variant) -> None:
    """One timed run in a fresh instance, with the result checked."""
    with tempfile.TemporaryDirectory(prefix="wasmtrace-bench-") as folder:
        guest = PlainGuest(program, engine, variant.module, Path(folder))
        with ticking_clock(guest, variant.sites):
            guest.initialize()
            start, cpu_start = time.perf_counter(), time.thread_time()
            ended = guest.run()
            variant.run_seconds.append(time.perf_counter() - start)
            variant.cpu_seconds.append(time.thread_time() - cpu_start)
        program.check(guest.finish(*ended))


def measure(program: Program, rounds: int, compile_rounds: int) -> Row:
    engine = Engine(Config())
    variants = compile_variants(program, engine, compile_rounds)
    for variant in variants:
        run_once(program, engine, variant)
        variant.run_seconds.clear()
        variant.cpu_seconds.clear()
    for _ in range(rounds):
        for variant in variants:
            run_once(program, engine, variant)
    plain = variants[0]
    row: Row = {"program": program.name, "plain s": median(plain.run_seconds)}
    for variant in variants[1:]:
        row[f"{variant.level} run"] = median(variant.run_seconds) / median(plain.run_seconds)
        row[f"{variant.level} cpu"] = median(variant.cpu_seconds) / median(plain.cpu_seconds)
    for variant in variants[1:]:
        row[f"{variant.level} compile"] = median(variant.compile_seconds) / median(plain.compile_seconds)
        row[f"{variant.level} code"] = variant.machine_code_bytes / plain.machine_code_bytes
        row[f"{variant.level} size"] = variant.wasm_bytes / plain.wasm_bytes
    return row


def summarise(rows: list[Row]) -> Row:
    summary: Row = {"programs": float(len(rows))}
    for key in rows[0]:
        if key in ("program", "plain s"):
            continue
        values = {str(row["program"]): float(row[key]) for row in rows}
        worst = max(values, key=lambda name: values[name])
        summary[f"{key}, geometric mean"] = geometric_mean(values.values())
        real = [value for name, value in values.items() if name not in CHECKSUMS]
        if real:
            summary[f"{key}, geometric mean of the real programs"] = geometric_mean(real)
        summary[f"{key}, worst"] = values[worst]
        summary[f"{key}, worst is"] = worst
    return summary


def main() -> None:
    parser = arguments("run time, compile time and size of rewritten programs, against plain wasmtime", rounds=7)
    parser.add_argument("--compile-rounds", type=int, default=3, metavar="N", help="compilations (default 3)")
    options = parser.parse_args()
    rounds, compile_rounds = (1, 1) if options.quick else (options.rounds, options.compile_rounds)
    # The large programs run for a tenth of a second and compile for three minutes a round: only if asked for.
    real = real_subjects(large=bool(options.only))
    rows = []
    for program in chosen([*real, *c_subjects(quick=options.quick)], options.only):
        rows.append(measure(program, rounds, compile_rounds))
        print(
            " ".join(f"{key} {value if isinstance(value, str) else round(value, 3)}" for key, value in rows[-1].items())
        )
    publish("rewritten programs as multiples of plain wasmtime", rows, summarise(rows), options.json)


if __name__ == "__main__":
    main()
