"""The walk as machine code: compiled once a process, by another thread if that is asked for in time."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import wasmtime

_WALK = Path(__file__).with_name("walk.wasm")
_lock = threading.Lock()
_compiled: tuple[wasmtime.Engine, wasmtime.Module] | None = None


def compile_walk(*, cached: bool = False) -> tuple[wasmtime.Engine, wasmtime.Module]:
    """Some 20 to 40 ms, once a process. With `cached` the engine keeps it on disk, where it trusts what it finds: only
    for a directory that nobody else can write to. Any thread."""
    global _compiled
    with _lock:
        if _compiled is None:
            _compiled = _compile(cached=cached)
        return _compiled


def begin_compiling_walk(*, cached: bool) -> None:
    """Does it in a thread of its own, if it is not done: whoever needs it then waits for the rest. What goes wrong
    there, `compile_walk` will raise."""

    def compile_it() -> None:
        with contextlib.suppress(Exception):
            compile_walk(cached=cached)

    if _compiled is None:
        with contextlib.suppress(RuntimeError):  # no thread to be had
            threading.Thread(target=compile_it, name="wasmtrace-walk", daemon=True).start()


def _compile(*, cached: bool) -> tuple[wasmtime.Engine, wasmtime.Module]:
    import wasmtime

    config = wasmtime.Config()
    if cached:
        config.cache = True
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, _WALK.read_bytes())
