"""wasmtrace shows what happens inside any WebAssembly program, without a log line from its developer.

The names below are imported when they are first used: the rewriter works without the engine, and starts
without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wasmtrace.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:
    from wasmtrace.api import Runtime, RuntimeConfig
    from wasmtrace.errors import (
        DecodeError,
        ExportError,
        GuestError,
        InstrumentError,
        UnsupportedError,
        UsageError,
        WasmtraceError,
    )
    from wasmtrace.instance import GuestStopped, Instance
    from wasmtrace.program import Program
    from wasmtrace.records import Level, Outcome, Snapshot
    from wasmtrace.run import Run, RunResult
    from wasmtrace.runtime.sandbox import Directory, Sandbox, Stream, with_instance

_HOMES = {
    "wasmtrace.api": ("Runtime", "RuntimeConfig"),
    "wasmtrace.errors": (
        "DecodeError",
        "ExportError",
        "GuestError",
        "InstrumentError",
        "UnsupportedError",
        "UsageError",
        "WasmtraceError",
    ),
    "wasmtrace.instance": ("GuestStopped", "Instance"),
    "wasmtrace.program": ("Program",),
    "wasmtrace.records": ("Level", "Outcome", "Snapshot"),
    "wasmtrace.run": ("Run", "RunResult"),
    "wasmtrace.runtime.sandbox": ("Directory", "Sandbox", "Stream", "with_instance"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DecodeError",
    "Directory",
    "ExportError",
    "GuestError",
    "GuestStopped",
    "Instance",
    "InstrumentError",
    "Level",
    "Outcome",
    "Program",
    "Run",
    "RunResult",
    "Runtime",
    "RuntimeConfig",
    "Sandbox",
    "Snapshot",
    "Stream",
    "UnsupportedError",
    "UsageError",
    "WasmtraceError",
    "with_instance",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'wasmtrace' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
