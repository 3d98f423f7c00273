"""What a program is run as, in this process: plain, rewritten by wasmtrace, or observed in other ways.

A variant turns a module into a `Prepared`, which can be run again and again. Where that cannot be done, it raises an
error, whose message stands in the results. To add a variant, add a line to `variant_table.VARIANTS`.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wasmtime import Module

import log_execution
from guests import Guest, Link, Sample, emptied_after, engine_with, stopwatch, telemetry_of, ticking_clock
from naive_hook import with_hooks
from subjects import Program, Result
from wasmtrace.instrument import Options, instrument
from wasmtrace.sites import SiteTable

Check = Callable[[Result, str | None], None]
"""Takes what a run left and the digest of its memory; raises `AssertionError` unless it is what a plain run leaves."""


@dataclass(slots=True)
class Totals:
    """How often a program calls: found by the variants that count, wanted for those that are stopped.

    A variant that calls Python runs for `slow_seconds` at most. Its time is then scaled by the share of its calls that
    were made.
    """

    slow_seconds: float = 1.0
    calls: int | None = None
    log_calls: int | None = None


@dataclass(slots=True)
class Prepared:
    """One program as one variant, compiled."""

    program: Program
    variant: Variant
    wasm: bytes
    module: Module
    totals: Totals
    sites: SiteTable | None = None
    share_done: float = 1.0
    """Of the last run's calls: less than 1 if it was stopped."""

    def run(self, check: Check) -> Sample:
        """One timed run in a fresh instance, checked. A stopped run is scaled to the whole, and not checked."""
        return self.variant.run(self, check)


@dataclass(frozen=True, slots=True)
class Variant:
    """Plain wasmtime, with the engine's `limits`: None, "fuel" or "epochs"."""

    key: str
    title: str
    limits: str | None = None
    slow: bool = False
    """It is run once, for `Totals.slow_seconds` at most."""

    def rewrite(self, wasm: bytes) -> tuple[bytes, SiteTable | None]:
        return wasm, None

    def prepare(self, program: Program, wasm: bytes, totals: Totals) -> tuple[Prepared, float]:
        """And how much of the processor's time the compilation took."""
        rewritten, sites = self.rewrite(wasm)
        module, seconds = self.compile(rewritten)
        return Prepared(program, self, rewritten, module, totals, sites), seconds

    def compile(self, rewritten: bytes) -> tuple[Module, float]:
        engine = engine_with(self.limits)
        start = time.process_time()
        module = Module(engine, rewritten)
        return module, time.process_time() - start

    def link(self, prepared: Prepared) -> Link | None:
        """Defines what the rewritten module imports besides."""
        return None

    def attach(self, prepared: Prepared, guest: Guest) -> None:
        """Done before the guest's first instruction."""

    @contextlib.contextmanager
    def observing(self, prepared: Prepared, guest: Guest) -> Iterator[None]:
        """Around the call that is timed."""
        yield

    def run(self, prepared: Prepared, check: Check) -> Sample:
        samples: list[Sample] = []
        prepared.share_done = 1.0
        engine = engine_with(self.limits)
        with tempfile.TemporaryDirectory(prefix="wasmtrace-bench-") as folder:
            guest = Guest(prepared.program, engine, prepared.module, Path(folder), self.link(prepared), self.limits)
            self.attach(prepared, guest)
            guest.initialize()
            ended = None
            with self.observing(prepared, guest), stopwatch(samples):
                ended = guest.run()
            digest = guest.memory_digest()
            if ended is not None:
                check(guest.finish(*ended), digest)
        return samples[0].scaled(1 / prepared.share_done)


@dataclass(frozen=True, slots=True)
class Traced(Variant):
    """Rewritten by wasmtrace, with the clock's thread ticking as in a run."""

    options: Options = field(default_factory=Options)

    def rewrite(self, wasm: bytes) -> tuple[bytes, SiteTable | None]:
        made = instrument(wasm, self.options)
        return made.wasm, made.sites

    @contextlib.contextmanager
    def observing(self, prepared: Prepared, guest: Guest) -> Iterator[None]:
        sites = prepared.sites
        assert sites is not None
        hosts = len(sites.host_functions)
        with telemetry_of(guest, sites) as telemetry:
            before = sum(telemetry.calls()[hosts:])
            with ticking_clock(telemetry):
                yield
            prepared.totals.calls = sum(telemetry.calls()[hosts:]) - before


@dataclass(frozen=True, slots=True)
class LogExecution(Variant):
    """binaryen's pass, its import a Wasm function that counts."""

    def rewrite(self, wasm: bytes) -> tuple[bytes, SiteTable | None]:
        return log_execution.with_log_execution(wasm), None

    def link(self, prepared: Prepared) -> Link:
        return log_execution.counter_link(prepared.wasm)

    @contextlib.contextmanager
    def observing(self, prepared: Prepared, guest: Guest) -> Iterator[None]:
        before = log_execution.counted(guest.linked, guest.store)
        yield
        prepared.totals.log_calls = log_execution.counted(guest.linked, guest.store) - before


@contextlib.contextmanager
def _for_a_while(prepared: Prepared, counts: list[int], total: int | None) -> Iterator[None]:
    with emptied_after(prepared.totals.slow_seconds, counts) as kept:
        yield
    if kept:
        if not total:
            raise LookupError("stopped, and nothing counted its calls")
        prepared.share_done = min(1.0, sum(kept) / total)


@dataclass(frozen=True, slots=True)
class PythonHook(Variant):
    """Each function body calls a Python function that counts by function: level calls, the naive way."""

    slow: bool = True

    def rewrite(self, wasm: bytes) -> tuple[bytes, SiteTable | None]:
        return with_hooks(wasm), None

    def attach(self, prepared: Prepared, guest: Guest) -> None:
        guest.set_hook(lambda _: None)

    @contextlib.contextmanager
    def observing(self, prepared: Prepared, guest: Guest) -> Iterator[None]:
        counts = [0] * 1_000_000

        def hook(funcidx: int) -> None:
            counts[funcidx] += 1

        guest.set_hook(hook)
        with _for_a_while(prepared, counts, prepared.totals.calls):
            yield


@dataclass(frozen=True, slots=True)
class LogExecutionPython(LogExecution):
    """binaryen's pass, its import the least that Python can do."""

    slow: bool = True

    def link(self, prepared: Prepared) -> Link:
        return log_execution.python_link(prepared.wasm)

    @contextlib.contextmanager
    def observing(self, prepared: Prepared, guest: Guest) -> Iterator[None]:
        counts = guest.linked
        assert isinstance(counts, list)
        counts[0] = 0
        with _for_a_while(prepared, counts, prepared.totals.log_calls):
            yield
