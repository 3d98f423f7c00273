"""From the bytes of a module to a program that is ready to run: rewritten or taken from the cache, and
compiled.

The rewriter is imported only if it is needed: a warm start finds the rewritten module in the cache, and asks
for function names at the end of the run.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wasmtrace.cache import RewriteCache, Rewritten, cache_key
from wasmtrace.errors import GuestError, UsageError
from wasmtrace.layout import DEFAULT_EVENT_CAPACITY, DEFAULT_RING_CAPACITY
from wasmtrace.records import Level, ModuleInfo
from wasmtrace.runtime.engine import CompiledModule, Engine, Extern, binary_of
from wasmtrace.runtime.engine_call import exported_function
from wasmtrace.runtime.export_section import exported_functions
from wasmtrace.runtime.start_section import has_start
from wasmtrace.runtime.subject import Subject
from wasmtrace.runtime.values import FunctionType
from wasmtrace.sites import FunctionNames, SiteTable

if TYPE_CHECKING:
    from wasmtrace.instrument import Options, Places

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """How modules are rewritten: the options of `wasmtrace.instrument`, without importing it."""

    level: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    slow_threshold_us: int
    max_stack_bytes: int
    ring_capacity: int = DEFAULT_RING_CAPACITY
    events: tuple[str, ...] = ()
    event_capacity: int = DEFAULT_EVENT_CAPACITY
    trace_functions: tuple[str, ...] = ()
    fuel: bool = True

    def options(self) -> Options:
        from wasmtrace.instrument import Options

        return Options(**asdict(self))


class Program:
    """A compiled module; made by `Runtime.load`, run by that runtime as often as you like."""

    def __init__(self, subject: Subject, compiled: CompiledModule, source: bytes) -> None:
        self.subject = subject
        self.compiled = compiled
        self.source = source
        """The module as it came, in binary form."""

    @property
    def info(self) -> ModuleInfo:
        return self.subject.info

    @property
    def sites(self) -> SiteTable:
        return self.subject.sites

    @property
    def imports(self) -> tuple[Extern, ...]:
        return self.compiled.imports

    @property
    def exports(self) -> dict[str, Extern]:
        """Exports of the module as it came, by name."""
        added = self.sites.telemetry_export
        return {name: each for name, each in self.compiled.exports.items() if name != added}

    @property
    def names(self) -> FunctionNames:
        """Function names by index, imports first."""
        return self.subject.names()

    def function_type(self, name: str) -> FunctionType:
        """The type of an exported function. Raises `UsageError` if there is none."""
        return exported_function(self.compiled, name)


def read_source(source: bytes | bytearray | str | Path, name: str | None) -> tuple[bytes, str]:
    """The bytes, as a binary module if they were text, and a name for people. Raises `GuestError`."""
    if isinstance(source, bytes | bytearray):
        data, found = bytes(source), "module"
    else:
        path = Path(source)
        found = path.name
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise GuestError(f"cannot read {str(path)!r}: {reason}") from None
    return binary_of(data), found if name is None else name


def build(
    source: bytes,
    name: str,
    *,
    engine: Engine,
    rewriting: Rewriting,
    cache: RewriteCache | None,
    now_ns: Callable[[], int],
) -> Program:
    """Rewrites and compiles. Raises `DecodeError`, `UnsupportedError`, `InstrumentError` or `GuestError`."""
    began_ns = now_ns()
    sha256 = hashlib.sha256(source).hexdigest()
    key = cache_key(sha256, asdict(rewriting), _rewriter_version()) if cache else ""
    rewritten = cache.load(key) if cache else None
    cached = rewritten is not None
    if rewritten is None:
        rewritten = _rewrite(source, rewriting, engine)
        if cache:
            cache.store(key, rewritten)
    rewritten_ns = now_ns()
    compiled = engine.compile(rewritten.wasm)
    compiled_ns = now_ns()
    sites = rewritten.sites
    info = ModuleInfo(name, sha256, len(source), len(rewritten.wasm), Level(rewriting.level), sites.function_count)
    places = _once(lambda: _places(source, rewriting, sites, cached=engine.caches))
    subject = Subject(
        info=info,
        sites=sites,
        names=_once(lambda: _names(source)),
        original_offset=_remembered(lambda funcidx, offset: places().original_offset(funcidx, offset)),
        uncounted_fuel=_remembered(lambda funcidx, offset: places().uncounted_fuel(funcidx, offset)),
        has_start=has_start(source),
        export_indices=functools.cache(lambda: exported_functions(source)),
        instrument_seconds=(rewritten_ns - began_ns) / 1e9,
        instrument_cached=cached,
        compile_seconds=(compiled_ns - rewritten_ns) / 1e9,
        loaded_ns=began_ns,
    )
    return Program(subject, compiled, source)


def _rewrite(source: bytes, rewriting: Rewriting, engine: Engine) -> Rewritten:
    from wasmtrace.instrument.kernel.machine_code import begin_compiling_walk, compile_walk

    begin_compiling_walk(cached=engine.caches)  # while the engine looks at the module, and the rest is imported
    engine.validate(source)
    from wasmtrace.instrument import instrument

    compile_walk(cached=engine.caches)
    made = instrument(source, rewriting.options())
    return Rewritten(made.wasm, made.sites)


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """Makes it when it is first asked for, and a second time for nobody who asks meanwhile."""
    lock = threading.Lock()
    kept = functools.cache(make)

    def get() -> T:
        with lock:
            return kept()

    return get


def _names(source: bytes) -> FunctionNames:
    from wasmtrace.instrument import module_names

    return module_names(source)


def _places(source: bytes, rewriting: Rewriting, sites: SiteTable, *, cached: bool) -> Places:
    from wasmtrace.instrument import Places
    from wasmtrace.instrument.kernel.machine_code import compile_walk

    compile_walk(cached=cached)
    return Places(source, rewriting.options(), sites)


def _remembered(ask: Callable[[int, int], T]) -> Callable[[int, int], T]:
    return functools.lru_cache(maxsize=1024)(ask)


@functools.cache
def _rewriter_version() -> str:
    """This version, and which files the rewriter has: a changed checkout must not find what an older one
    stored."""
    from wasmtrace.version import VERSION

    folders = [_folder_of_rewriter()]
    marks = [VERSION]
    for folder in folders:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                if entry.is_dir() and not entry.name.startswith("_"):
                    folders.append(entry.path)
                elif entry.name.endswith((".py", ".wasm")):
                    status = entry.stat()
                    marks.append(f"{entry.name}:{status.st_size}:{status.st_mtime_ns}")
    return "\n".join(marks)


def _folder_of_rewriter() -> str:
    import importlib.util

    found = importlib.util.find_spec("wasmtrace.instrument")
    if found is None or found.origin is None:
        raise UsageError("wasmtrace.instrument is not installed")
    return os.path.dirname(found.origin)
