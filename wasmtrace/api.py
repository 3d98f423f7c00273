"""The public API: load a module, run it, see what it did. The CLI uses nothing else.

    with Runtime() as runtime:
        program = runtime.load("app.wasm")
        result = runtime.run(program, Sandbox(args=("app", "--help"), stdout=Stream.INHERIT))
        for function in result.snapshot.functions: ...

Runtimes share nothing with each other. The instances of one share its engine and its threads, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from wasmtrace.cache import RewriteCache
from wasmtrace.errors import GuestError, UsageError
from wasmtrace.instance import Instance
from wasmtrace.layout import DEFAULT_EVENT_CAPACITY, DEFAULT_RING_CAPACITY, MAX_EVENT_CAPACITY
from wasmtrace.program import Program, Rewriting, build, read_source
from wasmtrace.records import EventBlockSink, EventSink, Level
from wasmtrace.run import Run, RunResult
from wasmtrace.runtime.anomaly.settings import AnomalyCallback, AnomalySettings
from wasmtrace.runtime.anomaly.source import Watching
from wasmtrace.runtime.anomaly.watch import Watcher
from wasmtrace.runtime.clock import Clock
from wasmtrace.runtime.engine import DEFAULT_STACK_BYTES, Engine, EngineSettings
from wasmtrace.runtime.engine_call import GuestInstance, Limits
from wasmtrace.runtime.reader import Reader
from wasmtrace.runtime.sandbox import Sandbox
from wasmtrace.runtime.session import Session

NOTHING = Sandbox()


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """What holds for every program of one runtime.

    `include` and `exclude` are globs on function names and choose whose calls are timed. `fuel_limit` and
    `max_memory_bytes` are for each instance, the latter for each of its memories. `interruptible` makes
    `kill` possible, and the guest about 1.16 times as slow. `cache_dir` keeps rewritten modules (None:
    nowhere), `engine_cache` lets the engine keep compiled code where it usually does. `events` are globs, too:
    each call of those functions, and imports, is a `GuestEvent` for `sinks`, `event_sinks` and `Run.events`.
    The guest has room for `event_capacity` of them, a power of two; what does not fit is dropped and counted, or
    with `lossless` the guest waits. `trace_functions` are globs of functions and imports, too: each call of those that
    is not slow is a `TracedCall`, and with `wasmtrace.tracing` each call a span.
    """

    level: Level = Level.TRACE
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    slow_threshold_us: int = 1000
    fuel: bool = True
    fuel_limit: int | None = None
    max_memory_bytes: int | None = None
    max_stack_bytes: int = DEFAULT_STACK_BYTES
    interruptible: bool = False
    unknown_imports: Literal["error", "trap"] = "error"
    cache_dir: Path | None = None
    engine_cache: bool = True
    ring_capacity: int = DEFAULT_RING_CAPACITY
    sinks: tuple[EventSink, ...] = ()
    """Called with each event, from the reading thread or the guest's."""
    events: tuple[str, ...] = ()
    event_capacity: int = DEFAULT_EVENT_CAPACITY
    lossless: bool = False
    event_sinks: tuple[EventBlockSink, ...] = ()
    """Called with many guest events at once, where one by one would be too slow."""
    observers: tuple[Callable[[Session], EventSink | None], ...] = ()
    """Asked for each new instance who else is told of its events: `wasmtrace.tracing`."""
    trace_functions: tuple[str, ...] = ()
    anomalies: AnomalySettings | None = field(default_factory=AnomalySettings)
    """What is looked for while guests run: `docs/anomalies.md`. None: nothing."""
    on_anomaly: AnomalyCallback | None = None
    """Called with each anomaly when it begins, and again when it has ended; what it raises is counted."""

    def __post_init__(self) -> None:
        if self.ring_capacity < 1 or self.ring_capacity & (self.ring_capacity - 1):
            raise UsageError(f"expected a ring capacity that is a power of two, got {self.ring_capacity}")
        capacity = self.event_capacity
        if not 0 < capacity <= MAX_EVENT_CAPACITY or capacity & (capacity - 1):
            most = f"a power of two of events, at most {MAX_EVENT_CAPACITY}"
            raise UsageError(f"expected room for {most}, got {capacity}")
        if self.trace_functions and self.level is not Level.TRACE:
            raise UsageError(f"functions can be traced at level trace only, got level {self.level.value}")
        if not 0 <= self.slow_threshold_us < 1 << 40:
            raise UsageError(f"expected a slow threshold of 0 or more, got {self.slow_threshold_us} µs")
        if self.fuel_limit is not None and not self.fuel:
            raise UsageError("a fuel limit needs fuel")
        if self.fuel_limit is not None and not 0 <= self.fuel_limit < 1 << 63:
            raise UsageError(f"expected a fuel limit of 0 or more, got {self.fuel_limit}")
        if self.max_memory_bytes is not None and not 0 <= self.max_memory_bytes < 1 << 63:
            raise UsageError(f"expected a memory limit of 0 or more, got {self.max_memory_bytes}")

    @property
    def limits(self) -> Limits:
        return Limits(self.fuel_limit, self.max_memory_bytes)

    @property
    def engine(self) -> EngineSettings:
        return EngineSettings(self.engine_cache, self.fuel_limit is not None, self.interruptible, self.max_stack_bytes)

    @property
    def rewriting(self) -> Rewriting:
        return Rewriting(
            self.level.value,
            self.include,
            self.exclude,
            self.slow_threshold_us,
            self.engine.engine_stack_bytes,
            self.ring_capacity,
            self.events,
            self.event_capacity,
            self.trace_functions,
            self.fuel,
        )


class Runtime:
    """Loads and runs programs. Close it, or use it in `with`, to end its threads."""

    def __init__(self, config: RuntimeConfig | None = None) -> None:
        self.config = RuntimeConfig() if config is None else config
        self._engine = Engine(self.config.engine)
        self._clock = Clock()
        self._reader = Reader()
        self._watcher = Watcher()
        settings = self.config.anomalies
        self._watching = None
        if settings is not None:
            self._watching = Watching(self._watcher, settings, self.config.on_anomaly)
        cache_dir = self.config.cache_dir
        self._cache = None if cache_dir is None else RewriteCache(cache_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads that write the clock and read the telemetry memory."""
        self._watcher.close()
        self._clock.close()
        self._reader.close()

    def load(self, source: bytes | bytearray | str | Path, name: str | None = None) -> Program:
        """A module from its bytes or its path, binary or text, rewritten and compiled.

        Raises `DecodeError`, `UnsupportedError` or `GuestError` for what is not a module that can run.
        """
        data, found_name = read_source(source, name)
        return build(
            data,
            found_name,
            engine=self._engine,
            rewriting=self.config.rewriting,
            cache=self._cache,
            now_ns=self._clock.now_ns,
        )

    def instantiate(self, program: Program, sandbox: Sandbox = NOTHING) -> Instance:
        """An instance to call functions of; a reactor's `_initialize` has been called.

        Raises `GuestError` if an import is missing, `GuestStopped` if the guest did not get so far.
        """
        instance = self._new_instance(program, sandbox)
        try:
            instance.initialize()
        except BaseException:
            instance.close()
            raise
        return instance

    def start(
        self,
        program: Program,
        sandbox: Sandbox = NOTHING,
        *,
        invoke: str | None = None,
        invoke_args: Sequence[Any] = (),
    ) -> Run:
        """Starts a command (`_start`), or one function of a module, in a thread of its own.

        `invoke_args` are values, or words to be parsed by the function's type. Raises `UsageError` or
        `GuestError` for all that can be known before the guest runs: no such function, wrong arguments, a
        missing import.
        """
        instance = self._new_instance(program, sandbox)
        try:
            return Run(instance, invoke, tuple(invoke_args), self.config.engine.engine_stack_bytes)
        except BaseException:
            instance.close()
            raise

    def run(
        self,
        program: Program,
        sandbox: Sandbox = NOTHING,
        *,
        invoke: str | None = None,
        invoke_args: Sequence[Any] = (),
    ) -> RunResult:
        """Like `start`, and waits for the end. A trap or an exit is a result, not an error."""
        with self.start(program, sandbox, invoke=invoke, invoke_args=invoke_args) as run:
            run.wait()
            return run.result()

    def _new_instance(self, program: Program, sandbox: Sandbox) -> Instance:
        instance = Instance(program)
        config = self.config
        guest = GuestInstance(self._engine, program.compiled, program.sites, config.limits, instance)
        linker = guest.link(sandbox, trap_unknown=config.unknown_imports == "trap")
        session = Session(
            program.subject,
            guest,
            config.limits,
            clock=self._clock,
            reader=self._reader,
            sinks=config.sinks,
            event_sinks=config.event_sinks,
            lossless=config.lossless,
            slow_threshold_us=config.slow_threshold_us,
            watching=self._watching,
        )
        for observer in config.observers:
            sink = observer(session)
            if sink is not None:
                session.observe(sink)
        instance.attach(session, linker, config.engine.engine_stack_bytes)
        return instance


__all__ = ["GuestError", "Instance", "Program", "Run", "RunResult", "Runtime", "RuntimeConfig"]
