"""Rewrites WebAssembly modules: bytes in, bytes and a site table out. Knows no engine, no clock and no socket.

The names below are imported when they are first used: who shows names needs no rewriter.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmtrace.instrument.names import ModuleNames, demangle, module_names
    from wasmtrace.instrument.options import Options
    from wasmtrace.instrument.rewrite import Instrumented, Places, instrument, original_offset

_HOMES = {
    "names": ("ModuleNames", "demangle", "module_names"),
    "options": ("Options",),
    "rewrite": ("Instrumented", "Places", "instrument", "original_offset"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Instrumented",
    "ModuleNames",
    "Options",
    "Places",
    "demangle",
    "instrument",
    "module_names",
    "original_offset",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'wasmtrace.instrument' has no attribute {name!r}")
    return getattr(importlib.import_module(f"wasmtrace.instrument.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
