"""Rewrites WebAssembly modules: bytes in, bytes and a site table out. Knows no engine, no clock and no
socket."""

from wasmtrace.instrument.names import ModuleNames, demangle, module_names
from wasmtrace.instrument.options import Options
from wasmtrace.instrument.rewrite import Instrumented, Places, instrument, original_offset

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
